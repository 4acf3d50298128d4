package dataplane

import (
	"context"
	"testing"
	"time"
)

// TestCPUTime reads the clock of a worker's thread before it runs and while it works.
func TestCPUTime(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), func(*Worker) Handler { return &testHandler{} })
	w := p.Workers()[0]
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	const work = 20 * time.Millisecond
	var before, after time.Duration
	err := w.Do(ctx, func(Instant) {
		before = w.CPUTime()
		for after = before; after-before < work; after = w.CPUTime() {
		}
	})
	if err != nil || before <= 0 {
		t.Errorf("%v before the work, %v after: %v", before, after, err)
	}
	if now := w.CPUTime(); now < after || now > after+10*time.Second {
		t.Errorf("read from another thread: %v, by itself %v", now, after)
	}
}

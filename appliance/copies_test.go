package main

import (
	"errors"
	"testing"
	"time"
)

// TestCopyThatFailsIsTriedSeldom: a disk that is full is not filled to its last byte every two seconds.
func TestCopyThatFailsIsTriedSeldom(t *testing.T) {
	start := time.Now()
	at := func(after time.Duration) time.Time { return start.Add(after) }
	c := copier{last: goodCopy{Made: start, Revision: 1}}
	for _, step := range []struct {
		after   time.Duration
		running uint64
		due     bool
		err     error
	}{
		{after: time.Minute, running: 1},
		{after: 2 * time.Minute, running: 2, due: true, err: errors.New("no space left on device")},
		{after: 2*time.Minute + copyLook, running: 2},
		{after: 11 * time.Minute, running: 2},
		{after: 11*time.Minute + copyLook, running: 3, due: true, err: errors.New("no space left on device")}, // a new revision
		{after: 12 * time.Minute, running: 3},
		{after: 22 * time.Minute, running: 3, due: true},
		{after: 23 * time.Minute, running: 3},
		{after: 23*time.Minute + copyEvery, running: 3, due: true},
	} {
		due := c.due(at(step.after), step.running)
		if due != step.due {
			t.Errorf("after %v with revision %d: due %v", step.after, step.running, due)
		}
		if !due {
			continue
		}
		c.note(at(step.after), goodCopy{Made: at(step.after), Revision: step.running}, step.err)
		if alarms := c.alarms(); (len(alarms) == 1) != (step.err != nil) {
			t.Errorf("after %v: %+v", step.after, alarms)
		}
	}
}

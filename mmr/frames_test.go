package mmr

import (
	"testing"
	"time"

	"meetzone/dataplane"
)

// feedFrames gives a meter frames of an encoding at even distances, and returns the time after the last.
func feedFrames(f *frameMeter, at dataplane.Instant, encoding uint8, n int, every time.Duration) dataplane.Instant {
	for range n {
		at += dataplane.Instant(every)
		f.frame(at, encoding)
	}
	return at
}

func TestFramesAreCounted(t *testing.T) {
	var f frameMeter
	at := feedFrames(&f, 1, 0, 100, 33*time.Millisecond)
	if f.count != 100 || f.freezes != 0 {
		t.Errorf("%d frames and %d freezes, want 100 and none", f.count, f.freezes)
	}
	at += dataplane.Instant(400 * time.Millisecond)
	at = feedFrames(&f, at, 0, 10, 33*time.Millisecond)
	if f.freezes != 1 || f.frozen < dataplane.Instant(400*time.Millisecond) || f.frozen > dataplane.Instant(500*time.Millisecond) {
		t.Errorf("a gap of 433 ms: %d freezes, %v", f.freezes, time.Duration(f.frozen))
	}
	f.pause()
	at = feedFrames(&f, at+dataplane.Instant(2*time.Second), 0, 10, 33*time.Millisecond)
	feedFrames(&f, at+pauseLeast, 0, 10, 33*time.Millisecond)
	if f.freezes != 1 {
		t.Errorf("pauses count as freezes: %d", f.freezes)
	}
}

// TestFramesOfEncodings wants each picture counted once, however many encodings it comes in and whichever of them ends.
func TestFramesOfEncodings(t *testing.T) {
	var f frameMeter
	at := dataplane.Instant(1)
	each := func(n int, encodings ...uint8) {
		for range n {
			at += dataplane.Instant(33 * time.Millisecond)
			for _, e := range encodings {
				f.frame(at, e)
			}
		}
	}
	each(30, 0)
	each(30, 0, 1, 2)
	if f.count < 59 || f.count > 62 {
		t.Errorf("%d frames of 60 pictures", f.count)
	}
	before := f.count
	each(60, 0, 1)
	if n := f.count - before; n < 60-16 || n > 60 {
		t.Errorf("%d frames of 60 pictures after the largest encoding ended", n)
	}
	if f.freezes > 0 {
		t.Errorf("%d freezes when an encoding ended", f.freezes)
	}
}

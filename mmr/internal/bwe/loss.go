package bwe

import (
	"math"
	"time"
)

// Constants of the loss-based part.
const (
	lossWindow  = 400 * time.Millisecond
	lossPackets = 20
	lossWeight  = 0.3 // of the newest window
	littleLoss  = 0.02
	muchLoss    = 0.10
	lossBackOff = 0.5
	lossEvery   = 800 * time.Millisecond // between two decreases
	// lossTrials is how many decreases in a row without an effect show that the loss is not ours.
	lossTrials = 3
	// mostInherent is the most that a path is believed to lose by itself.
	mostInherent = 0.15
)

// lossControl limits the rate where packets are lost without their delay telling before: a short queue, or a policer. Loss that does not go
// away when less is sent is the path's own (radio), and does not count.
type lossControl struct {
	expected, missing int // in this window
	since             Time
	average           float64
	known             bool
	limit             float64 // bit/s; +Inf none
	inherent          float64
	lowered           Time
	trials            int
	before            float64 // limit, and loss, before the trials
	lossBefore        float64
}

func (l *lossControl) reset() { *l = lossControl{limit: math.Inf(1)} }

// count takes what became of packets; a packet that comes after it was given up takes its loss back.
func (l *lossControl) count(arrived, missing int) {
	l.expected += arrived + missing
	l.missing += missing
}

// update closes the window when it is full. rate is what the delays permit.
func (l *lossControl) update(now Time, rate, arriving float64) {
	elapsed := time.Duration(now - l.since)
	if l.since == 0 {
		l.since = now
		return
	}
	if l.expected < lossPackets || elapsed < lossWindow {
		return
	}
	loss := min(max(float64(l.missing)/float64(l.expected), 0), 1)
	l.expected, l.missing, l.since = 0, 0, now
	l.judge(now, loss, rate, arriving, min(elapsed, time.Second))
}

// judge takes the loss of a window.
func (l *lossControl) judge(now Time, loss, rate, arriving float64, elapsed time.Duration) {
	if !l.known {
		l.average, l.known = loss, true
	}
	l.average += lossWeight * (loss - l.average)
	l.inherent = min(l.inherent, l.average)
	ours := l.average - l.inherent
	switch {
	case ours > muchLoss && time.Duration(now-l.lowered) >= lossEvery:
		l.lower(now, ours, rate, arriving)
	case ours < littleLoss:
		l.trials = 0
		l.limit *= math.Pow(increase, elapsed.Seconds())
	case ours < muchLoss/2:
		l.trials = 0
	}
	if l.limit > headroom*rate {
		l.limit = math.Inf(1)
	}
}

// lower decreases the limit, or finds that this does not help.
func (l *lossControl) lower(now Time, ours, rate, arriving float64) {
	if l.trials == 0 {
		l.before, l.lossBefore = l.limit, l.average
	}
	if l.trials >= lossTrials && l.average > 0.7*l.lossBefore && l.average < mostInherent {
		l.inherent, l.limit, l.trials = l.average, l.before, 0
		return
	}
	l.trials++
	l.lowered = now
	l.limit = min(l.limit, rate)
	l.limit = max(l.limit*(1-lossBackOff*ours), min(l.limit, arriving)*backOff)
}

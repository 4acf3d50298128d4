package bwe

import (
	"math"
	"time"
)

// usage is what the delays say of the path.
type usage uint8

const (
	normal usage = iota
	overuse
	underuse
)

// Constants of the trendline filter and its threshold.
const (
	trendWindow    = 20 // groups
	trendSmoothing = 0.9
	trendGain      = 4.0
	mostGroups     = 60 // weight of the trend

	firstThreshold = 12.5 // ms
	leastThreshold = 6
	mostThreshold  = 600
	thresholdUp    = 0.0087
	thresholdDown  = 0.039
	// thresholdReach is how far above the threshold a trend may be and still move it.
	thresholdReach = 15
	overuseTime    = 10.0 // ms that a trend must last

	// A trend counts as overuse only where the delay has grown beyond what it varies by anyway.
	jitterWeight  = 1.0 / 16
	jitterTimes   = 3.0
	leastQueued   = 12.0 // ms
	mostQueued    = 80.0 // ms
	baseTime      = 5 * time.Second
	standingQueue = 120.0 // ms of delay that with loss mean a queue that is full
	noiseStep     = 1.6
	mostNoise     = 150.0
	noiseFades    = 120_000.0 // ms
)

// trend is the trendline of the queuing delay: the slope of a line through the smoothed delays of the last groups.
type trend struct {
	groups      int
	began       Time
	accumulated float64 // ms
	smoothed    float64
	window      [trendWindow]struct{ at, delay float64 } // ms
	n, next     int

	jitter  float64    // of groups, ms
	noise   float64    // ms of delay that were found not to be our doing
	base    [2]float64 // smallest smoothed delay of this spell of baseTime and the one before
	basedAt Time

	last      float64 // slope before
	threshold float64
	adapted   Time
	over      float64 // ms that the trend has been above the threshold, -1 not at all
	overs     int
	state     usage
}

func (t *trend) reset() { *t = trend{threshold: firstThreshold, over: -1} }

// add takes the change of a group's delay.
func (t *trend) add(sentDelta, arrivalDelta time.Duration, arrivedAt Time) {
	if t.groups == 0 {
		t.began = arrivedAt
	}
	t.groups++
	change := ms(arrivalDelta - sentDelta)
	t.noise -= t.noise * min(max(ms(arrivalDelta), 0)/noiseFades, 1)
	t.accumulated += change
	t.smoothed = trendSmoothing*t.smoothed + (1-trendSmoothing)*t.accumulated
	t.jitter += (math.Abs(change) - t.jitter) * jitterWeight
	t.rebase(arrivedAt)
	t.window[t.next].at, t.window[t.next].delay = ms(time.Duration(arrivedAt-t.began)), t.smoothed
	t.next = (t.next + 1) % trendWindow
	t.n = min(t.n+1, trendWindow)
	slope := t.last
	if t.n == trendWindow {
		if fitted, ok := t.fit(); ok {
			slope = fitted
		}
	}
	t.detect(slope, ms(sentDelta), arrivedAt)
}

// rebase follows the smallest delay of the last spells.
func (t *trend) rebase(now Time) {
	switch elapsed := time.Duration(now - t.basedAt); {
	case t.basedAt == 0 || elapsed > 4*baseTime:
		t.base, t.basedAt = [2]float64{t.smoothed, t.smoothed}, now
	case elapsed > baseTime:
		t.base, t.basedAt = [2]float64{t.smoothed, t.base[0]}, now
	default:
		t.base[0] = min(t.base[0], t.smoothed)
	}
}

// queued returns by how much the delay is above the smallest of late, in ms.
func (t *trend) queued() float64 { return t.smoothed - min(t.base[0], t.base[1]) }

// grown tells whether the delay is longer than jitter explains.
func (t *trend) grown() bool {
	return t.queued() > max(min(max(jitterTimes*t.jitter, leastQueued), mostQueued), t.noise)
}

// swung takes by how much the path varies the delay by itself, in ms.
func (t *trend) swung(by float64) { t.noise = max(t.noise, by) }

// notOurs takes the present delay for what the path does by itself.
func (t *trend) notOurs() {
	t.noise = min(max(noiseStep*t.noise, noiseStep*t.queued()), mostNoise)
}

// fit returns the slope of the line of least squares.
func (t *trend) fit() (slope float64, ok bool) {
	var x, y float64
	for i := range t.window {
		x += t.window[i].at
		y += t.window[i].delay
	}
	x, y = x/trendWindow, y/trendWindow
	var over, under float64
	for i := range t.window {
		dx := t.window[i].at - x
		over += dx * (t.window[i].delay - y)
		under += dx * dx
	}
	if under == 0 {
		return 0, false
	}
	return over / under, true
}

// detect holds a slope against the threshold.
func (t *trend) detect(slope, sentDelta float64, now Time) {
	if t.groups < 2 {
		return
	}
	modified := float64(min(t.groups, mostGroups)) * slope * trendGain
	switch {
	case modified > t.threshold:
		if t.over < 0 {
			t.over = sentDelta / 2 // it began somewhere in between
		} else {
			t.over += sentDelta
		}
		t.overs++
		if t.over > overuseTime && t.overs > 1 && slope >= t.last && t.grown() {
			t.over, t.overs = 0, 0
			t.state = overuse
		}
	case modified < -t.threshold:
		t.over, t.overs = -1, 0
		t.state = underuse
	default:
		t.over, t.overs = -1, 0
		t.state = normal
	}
	t.last = slope
	t.adapt(modified, now)
}

// adapt moves the threshold towards the trend, so that neither jitter nor a competitor that fills the queue starves us.
func (t *trend) adapt(modified float64, now Time) {
	if t.adapted == 0 {
		t.adapted = now
	}
	size := math.Abs(modified)
	if size > t.threshold+thresholdReach {
		t.adapted = now
		return
	}
	k := thresholdUp
	if size < t.threshold {
		k = thresholdDown
	}
	elapsed := min(max(ms(time.Duration(now-t.adapted)), 0), 100)
	t.threshold = min(max(t.threshold+k*(size-t.threshold)*elapsed, leastThreshold), mostThreshold)
	t.adapted = now
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

package bwe

import (
	"math"
	"time"
)

// Constants of the rate control.
const (
	backOff = 0.85 // of what arrives, when the path is overused
	// limitedBackOff is the most that one decrease takes while less is sent than could be.
	limitedBackOff = 0.7
	limitedWait    = 500 * time.Millisecond
	increase       = 1.08 // a second, as long as its capacity is not known
	responseExtra  = 100 * time.Millisecond
	packetBits     = 1200 * 8
	// headroom is how far the estimate may be above what arrives: it has not been tried.
	headroom      = 1.5
	headroomExtra = 10_000
)

type direction uint8

const (
	holding direction = iota
	increasing
	decreasing
)

// rateControl turns usage into a rate: additive increase near the capacity that was found, multiplicative increase away from it, and
// decrease below what arrives.
type rateControl struct {
	rate       float64 // bit/s
	least      float64
	most       float64
	state      direction
	changed    Time
	dropped    Time // last decrease, 0 none
	beforeDrop float64
	capacity   capacity
}

// update takes what a report says. arriving is the bit rate that arrives, 0 unknown; limited says that less is sent than could be.
func (c *rateControl) update(now Time, u usage, arriving float64, roundTrip time.Duration, limited bool) {
	switch u {
	case overuse:
		c.state = decreasing
	case underuse:
		c.state = holding
	default:
		if c.state == holding {
			c.changed, c.state = now, increasing
		}
	}
	switch c.state {
	case increasing:
		c.grow(now, arriving, roundTrip, limited)
	case decreasing:
		c.shrink(now, arriving, roundTrip, limited)
	}
	c.rate = min(max(c.rate, c.least), c.most)
}

// grow raises the rate, but never far above what has been tried.
func (c *rateControl) grow(now Time, arriving float64, roundTrip time.Duration, limited bool) {
	if c.capacity.known && arriving > c.capacity.upper() {
		c.capacity = capacity{}
	}
	elapsed := min(time.Duration(now-c.changed), time.Second)
	c.changed = now
	limit := headroom*arriving + headroomExtra
	if limited || arriving == 0 || c.rate >= limit {
		return
	}
	more := 0.0
	if c.capacity.known {
		more = max(4000, packetBits/(roundTrip+responseExtra).Seconds()) * elapsed.Seconds()
	} else {
		more = max(c.rate*(math.Pow(increase, elapsed.Seconds())-1), 1000*elapsed.Seconds())
	}
	c.rate = min(c.rate+more, limit)
}

// shrink lowers the rate below what arrives, at most once in a round trip, since nothing sooner can be an effect of it.
func (c *rateControl) shrink(now Time, arriving float64, roundTrip time.Duration, limited bool) {
	c.state = holding
	c.changed = now
	wait := min(max(roundTrip, 10*time.Millisecond), 200*time.Millisecond)
	if limited && c.dropped != 0 && time.Duration(now-c.dropped) < wait+limitedWait {
		return // it is not what is sent that the delay comes from
	}
	if c.dropped != 0 && time.Duration(now-c.dropped) < wait && arriving > c.rate/2 {
		return
	}
	if arriving == 0 {
		arriving = c.rate
	}
	lower := backOff * arriving
	if lower > c.rate && c.capacity.known {
		lower = backOff * c.capacity.estimate
	}
	if limited { // what arrives says little of what could
		lower = max(lower, limitedBackOff*c.rate)
	}
	if c.dropped == 0 || time.Duration(now-c.dropped) > time.Second {
		c.beforeDrop = c.rate
	}
	c.dropped = now
	c.rate = min(c.rate, lower)
	if c.capacity.known && arriving < c.capacity.lower() {
		c.capacity = capacity{}
	}
	c.capacity.found(arriving)
}

// set takes a rate that was measured.
func (c *rateControl) set(now Time, rate float64) {
	c.rate = min(max(rate, c.least), c.most)
	c.changed = now
	if c.capacity.known && rate > c.capacity.upper() {
		c.capacity = capacity{}
	}
}

// capacity is what the path carried whenever it was overused: mean and deviation of the last times.
type capacity struct {
	known     bool
	estimate  float64 // bit/s
	deviation float64 // relative variance, in kbit/s
}

func (c *capacity) found(rate float64) {
	const weight = 0.05
	kbit := rate / 1000
	if !c.known {
		*c = capacity{known: true, estimate: rate, deviation: 0.4}
		return
	}
	mean := (1-weight)*c.estimate/1000 + weight*kbit
	off := mean - kbit
	c.estimate = mean * 1000
	c.deviation = min(max((1-weight)*c.deviation+weight*off*off/max(mean, 1), 0.4), 2.5)
}

func (c *capacity) spread() float64 { return 3 * math.Sqrt(c.deviation*c.estimate/1000) * 1000 }
func (c *capacity) upper() float64  { return c.estimate + c.spread() }
func (c *capacity) lower() float64  { return max(0, c.estimate-c.spread()) }

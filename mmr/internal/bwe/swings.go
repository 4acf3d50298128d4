package bwe

import (
	"math"
	"time"
)

// Constants of swings.
const (
	turnAfter  = 8.0  // ms in the other direction that end a swing
	leastSwing = 15.0 // ms of delay, below which a swing says nothing
	swingFades = 0.9  // of what earlier swings count, with each
	// fewSwings is how many there must have been lately; each counts 1 at first.
	fewSwings = 3.0
	// unevenly is by which factor more arrives while the delay falls than while it grows, when the path does that by itself.
	unevenly = 1.7
	// swingNoise times the largest swing of late is what such a path does to the delay, up to mostSwing.
	swingNoise = 1.2
	mostSwing  = 120.0 // ms
	// swingsLast is how long swings count when no more come: the path is calm.
	swingsLast = 30_000.0 // ms
)

// bitsPerMs is what a byte in a millisecond is in bit/s.
const bitsPerMs = 8000

// swings tells a path that varies the delay by itself from a queue that we have filled. What leaves a queue is what the bottleneck carries, whether the
// delay grows or falls. Where the path varies by itself, packets come late and then all at once. Streams of reports are followed each by itself, since
// only within one packets are in order; the rates of all together count, because a queue may fill by what one of them brings.
type swings [MaxPaths + 1]swing

// swing follows the delay up and down, for one stream of reports.
type swing struct {
	arrivals    arrivals
	delay       float64 // ms
	falling     bool
	from, turn  float64 // delay at the beginning of the swing, and its extreme, ms
	leg, behind stretch // up to the extreme, and since
	up, down    stretch // of late
	ups, downs  float64
	size        float64 // of the largest of late, about, ms
	idle        float64 // since the last swing that counts, ms
}

// stretch is what arrived in some time.
type stretch struct{ bytes, ms float64 }

func (s *stretch) add(other stretch) { s.bytes, s.ms = s.bytes+other.bytes, s.ms+other.ms }

func (s *stretch) rate() float64 { return s.bytes / max(s.ms, 1) }

// add takes a packet that arrived.
func (list *swings) add(reporter uint8, sentAt, arrivedAt Time, size int) {
	w := &list[reporter]
	if sentDelta, arrivalDelta, ok := w.arrivals.add(sentAt, arrivedAt, size); ok {
		w.group(sentDelta, arrivalDelta, w.arrivals.before.size)
	}
}

// group takes a group of packets.
func (w *swing) group(sentDelta, arrivalDelta time.Duration, size int) {
	w.delay += ms(arrivalDelta - sentDelta)
	if w.idle += ms(arrivalDelta); w.idle > swingsLast {
		w.up, w.down, w.ups, w.downs, w.size = stretch{}, stretch{}, 0, 0, 0
	}
	w.behind.add(stretch{bytes: float64(size), ms: ms(arrivalDelta)})
	beyond := w.delay - w.turn
	if w.falling {
		beyond = -beyond
	}
	if beyond >= 0 {
		w.leg.add(w.behind)
		w.turn, w.behind = w.delay, stretch{}
		return
	}
	if beyond > -turnAfter {
		return
	}
	if math.Abs(w.turn-w.from) >= leastSwing {
		w.keep()
	}
	w.falling, w.from, w.turn = !w.falling, w.turn, w.delay
	w.leg, w.behind = w.behind, stretch{}
}

// keep counts the swing that has ended.
func (w *swing) keep() {
	sum, count := &w.up, &w.ups
	if w.falling {
		sum, count = &w.down, &w.downs
	}
	w.idle = 0
	w.size = max(w.size*swingFades, math.Abs(w.turn-w.from))
	sum.bytes, sum.ms = sum.bytes*swingFades, sum.ms*swingFades
	sum.add(w.leg)
	*count = *count*swingFades + 1
}

// noise returns by how much the path varies the delay by itself, in ms; 0 where the delay may be our doing. arriving is the bit rate of late: what
// the swings are told from has to be most of it.
func (list *swings) noise(arriving float64) float64 {
	var growing, falling, size float64
	for i := range list {
		w := &list[i]
		if min(w.ups, w.downs) < fewSwings {
			continue
		}
		growing, falling, size = growing+w.up.rate(), falling+w.down.rate(), max(size, w.size)
	}
	if falling <= unevenly*growing || falling+growing < arriving/bitsPerMs {
		return 0
	}
	return min(swingNoise*size, mostSwing)
}

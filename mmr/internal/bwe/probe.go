package bwe

import (
	"math"
	"time"
)

// Constants of probing.
const (
	probeTime    = 25 * time.Millisecond // of sending, where the delay does not vary
	longestProbe = 120 * time.Millisecond
	probeJitter  = 5.0 // times what it varies by
	probePackets = 6
	probePacket  = 280 // the least that such packets have
	probeAlmost  = 0.8 // of the packets must have been reported
	probeWait    = time.Second
	probeGone    = 200 * time.Millisecond // a burst that nothing could be sent for is given up

	firstProbe = 3.0 // times the rate at the start
	probeStep  = 2.0 // times the present rate
	// probeFurther is which part of what was tried must have got through for more to be tried at once.
	probeFurther = 0.7
	probeEvery   = 4 * time.Second
	// starved is how many times the estimate would have to be what is wanted so that probes come every probeStarved.
	starved      = 3.0
	probeStarved = 2 * time.Second
	firstEvery   = 400 * time.Millisecond // while the start has shown nothing
	firstProbes  = 4
	probeCalm    = 1500 * time.Millisecond // after the last decrease
	// probeUse is how far above what could be used it makes sense to know the path.
	probeUse = 2.0
	// probeMost is the most that is ever probed for, in bit/s, so that a burst stays small whatever is wanted.
	probeMost = 20e6
	// probeAbove bounds what a probe shows: a burst that left at once tells little beyond the rate that was tried.
	probeAbove = 1.5
	// probeEnough is how far above it the estimate has to be for probes to end.
	probeEnough = 1.25
	probeOver   = 1.1 // times that a probe may be
)

// probe is a burst of packets at a rate, of media and padding, that shows whether the path carries it.
type probe struct {
	id      uint8 // 0: there is none
	rate    float64
	lasts   time.Duration
	began   Time
	bytes   int
	packets int
	sending bool
	first   bool // of the start: its result counts even where it is lower

	got, gotBytes               int
	firstSent, lastSent         Time
	firstArrived, lastArrived   Time
	lastSentSize, firstGotBytes int
}

// prober decides when to probe, and reads the results.
type prober struct {
	probe
	lastID  uint8
	next    Time // of the next one; Never
	started bool
	count   uint64
}

// begin starts a probe. jitter is by how many ms delays vary.
func (p *prober) begin(now Time, rate, jitter float64, first bool) {
	if p.lastID++; p.lastID == 0 {
		p.lastID = 1
	}
	p.count++
	lasts := min(max(probeTime, time.Duration(probeJitter*jitter*float64(time.Millisecond))), longestProbe)
	p.probe = probe{id: p.lastID, rate: rate, lasts: lasts, began: now, sending: true, first: first}
	p.next = now + Time(probeEvery)
	if first {
		p.next = now + Time(firstEvery)
	}
}

// due returns how many bytes are to be sent now, and when to ask again.
func (p *prober) due(now Time) (bytes int, again Time) {
	if !p.sending {
		return 0, Never
	}
	elapsed := time.Duration(now - p.began)
	if p.bytes == 0 && elapsed > probeGone || elapsed > probeWait {
		p.probe = probe{}
		return 0, Never
	}
	want := int(p.rate*elapsed.Seconds()/8) + probePacket
	if want > p.bytes {
		return want - p.bytes, now
	}
	at := p.began + Time(float64(p.bytes-probePacket+1)*8/p.rate*1e9)
	return 0, max(at, now+Time(500*time.Microsecond))
}

// sent counts a packet into the probe that is under way and returns its id, 0 for none.
func (p *prober) sent(now Time, size int) uint8 {
	if !p.sending {
		return 0
	}
	if p.packets == 0 {
		p.began = now // what is sent at once from here on is the burst
	}
	p.bytes += size
	p.packets++
	if p.packets >= probePackets && float64(p.bytes) >= p.rate*p.lasts.Seconds()/8 {
		p.sending = false
	}
	return p.id
}

// arrived takes the report of a packet of the probe.
func (p *prober) arrived(s *sent, at Time) {
	if s.probe != p.id || p.id == 0 {
		return
	}
	size := int(s.size)
	if p.got == 0 || s.at >= p.lastSent {
		p.lastSent, p.lastSentSize = s.at, size
	}
	if p.got == 0 || s.at < p.firstSent {
		p.firstSent = s.at
	}
	if p.got == 0 || at < p.firstArrived {
		p.firstArrived, p.firstGotBytes = at, size
	}
	if p.got == 0 || at > p.lastArrived {
		p.lastArrived = at
	}
	p.got++
	p.gotBytes += size
}

// result returns what the probe has shown, once enough of it was reported.
func (p *prober) result(now Time) (rate float64, ok bool) {
	if p.id == 0 || p.sending {
		return 0, false
	}
	if float64(p.got) < probeAlmost*float64(p.packets) || float64(p.gotBytes) < probeAlmost*float64(p.bytes) {
		if time.Duration(now-p.began) > probeWait {
			p.probe = probe{}
		}
		return 0, false
	}
	sending, arriving := time.Duration(p.lastSent-p.firstSent), time.Duration(p.lastArrived-p.firstArrived)
	done := p.probe
	p.probe = probe{}
	if arriving <= 0 || sending < 0 || arriving > time.Second || sending > time.Second {
		return 0, false
	}
	in := float64(done.gotBytes-done.firstGotBytes) * 8 / arriving.Seconds()
	out := math.Inf(1) // all at once
	if sending > 0 {
		out = float64(done.gotBytes-done.lastSentSize) * 8 / sending.Seconds()
	}
	if in > 2*out {
		return 0, false // it was held up on its way and then came at once
	}
	p.probe.rate, p.probe.first = done.rate, done.first // for whoever decides on the next
	if in < 0.9*out {
		return 0.95 * in, true
	}
	return min(in, out, probeAbove*done.rate), true
}

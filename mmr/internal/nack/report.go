package nack

import "time"

// Report is what a reception report block says. RFC 3550, section 6.4.1.
type Report struct {
	FractionLost   uint8
	CumulativeLost int32 // 24 bits signed
	HighestSeq     uint32
	Jitter         uint32 // in timestamp units
}

// Report returns the block for the time since the last Report. ok is false before the first packet. RFC 3550, appendix A.3.
func (r *Receiver) Report() (rep Report, ok bool) {
	if !r.started {
		return Report{}, false
	}
	lost := int64(r.expected) - int64(r.received)
	expectedNow, lostNow := int64(r.expected)-r.expectedBefore, lost-r.lostReported
	r.expectedBefore, r.lostReported = int64(r.expected), lost
	if expectedNow > 0 && lostNow > 0 {
		rep.FractionLost = uint8(min(255, lostNow<<8/expectedNow))
	}
	const limit = 1 << 23
	rep.CumulativeLost = int32(max(-limit, min(limit-1, lost)))
	rep.HighestSeq = uint32(r.highest - 1<<16)
	rep.Jitter = r.jitter >> 4
	return rep, true
}

// Stats counts since the beginning.
type Stats struct {
	Received   uint64 // as they came first, duplicates included
	Lost       uint64 // never came, not even repaired
	Repaired   uint64 // came as a retransmission
	Duplicates uint64
	Asked      uint64 // packets asked for, repeats included
	GivenUp    uint64 // no longer asked for
	Jitter     time.Duration
}

// Stats returns the counters.
func (r *Receiver) Stats() Stats {
	s := r.stats
	s.Received = r.received
	if open := r.unique + uint64(len(r.missing)); r.expected > open {
		s.Lost = r.expected - open
	}
	if r.cfg.ClockRate > 0 {
		s.Jitter = time.Duration(r.jitter>>4) * time.Second / time.Duration(r.cfg.ClockRate)
	}
	return s
}

// measure updates the jitter. RFC 3550, appendix A.8.
func (r *Receiver) measure(timestamp uint32, now time.Duration, first bool) {
	if !first && timestamp == r.timestamp {
		return
	}
	rate := uint64(r.cfg.ClockRate)
	arrival := uint64(now/time.Second)*rate + uint64(now%time.Second)*rate/uint64(time.Second)
	transit := uint32(arrival) - timestamp
	if !first {
		d := int32(transit - r.transit)
		if d < 0 {
			d = -d
		}
		// A jump of the sender's clock is no jitter: libwebrtc leaves out differences of five seconds and more.
		if d >= 0 && uint64(d) < 5*rate {
			r.jitter += uint32(d) - (r.jitter+8)>>4
		}
	}
	r.transit, r.timestamp = transit, timestamp
}

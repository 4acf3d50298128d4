package nack

import (
	"time"

	"meetzone/mmr/internal/packet"
)

// Bounds and waits.
const (
	defaultMissing  = 256
	defaultRetries  = 8
	defaultDeadline = time.Second

	reorderWait = 5 * time.Millisecond  // before a packet is asked for at all
	minimumWait = 20 * time.Millisecond // between two requests for one packet

	windowLen   = 2048 // numbers that are told apart
	maxDropout  = 3000 // RFC 3550, appendix A.1
	maxMisorder = 1000 // more than the appendix has: retransmissions come late; below windowLen
)

// Config bounds a Receiver.
type Config struct {
	ClockRate  uint32        // of the RTP timestamp, for the jitter
	MaxMissing int           // missing packets that are remembered, 0 means 256
	Retries    int           // how often one packet is asked for, 0 means 8
	Deadline   time.Duration // after which a missing packet is given up, 0 means 1 s
}

// Arrival says what an arriving packet was.
type Arrival uint8

// What an arriving packet can be.
const (
	First     Arrival = iota // of the stream, or after a restart of its numbers
	Next                     // in order, no gap
	Gap                      // in order, and packets before it are missing
	Late                     // out of order or repaired: it was missing
	Duplicate                // was here before
	Stale                    // too old to tell, or a stray number; drop it
)

// Usable says whether the packet should be used.
func (a Arrival) Usable() bool { return a <= Late }

// missing is a packet that has not come.
type missing struct {
	wide  uint64
	since time.Duration
	due   time.Duration // when to ask next
	asked int
}

// Receiver follows one arriving stream.
type Receiver struct {
	cfg Config

	started bool
	highest uint64
	stray   uint32 // the number that would confirm a restart, above 16 bits for none
	here    [windowLen / 64]uint64
	missing []missing // rising

	expected, received           uint64
	expectedBefore, lostReported int64 // at the last Report
	unique                       uint64
	stats                        Stats

	timestamp uint32 // of the packet that last counted for the jitter
	transit   uint32
	jitter    uint32 // times 16
}

// noStray is no 16-bit number.
const noStray = 1 << 16

// NewReceiver returns a Receiver that expects nothing yet.
func NewReceiver(c Config) *Receiver {
	if c.MaxMissing <= 0 {
		c.MaxMissing = defaultMissing
	}
	if c.Retries <= 0 {
		c.Retries = defaultRetries
	}
	if c.Deadline <= 0 {
		c.Deadline = defaultDeadline
	}
	return &Receiver{cfg: c, stray: noStray}
}

// Insert takes a packet's number and returns its wide number.
func (r *Receiver) Insert(seq uint16, timestamp uint32, now time.Duration) (wide uint64, a Arrival) {
	wide, a = r.place(seq, now)
	if a == Stale {
		return wide, a
	}
	r.received++
	if a == Duplicate {
		r.stats.Duplicates++
		return wide, a
	}
	r.unique++
	if a != Late {
		r.measure(timestamp, now, a == First)
	}
	return wide, a
}

// Repaired takes the number of a packet that came as a retransmission; it fills its gap but does not count in reports or jitter.
func (r *Receiver) Repaired(seq uint16) (wide uint64, a Arrival) {
	wide = packet.Near(r.highest, seq)
	if !r.started || wide > r.highest {
		return wide, Stale
	}
	if a = r.placeLate(wide); a == Late {
		r.unique++
		r.stats.Repaired++
	}
	return wide, a
}

// place finds out what a packet is and notes that it is here.
func (r *Receiver) place(seq uint16, now time.Duration) (uint64, Arrival) {
	if !r.started {
		r.started, r.highest = true, 1<<16|uint64(seq)
		r.expected = 1
		r.set(r.highest)
		return r.highest, First
	}
	wide := packet.Near(r.highest, seq)
	switch {
	case wide <= r.highest && r.highest-wide <= maxMisorder:
		return wide, r.placeLate(wide)
	case wide > r.highest && wide-r.highest <= maxDropout:
		r.stray = noStray
		return wide, r.placeNext(wide, now)
	case r.stray == uint32(seq):
		return r.restart(seq)
	}
	r.stray = uint32(seq + 1)
	return wide, Stale
}

// restart begins anew in the next cycle. RFC 3550, appendix A.1: two packets in sequence are believed.
func (r *Receiver) restart(seq uint16) (uint64, Arrival) {
	r.stats.GivenUp += uint64(len(r.missing))
	r.missing = r.missing[:0]
	r.here = [windowLen / 64]uint64{}
	r.highest = (r.highest>>16+1)<<16 | uint64(seq)
	r.expected++
	r.stray = noStray
	r.set(r.highest)
	return r.highest, First
}

func (r *Receiver) placeNext(wide uint64, now time.Duration) Arrival {
	r.expected += wide - r.highest
	a := Next
	if wide > r.highest+1 {
		a = Gap
	}
	for w := r.highest + 1; w < wide; w++ {
		r.clear(w)
		if wide-w <= uint64(r.cfg.MaxMissing) {
			r.miss(w, now)
		} else {
			r.stats.GivenUp++
		}
	}
	r.highest = wide
	r.set(wide)
	return a
}

func (r *Receiver) placeLate(wide uint64) Arrival {
	if r.highest-wide > maxMisorder {
		return Stale
	}
	if r.has(wide) {
		return Duplicate
	}
	r.set(wide)
	if i := r.search(wide); i < len(r.missing) && r.missing[i].wide == wide {
		r.missing = append(r.missing[:i], r.missing[i+1:]...)
	}
	return Late
}

// miss adds a missing packet, which is newer than all others.
func (r *Receiver) miss(wide uint64, now time.Duration) {
	if len(r.missing) >= r.cfg.MaxMissing {
		n := copy(r.missing, r.missing[1:])
		r.missing = r.missing[:n]
		r.stats.GivenUp++
	}
	r.missing = append(r.missing, missing{wide: wide, since: now, due: now + reorderWait})
}

// search returns the place of the first missing packet not below wide.
func (r *Receiver) search(wide uint64) int {
	low, high := 0, len(r.missing)
	for low < high {
		if mid := (low + high) / 2; r.missing[mid].wide < wide {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// Due appends the numbers that should be asked for at now, given the round trip to the sender, in rising order. It counts them as asked.
func (r *Receiver) Due(dst []uint16, now, roundTrip time.Duration) []uint16 {
	kept := r.missing[:0]
	for _, m := range r.missing {
		if m.asked >= r.cfg.Retries && now >= m.due || now-m.since >= r.cfg.Deadline || r.highest-m.wide > maxMisorder {
			r.stats.GivenUp++
			continue
		}
		if m.due <= now {
			dst = append(dst, uint16(m.wide))
			m.asked++
			m.due = now + max(minimumWait, roundTrip+roundTrip/4)
			r.stats.Asked++
		}
		kept = append(kept, m)
	}
	r.missing = kept
	return dst
}

// NextDue returns when Due has something to do, and false when nothing is missing.
func (r *Receiver) NextDue() (time.Duration, bool) {
	if len(r.missing) == 0 {
		return 0, false
	}
	next := r.missing[0].due
	for _, m := range r.missing {
		next = min(next, m.due, m.since+r.cfg.Deadline)
	}
	return next, true
}

// Forget gives up all missing packets below the wide number, because a keyframe begins there.
func (r *Receiver) Forget(below uint64) {
	i := r.search(below)
	r.stats.GivenUp += uint64(i)
	r.missing = r.missing[:copy(r.missing, r.missing[i:])]
}

// Highest returns the highest wide number so far, 0 before the first packet.
func (r *Receiver) Highest() uint64 { return r.highest }

func (r *Receiver) has(wide uint64) bool { return r.here[wide%windowLen/64]&(1<<(wide%64)) != 0 }
func (r *Receiver) set(wide uint64)      { r.here[wide%windowLen/64] |= 1 << (wide % 64) }
func (r *Receiver) clear(wide uint64)    { r.here[wide%windowLen/64] &^= 1 << (wide % 64) }

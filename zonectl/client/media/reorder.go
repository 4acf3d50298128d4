package media

import "time"

// Arrived is a packet of a Reorder. Payload is valid during the call only.
type Arrived struct {
	Payload  []byte
	Sequence uint64 // extended
	Stamp    uint64 // extended
	Marker   bool
	Codec    Codec
}

// Reorder puts the packets of one stream into order. A missing packet is waited for until Wait has passed since the packet after it came, or the
// window is full; then the stream goes on without it.
type Reorder struct {
	// Wait is the longest time for which a missing packet is waited for; it must cover the round trips of its repair.
	Wait time.Duration
	// Deliver takes the packets in order. gap says that packets before this one are lost for good.
	Deliver func(packet Arrived, gap bool)

	ring    [reorderWindow]held
	next    uint64 // sequence delivered next
	newest  uint64
	stamp   uint64 // extended time stamp of the newest
	started bool
	missed  bool // the next delivery follows a gap
}

// held is a packet in the window. Its buffer is reused.
type held struct {
	full    bool
	arrived time.Time
	packet  Arrived
	buffer  []byte
}

// reorderWindow is a power of two.
const reorderWindow = 512

// Push takes a packet as it came.
func (r *Reorder) Push(codec Codec, sequence uint16, stamp uint32, marker bool, payload []byte, now time.Time) {
	if !r.started {
		r.started = true
		r.next, r.newest, r.stamp = 1<<16+uint64(sequence), 1<<16+uint64(sequence), 1<<32+uint64(stamp)
	}
	extended := r.newest + uint64(int64(int16(sequence-uint16(r.newest))))
	extendedStamp := r.stamp + uint64(int64(int32(stamp-uint32(r.stamp))))
	if extended > r.newest {
		r.newest, r.stamp = extended, extendedStamp
	}
	if extended < r.next {
		return // too late, or a duplicate
	}
	for extended >= r.next+reorderWindow {
		r.skip()
	}
	slot := &r.ring[extended%reorderWindow]
	if !slot.full {
		slot.buffer = append(slot.buffer[:0], payload...)
		slot.packet = Arrived{Payload: slot.buffer, Sequence: extended, Stamp: extendedStamp, Marker: marker, Codec: codec}
		slot.full, slot.arrived = true, now
	}
	r.advance(now)
}

// Flush delivers everything that is held, at the end of a stream.
func (r *Reorder) Flush() {
	for r.started && r.next <= r.newest {
		r.skip()
	}
}

// advance delivers what is in order, and gives up on what is missing for too long.
func (r *Reorder) advance(now time.Time) {
	for r.next <= r.newest {
		if !r.ring[r.next%reorderWindow].full && !r.overdue(now) {
			return
		}
		r.skip()
	}
}

// overdue says whether the packet after the gap at the front has waited long enough.
func (r *Reorder) overdue(now time.Time) bool {
	for sequence := r.next + 1; sequence <= r.newest; sequence++ {
		if slot := &r.ring[sequence%reorderWindow]; slot.full {
			return now.Sub(slot.arrived) >= r.Wait
		}
	}
	return false
}

// skip delivers the packet at the front, or notes that it is missing.
func (r *Reorder) skip() {
	slot := &r.ring[r.next%reorderWindow]
	r.next++
	if !slot.full {
		r.missed = true
		return
	}
	slot.full = false
	gap := r.missed
	r.missed = false
	r.Deliver(slot.packet, gap)
}

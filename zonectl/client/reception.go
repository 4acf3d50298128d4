package client

import (
	"encoding/binary"
	"time"
)

// reception counts what arrived of one stream (RFC 3550, appendices A.1, A.3 and A.8). A packet counts once, however often it comes, and one that
// comes late, or again by retransmission, is not lost.
type reception struct {
	clockRate float64
	received  uint64 // packets, without duplicates
	bytes     uint64
	lostOther uint64 // lost of earlier streams in the same slot

	started bool
	ssrc    uint32
	first   uint64 // extended sequence
	highest uint64
	unique  uint64                       // of this stream
	seen    [receptionWindow / 64]uint64 // bits of the newest sequences
	transit float64
	jitter  float64   // in units of the clock
	epoch   time.Time // of the first packet of the stream
}

// receptionWindow is how far back duplicates are told from late packets.
const receptionWindow = 1024

// insert notes a packet; it returns false for one that is no RTP or a duplicate.
func (r *reception) insert(packet []byte, now time.Time) bool {
	if len(packet) < 12 || packet[0]>>6 != 2 {
		return false
	}
	sequence, stamp, ssrc := binary.BigEndian.Uint16(packet[2:]), binary.BigEndian.Uint32(packet[4:]), binary.BigEndian.Uint32(packet[8:])
	if !r.started || ssrc != r.ssrc {
		r.restart(ssrc, sequence)
	}
	extended := r.highest + uint64(int64(int16(sequence-uint16(r.highest))))
	fresh := extended > r.highest || r.unique == 0
	if !r.mark(extended) {
		return false
	}
	r.received++
	r.unique++
	r.bytes += uint64(len(packet))
	if fresh {
		r.measure(stamp, now)
	}
	return true
}

// restart begins a new stream in the slot; what was lost of the old one stays lost.
func (r *reception) restart(ssrc uint32, sequence uint16) {
	r.lostOther = r.lost()
	r.started, r.ssrc, r.unique = true, ssrc, 0
	r.first = 1<<16 + uint64(sequence)
	r.highest = r.first
	r.seen = [len(r.seen)]uint64{}
	r.transit, r.epoch = 0, time.Time{}
}

// mark enters a sequence into the window and returns false when it is there already, or too old to tell.
func (r *reception) mark(extended uint64) bool {
	if extended+receptionWindow <= r.highest {
		return false
	}
	if extended > r.highest {
		if extended-r.highest >= receptionWindow {
			r.seen = [len(r.seen)]uint64{}
		} else {
			for s := r.highest + 1; s < extended; s++ {
				r.seen[s%receptionWindow/64] &^= 1 << (s % 64)
			}
		}
		r.highest = extended
		r.seen[extended%receptionWindow/64] &^= 1 << (extended % 64)
	}
	r.first = min(r.first, extended)
	word, bit := &r.seen[extended%receptionWindow/64], uint64(1)<<(extended%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// measure brings the jitter up to date with a packet that is the newest.
func (r *reception) measure(stamp uint32, now time.Time) {
	if r.clockRate == 0 {
		return
	}
	if r.epoch.IsZero() {
		r.epoch = now
		r.transit = -float64(stamp)
		return
	}
	transit := now.Sub(r.epoch).Seconds()*r.clockRate - float64(stamp)
	d := transit - r.transit
	if d < 0 {
		d = -d
	}
	r.transit = transit
	if d > 10*r.clockRate {
		return // the time stamp wrapped, or the source was silent and began anew
	}
	r.jitter += (d - r.jitter) / 16
}

// lost is how many packets never came, over all streams of the slot.
func (r *reception) lost() uint64 {
	if !r.started || r.unique == 0 {
		return r.lostOther
	}
	return r.lostOther + max(r.highest-r.first+1, r.unique) - r.unique
}

// jitterTime is the interarrival jitter.
func (r *reception) jitterTime() time.Duration {
	if r.clockRate == 0 {
		return 0
	}
	return time.Duration(r.jitter / r.clockRate * float64(time.Second))
}

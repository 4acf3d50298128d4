package twcc

import (
	"encoding/binary"
	"time"

	"meetzone/mmr/internal/packet"
)

const (
	windowLen = 1024 // arrivals that are remembered
	// maxStatuses bounds one feedback packet: 20 bytes of header, 2 bytes for every 7 statuses and 2 for every delta keep it below 1000.
	maxStatuses = 400

	tick         = 250 * time.Microsecond // unit of a delta
	ticksPerStep = 256                    // unit of the reference time is 64 ms
)

// Recorder notes when packets of one transport arrived, and writes the feedback about them.
type Recorder struct {
	arrivals [windowLen]int64 // ticks plus one, 0 for not arrived; place wide%windowLen
	started  bool
	highest  uint64
	begin    uint64 // first number of the next feedback
	pending  int
	count    uint8 // of feedback packets
	lastStep int64 // reference time of the last feedback, repeated where nothing arrived
}

// New returns an empty Recorder.
func New() *Recorder { return &Recorder{} }

// Record notes the arrival of a packet. Times are monotonic, since any fixed instant in the past. It is false for a number that arrived
// already, or lies far behind the others. One far ahead is where a sender goes on after an outage.
func (r *Recorder) Record(seq uint16, arrival time.Duration) bool {
	if !r.started {
		r.started = true
		r.highest = 1<<16 | uint64(seq)
		r.begin = r.highest
		return r.note(r.highest, arrival)
	}
	wide := packet.Near(r.highest, seq)
	if wide+windowLen <= r.highest {
		return false
	}
	if wide > r.highest {
		if wide-r.highest >= windowLen {
			r.arrivals = [windowLen]int64{}
			r.begin, r.highest = wide, wide
		}
		for r.highest < wide {
			r.highest++
			r.arrivals[r.highest%windowLen] = 0
		}
		if r.begin+windowLen <= r.highest {
			r.begin = r.highest - windowLen + 1
		}
	}
	return r.note(wide, arrival)
}

func (r *Recorder) note(wide uint64, arrival time.Duration) bool {
	if r.arrivals[wide%windowLen] != 0 {
		return false
	}
	r.arrivals[wide%windowLen] = int64(arrival/tick) + 1
	r.begin = min(r.begin, wide)
	r.pending++
	return true
}

// Pending returns how many arrivals wait for feedback.
func (r *Recorder) Pending() int { return r.pending }

// Append appends feedback about all arrivals since the last call, as complete RTCP packets of less than 1000 bytes each.
func (r *Recorder) Append(dst []byte, senderSSRC, mediaSSRC uint32) []byte {
	if r.pending == 0 {
		return dst
	}
	for r.begin <= r.highest {
		dst = r.appendOne(dst, senderSSRC, mediaSSRC)
	}
	r.pending = 0
	return dst
}

// batch is what one feedback packet reports.
type batch struct {
	reference int64 // in steps of 64 ms
	n         int
	symbols   [maxStatuses]uint8
	deltas    [maxStatuses]int16 // of those that arrived
}

// Packet status symbols.
const (
	notReceived = 0
	smallDelta  = 1 // 0 to 63.75 ms in one byte
	largeDelta  = 2 // in two bytes, may be negative
)

// collect takes as many statuses from begin on as fit one feedback packet: it ends where a delta is too large for its field.
func (r *Recorder) collect(b *batch) {
	last := int64(-1)
	for ; b.n < maxStatuses && r.begin+uint64(b.n) <= r.highest; b.n++ {
		at := r.arrivals[(r.begin+uint64(b.n))%windowLen] - 1
		if at < 0 {
			b.symbols[b.n] = notReceived
			continue
		}
		if last < 0 {
			b.reference = at / ticksPerStep
			last = b.reference * ticksPerStep
		}
		delta := at - last
		if delta != int64(int16(delta)) {
			return
		}
		last = at
		b.deltas[b.n] = int16(delta)
		b.symbols[b.n] = largeDelta
		if delta >= 0 && delta <= 255 {
			b.symbols[b.n] = smallDelta
		}
	}
}

func (r *Recorder) appendOne(dst []byte, senderSSRC, mediaSSRC uint32) []byte {
	b := batch{reference: r.lastStep}
	r.collect(&b)
	r.lastStep = b.reference
	start := len(dst)
	dst = append(dst, 2<<6|15, 205, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, senderSSRC)
	dst = binary.BigEndian.AppendUint32(dst, mediaSSRC)
	dst = binary.BigEndian.AppendUint16(dst, uint16(r.begin))
	dst = binary.BigEndian.AppendUint16(dst, uint16(b.n))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.reference)<<8|uint32(r.count))
	for at := 0; at < b.n; {
		chunk, n := nextChunk(b.symbols[at:b.n])
		dst = binary.BigEndian.AppendUint16(dst, chunk)
		at += n
	}
	for i, symbol := range b.symbols[:b.n] {
		switch symbol {
		case smallDelta:
			dst = append(dst, uint8(b.deltas[i]))
		case largeDelta:
			dst = binary.BigEndian.AppendUint16(dst, uint16(b.deltas[i]))
		}
	}
	if padding := -(len(dst) - start) & 3; padding > 0 {
		dst[start] |= 0x20
		for i := 1; i < padding; i++ {
			dst = append(dst, 0)
		}
		dst = append(dst, uint8(padding))
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	r.begin += uint64(b.n)
	r.count++
	return dst
}

// nextChunk returns the packet status chunk for the beginning of symbols, and how many it covers. Sections 3.1.3 and 3.1.4: a run of one
// symbol, 14 symbols of one bit, or 7 of two bits. A vector at the end is filled with zeros, which the status count leaves out.
func nextChunk(symbols []uint8) (chunk uint16, n int) {
	run := 1
	for run < len(symbols) && run < 1<<13-1 && symbols[run] == symbols[0] {
		run++
	}
	ones := 0 // symbols that fit one bit
	for ones < len(symbols) && ones < 14 && symbols[ones] != largeDelta {
		ones++
	}
	switch {
	case run == len(symbols) || run >= 14 || run >= 7 && ones < 14:
		return uint16(symbols[0])<<13 | uint16(run), run
	case ones == 14 || ones == len(symbols):
		chunk = 1 << 15
		for i := range ones {
			chunk |= uint16(symbols[i]) << (13 - i)
		}
		return chunk, ones
	}
	n = min(7, len(symbols))
	chunk = 3 << 14
	for i := range n {
		chunk |= uint16(symbols[i]) << (12 - 2*i)
	}
	return chunk, n
}

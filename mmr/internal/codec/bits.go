package codec

import "math/bits"

// bitReader reads bits, the highest of a byte first. Beyond the end there are zeros, and short says so.
type bitReader struct {
	b     []byte
	at    uint // in bits
	short bool
}

// bits reads a number of up to 32 bits; of more only the last 32 are returned.
func (r *bitReader) bits(n uint) (v uint32) {
	for n > 0 {
		if r.at >= uint(len(r.b))*8 {
			r.short = true
			return 0
		}
		left := 8 - r.at%8
		take := min(left, n)
		chunk := uint32(r.b[r.at/8]) >> (left - take) & (1<<take - 1)
		v = v<<take | chunk
		r.at += take
		n -= take
	}
	return v
}

func (r *bitReader) flag() bool { return r.bits(1) == 1 }

// nonSymmetric reads a value below n in as few bits as go, ns(n) of the specification.
func (r *bitReader) nonSymmetric(n uint32) uint32 {
	if n <= 1 {
		return 0
	}
	w := uint(bits.Len32(n))
	m := uint32(1)<<w - n
	v := r.bits(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + r.bits(1)
}

// indications reads the decode target indications of a frame: 0 not present, 1 discardable, 2 switch, 3 required.
func (r *bitReader) indications(targets uint8) (d dtis) {
	for i := range targets {
		switch bit := uint32(1) << i; r.bits(2) {
		case 1:
			d.present |= bit
		case 2:
			d.present, d.switching, d.needed = d.present|bit, d.switching|bit, d.needed|bit
		case 3:
			d.present, d.needed = d.present|bit, d.needed|bit
		}
	}
	return d
}

// bitWriter appends bits to a slice, from a whole byte on.
type bitWriter struct {
	b    []byte
	from int
	at   uint // bits written
}

func (w *bitWriter) bits(v uint32, n uint) {
	for n > 0 {
		if w.at%8 == 0 {
			w.b = append(w.b, 0)
		}
		left := 8 - w.at%8
		take := min(left, n)
		chunk := byte(v>>(n-take)) & byte(1<<take-1)
		w.b[w.from+int(w.at/8)] |= chunk << (left - take)
		w.at += take
		n -= take
	}
}

// copy writes the next n bits of r.
func (w *bitWriter) copy(r *bitReader, n uint) {
	for n > 0 {
		take := min(n, 24)
		w.bits(r.bits(take), take)
		n -= take
	}
}

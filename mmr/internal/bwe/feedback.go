package bwe

import (
	"encoding/binary"
	"errors"
	"time"
)

// ErrFeedback says that transport-wide feedback is malformed, or speaks of more than was sent lately.
var ErrFeedback = errors.New("bwe: malformed feedback")

// Units of the format, sections 3.1 and 3.1.5 of the draft.
const (
	referenceUnit = 64 * time.Millisecond
	deltaUnit     = 250 * time.Microsecond
	headLen       = 16 // SSRCs, base number, count, reference time, feedback count
)

// Packet status symbols.
const (
	notReceived = 0
	smallDelta  = 1
	largeDelta  = 2
	reserved    = 3
)

// statuses walks a feedback message. All of it was checked when it was parsed.
type statuses struct {
	base      uint16
	count     int
	reference uint32 // 24 bits, in units of 64 ms
	chunks    chunks
	deltas    []byte
}

// Statuses returns of how many packets a message speaks, which is what it costs to take it.
func Statuses(b []byte) int {
	if len(b) < headLen {
		return 0
	}
	return int(binary.BigEndian.Uint16(b[10:]))
}

// parseFeedback checks a message, which begins behind the first word of the RTCP packet, padding cut off.
func parseFeedback(b []byte) (s statuses, err error) {
	if len(b) < headLen+2 {
		return s, ErrFeedback
	}
	s.base, s.count = binary.BigEndian.Uint16(b[8:]), int(binary.BigEndian.Uint16(b[10:]))
	s.reference = binary.BigEndian.Uint32(b[12:]) >> 8
	if s.count == 0 || s.count > historyLen {
		return s, ErrFeedback
	}
	s.chunks = chunks{rest: b[headLen:]}
	walk, need := s.chunks, 0
	for left := s.count; left > 0; {
		symbol, run, ok := walk.next(left)
		if !ok || symbol == reserved {
			return s, ErrFeedback
		}
		need += int(symbol) * run // a small delta has one byte, a large one two
		left -= run
	}
	if need > len(walk.rest) {
		return s, ErrFeedback
	}
	s.deltas = walk.rest
	return s, nil
}

// next returns how many packets have the next status, and for one that arrived, how long after the one before; those come one by one.
func (s *statuses) next() (run int, received bool, delta time.Duration, ok bool) {
	if s.count == 0 {
		return 0, false, 0, false
	}
	most := s.count
	symbol, run, _ := s.chunks.next(most)
	if symbol == notReceived {
		s.count -= run
		return run, false, 0, true
	}
	if run > 1 {
		s.chunks.back(run - 1)
	}
	s.count--
	if symbol == smallDelta {
		delta = time.Duration(s.deltas[0])
	} else {
		delta = time.Duration(int16(binary.BigEndian.Uint16(s.deltas)))
	}
	s.deltas = s.deltas[symbol:]
	return 1, true, delta * deltaUnit, true
}

// chunks walks packet status chunks, sections 3.1.3 and 3.1.4.
type chunks struct {
	rest   []byte
	symbol uint8 // of a run
	left   int   // of it
	vector uint16
	bits   uint8 // of a symbol of the vector
}

// next returns a symbol and how many packets in a row have it, at most so many.
func (c *chunks) next(most int) (symbol uint8, run int, ok bool) {
	if c.left == 0 {
		if len(c.rest) < 2 {
			return 0, 0, false
		}
		v := binary.BigEndian.Uint16(c.rest)
		c.rest = c.rest[2:]
		switch {
		case v>>15 == 0:
			c.symbol, c.left, c.bits = uint8(v>>13), int(v&0x1fff), 0
			if c.left == 0 {
				return 0, 0, false // a run of nothing could go on for ever
			}
		case v>>14 == 2:
			c.vector, c.left, c.bits = v<<2, 14, 1
		default:
			c.vector, c.left, c.bits = v<<2, 7, 2
		}
	}
	if c.bits == 0 {
		run = min(c.left, most)
		c.left -= run
		return c.symbol, run, true
	}
	symbol = uint8(c.vector >> (16 - c.bits))
	c.vector <<= c.bits
	c.left--
	return symbol, 1, true
}

// back gives the rest of a run back.
func (c *chunks) back(n int) { c.left += n }

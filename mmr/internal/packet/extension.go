package packet

import "encoding/binary"

// Profiles of the header extension. RFC 8285, sections 4.2 and 4.3; the low four bits of the two-byte profile are for the application.
const (
	oneByteProfile     = 0xbede
	twoByteProfile     = 0x1000
	twoByteProfileMask = 0xfff0
)

// MaxOneByteID is the largest id of an element with a one-byte header.
const MaxOneByteID = 14

// TransportSequenceLen is how many bytes PutTransportSequence adds to a fixed header.
const TransportSequenceLen = 8

// PutTransportSequence adds an extension with a transport-wide sequence number behind the fixed header in b, which has room for it.
func PutTransportSequence(b []byte, id uint8, seq uint16) {
	x := b[FixedLen : FixedLen+TransportSequenceLen]
	b[0] |= 0x10
	x[0], x[1], x[2], x[3] = oneByteProfile>>8, oneByteProfile&0xff, 0, 1
	x[4], x[5], x[6], x[7] = id<<4|1, uint8(seq>>8), uint8(seq), 0
}

// MaxElements is how many bytes BeginElements to EndElements add to a fixed header at most, when there are two elements and one of them has two
// bytes.
const MaxElements = 4 + 2 + 255 + 4 + 3

// BeginElements begins an extension behind the fixed header in b, which has room for it, and returns where the first element goes. The
// longest element decides the form: RFC 8285, section 4.3, has elements of more than 16 bytes.
func BeginElements(b []byte, longest int) int {
	b[0] |= 0x10
	profile := uint16(oneByteProfile)
	if longest > 16 {
		profile = twoByteProfile
	}
	binary.BigEndian.PutUint16(b[FixedLen:], profile)
	return FixedLen + 4
}

// AppendElement writes an element at a place that BeginElements or AppendElement returned, and returns the place behind it. The value has 1 to
// 255 bytes.
func AppendElement(b []byte, at int, id uint8, value []byte) int {
	if binary.BigEndian.Uint16(b[FixedLen:]) == oneByteProfile {
		b[at] = id<<4 | uint8(len(value)-1)
		at++
	} else {
		b[at], b[at+1] = id, uint8(len(value))
		at += 2
	}
	return at + copy(b[at:], value)
}

// EndElements completes the extension, which ends at a place, and returns the length of the header.
func EndElements(b []byte, at int) int {
	for at%4 != 0 {
		b[at] = 0
		at++
	}
	binary.BigEndian.PutUint16(b[FixedLen+2:], uint16((at-FixedLen-4)/4))
	return at
}

// Elements walks the elements of one packet's header extension.
type Elements struct {
	rest    []byte
	last    []byte // the element that Next returned, with its header
	twoByte bool
}

// Elements returns the elements of the packet that h was parsed from; none when its extension has another profile.
func (h *Header) Elements(b []byte) Elements {
	if h.extLen == 0 {
		return Elements{}
	}
	two := h.extProfile&twoByteProfileMask == twoByteProfile
	if !two && h.extProfile != oneByteProfile {
		return Elements{}
	}
	return Elements{rest: b[h.extOffset : int(h.extOffset)+int(h.extLen)], twoByte: two}
}

// Next returns the next element, and false behind the last one or where the block is damaged.
func (e *Elements) Next() (id uint8, value []byte, ok bool) {
	for len(e.rest) > 0 && e.rest[0] == 0 { // padding between elements is single zero bytes in both forms
		e.rest = e.rest[1:]
	}
	if len(e.rest) == 0 {
		return 0, nil, false
	}
	var at, n int
	if e.twoByte {
		if len(e.rest) < 2 {
			return e.end()
		}
		id, at, n = e.rest[0], 2, int(e.rest[1])
	} else {
		id, at, n = e.rest[0]>>4, 1, int(e.rest[0]&0x0f)+1
		if id == 0 || id == 15 { // a zero id with a length, and the reserved 15, end the block: RFC 8285, section 4.2
			return e.end()
		}
	}
	if len(e.rest) < at+n {
		return e.end()
	}
	e.last, value, e.rest = e.rest[:at+n], e.rest[at:at+n:at+n], e.rest[at+n:]
	return id, value, true
}

// Erase turns the element that Next returned into padding.
func (e *Elements) Erase() { clear(e.last) }

func (e *Elements) end() (uint8, []byte, bool) {
	e.rest = nil
	return 0, nil, false
}

// Extension returns the value of the first element with the given id, nil when there is none. The value is part of b.
func Extension(b []byte, h *Header, id uint8) []byte {
	for e := h.Elements(b); ; {
		got, value, ok := e.Next()
		if !ok {
			return nil
		}
		if got == id {
			return value
		}
	}
}

// AudioLevel reads an audio level element: the level in -dBov, 0 loudest and 127 silence, and whether the sender heard voice. RFC 6464,
// section 3.
func AudioLevel(value []byte) (level uint8, voice, ok bool) {
	if len(value) == 0 {
		return 0, false, false
	}
	return value[0] & 0x7f, value[0]&0x80 != 0, true
}

// TransportSequence reads a transport-wide sequence number.
func TransportSequence(value []byte) (seq uint16, ok bool) {
	if len(value) < 2 {
		return 0, false
	}
	return uint16(value[0])<<8 | uint16(value[1]), true
}

// AbsSendTime reads an absolute send time: 24 bits, 6.18 fixed point seconds, wrapping every 64 s.
func AbsSendTime(value []byte) (t uint32, ok bool) {
	if len(value) != 3 {
		return 0, false
	}
	return uint32(value[0])<<16 | uint32(value[1])<<8 | uint32(value[2]), true
}

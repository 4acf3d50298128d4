package dataplane

import (
	"encoding/binary"
	"errors"
)

// Framing puts datagrams into a byte stream and takes them out again. Cut is called on the stream's reading goroutine, Append on its
// writing one.
type Framing interface {
	// Cut looks at the first frame of b. A frame of size 0 is not complete yet. An error ends the stream.
	Cut(b []byte) (Frame, error)
	// Append appends a datagram for p as one frame; it leaves dst as it is when p cannot be reached any more.
	Append(dst []byte, p *Path, datagram []byte) []byte
}

// Frame is what Cut has found.
type Frame struct {
	Size    int    // of the whole frame, 0: incomplete
	Payload []byte // the datagram in it, a part of what was given to Cut; nil: none
	Path    *Path  // the datagram's; nil: that of the stream
}

var (
	errNotSTUN  = errors.New("the connection does not begin with a STUN message")
	errTooLarge = errors.New("a frame is larger than any datagram")
)

const (
	stunHeader = 20
	stunCookie = 0x2112a442
)

// IsSTUN tells whether a datagram looks like a STUN message: RFC 8489, section 5.
func IsSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == stunCookie &&
		int(binary.BigEndian.Uint16(b[2:]))+stunHeader == len(b)
}

// lengthPrefixed is the framing of RFC 4571: a 16-bit length before each datagram. Connections of ICE-TCP begin with a check (RFC 6544,
// section 7), so whatever begins otherwise is no client of ours.
type lengthPrefixed struct{ begun bool }

// Cut implements Framing.
func (f *lengthPrefixed) Cut(b []byte) (Frame, error) {
	if len(b) < 2 {
		return Frame{}, nil
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > MaxDatagram {
		return Frame{}, errTooLarge
	}
	if !f.begun && n < stunHeader {
		return Frame{}, errNotSTUN
	}
	if len(b) < 2+n {
		return Frame{}, nil
	}
	payload := b[2 : 2+n : 2+n]
	if !f.begun && !IsSTUN(payload) {
		return Frame{}, errNotSTUN
	}
	f.begun = true
	if n == 0 {
		payload = nil
	}
	return Frame{Size: 2 + n, Payload: payload}, nil
}

// Append implements Framing.
func (f *lengthPrefixed) Append(dst []byte, _ *Path, datagram []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(datagram))), datagram...)
}

package packet

import (
	"encoding/binary"
	"errors"
)

// Reasons to refuse a packet.
var (
	ErrShort   = errors.New("rtp: packet is cut short")
	ErrVersion = errors.New("rtp: version is not 2")
	ErrPadding = errors.New("rtp: padding does not fit")
)

// FixedLen is the length of a header without CSRCs and extension, which is what PutHeader writes.
const FixedLen = 12

// Header is what an RTP packet says of itself, and where its parts lie. RFC 3550, section 5.1.
type Header struct {
	Marker         bool
	PayloadType    uint8
	SequenceNumber uint16
	Timestamp      uint32
	SSRC           uint32

	HeaderLen  int // CSRCs and extension included; the payload begins here
	PayloadLen int // without padding
	PaddingLen int // its count byte included; 0 after ParseHeader

	extProfile uint16
	extOffset  uint16 // of the first element, 0 without extension
	extLen     uint16
}

// Parse reads the header of a plaintext packet and checks that all of its parts fit.
func Parse(b []byte) (Header, error) {
	h, err := ParseHeader(b)
	if err != nil || b[0]&0x20 == 0 {
		return h, err
	}
	if h.PayloadLen == 0 {
		return Header{}, ErrPadding
	}
	h.PaddingLen = int(b[len(b)-1])
	if h.PaddingLen == 0 || h.PaddingLen > h.PayloadLen {
		return Header{}, ErrPadding
	}
	h.PayloadLen -= h.PaddingLen
	return h, nil
}

// ParseHeader is Parse for a packet whose payload is encrypted: everything behind the header counts as payload.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < FixedLen {
		return Header{}, ErrShort
	}
	if b[0]>>6 != 2 {
		return Header{}, ErrVersion
	}
	h := Header{
		Marker:         b[1]&0x80 != 0,
		PayloadType:    b[1] & 0x7f,
		SequenceNumber: binary.BigEndian.Uint16(b[2:]),
		Timestamp:      binary.BigEndian.Uint32(b[4:]),
		SSRC:           binary.BigEndian.Uint32(b[8:]),
		HeaderLen:      FixedLen + 4*int(b[0]&0x0f),
	}
	if b[0]&0x10 != 0 {
		at := h.HeaderLen
		if len(b) < at+4 {
			return Header{}, ErrShort
		}
		n := 4 * int(binary.BigEndian.Uint16(b[at+2:]))
		h.HeaderLen = at + 4 + n
		if len(b) < h.HeaderLen {
			return Header{}, ErrShort
		}
		if h.HeaderLen <= 0xffff { // a longer one is no datagram; its elements stay hidden
			h.extProfile, h.extOffset, h.extLen = binary.BigEndian.Uint16(b[at:]), uint16(at+4), uint16(n)
		}
	}
	if len(b) < h.HeaderLen {
		return Header{}, ErrShort
	}
	h.PayloadLen = len(b) - h.HeaderLen
	return h, nil
}

// Payload returns the payload of the packet that h was parsed from, without padding.
func (h *Header) Payload(b []byte) []byte { return b[h.HeaderLen : h.HeaderLen+h.PayloadLen] }

// PutHeader writes a fixed header without CSRCs, extension and padding into the first FixedLen bytes of b.
func PutHeader(b []byte, h *Header) {
	_ = b[FixedLen-1]
	b[0] = 2 << 6
	b[1] = h.PayloadType & 0x7f
	if h.Marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], h.SequenceNumber)
	binary.BigEndian.PutUint32(b[4:], h.Timestamp)
	binary.BigEndian.PutUint32(b[8:], h.SSRC)
}

// IsRTCP tells RTCP from RTP by the second byte, for a datagram that is known to be one of both. RFC 5761, section 4: RTCP packet types
// lie in 192 to 223, which leaves payload types 64 to 95 unused by RTP.
func IsRTCP(b []byte) bool { return len(b) > 1 && b[1] >= 192 && b[1] <= 223 }

package packet

import "encoding/binary"

// OSNLen is the length of the original sequence number in front of a retransmitted payload. RFC 4588, section 4.
const OSNLen = 2

// PutRTX writes the payload of a retransmission into dst: the original sequence number, then the original payload. It returns how many
// bytes were written; dst must have room for OSNLen more than the payload.
func PutRTX(dst []byte, original uint16, payload []byte) int {
	_ = dst[OSNLen+len(payload)-1]
	copy(dst[OSNLen:], payload)
	binary.BigEndian.PutUint16(dst, original)
	return OSNLen + len(payload)
}

// Restore turns a retransmission back into the packet that was lost: it gets the given SSRC and payload type and the original sequence
// number. The header moves up by two bytes inside b, so the packet that is returned begins at b[2:], and b is used up. Padding is cut
// off. An RTX packet that holds only padding, as browsers send to probe, has no original: ErrShort.
func Restore(b []byte, h *Header, ssrc uint32, payloadType uint8) ([]byte, Header, error) {
	if h.PayloadLen < OSNLen {
		return nil, Header{}, ErrShort
	}
	original := binary.BigEndian.Uint16(b[h.HeaderLen:])
	end := h.HeaderLen + h.PayloadLen
	copy(b[OSNLen:], b[:h.HeaderLen])
	b = b[OSNLen:end]
	b[0] &^= 0x20
	b[1] = b[1]&0x80 | payloadType&0x7f
	binary.BigEndian.PutUint16(b[2:], original)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	restored, err := Parse(b)
	return b, restored, err
}

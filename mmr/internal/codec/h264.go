package codec

// NAL unit types of H.264 and of its RTP payload format. ITU-T H.264, table 7-1, and RFC 6184, table 1.
const (
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28

	nalTypeMask = 0x1f
	fuStart     = 0x80 // of the FU header
)

// H264Start says what begins in the packet: an IDR picture, with which decoding can begin, and sequence parameters, which a decoder must have
// got before that. Senders put them in front of each IDR picture, or tell them once outside of the stream.
func H264Start(payload []byte) (idr, parameters bool) {
	if len(payload) == 0 {
		return false, false
	}
	switch t := payload[0] & nalTypeMask; t {
	case nalIDR, nalSPS:
		return t == nalIDR, t == nalSPS
	case nalSTAPA: // RFC 6184, section 5.7.1: a byte, then units with two bytes of length each
		for rest := payload[1:]; len(rest) > 2; {
			size := int(rest[0])<<8 | int(rest[1])
			if size == 0 || size > len(rest)-2 {
				break
			}
			t := rest[2] & nalTypeMask
			idr, parameters = idr || t == nalIDR, parameters || t == nalSPS
			rest = rest[2+size:]
		}
	case nalFUA: // section 5.8: indicator, then a header with start bit and type
		if len(payload) > 1 && payload[1]&fuStart != 0 {
			t := payload[1] & nalTypeMask
			return t == nalIDR, t == nalSPS
		}
	}
	return idr, parameters
}

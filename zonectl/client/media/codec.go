package media

// Codec is the coding of a clip.
type Codec uint8

// The codecs.
const (
	Opus Codec = iota
	VP8
	VP9
	AV1
	H264
	numCodecs int = iota
)

// Pictures lists the codecs of pictures.
var Pictures = [...]Codec{VP8, VP9, AV1, H264}

var kinds = [numCodecs]struct{ name, mime, fourCC string }{
	Opus: {"opus", "audio/opus", ""},
	VP8:  {"VP8", "video/VP8", "VP80"},
	VP9:  {"VP9", "video/VP9", "VP90"},
	AV1:  {"AV1", "video/AV1", "AV01"},
	H264: {"H264", "video/H264", ""},
}

// String returns the name that SDP uses.
func (c Codec) String() string {
	if int(c) < numCodecs {
		return kinds[c].name
	}
	return "unknown"
}

// MimeType returns the media type.
func (c Codec) MimeType() string {
	if int(c) < numCodecs {
		return kinds[c].mime
	}
	return ""
}

// ClockRate is the rate of the codec's RTP timestamps.
func (c Codec) ClockRate() uint32 {
	if c == Opus {
		return 48000
	}
	return 90000
}

// isKeyframe tells whether a decoder can start with a whole frame.
func (c Codec) isKeyframe(frame []byte) bool {
	switch c {
	case VP8:
		return IsVP8Keyframe(frame)
	case VP9:
		return isVP9Keyframe(frame)
	case AV1:
		return hasOBU(frame, obuSequenceHeader)
	case H264:
		return hasNAL(frame, nalSPS)
	}
	return true
}

// isVP9Keyframe reads the uncompressed header: frame marker, profile, show_existing_frame, frame_type. VP9 bitstream specification, section 6.2.
func isVP9Keyframe(frame []byte) bool {
	return len(frame) > 0 && frame[0]&0xc0 == 0x80 && frame[0]&0x0c == 0
}

// obuSequenceHeader is the type of an OBU, obuDelimiter a whole temporal delimiter. AV1 specification, sections 5.3 and 6.2.2.
const obuSequenceHeader = 1

var obuDelimiter = []byte{0x12, 0x00}

// hasOBU looks for a type among OBUs that have sizes.
func hasOBU(unit []byte, kind byte) bool {
	for len(unit) > 1 {
		header, at := unit[0], 1
		if header>>3&15 == kind {
			return true
		}
		if header&0x04 != 0 { // extension
			at++
		}
		if header&0x02 == 0 { // no size: the last
			return false
		}
		size, shift := 0, 0
		for {
			if at >= len(unit) || shift > 28 {
				return false
			}
			b := unit[at]
			at++
			size |= int(b&0x7f) << shift
			shift += 7
			if b&0x80 == 0 {
				break
			}
		}
		if size > len(unit)-at {
			return false
		}
		unit = unit[at+size:]
	}
	return false
}

// nalSPS is the type of a NAL unit. ITU-T H.264, table 7-1.
const nalSPS = 7

// hasNAL looks for a type among NAL units with start codes.
func hasNAL(stream []byte, kind byte) bool {
	for i := 0; i+3 < len(stream); i++ {
		if stream[i] == 0 && stream[i+1] == 0 && stream[i+2] == 1 && stream[i+3]&0x1f == kind {
			return true
		}
	}
	return false
}

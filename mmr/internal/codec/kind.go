package codec

import "errors"

// ErrShort says that a payload ends before what it must contain.
var ErrShort = errors.New("codec: payload is cut short")

// Kind is a codec that can be forwarded.
type Kind uint8

// The codecs.
const (
	Unknown Kind = iota
	Opus
	VP8
	VP9
	H264
	AV1
	RED          // of Opus
	NumKinds int = iota
)

var kinds = [...]struct {
	name      string
	clockRate uint32
	video     bool
}{
	Unknown: {"unknown", 0, false},
	Opus:    {"opus", 48000, false},
	VP8:     {"VP8", 90000, true},
	VP9:     {"VP9", 90000, true},
	H264:    {"H264", 90000, true},
	AV1:     {"AV1", 90000, true},
	RED:     {"red", 48000, false},
}

// String returns the encoding name of the codec's media type.
func (k Kind) String() string { return kinds[k.known()].name }

// ClockRate returns the rate of the RTP timestamp in Hz.
func (k Kind) ClockRate() uint32 { return kinds[k.known()].clockRate }

// Video says whether a stream of the codec can only be entered at a keyframe.
func (k Kind) Video() bool { return kinds[k.known()].video }

func (k Kind) known() Kind {
	if int(k) < len(kinds) {
		return k
	}
	return Unknown
}

// StartsKeyframe says whether a decoder can begin with this packet: the first of a keyframe, and any packet of audio that is not empty.
func StartsKeyframe(k Kind, payload []byte) bool {
	switch k {
	case Opus:
		return len(payload) > 0
	case VP8:
		d, err := ParseVP8(payload)
		return err == nil && d.Keyframe
	case VP9:
		d, err := ParseVP9(payload)
		return err == nil && d.Keyframe
	case H264:
		idr, parameters := H264Start(payload)
		return idr || parameters
	case AV1:
		return av1StartsKeyframe(payload)
	}
	return false
}

// Silence says whether an audio packet carries nothing but silence or comfort noise.
func Silence(k Kind, payload []byte) bool {
	return k == Opus && len(payload) <= opusDTXBytes
}

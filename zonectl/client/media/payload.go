package media

import (
	"errors"

	"github.com/pion/rtp/codecs"
)

// Packetizer cuts frames of one codec into RTP payloads.
type Packetizer struct {
	codec Codec
	vp8   VP8Packetizer
	vp9   codecs.VP9Payloader
	av1   codecs.AV1Payloader
}

// ErrNoPacketizer says that a codec can be received and not sent.
var ErrNoPacketizer = errors.New("this codec cannot be sent")

// NewPacketizer makes a packetizer. Picture ids begin with 0.
func NewPacketizer(c Codec) *Packetizer {
	p := &Packetizer{codec: c}
	p.vp9.InitialPictureIDFn = func() uint16 { return 0 }
	return p
}

// SetLayer says to which temporal layer the next frames belong. Of other codecs than VP8 it is not told.
func (p *Packetizer) SetLayer(l TemporalLayer) { p.vp8.layer = l }

// Packetize calls emit for each payload of the frame, in order; a payload is valid during the call only.
func (p *Packetizer) Packetize(frame []byte, emit func(payload []byte, last bool) error) error {
	var payloads [][]byte
	switch p.codec {
	case VP8:
		return p.vp8.Packetize(frame, emit)
	case VP9:
		payloads = p.vp9.Payload(maxPayload, frame)
	case AV1:
		payloads = p.av1.Payload(maxPayload, frame)
	default:
		return ErrNoPacketizer
	}
	for i, payload := range payloads {
		if err := emit(payload, i == len(payloads)-1); err != nil {
			return err
		}
	}
	return nil
}

// Frames puts frames together from payloads that come in order, of any codec of pictures: of several spatial layers all that come of one
// picture. After a gap it drops everything up to the next keyframe, as a decoder would have to.
type Frames struct {
	codec Codec
	vp8   VP8Frames

	frame []byte
	sizes []int // of the layer frames of VP9 in frame
	stamp uint64
	open  bool // a frame has begun and nothing of it is missing
	ready bool // a keyframe came and no gap since
	vp9   codecs.VP9Packet
	av1   codecs.AV1Depacketizer
	h264  codecs.H264Packet
}

// NewFrames begins with a keyframe.
func NewFrames(c Codec) *Frames { return &Frames{codec: c} }

// Codec says what is put together.
func (f *Frames) Codec() Codec { return f.codec }

// Gap says that packets before the next one are lost.
func (f *Frames) Gap() {
	f.vp8.Gap()
	f.open, f.ready = false, false
}

// Ready says that frames come out: a keyframe was seen, and nothing was lost since.
func (f *Frames) Ready() bool { return f.ready || f.vp8.Ready() }

// Push adds a payload. When it completes a frame, the frame is returned, valid until the next call, and whether it is a keyframe. An empty payload
// is padding and means nothing.
func (f *Frames) Push(payload []byte, stamp uint64, marker bool) (frame []byte, key, complete bool) {
	if f.codec == VP8 {
		frame, complete = f.vp8.Push(payload, stamp, marker)
		return frame, complete && IsVP8Keyframe(frame), complete
	}
	if len(payload) == 0 {
		return nil, false, false
	}
	if stamp != f.stamp || !f.open {
		if f.open { // the picture before never ended
			f.Gap()
		}
		f.frame, f.sizes, f.stamp, f.open = f.frame[:0], f.sizes[:0], stamp, true
		f.av1, f.h264 = codecs.AV1Depacketizer{}, codecs.H264Packet{}
		if f.codec == AV1 {
			f.frame = append(f.frame, obuDelimiter...)
		}
	}
	if !f.take(payload) || len(f.frame) > MaxFrameBytes {
		f.Gap()
		return nil, false, false
	}
	if !marker {
		return nil, false, false
	}
	f.open = false
	key = f.codec.isKeyframe(f.frame)
	f.ready = f.ready || key
	return f.finish(), key, f.ready
}

// take adds what a payload holds.
func (f *Frames) take(payload []byte) bool {
	switch f.codec {
	case VP9:
		f.vp9 = codecs.VP9Packet{}
		data, err := f.vp9.Unmarshal(payload)
		if err != nil || !f.vp9.B && len(f.sizes) == 0 || len(f.sizes) == maxLayerFrames && f.vp9.B {
			return false
		}
		if f.vp9.B {
			f.sizes = append(f.sizes, 0)
		}
		f.sizes[len(f.sizes)-1] += len(data)
		f.frame = append(f.frame, data...)
		return true
	case AV1:
		data, err := f.av1.Unmarshal(payload)
		f.frame = append(f.frame, data...)
		return err == nil
	case H264:
		data, err := f.h264.Unmarshal(payload)
		f.frame = append(f.frame, data...)
		return err == nil
	}
	return false
}

// maxLayerFrames is how many frames a superframe of VP9 has at most.
const maxLayerFrames = 8

// finish completes the picture: several layer frames of VP9 get the index that makes them a superframe. VP9 bitstream specification, annex B.
func (f *Frames) finish() []byte {
	if len(f.sizes) > 1 {
		marker := byte(0xc0 | 3<<3 | len(f.sizes) - 1) // sizes of four bytes
		f.frame = append(f.frame, marker)
		for _, size := range f.sizes {
			f.frame = append(f.frame, byte(size), byte(size>>8), byte(size>>16), byte(size>>24))
		}
		f.frame = append(f.frame, marker)
	}
	return f.frame
}

package media

import "encoding/binary"

// IsVP8Keyframe tells whether a decoder can start with the frame (RFC 6386, section 9.1: the lowest bit of the frame tag is 0).
func IsVP8Keyframe(frame []byte) bool {
	return len(frame) >= 10 && frame[0]&1 == 0 && frame[3] == 0x9d && frame[4] == 0x01 && frame[5] == 0x2a
}

// VP8Size returns the picture's size that a keyframe tells.
func VP8Size(frame []byte) (width, height int, ok bool) {
	if !IsVP8Keyframe(frame) {
		return 0, 0, false
	}
	return int(binary.LittleEndian.Uint16(frame[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(frame[8:]) & 0x3fff), true
}

const (
	vp8Descriptor = 6    // X, I, and a picture id of 15 bits; with temporal layers their index and TL0PICIDX
	maxPayload    = 1160 // room for headers, extensions, RTX and the tag within 1280 bytes less IPv6 and UDP
)

// VP8Packetizer cuts frames into RTP payloads (RFC 7741, section 4.2) with a picture id that always has 15 bits, so that a router can rewrite it in
// place. The pieces of a frame are of equal size but for the last, which lets whoever sends them coalesce the run.
type VP8Packetizer struct {
	pictureID uint16
	base      uint8 // TL0PICIDX
	layer     TemporalLayer
	buffer    []byte
}

// Packetize calls emit for each payload of the frame, in order; a payload is valid during the call only.
func (p *VP8Packetizer) Packetize(frame []byte, emit func(payload []byte, last bool) error) error {
	pieces := (len(frame) + maxPayload - vp8Descriptor - 1) / (maxPayload - vp8Descriptor)
	if pieces == 0 {
		return nil
	}
	size := (len(frame) + pieces - 1) / pieces
	p.pictureID = (p.pictureID + 1) & 0x7fff
	if p.layer.Told && p.layer.ID == 0 {
		p.base++
	}
	for start := byte(0x10); len(frame) > 0; start = 0 {
		n := min(size, len(frame))
		p.describe(start)
		p.buffer = append(p.buffer, frame[:n]...)
		frame = frame[n:]
		if err := emit(p.buffer, len(frame) == 0); err != nil {
			return err
		}
	}
	return nil
}

// describe begins a payload with its descriptor.
func (p *VP8Packetizer) describe(start byte) {
	first, extension := 0x80|start, byte(0x80)
	if p.layer.Last {
		first |= 0x20
	}
	if p.layer.Told {
		extension |= 0x60
	}
	p.buffer = append(p.buffer[:0], first, extension, 0x80|byte(p.pictureID>>8), byte(p.pictureID))
	if p.layer.Told {
		layer := p.layer.ID << 6
		if p.layer.Sync {
			layer |= 0x20
		}
		p.buffer = append(p.buffer, p.base, layer)
	}
}

// vp8Payload takes the descriptor off a payload. start says that the frame begins here.
func vp8Payload(payload []byte) (data []byte, start, ok bool) {
	if len(payload) < 1 {
		return nil, false, false
	}
	first, at := payload[0], 1
	if first&0x80 != 0 {
		if len(payload) < 2 {
			return nil, false, false
		}
		extension := payload[1]
		at = 2
		if extension&0x80 != 0 {
			if len(payload) <= at {
				return nil, false, false
			}
			at += 1 + int(payload[at]>>7)
		}
		if extension&0x40 != 0 {
			at++
		}
		if extension&0x30 != 0 {
			at++
		}
	}
	if len(payload) <= at {
		return nil, false, false
	}
	return payload[at:], first&0x17 == 0x10, true
}

// VP8Frames puts frames together from payloads that come in order. After a gap it drops everything up to the next keyframe, as a decoder would have to.
type VP8Frames struct {
	frame []byte
	stamp uint64
	open  bool // a frame has begun and nothing of it is missing
	ready bool // a keyframe came and no gap since
}

// Gap says that packets before the next one are lost.
func (v *VP8Frames) Gap() { v.open, v.ready = false, false }

// Ready says that frames come out: a keyframe was seen, and nothing was lost since.
func (v *VP8Frames) Ready() bool { return v.ready }

// Push adds a payload. When it completes a frame, the frame is returned, valid until the next call. An empty payload is padding and means nothing.
func (v *VP8Frames) Push(payload []byte, stamp uint64, marker bool) (frame []byte, complete bool) {
	if len(payload) == 0 {
		return nil, false
	}
	data, start, ok := vp8Payload(payload)
	if !ok {
		v.Gap()
		return nil, false
	}
	if start {
		v.frame, v.stamp, v.open = v.frame[:0], stamp, true
	}
	if !v.open || stamp != v.stamp || len(v.frame)+len(data) > MaxFrameBytes {
		v.Gap()
		return nil, false
	}
	v.frame = append(v.frame, data...)
	if !marker {
		return nil, false
	}
	v.open = false
	v.ready = v.ready || IsVP8Keyframe(v.frame)
	return v.frame, v.ready
}

package codec

import "encoding/binary"

// Bounds of the rewritten fields.
const (
	PictureIDMask      = 0x7fff // 15 bits
	shortPictureIDMask = 0x7f
	KeyIndexMask       = 0x1f
)

// Descriptor is a payload descriptor of VP8 and what the first bytes of the payload behind it say, RFC 7741, section 4.2, or of VP9, RFC
// 9628, section 4.2.
type Descriptor struct {
	NonReference   bool  // N of VP8: no other picture refers to this one
	StartPartition bool  // S; of VP9 B: the first packet of a layer frame
	Partition      uint8 // PID
	Keyframe       bool  // the first packet of a keyframe

	HasPictureID  bool
	LongPictureID bool // M: 15 bits
	HasTL0        bool // L
	HasTID        bool // T
	HasKeyIndex   bool // K
	LayerSync     bool // Y
	EndOfFrame    bool // E of VP9: the last packet of a layer frame
	SwitchUp      bool // U of VP9: pictures of higher temporal layers refer to none before this one
	InterLayer    bool // D of VP9: refers to the spatial layer below

	PictureID uint16
	TL0       uint8 // TL0PICIDX
	TID       uint8 // temporal layer
	SID       uint8 // spatial layer, VP9
	KeyIndex  uint8 // KEYIDX

	Len uint8 // of the descriptor; 0 marks a Descriptor that was not parsed

	pictureAt, tl0At, tidAt uint8
	width, height           uint16 // that VP9's scalability structure tells, 0 without
}

// ParseVP8 reads the descriptor at the beginning of payload.
func ParseVP8(payload []byte) (Descriptor, error) {
	if len(payload) == 0 {
		return Descriptor{}, ErrShort
	}
	b := payload[0]
	d := Descriptor{NonReference: b&0x20 != 0, StartPartition: b&0x10 != 0, Partition: b & 0x0f, Len: 1}
	if b&0x80 != 0 {
		if err := d.parseExtended(payload); err != nil {
			return Descriptor{}, err
		}
	}
	if len(payload) <= int(d.Len) {
		return Descriptor{}, ErrShort
	}
	// RFC 7741, section 4.3: the payload header is there only at the start of the first partition. P, its lowest bit, is 0 in keyframes.
	d.Keyframe = d.StartsPicture() && payload[d.Len]&1 == 0
	return d, nil
}

func (d *Descriptor) parseExtended(payload []byte) error {
	if len(payload) < 2 {
		return ErrShort
	}
	x, at := payload[1], 2
	d.HasPictureID, d.HasTL0, d.HasTID, d.HasKeyIndex = x&0x80 != 0, x&0x40 != 0, x&0x20 != 0, x&0x10 != 0
	if d.HasPictureID {
		if len(payload) < at+1 {
			return ErrShort
		}
		d.pictureAt = uint8(at)
		d.PictureID = uint16(payload[at] & 0x7f)
		if payload[at]&0x80 != 0 {
			if len(payload) < at+2 {
				return ErrShort
			}
			d.LongPictureID = true
			d.PictureID = d.PictureID<<8 | uint16(payload[at+1])
			at++
		}
		at++
	}
	if d.HasTL0 {
		if len(payload) < at+1 {
			return ErrShort
		}
		d.tl0At, d.TL0 = uint8(at), payload[at]
		at++
	}
	if d.HasTID || d.HasKeyIndex {
		if len(payload) < at+1 {
			return ErrShort
		}
		d.tidAt = uint8(at)
		if d.HasTID {
			d.TID, d.LayerSync = payload[at]>>6, payload[at]&0x20 != 0
		}
		if d.HasKeyIndex {
			d.KeyIndex = payload[at] & KeyIndexMask
		}
		at++
	}
	d.Len = uint8(at)
	return nil
}

// StartsPicture says whether the packet is the first of its picture.
func (d *Descriptor) StartsPicture() bool { return d.StartPartition && d.Partition == 0 }

// Patch writes PictureID, TL0 and KeyIndex of d into payload, whose descriptor must have the shape from which d was parsed. Absent fields
// stay absent, and the id keeps its width.
func (d *Descriptor) Patch(payload []byte) {
	if int(d.Len) > len(payload) || d.Len == 0 {
		return
	}
	if d.HasPictureID {
		if d.LongPictureID {
			binary.BigEndian.PutUint16(payload[d.pictureAt:], d.PictureID&PictureIDMask|0x8000)
		} else {
			payload[d.pictureAt] = uint8(d.PictureID & shortPictureIDMask)
		}
	}
	if d.HasTL0 {
		payload[d.tl0At] = d.TL0
	}
	if d.HasKeyIndex {
		payload[d.tidAt] = payload[d.tidAt]&^KeyIndexMask | d.KeyIndex&KeyIndexMask
	}
}

// FrameSize returns the picture's size in pixels when the packet begins a keyframe, of VP9 that of the largest layer. RFC 6386, section 9.1: three bytes of frame tag, the
// start code 9d 01 2a, then width and height with two bits of scaling each.
func (d *Descriptor) FrameSize(payload []byte) (width, height int, ok bool) {
	const need = 10
	if d.width > 0 && d.height > 0 {
		return int(d.width), int(d.height), true
	}
	if !d.Keyframe || len(payload) < int(d.Len)+need {
		return 0, 0, false
	}
	f := payload[d.Len:]
	if f[3] != 0x9d || f[4] != 0x01 || f[5] != 0x2a {
		return 0, 0, false
	}
	return int(binary.LittleEndian.Uint16(f[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(f[8:]) & 0x3fff), true
}

package codec

// ParseVP9 reads the VP9 payload descriptor at the beginning of payload. RFC 9628, section 4.2. What it says of the picture's references is
// passed over, and the scalability structure but for the size of the picture.
func ParseVP9(payload []byte) (Descriptor, error) {
	if len(payload) == 0 {
		return Descriptor{}, ErrShort
	}
	const hasID, interPicture, hasLayers, flexible, begins, ends, hasStructure = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02
	b, at := payload[0], 1
	d := Descriptor{StartPartition: b&begins != 0, EndOfFrame: b&ends != 0}
	if b&hasID != 0 {
		if at = d.parsePictureID(payload, at); at < 0 {
			return Descriptor{}, ErrShort
		}
	}
	if b&hasLayers != 0 {
		if len(payload) <= at {
			return Descriptor{}, ErrShort
		}
		d.HasTID, d.tidAt = true, uint8(at)
		d.TID, d.SwitchUp, d.SID, d.InterLayer = payload[at]>>5, payload[at]&0x10 != 0, payload[at]>>1&7, payload[at]&1 != 0
		at++
		if b&flexible == 0 {
			if len(payload) <= at {
				return Descriptor{}, ErrShort
			}
			d.HasTL0, d.tl0At, d.TL0 = true, uint8(at), payload[at]
			at++
		}
	}
	if b&flexible != 0 && b&interPicture != 0 {
		for more := true; more; at++ { // P_DIFF, of which the lowest bit says that another follows
			if len(payload) <= at || at > 16 {
				return Descriptor{}, ErrShort
			}
			more = payload[at]&1 != 0
		}
	}
	if b&hasStructure != 0 {
		if at = d.parseStructure(payload, at); at < 0 {
			return Descriptor{}, ErrShort
		}
	}
	if len(payload) <= at || at > 0xff {
		return Descriptor{}, ErrShort
	}
	d.Len = uint8(at)
	d.Keyframe = d.StartPartition && b&interPicture == 0 && !d.InterLayer && d.SID == 0
	return d, nil
}

// parsePictureID reads the id at a place and returns what follows it, -1 when it is cut short.
func (d *Descriptor) parsePictureID(payload []byte, at int) int {
	if len(payload) <= at {
		return -1
	}
	d.HasPictureID, d.pictureAt, d.PictureID = true, uint8(at), uint16(payload[at]&0x7f)
	if payload[at]&0x80 == 0 {
		return at + 1
	}
	if len(payload) < at+2 {
		return -1
	}
	d.LongPictureID, d.PictureID = true, d.PictureID<<8|uint16(payload[at+1])
	return at + 2
}

// parseStructure passes over the scalability structure and notes the size of the largest layer. It returns what follows, -1 when it is cut
// short.
func (d *Descriptor) parseStructure(payload []byte, at int) int {
	if len(payload) <= at {
		return -1
	}
	v := payload[at]
	at++
	layers := int(v>>5) + 1
	if v&0x10 != 0 {
		if len(payload) < at+4*layers {
			return -1
		}
		top := payload[at+4*(layers-1):]
		d.width, d.height = uint16(top[0])<<8|uint16(top[1]), uint16(top[2])<<8|uint16(top[3])
		at += 4 * layers
	}
	if v&0x08 == 0 {
		return at
	}
	if len(payload) <= at {
		return -1
	}
	pictures := int(payload[at])
	for at++; pictures > 0; pictures-- {
		if len(payload) <= at {
			return -1
		}
		at += 1 + int(payload[at]>>2&3)
	}
	return at
}

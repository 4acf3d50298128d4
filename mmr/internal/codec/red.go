package codec

import "errors"

// ErrRED says that a redundant payload is not what was agreed on: a block in another format, or more blocks than anybody sends.
var ErrRED = errors.New("codec: redundant payload of another kind")

// maxREDBlocks is how many earlier packets a redundant payload repeats at most. Chromium sends one or two.
const maxREDBlocks = 8

// Lengths of the headers of blocks, RFC 2198 section 3.
const (
	redHeader  = 4 // F, payload type, 14 bits of time offset, 10 bits of length
	redPrimary = 1 // payload type
)

// ParseRED finds the blocks of a redundant payload (audio/red, RFC 2198), all of which must have one payload type, and gives them another one in
// place. It returns where the newest block begins.
func ParseRED(payload []byte, is, becomes uint8) (primary int, err error) {
	headers, blocks := 0, 0
	for {
		if headers >= len(payload) {
			return 0, ErrShort
		}
		if payload[headers]&0x7f != is {
			return 0, ErrRED
		}
		if payload[headers]&0x80 == 0 {
			break
		}
		if headers+redHeader > len(payload) {
			return 0, ErrShort
		}
		if headers/redHeader == maxREDBlocks {
			return 0, ErrRED
		}
		blocks += int(payload[headers+2]&0x03)<<8 | int(payload[headers+3])
		headers += redHeader
	}
	primary = headers + redPrimary + blocks
	if primary > len(payload) {
		return 0, ErrShort
	}
	if is != becomes {
		for i := 0; i <= headers; i += redHeader {
			payload[i] = payload[i]&0x80 | becomes
		}
	}
	return primary, nil
}

package codec

import "time"

// opusDTXBytes is the largest Opus packet that is no speech: libopus marks discontinuous transmission by packets of at most two bytes.
const opusDTXBytes = 2

// TOC is what the first bytes of an Opus packet say. RFC 6716, section 3.1.
type TOC struct {
	Configuration uint8 // 0 to 31: mode, bandwidth and frame size
	Stereo        bool
	Frames        int           // 0 to 48; 0 only in a damaged or empty code 3 packet
	FrameDuration time.Duration // of one frame
}

// Duration returns how much sound the packet holds.
func (t TOC) Duration() time.Duration { return time.Duration(t.Frames) * t.FrameDuration }

// ParseOpus reads the table of contents of an Opus packet.
func ParseOpus(payload []byte) (TOC, error) {
	if len(payload) == 0 {
		return TOC{}, ErrShort
	}
	b := payload[0]
	t := TOC{Configuration: b >> 3, Stereo: b&0x04 != 0, FrameDuration: opusFrame(b >> 3)}
	switch b & 3 {
	case 0:
		t.Frames = 1
	case 1, 2:
		t.Frames = 2
	case 3:
		if len(payload) < 2 {
			return TOC{}, ErrShort
		}
		t.Frames = int(payload[1] & 0x3f)
	}
	return t, nil
}

// opusFrame returns the frame size of a configuration, RFC 6716 table 2: SILK 10, 20, 40, 60 ms; hybrid 10, 20 ms; CELT 2.5, 5, 10, 20 ms.
func opusFrame(configuration uint8) time.Duration {
	switch {
	case configuration < 12:
		return [...]time.Duration{10, 20, 40, 60}[configuration&3] * time.Millisecond
	case configuration < 16:
		return [...]time.Duration{10, 20}[configuration&1] * time.Millisecond
	default:
		return 2500 * time.Microsecond << (configuration & 3)
	}
}

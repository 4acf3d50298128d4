package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

const (
	oggSignature  = "OggS"
	oggPageHeader = 27
	oggFirst      = 0x02 // header type flag: first page of a logical stream
	oggContinued  = 0x01 // header type flag: the page begins with the rest of a packet
)

// readOGG takes the packets out of a file of one logical Opus stream (RFC 7845). Checksums are not verified: the lengths are, and a damaged packet
// is the decoder's matter.
func readOGG(data []byte) (*Clip, error) {
	packets, err := oggPackets(data)
	if err != nil {
		return nil, err
	}
	if len(packets) < 2 || !bytes.HasPrefix(packets[0], []byte("OpusHead")) || !bytes.HasPrefix(packets[1], []byte("OpusTags")) {
		return nil, fmt.Errorf("%w: no Opus headers in the OGG file", ErrFormat)
	}
	clip := &Clip{Codec: Opus}
	var at time.Duration
	for _, packet := range packets[2:] {
		length := OpusDuration(packet)
		if length == 0 {
			return nil, fmt.Errorf("%w: not an Opus packet", ErrFormat)
		}
		clip.Frames = append(clip.Frames, Frame{Data: packet, At: at, Key: true})
		at += length
	}
	return clip.finish(at)
}

// oggPackets joins the segments of all pages to packets (RFC 3533, section 6).
func oggPackets(data []byte) ([][]byte, error) {
	var packets [][]byte
	var open []byte // packet that goes on in the next page
	var serial uint32
	for pages := 0; len(data) > 0; pages++ {
		if len(data) < oggPageHeader || string(data[:4]) != oggSignature || data[4] != 0 {
			return nil, fmt.Errorf("%w: damaged OGG page %d", ErrFormat, pages)
		}
		flags, number, segments := data[5], binary.LittleEndian.Uint32(data[14:]), int(data[26])
		if pages == 0 {
			serial = number
		}
		if number != serial || (pages > 0 && flags&oggFirst != 0) {
			return nil, fmt.Errorf("%w: more than one stream in the OGG file", ErrFormat)
		}
		if len(data) < oggPageHeader+segments {
			return nil, fmt.Errorf("%w: OGG page cut off", ErrFormat)
		}
		table, rest := data[oggPageHeader:oggPageHeader+segments], data[oggPageHeader+segments:]
		if flags&oggContinued == 0 {
			open = nil
		}
		for _, size := range table {
			if int(size) > len(rest) {
				return nil, fmt.Errorf("%w: OGG page cut off", ErrFormat)
			}
			open = append(open, rest[:size]...)
			rest = rest[size:]
			if len(open) > MaxFrameBytes || len(packets) == MaxFrames {
				return nil, ErrTooLarge
			}
			if size < 255 {
				packets, open = append(packets, open), nil
			}
		}
		data = rest
	}
	return packets, nil
}

// OpusDuration is the time that an Opus packet lasts (RFC 6716, section 3.1), 0 for something that is none.
func OpusDuration(packet []byte) time.Duration {
	if len(packet) == 0 {
		return 0
	}
	toc := packet[0]
	frames := time.Duration(1)
	switch toc & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0
		}
		frames = time.Duration(packet[1] & 0x3f)
	}
	length := frames * opusFrame(toc>>3)
	if length > 120*time.Millisecond {
		return 0
	}
	return length
}

// opusFrame is the length of one frame in the configuration (RFC 6716, table 2).
func opusFrame(config uint8) time.Duration {
	switch {
	case config < 12: // SILK
		return [...]time.Duration{10, 20, 40, 60}[config&3] * time.Millisecond
	case config < 16: // hybrid
		return [...]time.Duration{10, 20}[config&1] * time.Millisecond
	}
	return 2500 * time.Microsecond << (config & 3) // CELT
}

// silence is 20 ms of an Opus encoder's output for digital silence (CELT, fullband).
var silence = []byte{0xf8, 0xff, 0xfe}

// maxSilence bounds how much silence the writer puts in for one gap.
const maxSilence = 10 * time.Minute

// OGGWriter writes Opus packets to an OGG file. What is missing on the time line is filled with silence, so that the file's clock is the sender's.
type OGGWriter struct {
	out     *oggwriter.OggWriter
	next    uint64 // time stamp expected next, 48 kHz
	started bool
}

// NewOGGWriter starts a file.
func NewOGGWriter(out io.Writer) (*OGGWriter, error) {
	writer, err := oggwriter.NewWith(out, Opus.ClockRate(), 2)
	if err != nil {
		return nil, fmt.Errorf("write OGG header: %w", err)
	}
	return &OGGWriter{out: writer}, nil
}

// WritePacket appends a packet at a time stamp of 48 kHz. A packet that begins before the end of the previous one is left out.
func (w *OGGWriter) WritePacket(packet []byte, stamp uint64) error {
	length := OpusDuration(packet)
	if length == 0 {
		return fmt.Errorf("%w: not an Opus packet", ErrFormat)
	}
	if !w.started {
		w.started, w.next = true, stamp
	}
	if stamp < w.next {
		return nil
	}
	const step = 960
	gap := min(stamp-w.next, uint64(maxSilence.Seconds())*uint64(Opus.ClockRate()))
	for ; gap >= step; gap -= step {
		if err := w.out.WriteRTP(&rtp.Packet{Payload: silence}); err != nil {
			return fmt.Errorf("write OGG: %w", err)
		}
	}
	w.next = stamp + uint64(length.Seconds()*float64(Opus.ClockRate())+0.5)
	if err := w.out.WriteRTP(&rtp.Packet{Payload: packet}); err != nil {
		return fmt.Errorf("write OGG: %w", err)
	}
	return nil
}

// Close completes the file, and closes it where it can be closed.
func (w *OGGWriter) Close() error { return w.out.Close() }

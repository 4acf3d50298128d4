package media

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

const (
	ivfSignature   = "DKIF"
	ivfFileHeader  = 32
	ivfFrameHeader = 12
)

// readIVF takes a whole IVF file apart. Frames before the first keyframe are left out, since nobody could decode them.
func readIVF(data []byte) (*Clip, error) {
	if len(data) < ivfFileHeader {
		return nil, fmt.Errorf("%w: IVF header cut off", ErrFormat)
	}
	le := binary.LittleEndian
	headerLen, num := int(le.Uint16(data[6:])), uint64(le.Uint32(data[20:]))
	den := uint64(le.Uint32(data[16:]))
	kind := slices.IndexFunc(kinds[:], func(c struct{ name, mime, fourCC string }) bool { return c.fourCC == string(data[8:12]) })
	switch {
	case headerLen < ivfFileHeader || headerLen > len(data):
		return nil, fmt.Errorf("%w: IVF header of %d bytes", ErrFormat, headerLen)
	case kind < 0:
		return nil, fmt.Errorf("%w: codec %q instead of VP8, VP9 or AV1", ErrFormat, data[8:12])
	case num == 0 || den == 0:
		return nil, fmt.Errorf("%w: IVF time base %d/%d", ErrFormat, num, den)
	}
	clip := &Clip{Codec: Codec(kind), Width: int(le.Uint16(data[12:])), Height: int(le.Uint16(data[14:]))}
	var first, last, step uint64 // time stamps of the first frame and the last, and how far the last two are apart
	for rest := data[headerLen:]; len(rest) > 0; {
		if len(rest) < ivfFrameHeader {
			return nil, fmt.Errorf("%w: frame header cut off", ErrFormat)
		}
		size, stamp := uint64(le.Uint32(rest)), le.Uint64(rest[4:])
		if size > MaxFrameBytes || len(clip.Frames) == MaxFrames {
			return nil, ErrTooLarge
		}
		if size > uint64(len(rest)-ivfFrameHeader) {
			return nil, fmt.Errorf("%w: frame cut off", ErrFormat)
		}
		frame := rest[ivfFrameHeader : ivfFrameHeader+size]
		rest = rest[ivfFrameHeader+size:]
		key := clip.Codec.isKeyframe(frame)
		if size == 0 || (len(clip.Frames) == 0 && !key) {
			continue
		}
		if len(clip.Frames) == 0 {
			first, last = stamp, stamp
		}
		if stamp < last {
			return nil, fmt.Errorf("%w: time runs backwards", ErrFormat)
		}
		if stamp > last {
			last, step = stamp, stamp-last
		}
		at, err := ticks(stamp-first, num, den)
		if err != nil {
			return nil, err
		}
		clip.Frames = append(clip.Frames, Frame{Data: frame, At: at, Key: key})
	}
	if len(clip.Frames) == 0 {
		return nil, fmt.Errorf("%w in the IVF file", ErrNoKeyframe)
	}
	end, err := ticks(last-first+step, num, den)
	if err != nil {
		return nil, err
	}
	return clip.finish(end)
}

// ticks converts a time stamp of num/den seconds each, refusing what lies beyond MaxDuration before anything can overflow.
func ticks(stamp, num, den uint64) (time.Duration, error) {
	seconds := float64(stamp) * float64(num) / float64(den)
	if math.IsNaN(seconds) || seconds > MaxDuration.Seconds() {
		return 0, ErrTooLarge
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), nil
}

// IVFWriter writes frames of VP8, VP9 or AV1 to an IVF file with a time base of 1/90000 s, so that RTP timestamps need no rounding.
type IVFWriter struct {
	out    io.WriteSeeker
	codec  Codec
	frames uint32
	width  uint16
	height uint16
}

// NewIVFWriter starts a file. The size of the picture is entered by Close, as the first keyframe of VP8 tells it; of the others the decoder
// finds out.
func NewIVFWriter(out io.WriteSeeker, codec Codec) (*IVFWriter, error) {
	if int(codec) >= numCodecs || kinds[codec].fourCC == "" {
		return nil, fmt.Errorf("%w: IVF holds no %s", ErrFormat, codec)
	}
	w := &IVFWriter{out: out, codec: codec}
	if codec != VP8 {
		w.width, w.height = 640, 360
	}
	return w, w.writeHeader()
}

func (w *IVFWriter) writeHeader() error {
	header := make([]byte, 0, ivfFileHeader)
	le := binary.LittleEndian
	header = append(header, ivfSignature...)
	header = le.AppendUint16(header, 0)
	header = le.AppendUint16(header, ivfFileHeader)
	header = append(header, kinds[w.codec].fourCC...)
	header = le.AppendUint16(header, w.width)
	header = le.AppendUint16(header, w.height)
	header = le.AppendUint32(header, w.codec.ClockRate())
	header = le.AppendUint32(header, 1)
	header = le.AppendUint32(header, w.frames)
	header = le.AppendUint32(header, 0)
	if _, err := w.out.Write(header); err != nil {
		return fmt.Errorf("write IVF header: %w", err)
	}
	return nil
}

// WriteFrame appends a frame at a time stamp of 90 kHz.
func (w *IVFWriter) WriteFrame(frame []byte, stamp uint64) error {
	if width, height, ok := VP8Size(frame); ok && w.codec == VP8 && w.width == 0 {
		w.width, w.height = uint16(width), uint16(height)
	}
	header := binary.LittleEndian.AppendUint32(make([]byte, 0, ivfFrameHeader), uint32(len(frame)))
	header = binary.LittleEndian.AppendUint64(header, stamp)
	if _, err := w.out.Write(header); err != nil {
		return fmt.Errorf("write IVF frame: %w", err)
	}
	if _, err := w.out.Write(frame); err != nil {
		return fmt.Errorf("write IVF frame: %w", err)
	}
	w.frames++
	return nil
}

// Close completes the header. It does not close the file.
func (w *IVFWriter) Close() error {
	if _, err := w.out.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("complete IVF header: %w", err)
	}
	return w.writeHeader()
}

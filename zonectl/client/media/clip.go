package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Bounds of what is read from a file.
const (
	MaxFileBytes  = 256 << 20
	MaxFrameBytes = 2 << 20
	MaxFrames     = 1 << 20
	MaxDuration   = 12 * time.Hour
)

var (
	// ErrFormat says that a file is not what it claims to be, or is damaged.
	ErrFormat = errors.New("not a usable media file")
	// ErrTooLarge says that a file goes beyond the bounds.
	ErrTooLarge = errors.New("media file too large")
	// ErrNoKeyframe says that a video has no frame that a decoder could start with.
	ErrNoKeyframe = errors.New("no keyframe")
)

// Clip is a piece of media in memory, cut into frames. It is immutable.
type Clip struct {
	Codec         Codec
	Width, Height int
	Frames        []Frame
	Length        time.Duration // time after which the loop starts again
}

// Frame is one video frame or one Opus packet.
type Frame struct {
	Data []byte
	At   time.Duration // from the start of the clip
	Key  bool

	Layer TemporalLayer
}

// TemporalLayer is where a frame stands among the frames that may be left out. The zero value says nothing.
type TemporalLayer struct {
	Told bool // the rest means something, and is written into the packets
	ID   uint8
	Sync bool // refers to frames of layer 0 alone
	Last bool // no other frame refers to it
}

// Open reads a file, whose first bytes tell its format.
func Open(path string) (*Clip, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open media: %w", err)
	}
	defer file.Close()
	clip, err := Read(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return clip, nil
}

// Read reads a clip whose first bytes tell its format.
func Read(r io.Reader) (*Clip, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return nil, err
	}
	switch {
	case len(data) > MaxFileBytes:
		return nil, ErrTooLarge
	case bytes.HasPrefix(data, []byte(ivfSignature)):
		return readIVF(data)
	case bytes.HasPrefix(data, []byte(oggSignature)):
		return readOGG(data)
	}
	return nil, fmt.Errorf("%w: neither IVF nor OGG", ErrFormat)
}

// finish checks what both formats have in common and sets the length of the loop. The last frame lasts a millisecond at least.
func (c *Clip) finish(length time.Duration) (*Clip, error) {
	n := len(c.Frames)
	if n == 0 {
		return nil, fmt.Errorf("%w: no frames", ErrFormat)
	}
	c.Length = max(length, c.Frames[n-1].At+time.Millisecond)
	if c.Length > MaxDuration {
		return nil, ErrTooLarge
	}
	return c, nil
}

package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestLoops(t *testing.T) {
	tone, err := Tone()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tone.Frames {
		if OpusDuration(f.Data) != 20*time.Millisecond {
			t.Fatalf("a packet of %s", OpusDuration(f.Data))
		}
	}
	pattern, err := Pattern()
	if err != nil {
		t.Fatal(err)
	}
	if pattern.Width != 640 || pattern.Height != 360 || len(pattern.Frames) != 90 || pattern.Length != 3*time.Second {
		t.Errorf("%d by %d, %d frames in %s", pattern.Width, pattern.Height, len(pattern.Frames), pattern.Length)
	}
	sinceKey := 0
	for i, f := range pattern.Frames {
		if sinceKey++; f.Key {
			sinceKey = 0
		}
		if sinceKey >= 15 {
			t.Errorf("no keyframe for %d frames at %d", sinceKey, i)
		}
	}
	if size := len(toneOGG) + len(patternIVF); size > 400<<10 {
		t.Errorf("the loops have %d bytes", size)
	}
}

// ivf makes a file of frames with the given keyness, one per tick of 1/den seconds.
func ivf(den uint32, keys ...bool) []byte {
	file := make([]byte, ivfFileHeader)
	copy(file, "DKIF\x00\x00\x20\x00VP80")
	binary.LittleEndian.PutUint32(file[16:], den)
	binary.LittleEndian.PutUint32(file[20:], 1)
	for i, key := range keys {
		frame := []byte{1, 0, 0, byte(i)}
		if key {
			frame = []byte{0, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 32, 0, byte(i)}
		}
		file = binary.LittleEndian.AppendUint32(file, uint32(len(frame)))
		file = binary.LittleEndian.AppendUint64(file, uint64(i))
		file = append(file, frame...)
	}
	return file
}

func TestIVFBounds(t *testing.T) {
	good := ivf(30, true, false)
	change := func(at int, value ...byte) []byte {
		file := slices.Clone(good)
		copy(file[at:], value)
		return file
	}
	cases := []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, ErrFormat},
		{"header cut", good[:20], ErrFormat},
		{"header only", good[:32], ErrNoKeyframe},
		{"frame cut", good[:len(good)-1], ErrFormat},
		{"frame header cut", good[:40], ErrFormat},
		{"huge frame", change(32, 0xff, 0xff, 0xff, 0xff), ErrTooLarge},
		{"no keyframe", ivf(30, false, false), ErrNoKeyframe},
		{"other codec", change(8, 'M', 'J', 'P', 'G'), ErrFormat},
		{"time base of zero", change(16, 0, 0, 0, 0), ErrFormat},
		{"for ever", change(36+12+11, 0, 0, 0, 0, 0, 0, 0, 0xff), ErrTooLarge},
		{"header beyond the file", change(6, 0xff, 0xff), ErrFormat},
	}
	for _, c := range cases {
		if _, err := Read(bytes.NewReader(c.file)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	clip, err := Read(bytes.NewReader(ivf(10, false, true, false)))
	if err != nil || len(clip.Frames) != 2 || clip.Length != 200*time.Millisecond {
		t.Errorf("%+v: %v", clip, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(ivf(30, true, false, true))
	f.Add(patternIVF[:2000])
	f.Add(toneOGG[:600])
	f.Add(toneOGG)
	f.Fuzz(func(t *testing.T, data []byte) {
		clip, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		last := time.Duration(0)
		for _, frame := range clip.Frames {
			if frame.At < last || frame.At >= clip.Length || len(frame.Data) == 0 {
				t.Fatalf("frame at %s of %s", frame.At, clip.Length)
			}
			last = frame.At
		}
	})
}

// TestWritersWithDecoder writes both loops with the writers and has ffmpeg decode what came out.
func TestWritersWithDecoder(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	dir := t.TempDir()
	video, audio := filepath.Join(dir, "a.ivf"), filepath.Join(dir, "a.ogg")
	writeFile(t, video, func(file *os.File) error {
		w, err := NewIVFWriter(file, VP8)
		if err != nil {
			return err
		}
		pattern, err := Pattern()
		if err != nil {
			return err
		}
		for _, f := range pattern.Frames {
			if err := w.WriteFrame(f.Data, uint64(f.At.Seconds()*90000)); err != nil {
				return err
			}
		}
		return w.Close()
	})
	writeFile(t, audio, func(file *os.File) error {
		w, err := NewOGGWriter(file)
		if err != nil {
			return err
		}
		tone, err := Tone()
		if err != nil {
			return err
		}
		for i, f := range tone.Frames {
			if i/25%2 == 1 {
				continue // half a second of silence to be filled in
			}
			if err := w.WritePacket(f.Data, uint64(i*960)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, file := range []string{video, audio} {
		if out, err := exec.Command(ffmpeg, "-v", "error", "-i", file, "-f", "null", "-").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", filepath.Base(file), err, out)
		}
		clip, err := Open(file)
		if err != nil || clip.Length < 2500*time.Millisecond {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

func writeFile(t *testing.T, path string, write func(*os.File) error) {
	t.Helper()
	file, err := os.Create(path)
	if err == nil {
		err = errors.Join(write(file), file.Sync())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpusDuration has configurations of RFC 6716, table 2, and codes of section 3.2.
func TestOpusDuration(t *testing.T) {
	cases := []struct {
		packet []byte
		want   time.Duration
	}{
		{nil, 0},
		{[]byte{0 << 3}, 10 * time.Millisecond},
		{[]byte{3 << 3}, 60 * time.Millisecond},
		{[]byte{13 << 3}, 20 * time.Millisecond},
		{[]byte{16 << 3}, 2500 * time.Microsecond},
		{[]byte{31 << 3}, 20 * time.Millisecond},
		{[]byte{31<<3 | 1}, 40 * time.Millisecond},
		{[]byte{31<<3 | 3, 6}, 120 * time.Millisecond},
		{[]byte{31<<3 | 3, 7}, 0},
		{[]byte{31<<3 | 3}, 0},
	}
	for _, c := range cases {
		if got := OpusDuration(c.packet); got != c.want {
			t.Errorf("% x lasts %s instead of %s", c.packet, got, c.want)
		}
	}
}

package media

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// encode has ffmpeg make a short clip of a codec.
func encode(t *testing.T, codec Codec, file string) {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	args := []string{"-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=1", "-pix_fmt", "yuv420p", "-g", "15"}
	switch codec {
	case VP9:
		args = append(args, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-b:v", "500k")
	case AV1:
		args = append(args, "-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-b:v", "500k")
	}
	if out, err := exec.Command(ffmpeg, append(args, file)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", codec, err, out)
	}
}

// TestCodecsWithDecoder takes clips of VP9 and AV1 to RTP payloads and back, and has ffmpeg decode what comes out; after a loss nothing comes before
// the next keyframe.
func TestCodecsWithDecoder(t *testing.T) {
	for _, codec := range []Codec{VP9, AV1} {
		dir := t.TempDir()
		file := filepath.Join(dir, "in.ivf")
		encode(t, codec, file)
		clip, err := Open(file)
		if err != nil || clip.Codec != codec || len(clip.Frames) != 30 {
			t.Fatalf("%s: %+v %v", codec, clip, err)
		}
		out := filepath.Join(dir, "out.ivf")
		frames, packetizer := NewFrames(codec), NewPacketizer(codec)
		came, keys := 0, 0
		writeFile(t, out, func(f *os.File) error {
			w, err := NewIVFWriter(f, codec)
			if err != nil {
				return err
			}
			for i, frame := range clip.Frames {
				err := packetizer.Packetize(frame.Data, func(payload []byte, last bool) error {
					if i == 4 {
						return nil // lost
					}
					if i == 5 {
						frames.Gap()
					}
					frame, key, complete := frames.Push(payload, uint64(i*3000), last)
					if !complete {
						return nil
					}
					came++
					if key {
						keys++
					}
					return w.WriteFrame(frame, uint64(i*3000))
				})
				if err != nil {
					return err
				}
			}
			return w.Close()
		})
		if came != 4+15 || keys != 2 {
			t.Errorf("%s: %d frames came, %d keyframes", codec, came, keys)
		}
		if text, err := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", out, "-f", "null", "-").CombinedOutput(); err != nil || len(text) > 0 {
			t.Errorf("%s: %v: %s", codec, err, text)
		}
	}
}

func TestH264IsNotSent(t *testing.T) {
	if err := NewPacketizer(H264).Packetize([]byte{1}, nil); !errors.Is(err, ErrNoPacketizer) {
		t.Error(err)
	}
	f := NewFrames(H264)
	if _, _, complete := f.Push([]byte{0x41, 1, 2}, 1, true); complete {
		t.Error("H.264 begins without a keyframe")
	}
	frame, key, complete := f.Push([]byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x65, 1}, 2, true)
	if !complete || !key || !hasNAL(frame, 5) || !f.Ready() {
		t.Errorf("%x %v %v", frame, key, complete)
	}
}

// FuzzFrames: whatever comes, a frame is no longer than it may be.
func FuzzFrames(f *testing.F) {
	f.Add(uint8(VP9), []byte{0x8c, 0x80, 0x11, 0x82, 0x49}, []byte{0x88, 0x80, 0x12, 0x86})
	f.Add(uint8(AV1), []byte{0x18, 0x0a, 0x01, 0x02}, []byte{0x90, 0x32})
	f.Add(uint8(H264), []byte{0x7c, 0x85, 1}, []byte{0x7c, 0x45, 1})
	f.Fuzz(func(t *testing.T, codec uint8, first, second []byte) {
		frames := NewFrames(Codec(codec%uint8(numCodecs-1)) + 1)
		for i := range 20 {
			frame, _, _ := frames.Push([][]byte{first, second}[i%2], uint64(time.Duration(i/4)), i%4 == 3)
			if len(frame) > MaxFrameBytes+64 {
				t.Fatal("too long")
			}
			frames.codec.isKeyframe(frame)
		}
	})
}

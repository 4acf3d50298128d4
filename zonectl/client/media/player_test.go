package media

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// clipOf makes a clip of 10 frames a second.
func clipOf(t *testing.T, keys ...bool) *Clip {
	t.Helper()
	clip, err := Read(bytes.NewReader(ivf(10, keys...)))
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

func TestKeyframeRequests(t *testing.T) {
	keys := func(n int, at ...int) []bool {
		k := make([]bool, n)
		for _, i := range at {
			k[i] = true
		}
		return k
	}
	cases := []struct {
		name string
		keys []bool
		from int
		want int
	}{
		{"this one", keys(30, 0, 10, 20), 10, 10},
		{"next", keys(30, 0, 10, 20), 11, 20},
		{"over the end", keys(30, 0, 10, 20), 22, 0},
		{"the nearest behind", keys(100, 0, 90), 3, 0},
		{"the nearest ahead", keys(100, 0, 90), 75, 90},
		{"only one", keys(100, 0), 50, 0},
	}
	for _, c := range cases {
		p := &Player{clip: clipOf(t, c.keys...)}
		if got := p.keyframe(c.from); got != c.want {
			t.Errorf("%s: frame %d instead of %d", c.name, got, c.want)
		}
	}
}

// TestPacer plays two clips in fake time and looks at when each frame comes.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pacer := NewPacer()
		done := make(chan struct{})
		go func() {
			pacer.Run(ctx)
			close(done)
		}()
		start := time.Now()
		var frames []byte
		video, err := NewPlayer(clipOf(t, true, false, true, false), func(f Frame, at time.Duration) error {
			if late := time.Since(start) - at; late != 0 {
				t.Errorf("frame of %s comes %s late", at, late)
			}
			frames = append(frames, f.Data[len(f.Data)-1])
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		tone, err := Tone()
		if err != nil {
			t.Fatal(err)
		}
		audio, err := NewPlayer(tone, func(Frame, time.Duration) error {
			if count++; count == 100 {
				return errors.New("enough")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pacer.Add(video, start)
		pacer.Add(audio, start.Add(5*time.Millisecond))
		time.Sleep(450 * time.Millisecond)
		video.RequestKeyframe()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		cancel()
		<-done
		if want := []byte{0, 1, 2, 3, 0, 2, 3, 0}; !slices.Equal(frames[:len(want)], want) || len(frames) != 55 {
			t.Errorf("%d frames %v", len(frames), frames)
		}
		if count != 100 {
			t.Errorf("%d packets of audio after an error at 100", count)
		}
	})
}

// TestPacerSkipsWhatIsTooLate has Emit block for two seconds: nothing of these is made up for.
func TestPacerSkipsWhatIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pacer := NewPacer()
		var times []time.Duration
		player, err := NewPlayer(clipOf(t, true, false, true, false), func(f Frame, at time.Duration) error {
			if len(times) == 3 {
				time.Sleep(2 * time.Second)
			}
			times = append(times, at)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pacer.Add(player, time.Now())
		go pacer.Run(ctx)
		time.Sleep(3 * time.Second)
		cancel()
		synctest.Wait()
		if len(times) > 12 || times[4]-times[3] < 1900*time.Millisecond {
			t.Errorf("frames at %v", times)
		}
	})
}

// TestPacketsAndBack cuts frames into packets, loses, reorders and doubles some, and puts them together again: every frame that comes out is one that
// went in, and after a loss the first is a keyframe.
func TestPacketsAndBack(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	type wirePacket struct {
		sequence uint16
		stamp    uint32
		marker   bool
		payload  []byte
	}
	for round := range 40 {
		var packets []wirePacket
		var sent [][]byte
		var packetizer VP8Packetizer
		sequence := uint16(65000)
		for i := range 200 {
			frame := make([]byte, 10+random.IntN(5000))
			frame[0] = 1
			if i%10 == 0 {
				copy(frame, []byte{0, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 32, 0})
			}
			frame[9] = byte(i)
			sent = append(sent, frame)
			err := packetizer.Packetize(frame, func(payload []byte, last bool) error {
				packets = append(packets, wirePacket{sequence, uint32(i)*3000 - 90000, last, slices.Clone(payload)})
				sequence++
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		lossy := round%2 == 1
		if lossy {
			packets = slices.DeleteFunc(packets, func(p wirePacket) bool { return p.sequence != 65000 && random.IntN(40) == 0 })
		}
		for i := 1; i+4 < len(packets); i += 1 + random.IntN(20) {
			j := i + random.IntN(4)
			packets[i], packets[j] = packets[j], packets[i]
		}
		checkFrames(t, lossy, sent, func(r *Reorder) {
			now := time.Unix(0, 0)
			for _, p := range packets {
				now = now.Add(time.Millisecond)
				r.Push(VP8, p.sequence, p.stamp, p.marker, p.payload, now)
				if random.IntN(30) == 0 {
					r.Push(VP8, p.sequence, p.stamp, p.marker, p.payload, now)
				}
			}
			r.Flush()
		})
	}
}

// checkFrames compares what comes out of a Reorder and VP8Frames with the frames that were sent.
func checkFrames(t *testing.T, lossy bool, sent [][]byte, feed func(*Reorder)) {
	t.Helper()
	var frames VP8Frames
	next, got := 0, 0
	lost := false
	feed(&Reorder{Wait: 20 * time.Millisecond, Deliver: func(p Arrived, gap bool) {
		if gap {
			frames.Gap()
			lost = true
		}
		frame, complete := frames.Push(p.Payload, p.Stamp, p.Marker)
		if !complete {
			return
		}
		got++
		at := slices.IndexFunc(sent[next:], func(f []byte) bool { return bytes.Equal(f, frame) })
		if at < 0 {
			t.Fatal("a frame comes out that did not go in")
		}
		if at > 0 && (!lost || !IsVP8Keyframe(frame)) {
			t.Fatalf("%d frames are missing before one that is no keyframe", at)
		}
		next, lost = next+at+1, false
	}})
	if !lossy && got != len(sent) {
		t.Errorf("%d of %d frames without any loss", got, len(sent))
	}
	if lossy && got < len(sent)/4 {
		t.Errorf("only %d of %d frames", got, len(sent))
	}
}

func FuzzVP8Payload(f *testing.F) {
	f.Add([]byte{0x90, 0x80, 0x81, 0x02, 1, 2, 3})
	f.Add([]byte{0xff, 0xff, 0xff})
	f.Add([]byte{0x10, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		data, _, ok := vp8Payload(payload)
		if ok && (len(data) == 0 || len(data) >= len(payload)) {
			t.Fatalf("%d bytes of %d", len(data), len(payload))
		}
	})
}

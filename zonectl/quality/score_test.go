package quality

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"meetzone/zonectl/wire"
)

const ms = time.Millisecond

// sound and picture are figures of a flow in which nothing is wrong.
func sound() Figures {
	return Figures{Packets: 250, Frames: Unknown, Frozen: Unknown, Concealed: Unknown}
}
func picture() Figures {
	return Figures{Packets: 900, Frames: 30, Frozen: 0, Concealed: Unknown, Rate: 1.5e6, Pixels: 1280 * 720 * 30}
}

func with(f Figures, change func(*Figures)) Figures {
	change(&f)
	return f
}

// TestScoreExamples holds the worked examples of docs/quality.md, which were worked out there by hand and not by this code.
func TestScoreExamples(t *testing.T) {
	for _, c := range []struct {
		name   string
		medium wire.Medium
		f      Figures
		want   float64
	}{
		{"speech on a clean LAN", wire.Audio, with(sound(), func(f *Figures) { f.RoundTrip = 2 * ms }), 4.40},
		{"speech at 2 % loss, 40 ms round trip, 10 ms jitter", wire.Audio,
			with(sound(), func(f *Figures) { f.Loss, f.RoundTrip, f.Jitter = 0.02, 40*ms, 10*ms }), 4.19},
		{"speech at 10 % loss", wire.Audio, with(sound(), func(f *Figures) { f.Loss = 0.10 }), 3.38},
		{"speech over 600 ms", wire.Audio, with(sound(), func(f *Figures) { f.RoundTrip = 600 * ms }), 3.55},
		{"speech that the decoder repaired", wire.Audio, with(sound(), func(f *Figures) { f.Loss, f.Concealed = 0.10, 0 }), 4.40},
		{"a smooth picture of 720 lines at 1.5 Mbit/s", wire.Video, picture(), 4.78},
		{"the same at 300 kbit/s", wire.Video, with(picture(), func(f *Figures) { f.Rate = 3e5 }), 3.87},
		{"the same at 7.5 frames per second", wire.Video, with(picture(), func(f *Figures) { f.Frames, f.Pixels = 7.5, 1280*720*7.5 }), 4.34},
		{"the same frozen for 5 % of the time", wire.Video, with(picture(), func(f *Figures) { f.Frozen = 0.05 }), 3.30},
		{"a shared screen at 1 % loss", wire.Content, with(picture(), func(f *Figures) { f.Frozen, f.Loss, f.Frames = Unknown, 0.01, 1 }), 3.43},
		{"a picture at 2 % loss of which freezes are not known", wire.Video,
			with(picture(), func(f *Figures) { f.Frozen, f.Loss, f.Pixels = Unknown, 0.02, 0 }), 2.47},
	} {
		if got := float64(Of(c.medium, c.f)); math.Abs(got-c.want) > 0.011 {
			t.Errorf("%s: %.3f, want %.2f", c.name, got, c.want)
		}
	}
}

func TestScoreOfNothing(t *testing.T) {
	if got := Of(wire.Audio, Figures{}); got.Known() {
		t.Errorf("nothing that nobody expected has the score %v", got)
	}
	if got := Of(wire.Video, Figures{Expected: true}); got != 0 {
		t.Errorf("nothing of what should have come has the score %v, want 0", got)
	}
}

// TestScoreOrder wants that no score leaves the scale, and that more of an evil never raises it.
func TestScoreOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	share := func() float64 { return r.Float64() * r.Float64() }
	for range 20_000 {
		f := Figures{Packets: 1, Loss: share(), Jitter: time.Duration(r.Int64N(int64(time.Second))), RoundTrip: time.Duration(r.Int64N(int64(5 * time.Second))),
			Rate: share() * 1e7, Frames: share() * 120, Frozen: share(), Concealed: share(), Pixels: share() * 1e8}
		worse := f
		switch r.IntN(5) {
		case 0:
			worse.Loss = min(1, f.Loss+share())
		case 1:
			worse.RoundTrip += time.Duration(r.Int64N(int64(time.Second)))
		case 2:
			worse.Frozen = min(1, f.Frozen+share())
		case 3:
			worse.Concealed = min(1, f.Concealed+share())
		case 4:
			worse.Frames *= r.Float64()
		}
		for _, medium := range wire.Media {
			good, bad := Of(medium, f), Of(medium, worse)
			if good < 1 || good > 5 || bad > good+1e-9 {
				t.Fatalf("%s: %+v scores %v; %+v, which is worse, %v", medium, f, good, worse, bad)
			}
		}
	}
}

func TestBetween(t *testing.T) {
	before := Counters{Packets: 1000, Bytes: 100_000, Lost: 10, Frames: 300, Freezes: 1, Frozen: time.Second}
	after := Counters{Packets: 1090, Bytes: 150_000, Lost: 20, Frames: 420, Freezes: 3, Frozen: 1500 * ms, Jitter: 3 * ms, RoundTrip: 20 * ms}
	got := Between(before, after, 5*time.Second)
	want := Figures{Packets: 90, Loss: 0.1, Jitter: 3 * ms, RoundTrip: 20 * ms, Rate: 80_000, Frames: 24, Freezes: 2, Frozen: 0.1, Concealed: Unknown}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := Between(after, Counters{Packets: 50, Bytes: 5000}, time.Second); got.Packets != 50 || got.Rate != 40_000 {
		t.Errorf("after a new beginning: %+v", got)
	}
	// A packet that was counted as lost has come after all.
	if got := Between(Counters{Packets: 10, Lost: 3}, Counters{Packets: 13, Lost: 0}, time.Second); got.Loss != 0 {
		t.Errorf("late packets make a loss of %v", got.Loss)
	}
}

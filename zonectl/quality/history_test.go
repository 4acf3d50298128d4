package quality

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"meetzone/zonectl/wire"
)

var (
	audioDown = Flow{wire.Audio, Down}
	videoUp   = Flow{wire.Video, Up}
)

// weigh counts anew what a history holds.
func (h *History) weigh() (n int) {
	for _, r := range h.runs {
		n += runWeight
		for _, p := range r.people {
			n += peopleWeight
			for i := range p.flows {
				n += len(p.flows[i].samples)
			}
		}
	}
	return n
}

func TestHistoryKeepsWhatItWasTold(t *testing.T) {
	h := NewHistory(Limits{})
	now := h.epoch
	in := Run{"482913756", now}
	f := Figures{Packets: 5, Loss: 0.0123, Jitter: 4200 * time.Microsecond, RoundTrip: 37 * ms, Rate: 1_234_567, Frames: 24.5, Freezes: 2, Frozen: 0.05, Concealed: Unknown}
	h.Record(now.Add(10*time.Second), in, Person{"p1", "Ada"}, videoUp, f, 3.46)
	h.Record(now.Add(20*time.Second), in, Person{"p1", "Ada"}, videoUp, Figures{Loss: Unknown, Frames: Unknown, Frozen: Unknown, Concealed: Unknown}, NoScore)
	got := h.Meeting("482913756", 100, 1000)
	if len(got) != 1 || len(got[0].People) != 1 || len(got[0].People[0].Flows) != 1 || got[0].People[0].Flows[0].Flow != videoUp {
		t.Fatalf("got %+v", got)
	}
	samples := got[0].People[0].Flows[0].Samples
	f.Packets = 0
	if len(samples) != 2 || !samples[0].At.Equal(now.Add(10*time.Second)) || samples[0].Score != 3.46 || samples[0].Figures != f {
		t.Errorf("first sample: got %+v, want %+v", samples[0], f)
	}
	if samples[1].Score.Known() || samples[1].Loss != Unknown || samples[1].Frames != Unknown {
		t.Errorf("what was not known is known: %+v", samples[1])
	}
	if h.Meeting("1", 100, 1000) != nil {
		t.Error("there is something of a meeting that never was")
	}
}

// TestHistoryMissesNothing records two samples within ten seconds, of which the bad one must be told.
func TestHistoryMissesNothing(t *testing.T) {
	h := NewHistory(Limits{})
	in, ada := Run{"1234", h.epoch}, Person{"p1", "Ada"}
	for i, score := range []Score{4, 1.5, 4, 4} {
		h.Record(h.epoch.Add(time.Duration(i)*5*time.Second+time.Second), in, ada, audioDown, Figures{Packets: 1, Loss: float64(i%2) / 10}, score)
	}
	samples := h.Meeting("1234", 100, 100)[0].People[0].Flows[0].Samples
	if len(samples) != 2 || samples[0].Score != 1.5 || samples[0].Loss != 0.05 || samples[1].Score != 4 || h.weight != h.weigh() {
		t.Errorf("got %+v, weight %d, holds %d", samples, h.weight, h.weigh())
	}
}

// TestHistoryThinsAndForgets runs a day and a half: an hour in full, the rest by minutes with the worst score of each, nothing before a day.
func TestHistoryThinsAndForgets(t *testing.T) {
	h := NewHistory(Limits{})
	in, ada := Run{"1234", h.epoch}, Person{"p1", "Ada"}
	now := h.epoch
	for i := range 36 * 360 {
		now = now.Add(10 * time.Second)
		score := Score(4)
		if i%6 == 3 {
			score = 2
		}
		h.Record(now, in, ada, audioDown, Figures{Packets: 1, Loss: 0.01}, score)
	}
	samples := h.runs[0].people[0].flows[audioDown.index()].samples
	if want := 360 + 23*60; len(samples) < want-10 || len(samples) > want+20 {
		t.Errorf("%d samples, want about %d", len(samples), want)
	}
	if h.weight != h.weigh() {
		t.Errorf("counted %d, holds %d", h.weight, h.weigh())
	}
	all := h.Meeting("1234", 1_000_000, 1_000_000)[0].People[0].Flows[0].Samples
	if age := now.Sub(all[0].At); age < 24*time.Hour-2*time.Minute || age > 24*time.Hour+2*time.Minute {
		t.Errorf("the oldest sample is %v old", age)
	}
	if all[0].Score != 2 || math.Abs(all[0].Loss-0.01) > 1e-9 {
		t.Errorf("a minute that was bad for ten seconds: %+v", all[0])
	}
	if some := h.Meeting("1234", 50, 1_000_000)[0].People[0].Flows[0].Samples; len(some) > 50 || len(some) < 40 {
		t.Errorf("asked for 50 samples, got %d", len(some))
	}
	h.Prune(now.Add(25 * time.Hour))
	if len(h.runs) != 0 || h.weight != 0 {
		t.Errorf("a day after the end there are %d runs, weight %d", len(h.runs), h.weight)
	}
}

// TestHistoryIsBounded records at random and more than fits: what is kept never exceeds the bound, is the newest, and is counted right.
func TestHistoryIsBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	h := NewHistory(Limits{Weight: 5000, FineFor: 10 * time.Minute})
	now := h.epoch
	for range 60_000 {
		now = now.Add(time.Duration(r.IntN(2000)) * ms)
		in := Run{fmt.Sprint(1000 + r.IntN(20)), h.epoch.Add(now.Sub(h.epoch).Truncate(2 * time.Hour))}
		h.Record(now, in, Person{fmt.Sprint(r.IntN(40)), "x"}, flowAt(r.IntN(numFlows)), Figures{Packets: 1}, 4)
		if h.weight > 5000 {
			t.Fatalf("weight %d, the bound is 5000", h.weight)
		}
	}
	if h.weight != h.weigh() {
		t.Errorf("counted %d, holds %d", h.weight, h.weigh())
	}
	if h.weight < 2000 {
		t.Errorf("only %d of 5000 are used", h.weight)
	}
	newest := time.Duration(0)
	for _, run := range h.runs {
		for _, p := range run.people {
			for _, f := range p.flows {
				for i, s := range f.samples {
					newest = max(newest, time.Duration(s.at)*100*ms)
					if i > 0 && s.at < f.samples[i-1].at {
						t.Fatal("samples are out of order")
					}
				}
			}
		}
	}
	if now.Sub(h.epoch)-newest > time.Second {
		t.Errorf("the newest sample is %v old", now.Sub(h.epoch)-newest)
	}
}

// TestHistoryFitsInMemory holds the figure of docs/operations.md.
func TestHistoryFitsInMemory(t *testing.T) {
	if size := int(unsafe.Sizeof(sample{})); size*NewHistory(Limits{}).limits.Weight > 64<<20 {
		t.Errorf("a sample takes %d bytes: the full history would take more than 64 MiB", size)
	}
	if size := int(unsafe.Sizeof(person{})); size > peopleWeight*int(unsafe.Sizeof(sample{}))*2 {
		t.Errorf("a participant takes %d bytes, which peopleWeight does not cover", size)
	}
}

func TestSpread(t *testing.T) {
	var s Spread
	s.Add(audioDown, Figures{Packets: 1, Loss: 0.015, Jitter: 15 * ms, RoundTrip: 30 * ms}, 4.1)
	s.Add(audioDown, Figures{Packets: 1, Loss: Unknown}, 0)
	s.Add(audioDown, Figures{}, NoScore)
	for _, b := range s.All() {
		switch {
		case b.Flow != audioDown:
			if b.Count != 0 {
				t.Errorf("%v has %d values", b.Flow, b.Count)
			}
		case b.Measure == MeasureScore:
			if b.Count != 2 || b.Sum != 4.1 || b.Upto[0] != 1 || b.Upto[4] != 1 || b.Upto[4.25] != 2 {
				t.Errorf("scores: %+v", b)
			}
		case b.Measure == MeasureLoss:
			if b.Count != 1 || b.Upto[0.01] != 0 || b.Upto[0.02] != 1 {
				t.Errorf("loss: %+v", b)
			}
		case b.Measure == MeasureRoundTrip:
			if b.Count != 1 || b.Upto[0.025] != 0 || b.Upto[0.05] != 1 {
				t.Errorf("round trips: %+v", b)
			}
		}
	}
}

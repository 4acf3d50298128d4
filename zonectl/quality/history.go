package quality

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Limits bounds a History. Zero means the default.
type Limits struct {
	Keep      time.Duration // how long samples are kept; default 24 h
	Grain     time.Duration // what is recorded of a flow within so long becomes one sample; default 10 s
	FineFor   time.Duration // how long each sample is kept, after which those of a minute become one; default 1 h
	Weight    int           // samples in all, a participant counting as peopleWeight of them; default 2,000,000, about 50 MB
	perMinute time.Duration // for tests
}

// Weights in samples.
const (
	peopleWeight = 8
	runWeight    = 8
)

func (l Limits) withDefaults() Limits {
	or := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	or(&l.Keep, 24*time.Hour)
	or(&l.Grain, 10*time.Second)
	or(&l.FineFor, time.Hour)
	or(&l.perMinute, time.Minute)
	if l.Weight <= 0 {
		l.Weight = 2_000_000
	}
	return l
}

// Run names one meeting from its beginning to its end; a room has many of the same number.
type Run struct {
	Number  string
	Created time.Time
}

// Person names a participant of a run.
type Person struct{ ID, Name string }

// History keeps the figures of meetings, in memory only. When there is more than the limits permit, the oldest goes first, of all meetings alike.
type History struct {
	limits Limits
	epoch  time.Time

	mu     sync.Mutex // guards what follows
	runs   []*run     // in the order of their first sample
	weight int
	pruned time.Time
}

// NewHistory makes an empty history.
func NewHistory(limits Limits) *History {
	return &History{limits: limits.withDefaults(), epoch: time.Now()}
}

// run is a meeting; people are in the order of their first sample.
type run struct {
	Run
	people []*person
}

type person struct {
	Person
	flows [numFlows]track
}

// track is the samples of a flow, oldest first. The first so many are of a minute each.
type track struct {
	samples []sample
	coarse  int
}

// sample is figures, packed.
type sample struct {
	at        uint32 // tenths of a second since the epoch
	rate      uint32 // bit/s
	loss      uint16 // 1/10,000, or none
	jitter    uint16 // 1/10 ms
	roundTrip uint16 // 1/10 ms, 0 not measured
	frames    uint16 // 1/10 per second, or none
	frozen    uint16 // 1/10,000, or none
	concealed uint16 // 1/10,000, or none
	freezes   uint8
	score     uint8 // 1/50, or noneScore
}

const (
	none      = math.MaxUint16
	noneScore = math.MaxUint8
)

// Record keeps the figures and score of a flow.
func (h *History) Record(now time.Time, in Run, of Person, flow Flow, f Figures, score Score) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &h.personLocked(in, of).flows[flow.index()]
	h.weight += t.add(pack(now.Sub(h.epoch), f, score), since10(h.limits.Grain))
	if h.weight > h.limits.Weight || now.Sub(h.pruned) >= h.limits.perMinute || h.pruned.IsZero() {
		h.pruneLocked(now)
	}
}

// personLocked finds the participant, newest run first, or enters them.
func (h *History) personLocked(in Run, of Person) *person {
	var r *run
	for _, known := range slices.Backward(h.runs) {
		if known.Run == in {
			r = known
			break
		}
	}
	if r == nil {
		r = &run{Run: in}
		h.runs = append(h.runs, r)
		h.weight += runWeight
	}
	for _, p := range r.people {
		if p.ID == of.ID {
			return p
		}
	}
	p := &person{Person: of}
	r.people = append(r.people, p)
	h.weight += peopleWeight
	return p
}

// Prune thins and forgets what is old, also where nothing is recorded any more.
func (h *History) Prune(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pruneLocked(now)
}

// pruneLocked thins what is older than FineFor and forgets what is older than Keep, or than less where there is too much.
func (h *History) pruneLocked(now time.Time) {
	h.pruned = now
	fine, minute := since10(now.Sub(h.epoch)-h.limits.FineFor), since10(h.limits.perMinute)
	for _, r := range h.runs {
		for _, p := range r.people {
			for i := range p.flows {
				h.weight -= p.flows[i].thin(fine, minute)
			}
		}
	}
	for keep := h.limits.Keep; ; keep = keep * 3 / 4 {
		h.forgetLocked(since10(now.Sub(h.epoch) - keep))
		if h.weight <= h.limits.Weight*9/10 || len(h.runs) == 0 {
			return
		}
		if h.weight <= h.limits.Weight && keep == h.limits.Keep {
			return
		}
	}
}

// forgetLocked forgets samples older than a moment, then those of whom there is nothing left.
func (h *History) forgetLocked(before uint32) {
	h.runs = slices.DeleteFunc(h.runs, func(r *run) bool {
		r.people = slices.DeleteFunc(r.people, func(p *person) bool {
			left := 0
			for i := range p.flows {
				h.weight -= p.flows[i].forget(before)
				left += len(p.flows[i].samples)
			}
			if left == 0 {
				h.weight -= peopleWeight
			}
			return left == 0
		})
		if len(r.people) == 0 {
			h.weight -= runWeight
		}
		return len(r.people) == 0
	})
}

// add takes a sample, together with the one before where both are of the same grain, and returns how many more there are.
func (t *track) add(s sample, grain uint32) int {
	if n := len(t.samples); n > t.coarse && t.samples[n-1].at/grain == s.at/grain {
		t.samples[n-1] = merge([]sample{t.samples[n-1], s})
		return 0
	}
	t.samples = append(t.samples, s)
	return 1
}

// thin makes one sample of those of each minute that is older than a moment, and returns how many fewer there are.
func (t *track) thin(before, minute uint32) (gone int) {
	end := t.coarse
	for end < len(t.samples) && t.samples[end].at/minute < before/minute {
		end++
	}
	if end == t.coarse {
		return 0
	}
	kept := t.samples[:t.coarse]
	for from := t.coarse; from < end; {
		to := from + 1
		for to < end && t.samples[to].at/minute == t.samples[from].at/minute {
			to++
		}
		kept = append(kept, merge(t.samples[from:to]))
		from = to
	}
	coarse := len(kept)
	kept = append(kept, t.samples[end:]...)
	gone = len(t.samples) - len(kept)
	t.samples, t.coarse = shrink(kept), coarse
	return gone
}

// forget drops what is older than a moment and returns how much that was.
func (t *track) forget(before uint32) int {
	n := 0
	for n < len(t.samples) && t.samples[n].at < before {
		n++
	}
	if n > 0 {
		t.samples = shrink(slices.Delete(t.samples, 0, n))
		t.coarse = max(0, t.coarse-n)
	}
	return n
}

// shrink gives memory back where most of it is unused.
func shrink(s []sample) []sample {
	if cap(s) > 64 && len(s) < cap(s)/2 {
		return slices.Clip(slices.Clone(s))
	}
	return s
}

// merge is the mean of samples that follow each other; of scores the worst, since that is what people ask a history for.
func merge(list []sample) sample {
	m := list[0]
	if len(list) == 1 {
		return m
	}
	mean := func(get func(*sample) uint16, unknown bool) uint16 {
		sum, n := 0, 0
		for i := range list {
			if v := get(&list[i]); !unknown || v != none {
				sum, n = sum+int(v), n+1
			}
		}
		if n == 0 {
			return none
		}
		return uint16(sum / n)
	}
	var rate, freezes uint64
	for _, s := range list {
		rate += uint64(s.rate)
		freezes += uint64(s.freezes)
		m.score = worse(m.score, s.score)
	}
	m.rate, m.freezes = uint32(rate/uint64(len(list))), uint8(min(freezes, math.MaxUint8))
	m.loss = mean(func(s *sample) uint16 { return s.loss }, true)
	m.jitter = mean(func(s *sample) uint16 { return s.jitter }, false)
	m.roundTrip = mean(func(s *sample) uint16 { return s.roundTrip }, false)
	m.frames = mean(func(s *sample) uint16 { return s.frames }, true)
	m.frozen = mean(func(s *sample) uint16 { return s.frozen }, true)
	m.concealed = mean(func(s *sample) uint16 { return s.concealed }, true)
	return m
}

// worse is the lower of two packed scores; none is not low but unknown, and the largest number.
func worse(a, b uint8) uint8 { return min(a, b) }

// since10 packs a time.
func since10(d time.Duration) uint32 {
	return uint32(max(0, min(d/(100*time.Millisecond), math.MaxUint32)))
}

func pack(at time.Duration, f Figures, score Score) sample {
	s := sample{at: since10(at), rate: uint32(max(0, min(f.Rate, math.MaxUint32))), loss: scaled(f.Loss, 10_000), frames: scaled(f.Frames, 10),
		frozen: scaled(f.Frozen, 10_000), concealed: scaled(f.Concealed, 10_000), freezes: uint8(min(f.Freezes, math.MaxUint8)), score: noneScore,
		jitter:    scaled(f.Jitter.Seconds(), 10_000),
		roundTrip: scaled(f.RoundTrip.Seconds(), 10_000)}
	if score.Known() {
		s.score = uint8(math.Round(float64(min(score, 5)) * 50))
	}
	return s
}

// scaled packs a value that is not negative; others are unknown.
func scaled(v, scale float64) uint16 {
	if v < 0 || math.IsNaN(v) {
		return none
	}
	return uint16(min(math.Round(v*scale), none-1))
}

func unscaled(v uint16, scale float64) float64 {
	if v == none {
		return Unknown
	}
	return float64(v) / scale
}

func (s *sample) unpack(epoch time.Time) Sample {
	out := Sample{At: epoch.Add(time.Duration(s.at) * 100 * time.Millisecond), Score: NoScore, Figures: Figures{Rate: float64(s.rate),
		Loss: unscaled(s.loss, 10_000), Frames: unscaled(s.frames, 10), Frozen: unscaled(s.frozen, 10_000), Concealed: unscaled(s.concealed, 10_000),
		Freezes: uint64(s.freezes), Jitter: time.Duration(s.jitter) * 100 * time.Microsecond, RoundTrip: time.Duration(s.roundTrip) * 100 * time.Microsecond}}
	if s.score != noneScore {
		out.Score = Score(s.score) / 50
	}
	return out
}

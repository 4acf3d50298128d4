package bwe

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"meetzone/mmr/internal/twcc"
)

// A simulated link and a receiver that reports by the real recorder, driven by simulated time.

// linkStep is what the link is from a time on.
type linkStep struct {
	from   time.Duration
	rate   float64 // bit/s
	queue  time.Duration
	delay  time.Duration
	jitter time.Duration
	loss   float64
	burst  float64 // mean length of losses in a row, 0: each by itself
	cross  float64 // bit/s of somebody else's traffic
}

// flying is a packet or a report on its way.
type flying struct {
	at   time.Duration
	path uint8
	seq  uint16
	body []byte
}

// sim is one run.
type sim struct {
	t      testing.TB
	rng    *rand.Rand
	e      *Estimator
	steps  []linkStep
	mute   bool // no report comes back
	fixed  bool // the sender does not follow
	split  bool // the receiver has a stack for each path
	want   float64
	ladder bool // pictures come in a few sizes only
	slow   bool // the sender is far away: it is told what to send, follows later, and never sends as much
	told   []float64

	now      time.Duration
	busy     time.Duration // the bottleneck is, until then
	bad      bool
	drift    float64
	drifted  time.Duration
	last     time.Duration // arrival
	forward  []flying
	backward []flying
	recorder [3]*twcc.Recorder
	reportAt time.Duration
	pacer    Pacer
	backlog  [][2]int // path, size
	rows     []simRow
	sentBits float64
	gone     int
	rival    *rival
}

// simRow is what a tenth of a second was like.
type simRow struct {
	at           time.Duration
	target, used float64
	rate         float64
	queue        time.Duration
}

func newSim(t testing.TB, want float64, steps ...linkStep) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(1, 2)), e: New(Config{}), steps: steps, want: want}
	for i := range s.recorder {
		s.recorder[i] = twcc.New()
	}
	s.e.Want(uint64(want))
	return s
}

func (s *sim) link() linkStep {
	l := s.steps[0]
	for _, step := range s.steps {
		if step.from <= s.now {
			l = step
		}
	}
	return l
}

// send puts a packet on the link.
func (s *sim) send(path uint8, size int) {
	seq := s.e.Send(Time(s.now)+1, path, size)
	s.pacer.Spend(Time(s.now)+1, size)
	s.sentBits += float64(size) * 8
	l := s.link()
	wait := max(0, s.busy-s.now)
	if l.queue > 0 && wait > l.queue {
		s.gone++
		return
	}
	rate := l.rate - l.cross
	s.busy = max(s.busy, s.now) + time.Duration(float64(size)*8/rate*1e9)
	if s.loses(l) {
		s.gone++
		return
	}
	at := s.busy + l.delay
	if l.jitter > 0 {
		keep := math.Exp(-float64(s.now-s.drifted) / float64(100*time.Millisecond))
		s.drift = keep*s.drift + math.Sqrt(1-keep*keep)*s.rng.NormFloat64()
		s.drifted = s.now
		at += time.Duration(max(-3, min(3, s.drift)) * float64(l.jitter))
	}
	at = max(at, s.last, s.busy)
	s.last = at
	s.forward = append(s.forward, flying{at: at, path: path, seq: seq})
}

// rival is a TCP stream in the manner of Reno.
type rival struct {
	window    float64 // packets
	flying    int
	acks      []time.Duration
	recovered time.Duration
	bytes     int
}

// run sends what the window permits.
func (r *rival) run(s *sim) {
	l := s.link()
	for len(r.acks) > 0 && r.acks[0] <= s.now {
		r.acks = r.acks[1:]
		r.flying--
		r.window += 1 / r.window
	}
	const size = 1500
	for float64(r.flying) < r.window {
		if wait := max(0, s.busy-s.now); wait > l.queue {
			if s.now > r.recovered {
				r.window = max(2, r.window/2)
				r.recovered = s.now + wait + 2*l.delay
			}
			return
		}
		s.busy = max(s.busy, s.now) + time.Duration(size*8/l.rate*1e9)
		r.acks = append(r.acks, s.busy+2*l.delay)
		r.flying++
		r.bytes += size
	}
}

func (s *sim) loses(l linkStep) bool {
	if l.burst == 0 {
		return s.rng.Float64() < l.loss
	}
	if s.bad {
		s.bad = s.rng.Float64() >= 1/l.burst
	} else {
		s.bad = s.rng.Float64() < l.loss/(1-l.loss)/l.burst
	}
	return s.bad
}

// deliver lets everything arrive that is due, and reports return.
func (s *sim) deliver() {
	for len(s.forward) > 0 && s.forward[0].at <= s.now {
		f := s.forward[0]
		s.forward = s.forward[1:]
		r := s.recorder[0]
		offset := time.Hour
		if s.split {
			r = s.recorder[f.path]
			offset += time.Duration(f.path) * 17 * time.Minute
		}
		r.Record(f.seq, f.at+offset)
	}
	if s.now >= s.reportAt {
		s.reportAt = s.now + 100*time.Millisecond
		for i, r := range s.recorder {
			for _, body := range bodies(r.Append(nil, 1, 2)) {
				if s.mute {
					break
				}
				s.backward = append(s.backward, flying{at: s.now + s.link().delay, path: uint8(i), body: body})
			}
		}
	}
	for len(s.backward) > 0 && s.backward[0].at <= s.now {
		f := s.backward[0]
		s.backward = s.backward[1:]
		path := f.path
		if !s.split {
			path = 0
		}
		if err := s.e.Feedback(Time(s.now)+1, path, f.body); err != nil {
			s.t.Fatal(err)
		}
	}
}

// run lets a sender follow the estimate: voice always, pictures of what is left up to what is wanted, paced.
func (s *sim) run(until time.Duration) {
	frameAt, voiceAt, rowAt := s.now, s.now, s.now
	bits := 0.0
	for ; s.now < until; s.now += time.Millisecond {
		s.deliver()
		if s.rival != nil {
			s.rival.run(s)
		}
		now := Time(s.now) + 1
		if s.now >= voiceAt {
			voiceAt += 20 * time.Millisecond
			s.send(0, 140)
		}
		target := s.e.Target()
		if s.fixed {
			target = 100e6
		}
		if s.now >= frameAt {
			frameAt += 33 * time.Millisecond
			rate := min(target*0.97-56_000, s.want)
			if s.slow {
				s.told = append(s.told, rate)
				rate = 0.94 * s.told[max(0, len(s.told)-10)]
			}
			if s.ladder {
				rate = step(rate, 1_900_000, 600_000, 200_000)
			}
			size := max(200, int(rate*0.033/8*(0.8+0.4*s.rng.Float64())))
			for size > 0 {
				s.backlog = append(s.backlog, [2]int{1, min(size, 1150)})
				size -= 1150
			}
		}
		s.pacer.SetRate(now, 1.2*target)
		for len(s.backlog) > 0 && s.pacer.Ready(now) {
			s.send(uint8(s.backlog[0][0]), s.backlog[0][1])
			s.backlog = s.backlog[1:]
		}
		for {
			n, _ := s.e.Probe(now)
			if n == 0 {
				break
			}
			s.send(2, min(max(n, 100), 290))
		}
		if s.now >= rowAt {
			rowAt += 100 * time.Millisecond
			l := s.link()
			s.rows = append(s.rows, simRow{at: s.now, target: s.e.Target(), used: (s.sentBits - bits) * 10, rate: l.rate - l.cross, queue: max(0, s.busy-s.now)})
			bits = s.sentBits
		}
	}
}

// mean returns the mean target and the longest queue between two times.
func (s *sim) mean(from, to time.Duration) (target, used float64, queue time.Duration) {
	n := 0.0
	for _, r := range s.rows {
		if r.at >= from && r.at < to {
			target += r.target
			used += r.used
			queue = max(queue, r.queue)
			n++
		}
	}
	return target / n, used / n, queue
}

// step returns the first of the rates that fits, or 0.
func step(rate float64, rates ...float64) float64 {
	for _, r := range rates {
		if r <= rate {
			return r
		}
	}
	return 0
}

package bwe

import (
	"testing"
	"time"

	"meetzone/mmr/internal/twcc"
)

const delay = 20 * time.Millisecond

// TestPaths lets a sender that follows the estimate run over simulated links, and looks at its start and at its steady state.
func TestPaths(t *testing.T) {
	const want = 2.2e6 // bit/s, and voice
	queue := 300 * time.Millisecond
	for _, c := range []struct {
		name  string
		link  linkStep
		split bool
		used  float64 // the least share of what can be had, in steady state
		start float64 // and of what the estimate is after two seconds
	}{
		{"clean", linkStep{rate: 100e6, delay: delay}, false, 0.98, 0.5},
		{"clean, three stacks", linkStep{rate: 100e6, delay: delay}, true, 0.98, 0.5},
		{"3 Mbit/s", linkStep{rate: 3e6, delay: delay, queue: queue}, false, 0.98, 0.5},
		{"1.5 Mbit/s", linkStep{rate: 1.5e6, delay: delay, queue: queue}, false, 0.8, 0.5},
		{"500 kbit/s", linkStep{rate: 500e3, delay: delay, queue: queue}, false, 0.8, 0.5},
		{"500 kbit/s, three stacks", linkStep{rate: 500e3, delay: delay, queue: queue}, true, 0.75, 0.5},
		{"250 kbit/s", linkStep{rate: 250e3, delay: delay, queue: queue}, false, 0.8, 0.5},
		{"2 % loss", linkStep{rate: 100e6, delay: delay, loss: 0.02}, false, 0.98, 0.5},
		{"10 % bursty loss", linkStep{rate: 100e6, delay: delay, loss: 0.1, burst: 5}, false, 0.9, 0.5},
		{"200 ms", linkStep{rate: 100e6, delay: 200 * time.Millisecond}, false, 0.98, 0.5},
		{"30 ms jitter", linkStep{rate: 100e6, delay: 100 * time.Millisecond, jitter: 30 * time.Millisecond}, false, 0.9, 0.3},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t, want, c.link)
			s.split = c.split
			s.run(40 * time.Second)
			start, _, _ := s.mean(2*time.Second, 3*time.Second)
			target, used, waited := s.mean(20*time.Second, 40*time.Second)
			have := min(c.link.rate, want+56e3)
			t.Logf("after 2 s %.0f kbit/s; steady %.0f, used %.0f of %.0f kbit/s (%.0f %%), longest queue %v, %d probes, loss %.3f",
				start/1e3, target/1e3, used/1e3, have/1e3, used/have*100, waited.Round(time.Millisecond), s.e.prober.count, s.e.loss.average)
			if used < c.used*have {
				t.Errorf("%.0f of %.0f kbit/s are used", used/1e3, have/1e3)
			}
			if start < c.start*have {
				t.Errorf("two seconds after the start the estimate is %.0f of %.0f kbit/s", start/1e3, have/1e3)
			}
			if waited > 250*time.Millisecond {
				t.Errorf("the queue is %v long", waited)
			}
		})
	}
}

// TestSteps: after a step down the queue is short within three seconds, after a step up the rate is back within eight.
func TestSteps(t *testing.T) {
	for _, split := range []bool{false, true} {
		fast := linkStep{rate: 3e6, delay: delay, queue: 300 * time.Millisecond}
		slow, again := fast, fast
		slow.from, slow.rate, again.from = 20*time.Second, 500e3, 40*time.Second
		s := newSim(t, 4e6, fast, slow, again)
		s.split = split
		s.run(60 * time.Second)
		_, before, _ := s.mean(10*time.Second, 20*time.Second)
		_, _, settling := s.mean(23*time.Second, 26*time.Second)
		_, low, _ := s.mean(25*time.Second, 40*time.Second)
		best := 0.0
		for _, r := range s.rows {
			if r.at > 40*time.Second && r.at <= 48*time.Second {
				best = max(best, r.target)
			}
		}
		_, after, _ := s.mean(50*time.Second, 60*time.Second)
		t.Logf("split %v: used %.0f, %.0f and %.0f kbit/s; queue %v from 3 s after the step down; %.0f kbit/s within 8 s of the step up",
			split, before/1e3, low/1e3, after/1e3, settling.Round(time.Millisecond), best/1e3)
		if before < 0.8*3e6 || low < 0.7*500e3 || after < 0.8*3e6 {
			t.Error("too little is used")
		}
		if settling > 100*time.Millisecond {
			t.Error("the queue stays long")
		}
		if best < 0.9*3e6 {
			t.Error("the step up is not found")
		}
	}
}

// TestCompetition: somebody who takes half of the link is seen, and when they have gone, so is that.
func TestCompetition(t *testing.T) {
	alone := linkStep{rate: 3e6, delay: delay, queue: 300 * time.Millisecond}
	with, again := alone, alone
	with.from, with.cross, again.from = 15*time.Second, 1.5e6, 35*time.Second
	s := newSim(t, 4e6, alone, with, again)
	s.run(50 * time.Second)
	_, shared, waited := s.mean(20*time.Second, 35*time.Second)
	_, after, _ := s.mean(43*time.Second, 50*time.Second)
	t.Logf("used %.0f kbit/s beside 1500 others, queue %v, then %.0f", shared/1e3, waited.Round(time.Millisecond), after/1e3)
	if shared < 0.75*1.5e6 || after < 0.8*3e6 {
		t.Error("too little is used")
	}
}

// TestFull: a sender that does not follow, because it cannot, has its estimate below what the path carries within a second, although the
// queue is full and delays do not grow any more.
func TestFull(t *testing.T) {
	s := newSim(t, 700e3, linkStep{rate: 100e6, delay: time.Millisecond},
		linkStep{from: 10 * time.Second, rate: 500e3, delay: 10 * time.Millisecond, queue: 300 * time.Millisecond})
	s.fixed = true
	s.run(16 * time.Second)
	if target, _, _ := s.mean(11*time.Second, 16*time.Second); target > 500e3 {
		t.Errorf("the estimate stays at %.0f kbit/s", target/1e3)
	}
}

// TestRival: beside a TCP stream that keeps the queue full neither is starved for good.
func TestRival(t *testing.T) {
	const link = 3e6
	s := newSim(t, 2.2e6, linkStep{rate: link, delay: 10 * time.Millisecond, queue: 300 * time.Millisecond})
	s.run(5 * time.Second)
	s.rival = &rival{window: 10}
	s.run(20 * time.Second)
	early := s.rival.bytes
	s.run(45 * time.Second)
	_, first, _ := s.mean(5*time.Second, 20*time.Second)
	_, later, _ := s.mean(20*time.Second, 45*time.Second)
	theirs := float64(s.rival.bytes-early) * 8 / 25
	t.Logf("used %.0f kbit/s in the first 15 s, then %.0f beside %.0f of TCP", first/1e3, later/1e3, theirs/1e3)
	if first < 0.2*link || later < 0.25*link || theirs < 0.1*link {
		t.Error("somebody is starved")
	}
}

// TestSilence: a receiver that does not report any more gets the least, and what it had as soon as it reports again.
func TestSilence(t *testing.T) {
	s := newSim(t, 2e6, linkStep{rate: 5e6, delay: delay})
	s.run(5 * time.Second)
	before := s.e.Target()
	s.mute = true
	s.run(8 * time.Second)
	if got := s.e.Target(); got > DefaultLeast {
		t.Errorf("three seconds without a report, and the estimate is %.0f", got)
	}
	s.mute = false
	s.run(8500 * time.Millisecond)
	if got := s.e.Target(); got < before/2 {
		t.Errorf("reports are back, and the estimate is %.0f; it was %.0f", got, before)
	}
}

// TestPause: where nothing was sent for a while, nothing could be reported, and the receiver has what it had. When it does not report
// afterwards, it is silent as ever.
func TestPause(t *testing.T) {
	s := newSim(t, 2e6, linkStep{rate: 5e6, delay: delay})
	s.run(5 * time.Second)
	before, now := s.e.Target(), Time(65*time.Second)
	s.e.Send(now, 0, 1000)
	if got := s.e.Target(); s.e.Silent() || got < before {
		t.Errorf("after a pause the estimate is %.0f, before %.0f", got, before)
	}
	for range 25 {
		now += Time(100 * time.Millisecond)
		s.e.Send(now, 0, 1000)
	}
	if !s.e.Silent() {
		t.Error("nothing is reported after the pause, and the receiver is not silent")
	}
	if now += Time(time.Minute); !s.e.ProbeDue(now) {
		t.Error("a silent receiver is not probed")
	}
	if s.e.Send(now, 0, 1000); !s.e.Silent() {
		t.Error("a pause has made a silent receiver one that hears")
	}
	s.e.Probe(now)
	for range 20 {
		s.e.Send(now, 0, 1000)
	}
	if now += Time(10 * time.Second); !s.e.ProbeDue(now) {
		t.Error("a silent receiver is not probed again")
	}
}

// TestNeverReported: a receiver that never reports gets the least, unless it tells by other reports what it can take.
func TestNeverReported(t *testing.T) {
	for _, c := range []struct {
		name   string
		tell   func(*Estimator)
		silent bool
	}{
		{"nothing", func(*Estimator) {}, true},
		{"reports", func(e *Estimator) { e.Report(1, 100, 0) }, false},
		{"REMB", func(e *Estimator) { e.Limit(1e6) }, false},
	} {
		e := New(Config{})
		c.tell(e)
		for i := range 30 {
			if e.Send(Time(i+1)*Time(100*time.Millisecond), 0, 1000); i == 10 && e.Silent() {
				t.Errorf("%s: silent after a second", c.name)
			}
		}
		if e.Silent() != c.silent || !e.Known() || (e.Target() == DefaultLeast) != c.silent {
			t.Errorf("%s: silent %v, known %v, estimate %.0f", c.name, e.Silent(), e.Known(), e.Target())
		}
		if e.Want(1e6); e.ProbeDue(Time(4*time.Second)) != c.silent {
			t.Errorf("%s: a probe is due: %v", c.name, !c.silent)
		}
	}
}

// TestEarlyLimit: a REMB that came before the first transport-wide report does not count from then on.
func TestEarlyLimit(t *testing.T) {
	s := newSim(t, 2e6, linkStep{rate: 5e6, delay: delay})
	s.e.Limit(100_000)
	s.run(5 * time.Second)
	if got := s.e.Target(); got < 1e6 {
		t.Errorf("the estimate is %.0f", got)
	}
}

// TestReports: without transport-wide feedback, reports without loss leave the rate, and loss lowers it; a REMB is obeyed.
func TestReports(t *testing.T) {
	e := New(Config{})
	for i := range 100 {
		now := Time(i+1) * Time(100*time.Millisecond)
		e.SendPlain(now, 30_000)
		if i%10 == 9 {
			e.Report(now, 250, 0)
		}
	}
	if !e.Known() || e.Target() < fallbackStart {
		t.Errorf("estimate %v after reports without loss", e.Target())
	}
	before := e.Target()
	for i := range 100 {
		now := 1e10 + Time(i+1)*Time(100*time.Millisecond)
		e.SendPlain(now, 30_000)
		if i%10 == 9 {
			e.Report(now, 250, 75)
		}
	}
	if e.Target() > 0.7*before {
		t.Errorf("estimate %v, before 30 %% loss %v", e.Target(), before)
	}
	if e.Limit(300_000); e.Target() > 300_000 {
		t.Errorf("estimate %v above a REMB of 300000", e.Target())
	}
}

// TestNoAllocations: nothing is allocated once a packet was numbered.
func TestNoAllocations(t *testing.T) {
	s := newSim(t, 2e6, linkStep{rate: 5e6, delay: delay})
	s.run(5 * time.Second)
	rec, now := s.recorder[0], Time(s.now)
	var list [][]byte
	for range 101 {
		for range 50 {
			now += Time(time.Millisecond)
			rec.Record(s.e.Send(now, 1, 1000), time.Duration(now)+time.Hour)
		}
		list = append(list, bodies(rec.Append(nil, 1, 2))...)
	}
	i := 0
	allocs := testing.AllocsPerRun(100, func() {
		now += Time(50 * time.Millisecond)
		s.e.Send(now, 1, 1000)
		s.e.Probe(now)
		if err := s.e.Feedback(now, 0, list[i]); err != nil {
			t.Fatal(err)
		}
		i++
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a report", allocs)
	}
}

// BenchmarkFeedback takes one packet there and its report back.
func BenchmarkFeedback(b *testing.B) {
	e, rec, now := New(Config{}), twcc.New(), Time(0)
	var buf []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now += Time(time.Millisecond)
		rec.Record(e.Send(now, 1, 1000), time.Duration(now))
		if i%50 == 49 {
			buf = rec.Append(buf[:0], 1, 2)
			if err := e.Feedback(now, 0, buf[4:]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

package bwe

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestJitter: a path that varies the delay by itself leaves what it carries, whether the receiver has one stack or three, and whether pictures come in
// all sizes or in three. Every row is played with eight seeds.
func TestJitter(t *testing.T) {
	for _, c := range []struct {
		name          string
		split, ladder bool
		delay         time.Duration
		least, median float64 // of the mean estimate from 20 to 40 s after the start, kbit/s
	}{
		{"one stack", false, false, 60 * time.Millisecond, 2200, 3000},
		{"one stack, three sizes", false, true, 60 * time.Millisecond, 2200, 3000},
		{"three stacks", true, false, 60 * time.Millisecond, 1000, 2500},
		{"three stacks, three sizes", true, true, 60 * time.Millisecond, 450, 2500},
		{"three stacks, three sizes, 100 ms", true, true, 100 * time.Millisecond, 450, 1500},
	} {
		t.Run(c.name, func(t *testing.T) {
			var targets []float64
			for seed := range uint64(8) {
				s := newSim(t, 2.2e6, linkStep{rate: 100e6, delay: c.delay, jitter: 30 * time.Millisecond})
				s.rng, s.split, s.ladder = rand.New(rand.NewPCG(seed+1, 2)), c.split, c.ladder
				s.run(40 * time.Second)
				target, _, _ := s.mean(20*time.Second, 40*time.Second)
				targets = append(targets, target/1e3)
			}
			slices.Sort(targets)
			t.Logf("estimates %.0f kbit/s", targets)
			if targets[0] < c.least || targets[len(targets)/2] < c.median {
				t.Errorf("too low: want at least %.0f, in the middle %.0f", c.least, c.median)
			}
		})
	}
}

// TestJitterAndQueue: where the path has a queue that we fill as well, it is still seen.
func TestJitterAndQueue(t *testing.T) {
	for _, rate := range []float64{500e3, 1e6} {
		for seed := range uint64(5) {
			s := newSim(t, 2.2e6, linkStep{rate: rate, delay: 60 * time.Millisecond, queue: 300 * time.Millisecond, jitter: 30 * time.Millisecond})
			s.rng = rand.New(rand.NewPCG(seed+1, 2))
			s.run(40 * time.Second)
			_, used, longest := s.mean(15*time.Second, 40*time.Second)
			mean, rows := time.Duration(0), time.Duration(0)
			for _, r := range s.rows {
				if r.at > 15*time.Second {
					mean, rows = mean+r.queue, rows+1
				}
			}
			mean /= rows
			t.Logf("%.0f of %.0f kbit/s used, queue %v, at most %v", used/1e3, rate/1e3, mean.Round(time.Millisecond), longest.Round(time.Millisecond))
			if used < 0.75*rate || mean > 80*time.Millisecond {
				t.Error("the path is not followed")
			}
		}
	}
}

// TestQueueIsNotJitter: a queue of ours is never taken for something that the path does by itself.
func TestQueueIsNotJitter(t *testing.T) {
	for _, rate := range []float64{1.5e6, 500e3, 250e3} {
		s := newSim(t, 2.2e6, linkStep{rate: rate, delay: delay, queue: 300 * time.Millisecond})
		for at := time.Second; at < 40*time.Second; at += 100 * time.Millisecond {
			s.run(at)
			if noise := s.e.swings.noise(s.e.acked.rate()); noise > 0 {
				t.Fatalf("%.0f kbit/s, after %v: %.0f ms", rate/1e3, at, noise)
			}
		}
		if s.e.swings[MaxPaths].size == 0 && s.e.swings[0].size == 0 {
			t.Errorf("%.0f kbit/s: the delay has not varied, and so nothing was shown", rate/1e3)
		}
	}
}

// TestCrossTrafficIsNotJitter: somebody else's traffic that comes and goes on the bottleneck makes the delay grow and fall as jitter does, and what arrives
// of ours comes unevenly. It is not taken for jitter, unless it comes and goes several times a second; and there the queue is not always full. (With a lower
// mostSwing that row is no better, and those of TestJitter fail.)
func TestCrossTrafficIsNotJitter(t *testing.T) {
	for _, c := range []struct {
		rate, cross float64
		period      time.Duration
	}{{2e6, 1.2e6, 300 * time.Millisecond}, {2e6, 1.2e6, time.Second}, {2e6, 1.2e6, 3 * time.Second}, {1e6, 0.5e6, 500 * time.Millisecond}, {1e6, 0.7e6, 2 * time.Second},
		{500e3, 250e3, time.Second}} {
		t.Run(fmt.Sprintf("%.0f of %.0f kbit/s for %v of %v", c.cross/1e3, c.rate/1e3, c.period/2, c.period), func(t *testing.T) {
			var steps []linkStep
			for at := time.Duration(0); at < 40*time.Second; at += c.period / 2 {
				l := linkStep{from: at, rate: c.rate, delay: delay, queue: 300 * time.Millisecond}
				if len(steps)%2 == 1 {
					l.cross = c.cross
				}
				steps = append(steps, l)
			}
			s := newSim(t, 2.2e6, steps...)
			taken, looks, most := 0, 0, 0.0
			for at := 10 * time.Second; at < 40*time.Second; at += 100 * time.Millisecond {
				s.run(at)
				looks++
				if noise := s.e.swings.noise(s.e.acked.rate()); noise > 0 {
					taken++
					most = max(most, noise)
				}
			}
			target, _, longest := s.mean(15*time.Second, 40*time.Second)
			queue, rows := time.Duration(0), time.Duration(0)
			for _, r := range s.rows {
				if r.at > 15*time.Second {
					queue, rows = queue+r.queue, rows+1
				}
			}
			queue /= rows
			t.Logf("taken for jitter in %d of %d looks, at most %.0f ms; estimate %.0f kbit/s, queue %v, at most %v", taken, looks, most, target/1e3, queue.Round(time.Millisecond), longest)
			fast := c.period < 500*time.Millisecond // what comes and goes so fast cannot be told from the path's own doing
			if !fast && (taken > 0 || queue > 80*time.Millisecond) || queue > 200*time.Millisecond || target < 0.4*(c.rate-c.cross/2) || target > c.rate {
				t.Error("the path is not followed")
			}
		})
	}
}

// TestSlowSender: a sender that follows the estimate late and keeps below it still fills the path.
func TestSlowSender(t *testing.T) {
	for _, rate := range []float64{250e3, 500e3, 1e6} {
		for seed := range uint64(5) {
			s := newSim(t, 2.2e6, linkStep{rate: rate, delay: delay, queue: 300 * time.Millisecond})
			s.rng, s.slow = rand.New(rand.NewPCG(seed+1, 2)), true
			s.run(40 * time.Second)
			target, used, longest := s.mean(15*time.Second, 40*time.Second)
			t.Logf("estimate %.0f, used %.0f of %.0f kbit/s (%.0f %%), queue at most %v", target/1e3, used/1e3, rate/1e3, 100*used/rate, longest.Round(time.Millisecond))
			if used < 0.82*rate || used > rate {
				t.Error("the path is not filled")
			}
		}
	}
}

// A path that was uneven once is not taken for it for ever.
func TestSwingsEnd(t *testing.T) {
	var list swings
	pass := func(arrival time.Duration, times int) {
		for range times {
			list[0].group(10*time.Millisecond, arrival, 100)
		}
	}
	for range 10 {
		pass(15*time.Millisecond, 10)
		pass(5*time.Millisecond, 10)
	}
	if list.noise(0) == 0 {
		t.Fatal("swings by themselves are not noticed")
	}
	pass(10*time.Millisecond, 3100)
	if n := list.noise(0); n != 0 {
		t.Errorf("noise of %v ms after half a minute of calm", n)
	}
}

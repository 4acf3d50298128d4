package bwe

import (
	"testing"
	"time"
)

const delay = 20 * time.Millisecond

func TestX(t *testing.T) {
	for name, l := range map[string]linkStep{
		"clean 100M": {rate: 100e6, delay: delay},
		"3M":         {rate: 3e6, delay: delay, queue: 300 * time.Millisecond},
		"500k":       {rate: 500e3, delay: delay, queue: 300 * time.Millisecond},
		"250k":       {rate: 250e3, delay: delay, queue: 300 * time.Millisecond},
		"2%":         {rate: 100e6, delay: delay, loss: 0.02},
		"10% bursty": {rate: 100e6, delay: delay, loss: 0.1, burst: 5},
		"200 ms":     {rate: 100e6, delay: 200 * time.Millisecond},
		"jitter":     {rate: 100e6, delay: 100 * time.Millisecond, jitter: 30 * time.Millisecond},
		"3M jitter":     {rate: 3e6, delay: 100 * time.Millisecond, jitter: 30 * time.Millisecond},
	} {
		s := newSim(t, 2.2e6, l)
		s.run(40 * time.Second)
		a, b, q0 := s.mean(0, 2*time.Second)
		t2, u2, q := s.mean(2*time.Second, 5*time.Second)
		target, used, queue := s.mean(20*time.Second, 40*time.Second)
		t.Logf("%-12s first 2s %5.0f/%5.0f q %v, 2-5s: %5.0f/%5.0f q %v; steady target %5.0f used %5.0f kbit/s queue %v probes %d loss %.3f inherent %.3f", name, a/1e3, b/1e3, q0, t2/1e3, u2/1e3, q, target/1e3, used/1e3, queue, s.e.prober.count, s.e.loss.average, s.e.loss.inherent)
	}
	s := newSim(t, 4e6, linkStep{rate: 3e6, delay: delay, queue: 300 * time.Millisecond},
		linkStep{from: 20 * time.Second, rate: 500e3, delay: delay, queue: 300 * time.Millisecond},
		linkStep{from: 40 * time.Second, rate: 3e6, delay: delay, queue: 300 * time.Millisecond})
	s.run(60 * time.Second)
	s.log()
}

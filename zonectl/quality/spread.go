package quality

import (
	"math"
	"sync"
)

// Measure is one of the figures of which the metrics show how they spread.
type Measure uint8

// The measures.
const (
	MeasureScore Measure = iota
	MeasureLoss
	MeasureJitter
	MeasureRoundTrip
	NumMeasures int = iota
)

// bounds are the upper ends of the buckets: scores, shares, seconds, seconds.
var bounds = [NumMeasures][]float64{
	MeasureScore:     {0, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.25, 4.5, 5},
	MeasureLoss:      {0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1},
	MeasureJitter:    {0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5},
	MeasureRoundTrip: {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1},
}

// Buckets is a histogram in the form of Prometheus: how many values were at most so large, by bound.
type Buckets struct {
	Flow    Flow
	Measure Measure
	Count   uint64
	Sum     float64
	Upto    map[float64]uint64
}

// Spread counts samples into buckets by flow, for ever. It knows no participants, so its size is fixed.
type Spread struct {
	mu     sync.Mutex // guards what follows
	counts [numFlows][NumMeasures]histogram
}

type histogram struct {
	buckets [12]uint64
	count   uint64
	sum     float64
}

// Add counts a sample.
func (s *Spread) Add(flow Flow, f Figures, score Score) {
	if !score.Known() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.counts[flow.index()]
	h[MeasureScore].add(MeasureScore, float64(score))
	if f.Loss >= 0 {
		h[MeasureLoss].add(MeasureLoss, f.Loss)
	}
	if f.Packets > 0 {
		h[MeasureJitter].add(MeasureJitter, f.Jitter.Seconds())
	}
	if f.RoundTrip > 0 {
		h[MeasureRoundTrip].add(MeasureRoundTrip, f.RoundTrip.Seconds())
	}
}

func (h *histogram) add(m Measure, v float64) {
	if math.IsNaN(v) {
		return
	}
	h.count++
	h.sum += v
	for i, bound := range bounds[m] {
		if v <= bound {
			h.buckets[i]++
		}
	}
}

// All returns every histogram, those without values as well.
func (s *Spread) All() []Buckets {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Buckets
	for i := range s.counts {
		for m := range NumMeasures {
			h := &s.counts[i][m]
			b := Buckets{Flow: flowAt(i), Measure: Measure(m), Count: h.count, Sum: h.sum, Upto: map[float64]uint64{}}
			for at, bound := range bounds[m] {
				b.Upto[bound] = h.buckets[at]
			}
			list = append(list, b)
		}
	}
	return list
}

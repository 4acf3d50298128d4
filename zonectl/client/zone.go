package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"meetzone/zonectl/wire"
)

// Bounds of the network test.
const (
	probeRounds  = 4 // the first one opens the connection and is not counted
	probeTimeout = 3 * time.Second
	probeGrace   = 150 * time.Millisecond // how long the others may take once one controller has passed
	maxProbed    = 16
	// nearer is by how much a zone that ranks lower must be nearer to be preferred.
	nearer = 10 * time.Millisecond
)

// Measured is what the network test found out about a controller.
type Measured struct {
	Zone       wire.Zone
	Controller string // base URL
	Probe      wire.Probe
	RoundTrip  time.Duration // median
	Jitter     time.Duration // between the fastest and the slowest
	Lost       int           // rounds without an answer, of probeRounds-1
	Err        error
	rank       int // of the zone in the lookup
}

// selectZone tests every controller of the list at once, and picks.
func (w *web) selectZone(ctx context.Context, zones []wire.Zone) (Measured, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	results := make(chan Measured)
	running := 0
	for rank, zone := range zones {
		for _, controller := range zone.Controllers {
			if running == maxProbed {
				break
			}
			running++
			go func() {
				measured := w.probe(ctx, zone, controller)
				measured.rank = rank
				select {
				case results <- measured:
				case <-ctx.Done():
				}
			}()
		}
	}
	if running == 0 {
		return Measured{}, errors.New("the lookup names no controller")
	}
	var all []Measured
	var grace <-chan time.Time
	for len(all) < running {
		select {
		case measured := <-results:
			all = append(all, measured)
			if measured.Err == nil && grace == nil {
				grace = time.After(probeGrace)
			}
			continue
		case <-grace:
		case <-ctx.Done():
		}
		break
	}
	return pick(all)
}

// probe measures one controller: a few round trips over one connection.
func (w *web) probe(ctx context.Context, zone wire.Zone, controller string) Measured {
	m := Measured{Zone: zone, Controller: controller}
	var trips []time.Duration
	for round := range probeRounds {
		start := time.Now()
		if err := w.get(ctx, controller, wire.PathProbe, &m.Probe); err != nil {
			if round == 0 {
				m.Err = err
				return m
			}
			m.Lost++
			continue
		}
		if round > 0 {
			trips = append(trips, time.Since(start))
		}
	}
	if len(trips) == 0 {
		m.Err = context.DeadlineExceeded
		return m
	}
	slices.Sort(trips)
	m.RoundTrip, m.Jitter = trips[len(trips)/2], trips[len(trips)-1]-trips[0]
	return m
}

// pick takes the controller that lost least; among those the nearest, unless one of a zone that ranks higher is nearly as near.
func pick(all []Measured) (Measured, error) {
	var failed error
	passed := slices.DeleteFunc(all, func(m Measured) bool {
		if m.Err != nil {
			failed = fmt.Errorf("network test of %s: %w", m.Controller, m.Err)
		}
		return m.Err != nil
	})
	if len(passed) == 0 {
		if failed == nil {
			failed = context.DeadlineExceeded
		}
		return Measured{}, failed
	}
	least := slices.MinFunc(passed, func(a, b Measured) int { return a.Lost - b.Lost }).Lost
	passed = slices.DeleteFunc(passed, func(m Measured) bool { return m.Lost > least })
	nearest := slices.MinFunc(passed, func(a, b Measured) int { return int(a.RoundTrip - b.RoundTrip) })
	passed = slices.DeleteFunc(passed, func(m Measured) bool { return m.RoundTrip > nearest.RoundTrip+nearer })
	return slices.MinFunc(passed, func(a, b Measured) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return int(a.RoundTrip - b.RoundTrip)
	}), nil
}

// hostOf names the host of a URL for a person.
func hostOf(address string) string {
	if parsed, err := url.Parse(address); err == nil && parsed.Host != "" {
		return parsed.Host
	}
	return address
}

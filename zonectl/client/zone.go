package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"meetzone/zonectl/wire"
)

// Zone selection, stage 2. Every controller of every zone is tested at once (probe.go). Each gets a score in milliseconds, the lowest is best:
//
//	score = median round trip + jitter
//	      + 200 for each round without an answer
//	      + 100 where UDP 8801 does not answer but TCP does, + 200 where neither does
//	      + 10 for each percent of load above 80
//
// A controller of a zone that ranks higher in the lookup is preferred to the best one when its score is at most 10 worse. One that drains is taken only
// when all do. Nobody is waited for who cannot be picked any more: while no connection is open, the score is at least the time that has gone by; then it
// is at least the fastest round trip seen, and half of the time since the last sign of life.

// Bounds of the network test.
const (
	probeRounds  = 5 // the first one opens the connection and is not counted
	probeTimeout = 5 * time.Second
	maxProbed    = 32
	// nearer is by how much a zone that ranks lower must be better to be preferred.
	nearer = 10 * time.Millisecond
	// recheck is how often those under way are looked at.
	recheck = 3 * time.Millisecond
)

// What a score adds to the round trip.
const (
	lostCosts    = 200 * time.Millisecond
	noUDPCosts   = 100 * time.Millisecond
	noMediaCosts = 200 * time.Millisecond
	loadCosts    = 10 * time.Millisecond // for each percent
	loadFree     = 80                    // percent
	drainCosts   = time.Hour
)

// Measured is what the network test found out about a controller.
type Measured struct {
	Zone       wire.Zone
	Controller string // base URL
	Probe      wire.Probe
	RoundTrip  time.Duration // median
	Jitter     time.Duration // between the fastest and the slowest
	Lost       int           // rounds without an answer, of probeRounds-1
	UDP, TCP   Reach         // of the media port
	Err        error         // why HTTPS gave no answer
	rank       int           // of the zone in the lookup
}

// Score is how good the controller is, the lowest being best.
func (m *Measured) Score() time.Duration {
	score := m.RoundTrip + m.Jitter + time.Duration(m.Lost)*lostCosts + time.Duration(max(0, m.Probe.Load-loadFree))*loadCosts
	switch {
	case m.UDP.State == ReachAnswers || m.UDP.State == ReachUnknown:
	case m.TCP.State == ReachAnswers:
		score += noUDPCosts
	default:
		score += noMediaCosts
	}
	if m.Probe.Draining {
		score += drainCosts
	}
	return score
}

// pick takes the best that answered.
func pick(all []Measured) (Measured, error) {
	best := -1
	for i, m := range all {
		if m.Err == nil && (best < 0 || m.Score() < all[best].Score()) {
			best = i
		}
	}
	if best < 0 {
		return Measured{}, failureOf(all)
	}
	picked, limit := all[best], all[best].Score()+nearer
	for _, m := range all {
		if m.Err == nil && m.Score() <= limit && (m.rank < picked.rank || m.rank == picked.rank && m.Score() < picked.Score()) {
			picked = m
		}
	}
	return picked, nil
}

// failureOf says why no controller answered: what is most use to a person comes first.
func failureOf(all []Measured) error {
	var failed error = context.DeadlineExceeded
	for _, m := range all {
		if m.Err != nil && (errors.Is(failed, context.DeadlineExceeded) || isTimeout(failed)) {
			failed = fmt.Errorf("network test of %s: %w", m.Controller, m.Err)
		}
	}
	return failed
}

// selectZone tests every controller of the list at once, and returns the best with what is known of all.
func (w *web) selectZone(ctx context.Context, zones []wire.Zone) (Measured, []Measured, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	running := w.startProbes(ctx, zones, joinPatience)
	if len(running) == 0 {
		return Measured{}, nil, errors.New("the lookup names no controller")
	}
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	for {
		all, waiting := collect(running)
		if picked, err := pick(all); err == nil && !slices.ContainsFunc(waiting, func(p *probing) bool { return p.couldBeat(&picked) }) {
			return picked, all, nil
		}
		if len(waiting) == 0 || ctx.Err() != nil {
			picked, err := pick(all)
			return picked, all, err
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// startProbes tests every controller of the list in a goroutine of its own.
func (w *web) startProbes(ctx context.Context, zones []wire.Zone, patience time.Duration) []*probing {
	var running []*probing
	for rank, zone := range zones {
		for _, controller := range zone.Controllers {
			if len(running) == maxProbed {
				return running
			}
			p := newProbing(w, Measured{Zone: zone, Controller: controller, rank: rank}, patience)
			running = append(running, p)
			go p.runProbe(ctx)
		}
	}
	return running
}

// collect returns what is known of all: of those under way, that they have not answered.
func collect(running []*probing) (all []Measured, waiting []*probing) {
	for _, p := range running {
		select {
		case <-p.done:
			all = append(all, p.result)
		default:
			m := p.asked
			m.Err = context.DeadlineExceeded
			all = append(all, m)
			waiting = append(waiting, p)
		}
	}
	return all, waiting
}

// Probe tests the network to all zones that a host knows, with more patience than Join has, and returns them best first. Of the configuration it uses what
// says how to reach the zone.
func Probe(ctx context.Context, cfg Config) ([]Measured, error) {
	cfg = cfg.withDefaults()
	base, _, err := cfg.target()
	if err != nil {
		return nil, &Error{Text: err.Error() + ".", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.JoinTimeout)
	defer cancel()
	first, err := firstWay(ctx, cfg, cfg.marks(), base)
	if err != nil {
		return nil, &Error{Text: capital(err.Error()) + ".", Err: err}
	}
	w := newWeb(cfg, cfg.marks(), first)
	defer w.close()
	var known wire.Zones
	if err := w.get(ctx, base, wire.PathZones, &known); err != nil {
		return nil, explain(StageLookup, hostOf(base), err)
	}
	ctx, cancel = context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	running := w.startProbes(ctx, known.Zones, fullPatience)
	for _, p := range running {
		select {
		case <-p.done:
		case <-ctx.Done():
		}
	}
	all, _ := collect(running)
	picked, err := pick(all)
	slices.SortStableFunc(all, func(a, b Measured) int {
		if err == nil && a.Controller == picked.Controller {
			return -1
		}
		if err == nil && b.Controller == picked.Controller {
			return 1
		}
		return cmp.Or(cmp.Compare(boolInt(a.Err != nil), boolInt(b.Err != nil)), cmp.Compare(a.Score(), b.Score()))
	})
	return all, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hostOf names the host of a URL for a person.
func hostOf(address string) string {
	if parsed, err := url.Parse(address); err == nil && parsed.Host != "" {
		return parsed.Host
	}
	return address
}

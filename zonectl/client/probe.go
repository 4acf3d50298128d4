package client

import (
	"context"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// How long the checks of the media port may take beyond the rounds over HTTPS.
const (
	joinPatience = 40 * time.Millisecond // and two round trips
	fullPatience = time.Second
)

// probing is the test of one controller under way. runProbe fills result and closes done.
type probing struct {
	w        *web
	asked    Measured
	patience time.Duration
	start    time.Time
	done     chan struct{}
	result   Measured // to be read when done is closed

	fastest atomic.Int64 // of what has been seen of the way so far, in nanoseconds; 0: nothing
	last    atomic.Int64 // when something was seen last, in nanoseconds since start
}

// patienceFactor is how many of its round trips a controller may take from one sign of life to the next: after TCP, the first answer needs two, for TLS and HTTP.
const patienceFactor = 2

func newProbing(w *web, asked Measured, patience time.Duration) *probing {
	return &probing{w: w, asked: asked, patience: patience, start: time.Now(), done: make(chan struct{})}
}

// couldBeat says whether the controller may still turn out better than the one that would be picked.
func (p *probing) couldBeat(picked *Measured) bool {
	least, elapsed := time.Duration(p.fastest.Load()), time.Since(p.start)
	if least == 0 {
		least = elapsed
	}
	least = max(least, (elapsed-time.Duration(p.last.Load()))/patienceFactor)
	limit := picked.Score()
	if p.asked.rank < picked.rank {
		limit += nearer
	} else {
		limit -= nearer
	}
	return least <= limit
}

// saw notes a time that the way took.
func (p *probing) saw(took time.Duration) {
	p.last.Store(int64(time.Since(p.start)))
	if before := time.Duration(p.fastest.Load()); before == 0 || took < before {
		p.fastest.Store(max(1, int64(took)))
	}
}

// runProbe measures one controller: a few round trips over one connection, and beside them whether the media port answers.
func (p *probing) runProbe(ctx context.Context) {
	defer close(p.done)
	m := p.asked
	defer func() { p.result = m }()
	first, err := p.firstRound(ctx)
	if err != nil {
		m.Err = err
		return
	}
	m.Probe = first
	p.last.Store(int64(time.Since(p.start)))
	checking, stop := context.WithCancel(ctx)
	defer stop()
	var checks sync.WaitGroup
	udp, tcp := make(chan Reach, 1), make(chan Reach, 1)
	if p.w.direct && first.Check != nil {
		mark := p.w.marks[dscp.Audio]
		checks.Go(func() { udp <- checkUDP(checking, first.Check, dscp.Audio, mark) })
		checks.Go(func() { tcp <- checkTCP(checking, first.Check, dscp.Audio, mark) })
	}
	if p.rounds(ctx, &m); m.Err == nil && p.w.direct && first.Check != nil {
		m.UDP, m.TCP = awaitChecks(ctx, udp, tcp, p.patience, 2*m.RoundTrip)
	}
	stop()
	checks.Wait()
}

// firstRound opens the connection. How long it takes to open tells how near the controller is.
func (p *probing) firstRound(ctx context.Context) (first wire.Probe, err error) {
	var opening time.Time
	trace := &httptrace.ClientTrace{
		ConnectStart: func(string, string) { opening = time.Now() },
		ConnectDone: func(_, _ string, err error) {
			if err == nil && !opening.IsZero() {
				p.saw(time.Since(opening) / 2) // addresses may have had to be found first
			}
		},
	}
	err = p.w.get(httptrace.WithClientTrace(ctx, trace), p.asked.Controller, wire.PathProbe, &first)
	return first, err
}

// rounds measures the rounds that count.
func (p *probing) rounds(ctx context.Context, m *Measured) {
	var trips []time.Duration
	for range probeRounds - 1 {
		start := time.Now()
		var again wire.Probe
		if err := p.w.get(ctx, m.Controller, wire.PathProbe, &again); err != nil {
			m.Lost++
			m.Err = err
			continue
		}
		took := time.Since(start)
		p.saw(took)
		trips = append(trips, took)
	}
	if len(trips) == 0 {
		return
	}
	m.Err = nil
	slices.Sort(trips)
	m.RoundTrip, m.Jitter = trips[len(trips)/2], trips[len(trips)-1]-trips[0]
}

// awaitChecks waits for the checks. When UDP answers within the shorter patience, TCP does not matter; what takes longer is silent.
func awaitChecks(ctx context.Context, udp, tcp <-chan Reach, patience, more time.Duration) (u, t Reach) {
	u, t = Reach{State: ReachSilent}, Reach{State: ReachSilent}
	timer := time.NewTimer(patience + more)
	defer timer.Stop()
	for waiting := 2; waiting > 0; waiting-- {
		select {
		case u = <-udp:
			udp = nil
			if u.State == ReachAnswers && patience < fullPatience {
				select {
				case t = <-tcp:
				default:
					t = Reach{}
				}
				return u, t
			}
		case t = <-tcp:
			tcp = nil
		case <-timer.C:
			return u, t
		case <-ctx.Done():
			return u, t
		}
	}
	return u, t
}

package client

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// Staying in: what a session does when a path dies, when this computer's address changes, and when a better rung comes back. The router lets no
// path be quiet for long (its pulses), so silence is the sign; ICE's own timers are many times slower. All of it ends in the same: a fresh offer,
// answered by new PeerConnections beside the old ones, which stay until the new ones are connected.

const (
	// silentFor is how long nothing may come over a connected transport. An outage shorter than a second changes nothing: the router's pulses
	// leave at most 0.3 s before and after it.
	silentFor = 1350 * time.Millisecond
	lookEvery = 100 * time.Millisecond
	moveEvery = 300 * time.Millisecond // between two looks at this computer's addresses
	// replyWithin is how long the router may take to say anything on the control channel while media are silent.
	replyWithin = 1500 * time.Millisecond

	// climbFirst is how soon UDP is tried again by a session on a lower rung; it doubles up to climbMost while that does not help.
	climbFirst  = 3 * time.Second
	climbMost   = 2 * time.Minute
	climbChecks = 3 // that UDP must answer in a row
	climbPause  = 300 * time.Millisecond

	// sentOver is over how many looks, and in each half of them, a medium must have sent sentLeast datagrams for its way to be dead when the router calls it silent: a
	// medium that has just begun again the router cannot have heard yet.
	sentOver  = 10
	sentLeast = 5
)

var (
	errMoved = errors.New("this computer has another address")
	errMute  = errors.New("neither media nor the control channel brings anything")
)

// watch is what a session keeps an eye on. Session.run owns it.
type watch struct {
	addresses []netip.Addr // from which the router is reached
	looked    time.Time
	asked     time.Time // when a silent session asked the router for a word; zero: it did not
	climbing  bool      // UDP is being tried
	climbAt   time.Time
	climbWait time.Duration
	climbed   chan bool
	sent      [numMedia]sending
}

// sending is what a peer had sent at the last looks.
type sending struct {
	of    *peer
	marks [sentOver]uint64
	next  int
}

// look notes what was sent by now, and tells whether that was steady.
func (w *sending) look(p *peer) (steady bool) {
	now := p.sockets.sent.Load()
	if w.of != p {
		*w = sending{of: p}
		for i := range w.marks {
			w.marks[i] = now
		}
	}
	before, middle := w.marks[w.next], w.marks[(w.next+sentOver/2)%sentOver]
	w.marks[w.next] = now
	w.next = (w.next + 1) % sentOver
	return now >= middle+sentLeast && middle >= before+sentLeast
}

// look is called ten times a second.
func (s *Session) look(ctx context.Context, current *channel) error {
	now := time.Now()
	if err := s.lookAtAddresses(now); err != nil {
		return err
	}
	silent := s.silence(now)
	if silent && s.watch.asked.IsZero() {
		s.watch.asked = now
		s.rush = true
		s.repair.plan()
		return current.send(ctx, wire.Ping{Sent: now.UnixNano()})
	}
	if !silent {
		s.watch.asked = time.Time{}
	} else if now.Sub(s.watch.asked) > replyWithin && s.heard.Before(s.watch.asked) {
		return errMute // the network is gone: new connections find out first when it returns
	}
	s.climb(ctx, now)
	return nil
}

// silence tells whether a connected transport has brought nothing for too long, here or, while something was sent, at the router, and notes it.
func (s *Session) silence(now time.Time) (silent bool) {
	s.mu.Lock()
	peers, connected, told := s.peers, s.connected, s.transports
	s.mu.Unlock()
	for i, p := range peers {
		if p == nil || !connected[i] {
			continue
		}
		unheard := s.watch.sent[i].look(p) && slices.ContainsFunc(told, func(t wire.TransportState) bool { return t.Silent && mediumIndex(t.Medium) == i })
		if unheard || now.Sub(p.sockets.lastHeard()) > silentFor {
			silent = true
			p.sockets.journal.lost(p.travel().rung)
		}
	}
	return silent
}

// lookAtAddresses notices when this computer reaches the router from other addresses than before.
func (s *Session) lookAtAddresses(now time.Time) error {
	if s.cfg.Light || now.Sub(s.watch.looked) < moveEvery {
		return nil
	}
	s.watch.looked = now
	s.mu.Lock()
	remotes := s.remotes
	s.mu.Unlock()
	addresses := localAddresses(remotes)
	before := s.watch.addresses
	if len(addresses) > 0 {
		s.watch.addresses = addresses
	}
	if len(addresses) == 0 || len(before) == 0 || slices.Equal(addresses, before) {
		return nil
	}
	s.log.Info("moved", "from", before, "to", addresses)
	s.rush = false // it is another network: everything may be possible there
	s.repair.plan()
	return errMoved
}

// climb tries UDP again while a medium travels below it.
func (s *Session) climb(ctx context.Context, now time.Time) {
	w := &s.watch
	if w.climbing || now.Before(w.climbAt) || !s.web.direct {
		return
	}
	w.climbWait = max(w.climbWait, climbFirst)
	first := w.climbAt.IsZero()
	w.climbAt = now.Add(w.climbWait)
	if first || !s.below() {
		return
	}
	w.climbing = true
	go s.runClimb(ctx)
}

// below tells whether all media are connected, and some of them not over UDP.
func (s *Session) below() bool {
	s.mu.Lock()
	peers, connected := s.peers, s.connected
	s.mu.Unlock()
	below := false
	for i, p := range peers {
		if p == nil {
			continue
		}
		if !connected[i] {
			return false
		}
		rung := p.travel().rung
		below = below || rung != "" && rung != rungUDP
	}
	return below
}

// runClimb tests whether UDP passes, steadily, and tells run.
func (s *Session) runClimb(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	passes := s.udpPasses(ctx)
	select {
	case s.watch.climbed <- passes:
	case <-s.done:
	}
}

func (s *Session) udpPasses(ctx context.Context) bool {
	s.mu.Lock()
	controller := s.zone.Controller
	s.mu.Unlock()
	var probe wire.Probe
	if err := s.web.get(ctx, controller, wire.PathProbe, &probe); err != nil || probe.Check == nil {
		return false
	}
	for range climbChecks {
		within, cancel := context.WithTimeout(ctx, time.Second)
		r := checkUDP(within, probe.Check, dscp.Audio, s.marks[mediumClass(wire.Audio)])
		cancel()
		if r.State != ReachAnswers {
			return false
		}
		select {
		case <-time.After(climbPause):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// climbResult goes up when UDP passes. When it does not, or when going up does not lead to UDP, the next try comes later.
func (s *Session) climbResult(ctx context.Context, current *channel, passes bool) error {
	w := &s.watch
	w.climbing, w.climbAt = false, time.Now().Add(w.climbWait)
	if passes {
		s.log.Info("UDP passes again: asking for fresh transports")
		s.rush = false
		w.climbWait = min(2*max(w.climbWait, climbFirst), climbMost)
		return current.send(ctx, wire.Negotiate{Fresh: true})
	}
	return nil
}

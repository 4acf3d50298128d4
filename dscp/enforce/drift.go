package enforce

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Drift: the kernel says when anybody has changed nf_tables, queueing disciplines or links. Each notice leads to a look at our own
// objects; what differs from what is wanted is put back and becomes an Event. What we do ourselves is noticed too, and agrees.

// Pauses between looks. Several notices of one change lead to one look; two programs that undo each other's work do not eat the processor.
const (
	settle    = 20 * time.Millisecond
	lookAgain = 15 * time.Second // without any notice, since notices can be lost
	// A look that healed something is followed by a pause that doubles up to mostPause, and shrinks again when nothing had to be healed.
	leastPause = 50 * time.Millisecond
	mostPause  = 200 * time.Millisecond
)

// listeners are the sockets on which the kernel gives notice. They are opened by New, so that nothing is missed between Apply and Run.
func (e *Enforcer) listen() error {
	for _, family := range []struct {
		protocol int
		groups   []uint
	}{
		{unix.NETLINK_NETFILTER, []uint{unix.NFNLGRP_NFTABLES}},
		{unix.NETLINK_ROUTE, []uint{unix.RTNLGRP_TC, unix.RTNLGRP_LINK}},
	} {
		s, err := nl.Subscribe(family.protocol, family.groups...)
		if err != nil {
			return fmt.Errorf("listening for changes: %w", err)
		}
		_ = s.SetReceiveBufferSize(1<<20, true) // a lost notice is made good by the next look
		e.listeners = append(e.listeners, s)
	}
	return nil
}

// Run keeps the kernel as wanted until ctx ends.
func (e *Enforcer) Run(ctx context.Context) error {
	if !e.cfg.OwnHost {
		<-ctx.Done()
		return nil
	}
	var running sync.WaitGroup
	for _, s := range e.listeners {
		running.Go(func() { e.runListener(ctx, s) })
	}
	e.runDrift(ctx)
	for _, s := range e.listeners {
		s.Close()
	}
	running.Wait()
	return nil
}

// runListener turns notices into looks until ctx has ended and its socket is closed.
func (e *Enforcer) runListener(ctx context.Context, s *nl.NetlinkSocket) {
	for ctx.Err() == nil {
		_, _, err := s.Receive()
		select {
		case e.notice <- struct{}{}:
		default: // one is waiting already
		}
		if err != nil {
			time.Sleep(settle) // the buffer overflowed, or a notice was malformed: looking is the answer to both
		}
	}
}

// runDrift looks after each notice.
func (e *Enforcer) runDrift(ctx context.Context) {
	pause := leastPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.notice:
		case <-time.After(lookAgain):
		}
		noticed := time.Now()
		if !sleep(ctx, settle) {
			return
		}
		if !e.heal(noticed) {
			pause = max(leastPause, pause/2)
			continue
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(mostPause, pause*2)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// heal looks, puts back what differs, and tells whether there was anything.
func (e *Enforcer) heal(noticed time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wanted == nil {
		return false
	}
	changed, err := e.agreeLocked()
	if len(changed) == 0 && err == nil {
		return false
	}
	if len(changed) == 0 {
		changed = []string{"the kernel's state cannot be read"}
	}
	if n := len(e.events); err != nil && n > 0 && e.events[n-1].Error == err.Error() && e.events[n-1].Object == changed[len(changed)-1] {
		return true // said already
	}
	for _, object := range changed {
		event := Event{Time: noticed, Object: object, Healed: err == nil, Took: time.Since(noticed)}
		if err != nil {
			event.Error = err.Error()
		}
		e.events = append(e.events, event)
	}
	e.events = e.events[max(0, len(e.events)-maxEvents):]
	e.drifted += uint64(len(changed))
	e.cfg.Logger.Warn("marks were changed by somebody else", "objects", changed, "healed", err == nil, "err", err)
	return true
}

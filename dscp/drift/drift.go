package drift

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
)

// Pauses between looks.
const (
	settle    = 20 * time.Millisecond // several notices of one change lead to one look
	lookAgain = 15 * time.Second      // without any notice, since notices can be lost
	// A look that healed something is followed by a pause that doubles up to mostPause, and shrinks again when nothing had to be healed.
	leastPause = 50 * time.Millisecond
	mostPause  = 200 * time.Millisecond

	bufferSize = 1 << 20 // bytes; a notice that is lost for want of it is made good by the next look
)

// Notices are groups of one netlink protocol, such as unix.NETLINK_ROUTE with unix.RTNLGRP_LINK.
type Notices struct {
	Protocol int
	Groups   []uint
}

// Watch listens for changes from Listen on, so that nothing is missed between a first look and Run.
type Watch struct {
	sockets []*nl.NetlinkSocket
	notice  chan struct{} // a change that nobody has looked at yet
}

// Listen begins to listen in the network namespace of the calling thread.
func Listen(list ...Notices) (*Watch, error) {
	w := &Watch{notice: make(chan struct{}, 1)}
	for _, n := range list {
		s, err := nl.Subscribe(n.Protocol, n.Groups...)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listening for changes: %w", err), w.Close())
		}
		_ = s.SetReceiveBufferSize(bufferSize, true)
		w.sockets = append(w.sockets, s)
	}
	return w, nil
}

// Close ends listening; a nil Watch is closed already.
func (w *Watch) Close() error {
	if w == nil {
		return nil
	}
	for _, s := range w.sockets {
		s.Close()
	}
	return nil
}

// Run calls heal after each notice until ctx ends, and closes the Watch. heal looks, puts back what differs, and tells whether there was anything.
func (w *Watch) Run(ctx context.Context, heal func(noticed time.Time) bool) {
	var running sync.WaitGroup
	for _, s := range w.sockets {
		running.Go(func() { w.runListener(ctx, s) })
	}
	w.runWatch(ctx, heal)
	_ = w.Close()
	running.Wait()
}

// runListener turns notices into looks until ctx has ended and its socket is closed.
func (w *Watch) runListener(ctx context.Context, s *nl.NetlinkSocket) {
	for ctx.Err() == nil {
		_, _, err := s.Receive()
		select {
		case w.notice <- struct{}{}:
		default: // one is waiting already
		}
		if err != nil {
			time.Sleep(settle) // the buffer overflowed, or a notice was malformed: looking is the answer to both
		}
	}
}

// runWatch looks after each notice.
func (w *Watch) runWatch(ctx context.Context, heal func(noticed time.Time) bool) {
	pause := leastPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.notice:
		case <-time.After(lookAgain):
		}
		noticed := time.Now()
		if !sleep(ctx, settle) {
			return
		}
		if !heal(noticed) {
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

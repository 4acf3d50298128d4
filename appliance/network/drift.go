package network

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Drift: the kernel says when anybody has changed links, addresses or routes. Each notice leads to a look; what differs from what is wanted is put
// back and becomes an Event. What the appliance does itself is noticed too, and agrees.

const (
	settle     = 20 * time.Millisecond // several notices of one change lead to one look
	lookAgain  = 15 * time.Second      // without any notice, since notices can be lost
	leastPause = 50 * time.Millisecond // after healing; doubles while there is more to heal
	mostPause  = 200 * time.Millisecond
)

// listen is called by New, so that nothing is missed between Apply and Run.
func (o *Owner) listen() (err error) {
	o.listener, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("listening for changes: %w", err)
	}
	_ = o.listener.SetReceiveBufferSize(1<<20, true) // a lost notice is made good by the next look
	return nil
}

// Run keeps the kernel as wanted until ctx ends.
func (o *Owner) Run(ctx context.Context) error {
	if !o.cfg.OwnHost {
		<-ctx.Done()
		return nil
	}
	var running sync.WaitGroup
	running.Go(func() { o.runListener(ctx) })
	o.runDrift(ctx)
	o.listener.Close()
	running.Wait()
	return nil
}

// runListener turns notices into looks until ctx has ended and its socket is closed.
func (o *Owner) runListener(ctx context.Context) {
	for ctx.Err() == nil {
		_, _, err := o.listener.Receive()
		select {
		case o.notice <- struct{}{}:
		default: // one is waiting already
		}
		if err != nil {
			time.Sleep(settle) // the buffer overflowed, or a notice was malformed: looking is the answer to both
		}
	}
}

// runDrift looks after each notice.
func (o *Owner) runDrift(ctx context.Context) {
	pause := leastPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.notice:
		case <-time.After(lookAgain):
		}
		noticed := time.Now()
		if !sleep(ctx, settle) {
			return
		}
		if !o.heal(noticed) {
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
func (o *Owner) heal(noticed time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wanted == nil {
		return false
	}
	changed, failed, err := o.agreeLocked()
	err = errors.Join(err, joined(failed))
	if len(changed) == 0 && err == nil {
		return false
	}
	if len(changed) == 0 {
		changed = []string{"the kernel's state cannot be read"}
	}
	if n := len(o.events); err != nil && n > 0 && o.events[n-1].Error == err.Error() && o.events[n-1].Object == changed[len(changed)-1] {
		return true // said already
	}
	for _, object := range changed {
		event := Event{Time: noticed, Object: object, Healed: err == nil, Took: time.Since(noticed)}
		if err != nil {
			event.Error = err.Error()
		}
		o.events = append(o.events, event)
	}
	o.events = o.events[max(0, len(o.events)-maxEvents):]
	o.drifted += uint64(len(changed))
	o.cfg.Logger.Warn("the network was changed by somebody else", "objects", changed, "healed", err == nil, "err", err)
	return true
}

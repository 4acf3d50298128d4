package enforce

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp/drift"
)

// Drift: the kernel says when anybody has changed nf_tables, queueing disciplines or links. Each notice leads to a look at our own
// objects; what differs from what is wanted is put back and becomes an Event. What we do ourselves is noticed too, and agrees.

// listen is called by New, so that nothing is missed between Apply and Run.
func (e *Enforcer) listen() (err error) {
	e.watch, err = drift.Listen(drift.Notices{Protocol: unix.NETLINK_NETFILTER, Groups: []uint{unix.NFNLGRP_NFTABLES}},
		drift.Notices{Protocol: unix.NETLINK_ROUTE, Groups: []uint{unix.RTNLGRP_TC, unix.RTNLGRP_LINK}})
	return err
}

// Run keeps the kernel as wanted until ctx ends.
func (e *Enforcer) Run(ctx context.Context) error {
	if !e.cfg.OwnHost {
		<-ctx.Done()
		return nil
	}
	e.watch.Run(ctx, e.heal)
	return nil
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

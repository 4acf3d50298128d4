package network

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp/drift"
)

// Drift: the kernel says when anybody has changed links, addresses or routes. Each notice leads to a look; what differs from what is wanted is put
// back and becomes an Event. What the appliance does itself is noticed too, and agrees.

// listen is called by New, so that nothing is missed between Apply and Run.
func (o *Owner) listen() (err error) {
	o.watch, err = drift.Listen(drift.Notices{Protocol: unix.NETLINK_ROUTE, Groups: []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE}})
	return err
}

// Run keeps the kernel as wanted until ctx ends.
func (o *Owner) Run(ctx context.Context) error {
	if !o.cfg.OwnHost {
		<-ctx.Done()
		return nil
	}
	o.leases.begin(ctx, o)
	o.watch.Run(ctx, o.heal)
	o.leases.wait()
	return nil
}

// heal looks, puts back what differs, and tells whether there was anything.
func (o *Owner) heal(noticed time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wanted == nil {
		return false
	}
	o.leases.look()
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

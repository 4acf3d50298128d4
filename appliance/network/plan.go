package network

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// step is one thing that differs, and what makes it agree.
type step struct {
	what string
	take func() error
}

// plan lists what differs, in the order in which it is put right: links, new addresses, old addresses, routes, and what is named no longer.
func plan(w Wanted, k kernel) (steps []step) {
	for _, i := range w.Interfaces {
		if l := k.links[i.Name]; l != nil {
			steps = append(steps, planLink(i, l, k)...)
		} else {
			steps = append(steps, planMissing(i, k))
		}
	}
	steps = append(steps, planRoutes(w, k)...)
	for _, name := range slices.Sorted(maps.Keys(k.links)) {
		if l := k.links[name]; (l.alias == taken || l.alias == made) && !slices.Contains(w.Names(), name) {
			steps = append(steps, planRelease(name, l)...)
		}
	}
	return steps
}

func planMissing(i Interface, k kernel) step {
	if i.Parent == "" {
		return step{i.Name + ": the interface is not there", func() error { return errors.New("plug it in, or take it out of network.interfaces") }}
	}
	return step{i.Name + ": the VLAN is not there", func() error {
		parent := k.links[i.Parent]
		if parent == nil {
			return fmt.Errorf("its parent %s is not there", i.Parent)
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex, attrs.Alias = i.Name, parent.index, made
		err := netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: i.VLAN})
		if errors.Is(err, unix.EOPNOTSUPP) {
			return errors.New("this kernel has no VLANs (module 8021q)")
		}
		return err
	}}
}

func planLink(i Interface, l *link, k kernel) (steps []step) {
	add := func(what string, take func() error) { steps = append(steps, step{i.Name + ": " + what, take}) }
	if i.Parent != "" {
		if l.alias != made && l.vlan == 0 {
			add("an interface of this name is there that the appliance has not made", func() error { return errors.New("choose another name") })
			return steps
		}
		if parent := k.links[i.Parent]; parent == nil || l.parent != parent.index || l.vlan != i.VLAN {
			add("it is another VLAN", func() error { return netlink.LinkDel(l.nl) }) // made again in the next round
			return steps
		}
	}
	alias := taken
	if i.Parent != "" {
		alias = made
	}
	if l.alias != alias {
		add("it has not the appliance's alias", func() error { return netlink.LinkSetAlias(l.nl, alias) })
	}
	if i.MTU != 0 && l.mtu != i.MTU {
		add(fmt.Sprintf("the MTU is %d", l.mtu), func() error { return netlink.LinkSetMTU(l.nl, i.MTU) })
	}
	switch {
	case i.Disabled && l.up:
		add("it is up", func() error { return netlink.LinkSetDown(l.nl) })
	case !i.Disabled && !l.up:
		add("it is down", func() error { return netlink.LinkSetUp(l.nl) })
	}
	return append(steps, planAddresses(i, l)...)
}

func planAddresses(i Interface, l *link) (steps []step) {
	for _, p := range i.Addresses {
		if !slices.ContainsFunc(l.addresses, func(a address) bool { return a.prefix == p }) {
			steps = append(steps, step{fmt.Sprintf("%s: %s is not there", i.Name, p), func() error {
				return netlink.AddrReplace(l.nl, &netlink.Addr{IPNet: ipNet(p)})
			}})
		}
	}
	for _, a := range l.addresses {
		if !slices.Contains(i.Addresses, a.prefix) {
			steps = append(steps, removeAddress(i.Name, l, a))
		}
	}
	return steps
}

func removeAddress(name string, l *link, a address) step {
	return step{fmt.Sprintf("%s: %s is not wanted", name, a.prefix), func() error {
		err := netlink.AddrDel(l.nl, &netlink.Addr{IPNet: a.nl.IPNet})
		if errors.Is(err, unix.EADDRNOTAVAIL) { // went with another one of its subnet
			return nil
		}
		return err
	}}
}

// planRoutes adds what is missing and takes away what is the appliance's and not wanted. A route to the same destination by an interface of the
// appliance gives way; one of somebody else's interface stays, and is reported.
func planRoutes(w Wanted, k kernel) (steps []step) {
	wanted := func(r route) bool {
		return slices.ContainsFunc(w.Routes, func(one Route) bool {
			return one.To == r.to && one.Via == r.via && k.indexOf(w.with(one.Via)) == r.index
		})
	}
	for _, r := range k.routes {
		if r.ours && !wanted(r) {
			steps = append(steps, step{fmt.Sprintf("route to %s via %s is not wanted", r.to, r.via), func() error {
				if err := netlink.RouteDel(&r.nl); !errors.Is(err, unix.ESRCH) {
					return err
				}
				return nil
			}})
		}
	}
	for _, one := range w.Routes {
		index := k.indexOf(w.with(one.Via))
		if slices.ContainsFunc(k.routes, func(r route) bool { return r.ours && r.to == one.To && r.via == one.Via && r.index == index }) {
			continue
		}
		steps = append(steps, planRoute(w, k, one, index))
	}
	return steps
}

func planRoute(w Wanted, k kernel, one Route, index int) step {
	what := fmt.Sprintf("route to %s via %s is not there", one.To, one.Via)
	if index == 0 {
		return step{what, func() error { return errors.New("the interface of its gateway is not there") }}
	}
	for _, r := range k.routes {
		if r.ours || r.to != one.To || r.nl.Priority != metric(one.Via) {
			continue
		}
		if !slices.ContainsFunc(w.Names(), func(name string) bool { return k.indexOf(name) == r.index }) {
			return step{what, func() error {
				return fmt.Errorf("there is one via %s on an interface that network.interfaces does not name: name the interface, or take that route away", r.via)
			}}
		}
		return step{fmt.Sprintf("route to %s is via %s", r.to, r.via), func() error { return netlink.RouteDel(&r.nl) }}
	}
	return step{what, func() error { return netlink.RouteAdd(newRoute(one, index)) }}
}

func newRoute(r Route, index int) *netlink.Route {
	return &netlink.Route{LinkIndex: index, Dst: ipNet(r.To), Gw: r.Via.AsSlice(), Protocol: Protocol, Table: unix.RT_TABLE_MAIN, Family: family(r.Via), Priority: metric(r.Via)}
}

// metric is that of the appliance's routes; of IPv6 it is lower than the one that the kernel gives to what routers announce.
func metric(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 512
}

func family(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// planRelease gives back an interface that is named no longer. The alias goes last: as long as it is there, the rest is known to be the appliance's.
func planRelease(name string, l *link) (steps []step) {
	if l.alias == made {
		return []step{{name + ": it is not wanted", func() error { return netlink.LinkDel(l.nl) }}}
	}
	for _, a := range l.addresses {
		steps = append(steps, removeAddress(name, l, a))
	}
	if len(steps) > 0 {
		return steps // the alias in the next round, once these have gone
	}
	return []step{{name + ": it has the appliance's alias", func() error { return netlink.LinkSetAlias(l.nl, "") }}}
}

func (k kernel) indexOf(name string) int {
	if l := k.links[name]; l != nil {
		return l.index
	}
	return 0
}

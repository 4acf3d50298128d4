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
	about   string // the interface, or the destination of the route, as the document has it; empty: something that it does not say any more
	what    string
	take    func() error
	refused error // why nothing can be done about it
}

// refuse is a step that cannot be taken.
func refuse(about, what, advice string) step {
	err := errors.New(advice)
	return step{about, what, func() error { return err }, err}
}

// plan lists what differs, in the order in which it is put right: links, new addresses, old addresses, routes, and what is named no longer.
func plan(w Wanted, k kernel, m *memory) (steps []step) {
	for _, i := range w.Interfaces {
		if l := k.links[i.Name]; l != nil {
			steps = append(steps, planLink(i, l, k, m)...)
		} else {
			steps = append(steps, planMissing(i, k))
		}
	}
	routes := planRoutes(w, k)
	if slices.ContainsFunc(w.Interfaces, func(i Interface) bool {
		return !i.isMade() && k.links[i.Name] != nil && k.links[i.Name].alias != taken
	}) {
		// No route is touched before it is known what all interfaces were.
		return append(steps, slices.DeleteFunc(routes, func(s step) bool { return s.refused == nil })...)
	}
	steps = append(append(steps, routes...), planManagement(w, k)...)
	for _, name := range slices.Sorted(maps.Keys(k.links)) {
		if l := k.links[name]; (l.alias == taken || l.alias == made) && !slices.Contains(w.Names(), name) {
			steps = append(steps, m.planRelease(name, l)...)
		}
	}
	return steps
}

func planMissing(i Interface, k kernel) step {
	if !i.isMade() {
		return refuse(i.topic(), i.Name+": the interface is not there", "plug it in, or take it out of network.interfaces")
	}
	if len(i.Bond.Ports) > 0 {
		return makeBond(i)
	}
	return step{about: i.Name, what: i.Name + ": the VLAN is not there", take: func() error {
		parent := k.links[i.Parent]
		if parent == nil {
			return fmt.Errorf("its parent %s is not there", i.Parent)
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = i.Name, parent.index
		vlan := &netlink.Vlan{LinkAttrs: attrs, VlanId: i.VLAN}
		err := netlink.LinkAdd(vlan)
		if errors.Is(err, unix.EOPNOTSUPP) {
			return errors.New("this kernel has no VLANs (module 8021q)")
		}
		if err != nil {
			return err
		}
		return netlink.LinkSetAlias(vlan, made) // at once: without it, it would be somebody else's
	}}
}

func planLink(i Interface, l *link, k kernel, m *memory) (steps []step) {
	add := func(what string, take func() error) {
		steps = append(steps, step{about: i.topic(), what: i.Name + ": " + what, take: take})
	}
	if !i.isMade() && l.alias != taken && l.alias != made { // nothing else before it is known what it was
		add("it has not the appliance's alias", func() error {
			if err := m.keep(i.Name, l, k); err != nil {
				return err
			}
			return netlink.LinkSetAlias(l.nl, taken)
		})
		return steps
	}
	if s, fits := planKind(i, l, k); !fits {
		return []step{s}
	}
	mtu, parent := i.MTU, k.links[i.Parent]
	switch {
	case i.master != "":
		return append(planPort(i, l, k, m), planAddresses(i, l)...)
	case k.isOurBond(l.master):
		add("it is a port still", func() error { return netlink.LinkSetNoMaster(l.nl) })
	case mtu == 0 && !i.isMade():
		mtu = m.of(l).mtu()
	case mtu == 0 && parent != nil && l.mtu < parent.mtu && parent.nl.Type() != "macsec":
		mtu = parent.mtu // as one is made
	}
	if mtu != 0 && l.mtu != mtu {
		add(fmt.Sprintf("the MTU is %d", l.mtu), func() error {
			if err := m.setsMTU(l); err != nil {
				return err
			}
			return netlink.LinkSetMTU(l.nl, mtu)
		})
	}
	switch {
	case i.Disabled && l.up:
		add("it is up", func() error { return netlink.LinkSetDown(l.nl) })
	case !i.Disabled && !l.up:
		add("it is down", func() error { return netlink.LinkSetUp(l.nl) })
	}
	return append(append(steps, planRA(i, l, k, m)...), planAddresses(i, l)...)
}

// planKind says what to do with an interface that is not of the kind that it is to be.
func planKind(i Interface, l *link, k kernel) (s step, fits bool) {
	parent := k.links[i.Parent]
	again := func(what string) step { // made in the next round
		return step{about: i.Name, what: i.Name + ": " + what, take: func() error { return netlink.LinkDel(l.nl) }}
	}
	switch {
	case !i.isMade() && l.alias == made:
		return refuse(i.topic(), i.Name+": it is a VLAN or a bond that the appliance has made", "say its parent and its id or its ports, or choose another name"), false
	case i.isMade() && l.alias != made:
		return refuse(i.Name, i.Name+": an interface of this name is there that the appliance has not made", "choose another name, or take that interface away"), false
	case len(i.Bond.Ports) > 0 && !i.Bond.is(l):
		return again("it is another bond"), false
	case i.Parent != "" && (parent == nil || l.parent != parent.index || l.vlan != i.VLAN):
		return again("it is another VLAN"), false
	}
	return step{}, true
}

func planAddresses(i Interface, l *link) (steps []step) {
	for _, p := range i.Addresses {
		if !slices.ContainsFunc(l.addresses, func(a address) bool { return a.prefix == p }) {
			steps = append(steps, step{about: i.topic(), what: fmt.Sprintf("%s: %s is not there", i.Name, p), take: func() error {
				return netlink.AddrReplace(l.nl, &netlink.Addr{IPNet: ipNet(p)})
			}})
		}
	}
	for _, a := range l.addresses {
		if !slices.Contains(i.Addresses, a.prefix) {
			steps = append(steps, removeAddress(i.topic(), i.Name, l, a))
		}
	}
	return steps
}

func removeAddress(about, name string, l *link, a address) step {
	return step{about: about, what: fmt.Sprintf("%s: %s is not wanted", name, a.prefix), take: func() error {
		err := netlink.AddrDel(l.nl, &a.nl)     // as it was read, with its peer
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
			return !one.Management && one.To == r.to && one.Via == r.via && k.indexOf(w.with(one.Via)) == r.index
		})
	}
	for _, r := range k.routes {
		if r.ours && !wanted(r) {
			steps = append(steps, step{what: fmt.Sprintf("route to %s via %s is not wanted", r.to, r.via), take: func() error {
				if err := netlink.RouteDel(&r.nl); !errors.Is(err, unix.ESRCH) {
					return err
				}
				return nil
			}})
		}
	}
	for _, one := range w.Routes {
		if one.Management {
			continue
		}
		index := k.indexOf(w.with(one.Via))
		if slices.ContainsFunc(k.routes, func(r route) bool { return r.ours && r.to == one.To && r.via == one.Via && r.index == index }) {
			continue
		}
		steps = append(steps, planRoute(w, k, one, index))
	}
	return steps
}

func planRoute(w Wanted, k kernel, one Route, index int) step {
	about, what := one.To.String(), fmt.Sprintf("route to %s via %s is not there", one.To, one.Via)
	for _, r := range k.routes {
		if r.ours || r.to != one.To || r.nl.Priority != metric(one.Via) {
			continue
		}
		if !slices.ContainsFunc(w.Names(), func(name string) bool { return k.indexOf(name) == r.index }) {
			return refuse(about, what, fmt.Sprintf("there is one via %s on an interface that network.interfaces does not name: name the interface, or take that route away", r.via))
		}
		return step{about: about, what: fmt.Sprintf("route to %s is via %s", r.to, r.via), take: func() error { return netlink.RouteDel(&r.nl) }}
	}
	if index == 0 {
		return step{about: about, what: what, take: func() error { return errors.New("the interface of its gateway is not there") }}
	}
	return step{about: about, what: what, take: func() error { return netlink.RouteAdd(newRoute(one, index)) }}
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

func (k kernel) indexOf(name string) int {
	if l := k.links[name]; l != nil {
		return l.index
	}
	return 0
}

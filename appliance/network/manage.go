package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The management table: what leaves from an address of a management interface, or by such an interface, takes the routes of a table of its own, so
// that its replies leave by the management gateway whatever the routes of the service network are. Where no route is for management, there are
// neither rules nor table. Rules and routes carry our protocol number.

const (
	managementTable = 188
	rulePriority    = 18800 // before the main table's 32766
)

// rule sends some packets to the management table: those from an address, or those by an interface.
type rule struct {
	from netip.Addr
	out  string
	nl   netlink.Rule
}

func (r rule) is(other rule) bool { return r.from == other.from && r.out == other.out }

func (r rule) String() string {
	if r.out != "" {
		return "the rule for what leaves by " + r.out
	}
	return fmt.Sprintf("the rule for what leaves from %s", r.from)
}

// rule is what the kernel is told.
func (r rule) rule(family int) *netlink.Rule {
	out := netlink.NewRule()
	out.Family, out.Priority, out.Table, out.Protocol = family, rulePriority, managementTable, uint8(Protocol)
	if r.out != "" {
		out.OifName, out.Priority = r.out, rulePriority+1
	} else {
		out.Src = ipNet(netip.PrefixFrom(r.from, r.from.BitLen()))
	}
	return out
}

// local is a subnet that management reaches without a gateway.
type local struct {
	to    netip.Prefix
	index int
	src   netip.Addr
	nl    netlink.Route
}

func (l local) is(other local) bool {
	return l.to == other.to && l.index == other.index && (l.src == other.src || l.to.Addr().Is6()) // of IPv6 the kernel chooses it
}

// management is what the management table and its rules hold, as wanted or as it is.
type management struct {
	rules  []rule
	locals []local
	routes []route
}

// lookManagement reads them.
func lookManagement() (m management, err error) {
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return m, fmt.Errorf("listing rules: %w", err)
	}
	for _, r := range rules {
		if r.Table == managementTable && (r.Priority == rulePriority || r.Priority == rulePriority+1) {
			m.rules = append(m.rules, rule{from: prefixOf(r.Src).Addr(), out: r.OifName, nl: r})
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: managementTable}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return m, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		to := prefixOf(r.Dst)
		if r.Dst == nil {
			to = everything(r.Family)
		}
		if via, ok := netip.AddrFromSlice(r.Gw); ok {
			m.routes = append(m.routes, route{to: to, via: via.Unmap(), index: r.LinkIndex, ours: true, nl: r})
			continue
		}
		src, _ := netip.AddrFromSlice(r.Src)
		m.locals = append(m.locals, local{to, r.LinkIndex, src.Unmap(), r})
	}
	return m, nil
}

// management is what is wanted.
func (w Wanted) management(k kernel) (m management) {
	for _, r := range w.Routes {
		if r.Management {
			m.routes = append(m.routes, route{to: r.To, via: r.Via, index: k.indexOf(w.with(r.Via))})
		}
	}
	if len(m.routes) == 0 {
		return m
	}
	for _, i := range w.Interfaces {
		if !i.Management || i.Disabled {
			continue
		}
		m.rules = append(m.rules, rule{out: i.Name})
		for _, p := range i.Addresses {
			m.rules = append(m.rules, rule{from: p.Addr()})
			if index := k.indexOf(i.Name); index != 0 && !slices.ContainsFunc(m.locals, func(l local) bool { return l.to == p.Masked() }) {
				m.locals = append(m.locals, local{to: p.Masked(), index: index, src: p.Addr()})
			}
		}
	}
	return m
}

func planManagement(w Wanted, k kernel) (steps []step) {
	want, have := w.management(k), k.management
	steps = append(steps, planLocals(want, have)...)
	steps = append(steps, planManaged(want, have)...)
	return append(steps, planRules(want, have)...)
}

func planLocals(want, have management) (steps []step) {
	for _, l := range have.locals {
		if !slices.ContainsFunc(want.locals, l.is) {
			steps = append(steps, step{what: fmt.Sprintf("management: the way to %s is not wanted", l.to), take: gone(func() error { return netlink.RouteDel(&l.nl) })})
		}
	}
	for _, l := range want.locals {
		if slices.ContainsFunc(have.locals, l.is) {
			continue
		}
		steps = append(steps, step{what: fmt.Sprintf("management: the way to %s is not there", l.to), take: func() error {
			r := &netlink.Route{LinkIndex: l.index, Dst: ipNet(l.to), Protocol: Protocol, Table: managementTable, Family: family(l.to.Addr()), Scope: netlink.SCOPE_LINK}
			if l.to.Addr().Is4() {
				r.Src = l.src.AsSlice()
			}
			return netlink.RouteReplace(r)
		}})
	}
	return steps
}

func planManaged(want, have management) (steps []step) {
	same := func(list []route, r route) bool {
		return slices.ContainsFunc(list, func(o route) bool { return o.to == r.to && o.via == r.via && o.index == r.index })
	}
	for _, r := range have.routes {
		if !same(want.routes, r) {
			steps = append(steps, step{what: fmt.Sprintf("management: route to %s via %s is not wanted", r.to, r.via), take: gone(func() error { return netlink.RouteDel(&r.nl) })})
		}
	}
	for _, r := range want.routes {
		if same(have.routes, r) {
			continue
		}
		steps = append(steps, step{about: r.to.String(), what: fmt.Sprintf("management: route to %s via %s is not there", r.to, r.via), take: func() error {
			if r.index == 0 {
				return errors.New("the interface of its gateway is not there")
			}
			added := newRoute(Route{To: r.to, Via: r.via}, r.index)
			added.Table = managementTable
			return netlink.RouteAdd(added)
		}})
	}
	return steps
}

// planRules comes last: no packet is sent to a table that has no way yet. A rule by an interface is there for both families.
func planRules(want, have management) (steps []step) {
	families := func(r rule) []int {
		if r.out != "" {
			return []int{netlink.FAMILY_V4, netlink.FAMILY_V6}
		}
		return []int{family(r.from)}
	}
	for _, r := range have.rules {
		if !slices.ContainsFunc(want.rules, r.is) {
			steps = append(steps, step{what: fmt.Sprintf("management: %s is not wanted", r), take: gone(func() error { return netlink.RuleDel(&r.nl) })})
		}
	}
	for _, r := range want.rules {
		for _, f := range families(r) {
			if !slices.ContainsFunc(have.rules, func(h rule) bool { return h.is(r) && h.nl.Family == f }) {
				steps = append(steps, step{what: fmt.Sprintf("management: %s is not there", r), take: func() error {
					err := netlink.RuleAdd(r.rule(f))
					if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EEXIST) {
						return nil
					}
					return err
				}})
			}
		}
	}
	return steps
}

// gone is a step that is done also when there is nothing left to do.
func gone(take func() error) func() error {
	return func() error {
		if err := take(); !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOENT) {
			return err
		}
		return nil
	}
}

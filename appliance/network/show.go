package network

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Shown is the network as the kernel has it, whoever made it so; to be read by people.
type Shown struct {
	Links         []ShownLink
	Routes, Rules []string // as ip(8) writes them
}

// ShownLink is an interface.
type ShownLink struct {
	Name, Kind, MAC string
	Up, Carrier     bool
	MTU             int
	Addresses       []string
	Counters        Counters
}

// Counters are what an interface has moved, and what it could not.
type Counters struct {
	RxPackets, RxBytes, RxErrors, RxDropped uint64
	TxPackets, TxBytes, TxErrors, TxDropped uint64
}

// maxShown bounds how many routes are listed: a box in a large network may have learned many.
const maxShown = 1000

// Show reads it. Nothing is changed, and no capability is needed.
func Show() (s Shown, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return s, fmt.Errorf("listing interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		one := ShownLink{Name: a.Name, Kind: l.Type(), MAC: a.HardwareAddr.String(), Up: a.Flags&net.FlagUp != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0, MTU: a.MTU}
		if c := a.Statistics; c != nil {
			one.Counters = Counters{c.RxPackets, c.RxBytes, c.RxErrors, c.RxDropped, c.TxPackets, c.TxBytes, c.TxErrors, c.TxDropped}
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return s, fmt.Errorf("listing addresses of %s: %w", a.Name, err)
		}
		for _, addr := range addrs {
			one.Addresses = append(one.Addresses, addr.IPNet.String())
		}
		s.Links = append(s.Links, one)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return s, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if r.Table != unix.RT_TABLE_LOCAL && len(s.Routes) < maxShown {
			s.Routes = append(s.Routes, routeText(r, names))
		}
	}
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return s, fmt.Errorf("listing rules: %w", err)
	}
	slices.SortStableFunc(rules, func(a, b netlink.Rule) int { return a.Priority - b.Priority })
	for _, r := range rules {
		s.Rules = append(s.Rules, ruleText(r)+ruleFamily(r.Family))
	}
	return s, nil
}

func routeText(r netlink.Route, names map[int]string) string {
	to := prefixOf(r.Dst)
	text := to.String()
	if r.Dst == nil || to.Bits() == 0 {
		text = "default"
	}
	if r.Gw != nil {
		text += " via " + r.Gw.String()
	}
	if name := names[r.LinkIndex]; name != "" {
		text += " dev " + name
	}
	if r.Table != unix.RT_TABLE_MAIN {
		text += fmt.Sprintf(" table %d", r.Table)
	}
	if r.Priority != 0 {
		text += fmt.Sprintf(" metric %d", r.Priority)
	}
	if r.Protocol == Protocol {
		return text + " (of the appliance)"
	}
	return text + " proto " + r.Protocol.String()
}

func ruleText(r netlink.Rule) string {
	text := fmt.Sprintf("%d: from all", r.Priority)
	if r.Src != nil {
		text = fmt.Sprintf("%d: from %s", r.Priority, r.Src)
	}
	var more []string
	if r.Dst != nil {
		more = append(more, "to "+r.Dst.String())
	}
	if r.Mark != 0 {
		more = append(more, fmt.Sprintf("fwmark 0x%x", r.Mark))
	}
	if r.IifName != "" {
		more = append(more, "iif "+r.IifName)
	}
	if r.OifName != "" {
		more = append(more, "oif "+r.OifName)
	}
	return strings.Join(append([]string{text}, append(more, "lookup "+tableName(r.Table))...), " ")
}

func ruleFamily(f int) string {
	if f == unix.AF_INET6 {
		return " (IPv6)"
	}
	return ""
}

func tableName(t int) string {
	switch t {
	case unix.RT_TABLE_LOCAL:
		return "local"
	case unix.RT_TABLE_MAIN:
		return "main"
	case unix.RT_TABLE_DEFAULT:
		return "default"
	}
	return fmt.Sprint(t)
}

package network

import (
	"net/netip"
	"slices"
)

// Wanted is the network as it is to be.
type Wanted struct {
	Interfaces []Interface
	Routes     []Route
}

// Interface is one interface, which has to be there, or a VLAN, which is made.
type Interface struct {
	Name      string
	Parent    string // of a VLAN; empty: the interface has to be there
	VLAN      int    // 802.1Q id
	MTU       int    // 0: as it is
	Disabled  bool   // down
	Addresses []netip.Prefix
	DHCP      DHCP
	RA        RA
}

// DHCP says what is taken from a DHCPv4 server. Without Address, nothing is asked.
type DHCP struct {
	Address bool
	Gateway bool // its routes too
}

// RA says what is taken from what IPv6 routers announce.
type RA struct {
	Set     bool // false: the kernel does as it is set
	Address bool
	Gateway bool
}

// Route is a static route of the main table.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Names returns the interfaces that are named.
func (w Wanted) Names() []string {
	names := make([]string, len(w.Interfaces))
	for i, one := range w.Interfaces {
		names[i] = one.Name
	}
	return names
}

// with returns the interface in whose subnet an address is; empty: none.
func (w Wanted) with(addr netip.Addr) string {
	for _, i := range w.Interfaces {
		for _, p := range i.Addresses {
			if !i.Disabled && p.Masked().Contains(addr) {
				return i.Name
			}
		}
	}
	return ""
}

// news returns what w says otherwise than last did: names of interfaces, and destinations of routes.
func (w Wanted) news(last *Wanted) map[string]bool {
	news := map[string]bool{}
	if last == nil {
		last = &Wanted{}
	}
	for _, i := range w.Interfaces {
		news[i.Name] = !slices.ContainsFunc(last.Interfaces, i.equal)
	}
	for _, r := range w.Routes {
		news[r.To.String()] = !slices.Contains(last.Routes, r) || news[w.with(r.Via)]
	}
	return news
}

// Equal says that both want the same.
func (w Wanted) Equal(other Wanted) bool {
	return slices.EqualFunc(w.Interfaces, other.Interfaces, Interface.equal) && slices.Equal(w.Routes, other.Routes)
}

func (i Interface) equal(other Interface) bool {
	return i.Name == other.Name && i.Parent == other.Parent && i.VLAN == other.VLAN && i.MTU == other.MTU && i.Disabled == other.Disabled &&
		slices.Equal(i.Addresses, other.Addresses) && i.DHCP == other.DHCP && i.RA == other.RA
}

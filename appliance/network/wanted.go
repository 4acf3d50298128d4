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

// Interface is one interface, which has to be there, or a VLAN or a bond, which is made.
type Interface struct {
	Name       string
	Parent     string // of a VLAN; empty: the interface has to be there
	VLAN       int    // 802.1Q id
	Bond       Bond
	MTU        int  // 0: as it is
	Disabled   bool // down
	Management bool // its addresses have routes of their own, where there are any
	Addresses  []netip.Prefix
	DHCP       DHCP
	RA         RA

	master string // of a port: the bond; see Wanted.whole
}

// Bond is several interfaces as one. Without Ports, it is none.
type Bond struct {
	Ports     []string
	LACP      bool // 802.3ad; otherwise one port is in use, and another takes over
	Fast      bool // of LACP: word from the other side every second, not every 30
	MonitorMS int  // how often links are looked at
}

// isMade says that the interface is the appliance's to make.
func (i Interface) isMade() bool { return i.Parent != "" || len(i.Bond.Ports) > 0 }

// topic is the interface that the document names: of a port, its bond.
func (i Interface) topic() string {
	if i.master != "" {
		return i.master
	}
	return i.Name
}

// whole returns w with the ports of bonds as interfaces of their own, which have to be there and have no addresses.
func (w Wanted) whole() Wanted {
	var ports []Interface
	for _, i := range w.Interfaces {
		for _, port := range i.Bond.Ports {
			ports = append(ports, Interface{Name: port, master: i.Name, Disabled: i.Disabled})
		}
	}
	w.Interfaces = append(ports, w.Interfaces...)
	return w
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

// Route is a static route of the main table, or of the one for management.
type Route struct {
	To         netip.Prefix
	Via        netip.Addr
	Management bool // for what leaves from management interfaces only
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
		slices.Equal(i.Addresses, other.Addresses) && i.DHCP == other.DHCP && i.RA == other.RA && i.Bond.equal(other.Bond) && i.Management == other.Management
}

func (b Bond) equal(other Bond) bool {
	return slices.Equal(b.Ports, other.Ports) && b.LACP == other.LACP && b.Fast == other.Fast && b.MonitorMS == other.MonitorMS
}

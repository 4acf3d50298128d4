package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Network is the box's own network.
type Network struct {
	Interfaces []Interface `yaml:"interfaces" help:"interfaces whose addresses are the box's to set; all others are left alone"`
	Routes     []Route     `yaml:"routes" help:"static routes"`
	Firewall   Firewall    `yaml:"firewall" help:"what others may reach by these interfaces"`
}

// Interface is an interface of the machine, a bond of several, or a VLAN on one of these.
type Interface struct {
	Name      string   `yaml:"name" help:"such as eth0, or any name for a VLAN or a bond"`
	Role      string   `yaml:"role" values:"|service|management|cluster" help:"service, management or cluster; empty: all"`
	Parent    string   `yaml:"parent" help:"of a VLAN: the interface that it is on"`
	VLAN      int      `yaml:"vlan" help:"of a VLAN: its id, 1 to 4094; 0: it is none"`
	Addresses []string `yaml:"addresses" help:"with prefix length, such as [192.0.2.7/24, 2001:db8::7/64]; others are taken away"`
	MTU       int      `yaml:"mtu" help:"bytes; 0: as it is, or was before the box set it"`
	Disabled  bool     `yaml:"disabled" help:"switched off"`
	DHCP      []string `yaml:"dhcp" values:"address|gateway|dns|ntp" help:"what a DHCPv4 server is asked for: address, and with it gateway, dns, ntp; empty: nothing"`
	Ports     []string `yaml:"ports" help:"makes it a bond of these interfaces of the machine"`
	Mode      string   `yaml:"mode" values:"|active-backup|802.3ad" help:"of a bond: active-backup (the default: one port is in use, another takes over) or 802.3ad (LACP, as the switch must do too)"`
	Monitor   Duration `yaml:"monitor" help:"of a bond: how often it looks at the links of its ports (miimon), 10ms to 1s; 0s: 100ms"`
	LACPRate  string   `yaml:"lacp_rate" values:"|slow|fast" help:"of a bond with 802.3ad: slow (the default: word from the switch every 30 s) or fast (every second)"`
	RA        string   `yaml:"ra" values:"|all|address|gateway|off" help:"what IPv6 routers may say (router advertisements): all, address, gateway or off; empty: as the system is set"`
}

// Route is a static route.
type Route struct {
	To  string `yaml:"to" help:"subnet such as 10.0.0.0/8, or default"`
	Via string `yaml:"via" help:"address of the gateway, in a subnet of an interface of the list"`
	For string `yaml:"for" values:"|management" help:"management: only for what leaves from addresses of management interfaces; empty: for everything"`
}

// What Interface.DHCP lists.
const (
	DHCPAddress = "address"
	DHCPGateway = "gateway"
	DHCPDNS     = "dns"
	DHCPNTP     = "ntp"
)

// The values of Interface.RA beside the empty one.
const (
	RAAll     = "all"
	RAAddress = "address"
	RAGateway = "gateway"
	RAOff     = "off"
)

// The values of Interface.Mode and Interface.LACPRate; an empty one is the first.
const (
	BondActiveBackup = "active-backup"
	BondLACP         = "802.3ad"
	LACPSlow         = "slow"
	LACPFast         = "fast"
)

// Roles of interfaces.
const (
	RoleService    = "service"
	RoleManagement = "management"
	RoleCluster    = "cluster"
)

// DefaultRoute is the destination of the route that everything takes that has no other.
const DefaultRoute = "default"

// Bounds of interfaces.
const (
	maxInterfaces = 64
	maxAddresses  = 16 // of one interface
	maxPorts      = 8  // of one bond
	maxRoutes     = 128
	maxNameBytes  = 15 // IFNAMSIZ without its zero
	leastMTU      = 576
	leastMTU6     = 1280 // RFC 8200, section 5
	mostMTU       = 9216
)

// Destination returns the subnet that a route is for.
func (r Route) Destination() (netip.Prefix, error) {
	if r.To != DefaultRoute {
		return netip.ParsePrefix(r.To)
	}
	via, err := netip.ParseAddr(r.Via)
	if err == nil && via.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0), err
}

func (n Network) check(c *checker) {
	n.Firewall.check(c)
	c.that(len(n.Interfaces) <= maxInterfaces, "network.interfaces", "there are more than %d interfaces", maxInterfaces)
	c.that(len(n.Routes) <= maxRoutes, "network.routes", "there are more than %d routes", maxRoutes)
	for i, one := range n.Interfaces {
		at := fmt.Sprintf("network.interfaces[%d]", i)
		one.check(c, at)
		n.checkName(c, at, i)
		n.checkVLAN(c, at, i)
		n.checkBond(c, at, i)
		n.checkAddresses(c, at, i)
	}
	for i, r := range n.Routes {
		n.checkRoute(c, fmt.Sprintf("network.routes[%d]", i), i, r)
	}
}

func (one Interface) check(c *checker, at string) {
	c.that(one.Role == "" || slices.Contains([]string{RoleService, RoleManagement, RoleCluster}, one.Role), at+".role", "%q is not one of service, management, cluster; leave it empty for all", one.Role)
	if one.MTU != 0 {
		c.between(at+".mtu", one.MTU, leastMTU, mostMTU)
	}
	for i, what := range one.DHCP {
		where := fmt.Sprintf("%s.dhcp[%d]", at, i)
		c.oneOf(where, what, DHCPAddress, DHCPGateway, DHCPDNS, DHCPNTP)
		c.that(!slices.Contains(one.DHCP[:i], what), where, "%s is there twice", what)
	}
	c.that(len(one.DHCP) == 0 || slices.Contains(one.DHCP, DHCPAddress), at+".dhcp", "what else a server says comes with an address: add %s", DHCPAddress)
	c.that(one.RA == "" || slices.Contains([]string{RAAll, RAAddress, RAGateway, RAOff}, one.RA), at+".ra", "%q is not one of all, address, gateway, off; leave it empty for what the system is set to", one.RA)
}

func (n Network) checkName(c *checker, at string, i int) {
	name := n.Interfaces[i].Name
	c.that(isInterfaceName(name), at+".name", "%q is no name of an interface: use at most %d letters, digits, dots and hyphens, such as eth0", name, maxNameBytes)
	c.that(name != "lo", at+".name", "the loopback interface is the system's; leave it out")
	c.that(!slices.ContainsFunc(n.Interfaces[:i], func(other Interface) bool { return other.Name == name }), at+".name", "%q is there twice", name)
}

// isInterfaceName says what the kernel takes for one.
func isInterfaceName(name string) bool {
	return name != "" && len(name) <= maxNameBytes && name != "." && name != ".." && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r > '~' })
}

func (n Network) checkVLAN(c *checker, at string, i int) {
	one := n.Interfaces[i]
	if one.Parent == "" {
		c.that(one.VLAN == 0, at+".parent", "VLAN %d needs the interface that it is on, such as eth0", one.VLAN)
		return
	}
	c.between(at+".vlan", one.VLAN, 1, 4094)
	c.that(one.Parent != one.Name, at+".parent", "%s cannot be on itself", one.Name)
	parent := slices.IndexFunc(n.Interfaces, func(other Interface) bool { return other.Name == one.Parent })
	c.that(parent >= 0, at+".parent", "%s is no interface of the list; add it, with no addresses if it is to have none", one.Parent)
	if parent >= 0 {
		on := n.Interfaces[parent]
		c.that(on.Parent == "", at+".parent", "%s is a VLAN itself; a VLAN is on an interface", one.Parent)
		c.that(!on.Disabled || one.Disabled, at+".parent", "%s is disabled, and so nothing passes; disable this one too", one.Parent)
		c.that(one.MTU == 0 || on.MTU == 0 || one.MTU <= on.MTU, at+".mtu", "%d is more than the %d of %s", one.MTU, on.MTU, one.Parent)
	}
	twice := slices.ContainsFunc(n.Interfaces[:i], func(other Interface) bool { return other.Parent == one.Parent && other.VLAN == one.VLAN })
	c.that(!twice, at+".vlan", "VLAN %d is on %s twice", one.VLAN, one.Parent)
}

func (n Network) checkBond(c *checker, at string, i int) {
	one := n.Interfaces[i]
	if len(one.Ports) == 0 {
		c.that(one.Mode == "" && one.Monitor == 0 && one.LACPRate == "", at+".ports", "mode, monitor and lacp_rate are of a bond: name its ports, such as [eth0, eth1]")
		return
	}
	c.that(one.Parent == "", at+".ports", "it is a VLAN already; make the bond an entry of its own, and name it as the parent")
	c.that(len(one.Ports) <= maxPorts, at+".ports", "there are more than %d ports", maxPorts)
	c.that(one.Mode == "" || one.Mode == BondActiveBackup || one.Mode == BondLACP, at+".mode", "%q is neither %s nor %s", one.Mode, BondActiveBackup, BondLACP)
	c.that(one.LACPRate == "" || one.Mode == BondLACP, at+".lacp_rate", "it is of %s only", BondLACP)
	c.that(one.LACPRate == "" || one.LACPRate == LACPSlow || one.LACPRate == LACPFast, at+".lacp_rate", "%q is neither %s nor %s", one.LACPRate, LACPSlow, LACPFast)
	if one.Monitor != 0 {
		c.span(at+".monitor", one.Monitor, 10*time.Millisecond, time.Second)
		c.that(one.Monitor.Std()%time.Millisecond == 0, at+".monitor", "%v is no whole number of milliseconds", one.Monitor.Std())
	}
	for j, port := range one.Ports {
		where := fmt.Sprintf("%s.ports[%d]", at, j)
		c.that(isInterfaceName(port) && port != "lo", where, "%q is no name of an interface that can be a port", port)
		c.that(!slices.Contains(one.Ports[:j], port), where, "%s is there twice", port)
		for k, other := range n.Interfaces {
			c.that(other.Name != port, where, "%s has an entry of its own, and a port has no settings of its own; take that entry out", port)
			c.that(k >= i || !slices.Contains(other.Ports, port), where, "%s is a port of %s already", port, other.Name)
		}
	}
}

func (n Network) checkAddresses(c *checker, at string, i int) {
	one := n.Interfaces[i]
	c.that(len(one.Addresses) <= maxAddresses, at+".addresses", "there are more than %d addresses", maxAddresses)
	for j, text := range one.Addresses {
		where := fmt.Sprintf("%s.addresses[%d]", at, j)
		p, ok := c.hostPrefix(where, text)
		if !ok {
			continue
		}
		c.that(p.Addr().Is4() || one.MTU == 0 || one.MTU >= leastMTU6, at+".mtu", "IPv6 needs at least %d", leastMTU6)
		for k, other := range n.Interfaces[:i+1] {
			list := other.Addresses
			if k == i {
				list = list[:j]
			}
			twice := slices.ContainsFunc(list, func(t string) bool { q, err := netip.ParsePrefix(t); return err == nil && q.Addr() == p.Addr() })
			c.that(!twice, where, "%s is there twice", p.Addr())
		}
	}
}

// hostPrefix wants the address of a host with the length of its subnet's prefix.
func (c *checker) hostPrefix(path, text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		c.that(false, path, "%q is no address with prefix length: write it like 192.0.2.7/24 or 2001:db8::7/64", text)
		return p, false
	}
	a, before := p.Addr(), len(c.problems)
	c.that(!a.Is4In6(), path, "%s: write IPv4 addresses without ::ffff:", text)
	c.that(!a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && p.Bits() > 0, path, "%s is no address that a host can have", text)
	c.that(!a.IsLinkLocalUnicast(), path, "%s is a link-local address; the system gives those by itself", text)
	if a.Is4() && p.Bits() < 31 {
		c.that(a != p.Masked().Addr(), path, "%s is the subnet itself, and no host in it; did you mean %s/%d?", text, p.Masked().Addr().Next(), p.Bits())
		c.that(p.Contains(a.Next()), path, "%s is the broadcast address of its subnet", text)
	}
	return p, len(c.problems) == before
}

func (n Network) checkRoute(c *checker, at string, i int, r Route) {
	via, err := netip.ParseAddr(r.Via)
	if err != nil || via.Is4In6() || via.Zone() != "" {
		c.that(false, at+".via", "%q is no address of a gateway; write it like 192.0.2.1", r.Via)
		return
	}
	c.that(r.For == "" || r.For == RoleManagement, at+".for", "%q is not %s; leave it empty for everything", r.For, RoleManagement)
	reached := false
	for _, one := range n.Interfaces {
		if r.For == RoleManagement && one.Role != RoleManagement {
			continue
		}
		for _, text := range one.Addresses {
			if p, err := netip.ParsePrefix(text); err == nil {
				c.that(p.Addr() != via, at+".via", "%s is the box's own address", via)
				reached = reached || !one.Disabled && p.Masked().Contains(via)
			}
		}
	}
	kind := "enabled"
	if r.For == RoleManagement {
		kind = "enabled management"
	}
	c.that(reached, at+".via", "%s is in no subnet of an %s interface of network.interfaces, so it cannot be reached", via, kind)
	to := netip.Prefix{}
	if r.To == DefaultRoute {
		to, _ = r.Destination()
	} else {
		to = c.subnet(at+".to", r.To)
	}
	if to.IsValid() {
		c.that(to.Addr().Is4() == via.Is4(), at+".via", "%s and %s are of different families", r.To, via)
	}
	twice := slices.ContainsFunc(n.Routes[:i], func(other Route) bool {
		p, err := other.Destination()
		return err == nil && p == to && other.For == r.For
	})
	c.that(!twice, at+".to", "there is another route to %s", r.To)
}

package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Aliases of interfaces that are the appliance's.
const (
	taken = "meetzone"
	made  = "meetzone made"
)

// Protocol is the originator of the appliance's routes (rtnetlink's rtm_protocol; /etc/iproute2/rt_protos has no name for it).
const Protocol netlink.RouteProtocol = 188

// kernel is what there is.
type kernel struct {
	links   map[string]*link
	routes  []route // of the main table, with a gateway
	foreign []route // of the main table, that somebody has added; also those without a gateway
	told    []route // that routers announced

	management management
}

type link struct {
	nl        netlink.Link
	index     int
	alias     string
	up        bool
	mtu       int
	master    int           // index of the bond or bridge that it is in
	bond      *netlink.Bond // nil: it is none
	parent    int           // of a VLAN
	vlan      int
	addresses []address
	announced []address // that routers gave
	ra        raState   // of an interface of the appliance
}

type address struct {
	prefix netip.Prefix
	nl     netlink.Addr
}

type route struct {
	to    netip.Prefix
	via   netip.Addr
	index int
	ours  bool
	nl    netlink.Route
}

// look reads links, addresses and routes.
func look() (kernel, error) {
	k := kernel{links: map[string]*link{}}
	links, err := netlink.LinkList()
	if err != nil {
		return k, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		one := &link{nl: l, index: a.Index, alias: a.Alias, up: a.Flags&net.FlagUp != 0, mtu: a.MTU}
		one.master = a.MasterIndex
		one.bond, _ = l.(*netlink.Bond)
		if v, ok := l.(*netlink.Vlan); ok {
			one.parent, one.vlan = a.ParentIndex, v.VlanId
		}
		if one.alias == taken || one.alias == made {
			one.ra = readRA(a.Name)
		}
		k.links[a.Name] = one
	}
	if err := k.lookAddresses(); err != nil {
		return k, err
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return k, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		via, ok := netip.AddrFromSlice(r.Gw)
		one := route{via: via.Unmap(), index: r.LinkIndex, ours: r.Protocol == Protocol, nl: r}
		one.to = prefixOf(r.Dst)
		if r.Dst == nil {
			one.to = everything(r.Family)
		}
		if ok || one.ours {
			k.routes = append(k.routes, one)
		}
		if r.Protocol == unix.RTPROT_RA {
			k.told = append(k.told, one)
		}
		if !one.ours && !slices.Contains([]netlink.RouteProtocol{unix.RTPROT_KERNEL, unix.RTPROT_RA, unix.RTPROT_REDIRECT}, r.Protocol) && r.Type == unix.RTN_UNICAST {
			k.foreign = append(k.foreign, one)
		}
	}
	k.management, err = lookManagement()
	return k, err
}

// lookAddresses reads the permanent addresses; those that routers gave or the link made are nobody's to change.
func (k *kernel) lookAddresses() error {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	byIndex := map[int]*link{}
	for _, l := range k.links {
		byIndex[l.index] = l
	}
	for _, a := range addrs {
		l := byIndex[a.LinkIndex]
		p := prefixOf(a.IPNet)
		if l == nil || !p.IsValid() || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		if a.Flags&unix.IFA_F_PERMANENT == 0 {
			if p.Addr().Is6() {
				l.announced = append(l.announced, address{p, a})
			}
			continue
		}
		l.addresses = append(l.addresses, address{p, a})
	}
	return nil
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if !ok {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr.Unmap(), ones)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// everything is the destination of the default route of a family.
func everything(family int) netip.Prefix {
	if family == netlink.FAMILY_V4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

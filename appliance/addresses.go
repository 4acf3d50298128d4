package main

import (
	"net"
	"net/netip"
	"os"
	"slices"

	"meetzone/appliance/config"
)

// hostAddresses returns the machine's own global addresses, IPv4 first; loopback only where there is nothing else.
func hostAddresses() []netip.Addr {
	var global, loopback []netip.Addr
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, one := range list {
		prefix, ok := one.(*net.IPNet)
		if !ok {
			continue
		}
		addr, ok := netip.AddrFromSlice(prefix.IP)
		addr = addr.Unmap()
		switch {
		case !ok || addr.IsLinkLocalUnicast():
		case addr.IsLoopback():
			loopback = append(loopback, addr)
		default:
			global = append(global, addr)
		}
	}
	if len(global) == 0 {
		global = loopback
	}
	slices.SortStableFunc(global, func(a, b netip.Addr) int {
		return a.BitLen() - b.BitLen()
	})
	return global
}

// maxCandidates bounds what an offer lists.
const maxCandidates = 16

// candidates finds the addresses that are given to clients for media.
type candidates struct {
	advertise []string
	listen    func() []netip.AddrPort
}

// list returns what is advertised, else what the plane listens on, with the machine's own addresses in place of a wildcard.
func (c *candidates) list() []netip.AddrPort {
	var out []netip.AddrPort
	listen := c.listen()
	for _, l := range listen {
		switch {
		case !l.Addr().IsUnspecified():
			out = append(out, l)
		default:
			for _, addr := range hostAddresses() {
				if addr.Is4() || l.Addr().Is6() {
					out = append(out, netip.AddrPortFrom(addr, l.Port()))
				}
			}
		}
	}
	if len(c.advertise) > 0 && len(listen) > 0 {
		out = nil
		for _, text := range c.advertise {
			if addr, err := netip.ParseAddr(text); err == nil { // validated with the document
				out = append(out, netip.AddrPortFrom(addr, listen[0].Port()))
			}
		}
	}
	return out[:min(len(out), maxCandidates)]
}

// hostname is what the box calls itself.
func hostname(doc config.Document) string {
	if doc.Box.Hostname != "" {
		return doc.Box.Hostname
	}
	name, err := os.Hostname()
	if err != nil {
		return "meetzone"
	}
	return name
}

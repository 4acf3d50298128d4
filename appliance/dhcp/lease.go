package dhcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// Lease is what a server gave.
type Lease struct {
	Interface string       `json:"interface"`
	MAC       string       `json:"mac"`
	Address   netip.Prefix `json:"address"`
	Server    netip.Addr   `json:"server"`
	Routes    []Route      `json:"routes,omitempty"` // the default route is one of them
	DNS       []netip.Addr `json:"dns,omitempty"`
	Domain    string       `json:"domain,omitempty"`
	NTP       []netip.Addr `json:"ntp,omitempty"`

	Given  time.Time     `json:"given"` // by the wall clock
	Boot   string        `json:"boot"`  // which boot it was given in
	At     time.Duration `json:"at"`    // since the start of that boot
	Renew  time.Duration `json:"renew"` // after it was given: T1
	Rebind time.Duration `json:"rebind"`
	Expire time.Duration `json:"expire"`
}

// Route is a way that the server announces.
type Route struct {
	To  netip.Prefix `json:"to"`
	Via netip.Addr   `json:"via"`
}

// Age is how long ago the lease was given.
func (l Lease) Age() time.Duration {
	if l.Boot == boot() {
		return sinceBoot() - l.At
	}
	return max(0, time.Since(l.Given))
}

// Left is how long the address may be used still.
func (l Lease) Left() time.Duration { return l.Expire - l.Age() }

// boot names the boot that this is; empty: the kernel does not tell.
var boot = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
})

// sinceBoot counts what the machine slept too.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Bounds of what is taken from a server.
const (
	maxRoutes   = 16
	maxServers  = 8                         // of DNS and of NTP each
	leastExpire = 10 * time.Second          // a shorter one would be work without end
	maxExpire   = 10 * 365 * 24 * time.Hour // also stands for a lease without end
)

var errUnusable = errors.New("the server's answer is of no use")

// leaseOf reads an acknowledgement. What cannot be used in it is left out; without a usable address it is an error.
func leaseOf(iface string, mac net.HardwareAddr, ack *dhcpv4.DHCPv4) (Lease, error) {
	l := Lease{Interface: iface, MAC: mac.String(), Given: time.Now().UTC(), Boot: boot(), At: sinceBoot()}
	addr, server := addrOf(ack.YourIPAddr), addrOf(ack.ServerIdentifier())
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	bits, size := mask.Size()
	if !usable(addr) || !server.Is4() || size != 32 || bits == 0 {
		return l, fmt.Errorf("%w: address %v, mask %v, server %v", errUnusable, ack.YourIPAddr, mask, server)
	}
	l.Address, l.Server = netip.PrefixFrom(addr, bits), server
	l.Expire = min(ack.IPAddressLeaseTime(maxExpire), maxExpire)
	if l.Expire < leastExpire {
		return l, fmt.Errorf("%w: a lease of %v; ask whoever runs the server for one of an hour", errUnusable, l.Expire)
	}
	l.Rebind = ack.IPAddressRebindingTime(0)
	if l.Rebind <= 0 || l.Rebind >= l.Expire {
		l.Rebind = l.Expire / 8 * 7
	}
	l.Renew = ack.IPAddressRenewalTime(0)
	if l.Renew <= 0 || l.Renew >= l.Rebind {
		l.Renew = min(l.Expire/2, l.Rebind)
	}
	l.Routes = routesOf(ack, l.Address)
	l.DNS, l.NTP = serversOf(ack.DNS()), serversOf(ack.NTPServers())
	if name := ack.DomainName(); plainName(name) {
		l.Domain = name
	}
	return l, nil
}

// routesOf follows RFC 3442: where there are classless routes, the router option says nothing. Gateways outside the subnet cannot be reached.
func routesOf(ack *dhcpv4.DHCPv4, on netip.Prefix) (routes []Route) {
	add := func(to netip.Prefix, via netip.Addr) {
		if len(routes) < maxRoutes && usable(via) && via != on.Addr() && on.Masked().Contains(via) && to.IsValid() {
			routes = append(routes, Route{to.Masked(), via})
		}
	}
	if classless := ack.ClasslessStaticRoute(); len(classless) > 0 {
		for _, r := range classless {
			bits, _ := r.Dest.Mask.Size()
			add(netip.PrefixFrom(addrOf(r.Dest.IP), bits), addrOf(r.Router))
		}
		return routes
	}
	for _, router := range ack.Router() {
		if add(netip.PrefixFrom(netip.IPv4Unspecified(), 0), addrOf(router)); len(routes) > 0 {
			return routes // the first is the one to prefer
		}
	}
	return nil
}

func serversOf(list []net.IP) (servers []netip.Addr) {
	for _, ip := range list {
		if a := addrOf(ip); usable(a) && len(servers) < maxServers {
			servers = append(servers, a)
		}
	}
	return servers
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	return a
}

func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// plainName says that a text is made of what host names are made of.
func plainName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-."
	return s != "" && len(s) <= 253 && strings.Trim(strings.ToLower(s), letters) == ""
}

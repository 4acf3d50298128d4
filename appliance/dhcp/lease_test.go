package dhcp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var mac = net.HardwareAddr{2, 0, 0, 0, 0, 7}

func acknowledgement(t testing.TB, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	ack, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithHwAddr(mac),
		dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 7)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithServerIP(net.IPv4(192, 0, 2, 1)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))), dhcpv4.WithLeaseTime(3600)}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// TestLease: times as RFC 2131 says where the server says none, gateways that can be reached, and no address that no host can have.
func TestLease(t *testing.T) {
	l, err := leaseOf("eth0", mac, acknowledgement(t, dhcpv4.WithRouter(net.IPv4(203, 0, 113, 1), net.IPv4(192, 0, 2, 1)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53), net.IPv4zero)))
	if err != nil || l.Address.String() != "192.0.2.7/24" || l.Renew != 30*time.Minute || l.Rebind != 3150*time.Second || l.Expire != time.Hour {
		t.Errorf("%+v, %v", l, err)
	}
	if len(l.Routes) != 1 || l.Routes[0].Via.String() != "192.0.2.1" || l.Routes[0].To.Bits() != 0 || len(l.DNS) != 1 {
		t.Errorf("routes %v, DNS %v", l.Routes, l.DNS)
	}
	if left := l.Left(); left > time.Hour || left < time.Hour-time.Minute {
		t.Errorf("%v are left", left)
	}
	other := l
	other.Boot, other.Given = "another", time.Now().Add(-50*time.Minute)
	if left := other.Left().Round(time.Minute); left != 10*time.Minute {
		t.Errorf("in another boot %v are left", left)
	}
	classless, err := leaseOf("eth0", mac, acknowledgement(t, dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(8, 32)}, Router: net.IPv4(192, 0, 2, 9)}))))
	if err != nil || len(classless.Routes) != 1 || classless.Routes[0].To.String() != "10.0.0.0/8" {
		t.Errorf("classless routes: %v, %v", classless.Routes, err)
	}
	for name, more := range map[string]dhcpv4.Modifier{
		"multicast": dhcpv4.WithYourIP(net.IPv4(224, 0, 0, 1)), "none": dhcpv4.WithYourIP(net.IPv4zero), "loopback": dhcpv4.WithYourIP(net.IPv4(127, 0, 0, 1)),
		"mask with holes": dhcpv4.WithNetmask(net.IPv4Mask(255, 0, 255, 0)), "for a moment": dhcpv4.WithLeaseTime(1),
		"no server": dhcpv4.WithGeneric(dhcpv4.OptionServerIdentifier, nil),
	} {
		if l, err := leaseOf("eth0", mac, acknowledgement(t, more)); err == nil {
			t.Errorf("%s: taken as %+v", name, l)
		}
	}
}

// FuzzLease: whatever a server sends, what is taken from it is usable and bounded.
func FuzzLease(f *testing.F) {
	f.Add(acknowledgement(f).ToBytes())
	f.Add(acknowledgement(f, dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53))).ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		ack, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		l, err := leaseOf("eth0", mac, ack)
		if err != nil {
			return
		}
		if !usable(l.Address.Addr()) || l.Address.Bits() == 0 || l.Renew > l.Rebind || l.Rebind > l.Expire || l.Renew <= 0 || l.Expire > maxExpire || len(l.Routes) > maxRoutes ||
			len(l.DNS) > maxServers || len(l.NTP) > maxServers {
			t.Errorf("%+v", l)
		}
		for _, r := range l.Routes {
			if !l.Address.Masked().Contains(r.Via) || r.To != r.To.Masked() || r.To == (netip.Prefix{}) {
				t.Errorf("route %+v", r)
			}
		}
	})
}

package appliancetest

import (
	"fmt"
	"net/netip"
	"testing"

	"meetzone/dataplane/nstest"
)

// Firewall is a router between the clients and the box. What it lets pass can be changed while meetings go on.
type Firewall struct {
	NS       *nstest.NS
	BoxIface string // towards the box
	hosts    int    // that were added
}

// Rules of a firewall, for what goes between clients and the box. Each is a body of an nftables chain.
const (
	Open              = ""
	UDPDropped        = "meta l4proto udp drop"
	UDPUpDropped      = "udp dport 8801 drop" // towards the box alone
	UDPRejected       = "meta l4proto udp reject"
	MediaPortDropped  = "meta l4proto udp drop; tcp dport 8801 drop; tcp sport 8801 drop"
	MediaPortRejected = "meta l4proto udp reject; tcp dport 8801 reject with tcp reset"
	Only443           = "tcp dport 443 accept; tcp sport 443 accept; meta l4proto icmp accept; drop"
	Nothing           = "drop"
)

// NewBehind makes a box with that many clients, each on a subnet of its own behind one firewall that is open at first.
func NewBehind(t testing.TB, clients int) (*Lab, *Firewall) {
	t.Helper()
	nstest.RequireRoot(t)
	lab := &Lab{Box: nstest.New(t, "box"), bin: binaries(t)}
	f := &Firewall{NS: nstest.New(t, "fw")}
	f.NS.Forward(t)
	f.NS.Sysctl(t, "net/ipv4/icmp_ratelimit", "0") // or a rejection is told to the first few only
	box := netip.MustParseAddr("10.87.0.2")
	var boxIface string
	f.BoxIface, boxIface = nstest.Link(t, f.NS, lab.Box, "10.87.0.1/24", box.String()+"/24")
	lab.Box.Route(t, "default", "10.87.0.1")
	for i := range clients {
		c := Client{NS: nstest.New(t, fmt.Sprintf("c%d", i)), Box: box, Addr: netip.AddrFrom4([4]byte{10, 88, byte(i), 2}), BoxIface: boxIface}
		gateway := netip.AddrFrom4([4]byte{10, 88, byte(i), 1}).String()
		c.Iface, c.RouterIface = nstest.Link(t, c.NS, f.NS, c.Addr.String()+"/24", gateway+"/24")
		c.NS.Route(t, "default", gateway)
		lab.Clients = append(lab.Clients, c)
	}
	return lab, f
}

// Watch is what the firewall sees of a client that is to go by one host only.
type Watch struct {
	astray *nstest.Capture // passes between the client and anybody else
	past   *nstest.Capture // of the client, on the box's side
	by     *nstest.Capture // passes between the host and the box
}

// Watch captures on the firewall what a client exchanges with anybody but one host: all that arrives at the client, and all of it that comes as far as the box. What the
// client sends in vain to find out what there is, and the rules drop, takes no way.
func (f *Firewall) Watch(t testing.TB, c Client, host netip.Addr) *Watch {
	t.Helper()
	return &Watch{
		astray: f.NS.Capture(t, c.RouterIface, func(p nstest.Packet) bool {
			return p.Src.Addr().Is4() && p.Dst.Addr() == c.Addr && p.Src.Addr() != host && p.Proto != icmp
		}),
		past: f.NS.Capture(t, f.BoxIface, func(p nstest.Packet) bool { return p.Src.Addr() == c.Addr || p.Dst.Addr() == c.Addr }),
		by:   f.NS.Capture(t, f.BoxIface, func(p nstest.Packet) bool { return p.Src.Addr() == host || p.Dst.Addr() == host }),
	}
}

// icmp is the protocol's number: the firewall itself may say that something is not permitted.
const icmp = 1

// Check fails the test where anything took another way than by the host, or where nothing took that one.
func (w *Watch) Check(t testing.TB, what string) {
	t.Helper()
	for where, c := range map[string]*nstest.Capture{"at the client": w.astray, "at the box": w.past} {
		if packets := c.Packets(); len(packets) > 0 {
			t.Errorf("%s: %d packets took another way and were seen %s, the first from %v to %v", what, len(packets), where, packets[0].Src, packets[0].Dst)
		}
		if missed := c.Missed(); missed > 0 {
			t.Errorf("%s: the capture %s missed %d packets", what, where, missed)
		}
	}
	if n := len(w.by.Packets()); n < 100 {
		t.Errorf("%s: %d packets between the host and the box", what, n)
	} else {
		t.Logf("%s: %d packets by the host, none another way", what, n)
	}
	for _, c := range []*nstest.Capture{w.astray, w.past, w.by} {
		c.Close()
	}
}

// Set replaces the rules: for all clients, or for those that are named by address.
func (f *Firewall) Set(t testing.TB, rules string, clients ...Client) {
	t.Helper()
	match := ""
	if len(clients) > 0 {
		set := ""
		for i, c := range clients {
			if i > 0 {
				set += ", "
			}
			set += c.Addr.String()
		}
		match = fmt.Sprintf("ip saddr != { %s } ip daddr != { %s } accept", set, set)
	}
	f.NS.Nft(t, fmt.Sprintf(`
		table inet firewall {}
		delete table inet firewall
		table inet firewall {
			chain passing {
				type filter hook forward priority 0; policy accept;
				%s
				%s
			}
		}`, match, rules))
}

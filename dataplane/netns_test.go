package dataplane

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

// boxAndPeer links two namespaces, the first of which has two addresses of each family.
func boxAndPeer(t testing.TB) (box, peer *nstest.NS, boxIface, peerIface string) {
	box, peer = nstest.New(t, "box"), nstest.New(t, "peer")
	boxIface, peerIface = nstest.Link(t, box, peer, "10.7.0.1/24 10.7.0.3/24 fd07::1/64 fd07::3/64", "10.7.0.2/24 fd07::2/64")
	return box, peer, boxIface, peerIface
}

// linkLocal returns the link-local address of an interface.
func linkLocal(t testing.TB, n *nstest.NS, iface string) (a netip.Addr) {
	t.Helper()
	n.Do(t, func() {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range addrs {
			if ip := p.(*net.IPNet).IP; ip.IsLinkLocalUnicast() {
				a, _ = netip.AddrFromSlice(ip)
			}
		}
	})
	if !a.IsValid() {
		t.Fatalf("%s has no link-local address", iface)
	}
	return a
}

// countByMark makes nf_tables count what leaves, by class, and returns a function that reads packets of each class.
func countByMark(t testing.TB, n *nstest.NS) func() (packets [dscp.NumClasses]int) {
	t.Helper()
	n.Run(t, "nft", "add table inet count; add chain inet count out { type filter hook output priority 0; }")
	for c := range dscp.NumClasses {
		n.Run(t, "nft", fmt.Sprintf("add counter inet count c%d; add rule inet count out meta mark %#x counter name c%d",
			c, dscp.Class(c).Fwmark(), c))
	}
	return func() (packets [dscp.NumClasses]int) {
		var reply struct {
			Nftables []struct {
				Counter *struct {
					Name    string
					Packets int
				}
			}
		}
		if err := json.Unmarshal([]byte(n.Run(t, "nft", "-j", "list", "counters")), &reply); err != nil {
			t.Fatal(err)
		}
		for _, object := range reply.Nftables {
			if object.Counter != nil {
				var c int
				if _, err := fmt.Sscanf(object.Counter.Name, "c%d", &c); err != nil {
					t.Fatal(err)
				}
				packets[c] = object.Counter.Packets
			}
		}
		return packets
	}
}

// TestNetnsMarksOnWire looks at what leaves the box: TOS of the class, DF and the right source on the wire, the fwmark in nf_tables,
// for both families and for link-local addresses, in super-packets and singly.
func TestNetnsMarksOnWire(t *testing.T) {
	for _, without := range []bool{false, true} {
		t.Run(fmt.Sprintf("without outlets %v", without), func(t *testing.T) { marksOnWire(t, without) })
	}
}

func marksOnWire(t *testing.T, withoutOutlets bool) {
	box, peer, boxIface, peerIface := boxAndPeer(t)
	counters := countByMark(t, box)
	wire := peer.Capture(t, peerIface, func(p nstest.Packet) bool { return p.Proto == 17 })
	cfg := testConfig("[::]:0")
	for class := range cfg.Marks {
		cfg.Marks[class] = dscp.CodePoint(8*class + 2)
	}
	cfg.NoOutlets = withoutOutlets
	var s sender
	box.Do(t, func() { s = newSender(t, cfg) })
	if f, ok := s.Actual().Feature(FeatureMark); !ok || !f.Actual {
		t.Fatalf("fwmark not permitted to root: %+v", s.Actual().Features)
	}
	if f, ok := s.Actual().Feature(FeatureOutlets); !ok || f.Actual == withoutOutlets || f.Lost != "" {
		t.Fatalf("outlets: %+v", s.Actual().Features)
	}
	zone := uint32(box.Interface(t, boxIface).Index)
	paths := []Path{
		UDPPath(addr("10.7.0.2:7000"), netip.MustParseAddr("10.7.0.1"), 0),
		UDPPath(addr("10.7.0.2:7000"), netip.MustParseAddr("10.7.0.3"), 0),
		UDPPath(addr("[fd07::2]:7000"), netip.MustParseAddr("fd07::1"), 0),
		UDPPath(addr("[fd07::2]:7000"), netip.MustParseAddr("fd07::3"), 0),
		UDPPath(netip.AddrPortFrom(linkLocal(t, peer, peerIface), 7000), linkLocal(t, box, boxIface), zone),
	}
	const each = 4
	s.commit(func(w *Worker) {
		for i := range paths {
			for class := range dscp.Class(dscp.NumClasses) {
				for _, d := range run(each, 200) {
					commitString(w, &paths[i], class, d)
				}
			}
		}
	})
	type kind struct {
		src, dst netip.Addr
		tos      uint8
	}
	got := make(map[kind]int)
	for _, p := range wire.Wait(t, len(paths)*dscp.NumClasses*each, patience) {
		if p.Dst.Port() != 7000 || p.Src.Port() != s.Addrs()[0].Port() || len(p.Payload) != 200 || p.DF != p.Src.Addr().Is4() {
			t.Errorf("on the wire: %+v", p)
		}
		got[kind{p.Src.Addr(), p.Dst.Addr(), p.TOS}]++
	}
	for i := range paths {
		for class, mark := range cfg.Marks {
			k := kind{paths[i].Local(), paths[i].Remote().Addr(), mark.TOS()}
			if got[k] != each {
				t.Errorf("%s: %d packets like %+v, want %d", dscp.Class(class), got[k], k, each)
			}
		}
	}
	stats := s.Stats()[0]
	for class, n := range counters() {
		if stats.OutByClass[class].Datagrams != uint64(len(paths)*each) || n != len(paths) { // nf_tables sees the super-packets
			t.Errorf("%s: %d sent, nf_tables counted %d", dscp.Class(class), stats.OutByClass[class].Datagrams, n)
		}
	}
}

// TestNetnsEchoLinkLocal answers a link-local client, which needs the interface in the path, and does not answer what was sent to many.
func TestNetnsEchoLinkLocal(t *testing.T) {
	box, peer, boxIface, peerIface := boxAndPeer(t)
	var p *Plane
	box.Do(t, func() {
		p = startPlane(t, testConfig("[::]:0"), func(w *Worker) Handler { return echo(w, dscp.Audio) })
	})
	var client *net.UDPConn
	peer.Do(t, func() {
		var err error
		if client, err = net.ListenUDP("udp6", nil); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { client.Close() })
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	zone := fmt.Sprint(peer.Interface(t, peerIface).Index)
	for _, to := range []netip.Addr{netip.MustParseAddr("ff02::1"), linkLocal(t, box, boxIface)} {
		to = to.WithZone(zone)
		if _, err := client.WriteToUDPAddrPort([]byte(to.String()), netip.AddrPortFrom(to, p.Addrs()[0].Port())); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 100)
	n, from, err := client.ReadFromUDPAddrPort(b)
	if want := linkLocal(t, box, boxIface); err != nil || from.Addr().WithZone("") != want || !strings.HasPrefix(string(b[:n]), want.String()) {
		t.Errorf("heard %q from %v: %v", b[:n], from, err)
	}
	waitFor(t, "the other to be counted", func() bool { return p.Stats()[0].Misaddressed == 1 })
}

// TestNetnsAudioLast offers three times what the egress takes: video is lost, audio is not.
func TestNetnsAudioLast(t *testing.T) {
	box, peer, boxIface, peerIface := boxAndPeer(t)
	box.Limit(t, boxIface, 10e6, 4<<20)
	wire := peer.Capture(t, peerIface, func(p nstest.Packet) bool { return p.TOS == 46<<2 })
	const rounds, step = 50, Instant(10 * time.Millisecond)
	path := UDPPath(addr("10.7.0.2:7000"), netip.MustParseAddr("10.7.0.1"), 0)
	video, audio := run(30, 1200), run(2, 150)
	cfg := testConfig("0.0.0.0:0")
	cfg.SendBuffer, cfg.Marks = 64<<10, marks
	var p *Plane
	box.Do(t, func() {
		p = startPlane(t, cfg, func(w *Worker) Handler {
			round, next := 0, Instant(0)
			return &testHandler{advance: func(now Instant) Instant {
				if now < next {
					return next
				}
				if round == rounds {
					return Never
				}
				for _, d := range video {
					commitString(w, &path, dscp.Video, d)
				}
				for _, d := range audio {
					commitString(w, &path, dscp.Audio, d)
				}
				round, next = round+1, now+step
				return next
			}}
		})
	})
	packets := wire.Wait(t, rounds*len(audio), patience)
	if len(packets) != rounds*len(audio) {
		t.Errorf("%d audio packets on the wire, want %d", len(packets), rounds*len(audio))
	}
	s := p.Stats()[0]
	if s.SendDrops[dscp.Audio] != 0 || s.SendDrops[dscp.Video] == 0 {
		t.Errorf("drops by class %v, errors %v", s.SendDrops, s.SendErrors)
	}
}

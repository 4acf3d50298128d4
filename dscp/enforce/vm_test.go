package enforce

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meetzone/appliance/capture"
	"meetzone/dscp"
	"meetzone/image/qemu"
)

// TestVMKernel: with Debian's kernel, which has the queueing disciplines that a build machine's may lack, everything that is made is read back as wanted; drift is
// healed; and on a VLAN each class has its 802.1p priority on the wire.
func TestVMKernel(t *testing.T) {
	if !qemu.InGuest() {
		qemu.Guest{Modules: []string{"nf_tables", "sch_htb", "sch_fq", "sch_ets", "8021q"}}.Run(t)
		return
	}
	for _, name := range []string{"lo", "eth0", "eth1"} {
		guestUp(t, name)
	}
	t.Run("htb", guestHTB)
	t.Run("ets", guestETS)
	t.Run("drift", guestDrift)
	t.Run("vlan", guestVLAN)
}

func guestUp(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l
}

func guestEnforcer(t *testing.T) *Enforcer {
	t.Helper()
	e, err := New(Config{OwnHost: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Remove(); err != nil {
			t.Error(err)
		}
		e.Close()
	})
	return e
}

// kinds lists the queueing disciplines of a link.
func kinds(t *testing.T, e *Enforcer, iface string) (text string) {
	t.Helper()
	l, err := net.InterfaceByName(iface)
	if err != nil {
		t.Fatal(err)
	}
	list, err := e.traffic.qdiscs(l.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		text += fmt.Sprintf("%s below %s: %s\n", netlink.HandleStr(f.handle), netlink.HandleStr(f.parent), f.describe())
	}
	return text
}

func guestHTB(t *testing.T) {
	e := guestEnforcer(t)
	a := apply(t, e, Wanted{Profile: profile(t, "rfc4594"), Links: []Link{{Interface: "eth0", Rate: 20_000_000}}})
	have := kinds(t, e, "eth0")
	t.Logf("\n%s", have)
	if !a.Agrees() || a.Lost != "" || !strings.Contains(have, "fq_codel limit 4096") || !strings.Contains(have, "htb default 7") {
		t.Errorf("differs: %q, lost: %q", a.Missing, a.Lost)
	}
	e.traffic.lost["fq_codel"] = true // as a kernel would be that has only fq
	if a = apply(t, e, *e.wanted); !a.Agrees() || !strings.Contains(kinds(t, e, "eth0"), "fq limit 4096") {
		t.Errorf("with fq it differs: %q\n%s", a.Missing, kinds(t, e, "eth0"))
	}
}

func guestETS(t *testing.T) {
	e := guestEnforcer(t)
	a := apply(t, e, Wanted{Profile: profile(t, "rfc4594"), Links: []Link{{Interface: "eth0"}}})
	have := kinds(t, e, "eth0")
	t.Logf("\n%s", have)
	if !a.Agrees() || !strings.Contains(have, "ets strict 3") {
		t.Errorf("differs: %q", a.Missing)
	}
	if changed, err := e.agreeLocked(); err != nil || len(changed) > 0 {
		t.Errorf("applying again changed %q: %v", changed, err)
	}
	// A profile with another order takes their place.
	p := profile(t, "rfc4594")
	p.Marks[dscp.Bulk].Band = 0
	if a = apply(t, e, Wanted{Profile: p, Links: []Link{{Interface: "eth0"}}}); !a.Agrees() {
		t.Errorf("in another order it differs: %q", a.Missing)
	}
}

func guestDrift(t *testing.T) {
	e := guestEnforcer(t)
	for _, rate := range []uint64{0, 20_000_000} {
		apply(t, e, Wanted{Profile: profile(t, "rfc4594"), Links: []Link{{Interface: "eth0", Rate: rate}}})
		if rate == 0 {
			running(t, e)
		}
		l, err := net.InterfaceByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		seen := len(e.Observe().Events)
		if err := e.traffic.drop(l.Index, handle(0), netlink.HANDLE_ROOT); err != nil {
			t.Fatal(err)
		}
		took := until(t, 5*time.Second, "the queues are back", func() bool {
			a := e.Observe()
			return a.Agrees() && len(a.Events) > seen
		})
		t.Logf("rate %d: healed after %v", rate, took)
	}
}

// guestVLAN: what leaves by a VLAN of eth0 arrives at eth1 with its tag.
func guestVLAN(t *testing.T) {
	parent, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "eth0.20", parent.Attrs().Index
	vlan := &netlink.Vlan{LinkAttrs: attrs, VlanId: 20}
	if err := netlink.LinkAdd(vlan); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = netlink.LinkDel(vlan) }()
	index := guestUp(t, "eth0.20").Attrs().Index
	addr, _ := netlink.ParseAddr("10.20.0.1/24")
	if err := netlink.AddrAdd(vlan, addr); err != nil {
		t.Fatal(err)
	}
	// Nobody answers there, so the neighbour is made known by hand.
	if err := netlink.NeighSet(&netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: net.IPv4(10, 20, 0, 2),
		HardwareAddr: net.HardwareAddr{0x52, 0x54, 0, 0, 0, 2}}); err != nil {
		t.Fatal(err)
	}
	if err := netlink.SetPromiscOn(guestUp(t, "eth1")); err != nil { // or the card drops the tags that it has not been told of
		t.Fatal(err)
	}
	e := guestEnforcer(t)
	p := profile(t, "rfc4594")
	p.Marks[dscp.Content].Priority = 4 // in the band of video, and yet another priority
	if a := apply(t, e, Wanted{Profile: p, Links: []Link{{Interface: "eth0.20", Rate: 20_000_000}}}); !a.Agrees() {
		t.Fatalf("differs: %q", a.Missing)
	}
	to := netip.MustParseAddrPort("10.20.0.2:8801")
	var file bytes.Buffer
	send := func() {
		for class := range dscp.Class(dscp.NumClasses) {
			d := net.Dialer{Control: socketWith(class.Fwmark(), 0), LocalAddr: &net.UDPAddr{IP: net.IPv4(10, 20, 0, 1), Port: 5000 + int(class)}}
			conn, err := d.Dial("udp", to.String())
			if err != nil {
				t.Error(err)
				continue
			}
			_, _ = conn.Write([]byte("tagged"))
			conn.Close()
		}
	}
	if _, err := capture.Run(t.Context(), capture.Spec{Interface: "eth1", Time: 2 * time.Second, Started: send}, &file); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[dscp.Class]bool{}
	for {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			break
		}
		port, point, ok := capture.SourceAndMark(frame)
		class := dscp.Class(port - 5000)
		if !ok || int(class) >= dscp.NumClasses || len(frame) < 18 {
			continue
		}
		seen[class] = true
		if kind, pcp := uint16(frame[12])<<8|uint16(frame[13]), frame[14]>>5; kind != unix.ETH_P_8021Q || pcp != p.Marks[class].Priority || point != p.Marks[class].CodePoint {
			t.Errorf("%s is on the wire with type %#x, 802.1p %d, %s; want 802.1p %d, %s", class, kind, pcp, point, p.Marks[class].Priority, p.Marks[class].CodePoint)
		}
	}
	if len(seen) != dscp.NumClasses {
		t.Errorf("seen on the wire: %v", seen)
	}
}

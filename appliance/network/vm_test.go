package network

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"meetzone/image/qemu"
)

func TestMain(m *testing.M) { qemu.Main(m) }

// TestVMVLAN: with Debian's kernel a VLAN is made, changed to another id, healed when somebody deletes it, and deleted when it is wanted no more.
func TestVMVLAN(t *testing.T) {
	if !qemu.InGuest() {
		qemu.Guest{Modules: []string{"8021q"}}.Run(t)
		return
	}
	o, err := New(Config{OwnHost: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	on := func(id int) Wanted {
		return Wanted{Interfaces: []Interface{{Name: "eth0"},
			{Name: "office", Parent: "eth0", VLAN: id, MTU: 1400, Addresses: []netip.Prefix{netip.MustParsePrefix("10.20.0.7/24")}}},
			Routes: []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.20.0.1")}}}
	}
	for _, id := range []int{20, 20, 30} {
		a, err := o.Apply(on(id))
		if err != nil || !a.Agrees() {
			t.Fatalf("VLAN %d: %v, differs %q", id, err, a.Differs)
		}
		l, err := netlink.LinkByName("office")
		if err != nil {
			t.Fatal(err)
		}
		v, ok := l.(*netlink.Vlan)
		if !ok || v.VlanId != id || v.MTU != 1400 || v.Alias != made {
			t.Fatalf("VLAN %d is %+v", id, l)
		}
	}
	l, _ := netlink.LinkByName("office")
	if err := netlink.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Apply(on(30)); err != nil {
		t.Fatalf("after somebody deleted it: %v", err)
	}
	if _, err := o.Apply(Wanted{}); err != nil {
		t.Fatal(err)
	}
	if _, err := netlink.LinkByName("office"); err == nil {
		t.Error("the VLAN is still there")
	}
	othersVLAN(t, o, on(30))
}

// othersVLAN: a VLAN of the same name that somebody else has made is refused, and stays.
func othersVLAN(t *testing.T, o *Owner, w Wanted) {
	parent, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "office", parent.Attrs().Index
	if err := netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 40}); err != nil {
		t.Fatal(err)
	}
	if err := o.Check(w); err == nil {
		t.Error("Check takes somebody else's VLAN")
	}
	if _, err := o.Apply(w); err == nil {
		t.Error("Apply takes somebody else's VLAN")
	}
	if _, err := o.Apply(Wanted{}); err != nil {
		t.Error(err)
	}
	l, err := netlink.LinkByName("office")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := l.(*netlink.Vlan); !ok || v.VlanId != 40 || v.Alias != "" {
		t.Errorf("somebody else's VLAN is %+v", l)
	}
}

// TestVMBond: with Debian's kernel a bond is made of two interfaces, with a VLAN on it; it is made anew for another mode, healed when somebody takes a port
// out or deletes it, and its ports are what they were when it is wanted no more.
func TestVMBond(t *testing.T) {
	if !qemu.InGuest() {
		qemu.Guest{Modules: []string{"8021q", "bonding"}}.Run(t)
		return
	}
	o, err := New(Config{OwnHost: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	before := portsShown(t)
	with := func(b Bond) Wanted {
		return Wanted{Interfaces: []Interface{{Name: "office", Parent: "uplink", VLAN: 20, Addresses: []netip.Prefix{netip.MustParsePrefix("10.20.0.7/24")}},
			{Name: "uplink", MTU: 1400, Bond: b, Addresses: []netip.Prefix{netip.MustParsePrefix("10.30.0.7/24")}}},
			Routes: []Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.20.0.1")}}}
	}
	backup := Bond{Ports: []string{"eth0", "eth1"}, MonitorMS: 100}
	for _, b := range []Bond{backup, backup, {Ports: backup.Ports, LACP: true, Fast: true, MonitorMS: 50}, backup, {Ports: []string{"eth1"}, MonitorMS: 100}, backup} {
		a, err := o.Apply(with(b))
		if err != nil || !a.Agrees() {
			t.Fatalf("%+v: %v, differs %q", b, err, a.Differs)
		}
		checkBond(t, b)
	}
	heals := func(what string, change func(netlink.Link) error) {
		t.Helper()
		l, err := netlink.LinkByName("uplink")
		if err == nil {
			err = change(l)
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if a, err := o.Apply(with(backup)); err != nil || !a.Agrees() {
			t.Fatalf("%s: %v, differs %q", what, err, a.Differs)
		}
		checkBond(t, backup)
	}
	heals("a port is out", func(netlink.Link) error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetNoMaster(l)
	})
	heals("the bond is deleted", netlink.LinkDel)
	if _, err := o.Apply(Wanted{}); err != nil {
		t.Fatal(err)
	}
	if _, err := netlink.LinkByName("uplink"); err == nil {
		t.Error("the bond is still there")
	}
	if after := portsShown(t); after != before {
		t.Errorf("its ports were\n%s\nand are\n%s", before, after)
	}
}

func portsShown(t *testing.T) (text string) {
	t.Helper()
	for _, name := range []string{"eth0", "eth1"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		a := l.Attrs()
		text += fmt.Sprintln(name, a.MTU, a.Flags&net.FlagUp, a.HardwareAddr, a.MasterIndex, a.Alias)
	}
	return text
}

func checkBond(t *testing.T, want Bond) {
	t.Helper()
	l, err := netlink.LinkByName("uplink")
	if err != nil {
		t.Fatal(err)
	}
	b, ok := l.(*netlink.Bond)
	if !ok || b.Mode != want.mode() || b.Miimon != want.MonitorMS || b.MTU != 1400 || want.LACP && b.LacpRate != want.rate() {
		t.Fatalf("the bond is %+v", l)
	}
	ports := 0
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range links {
		if one.Attrs().MasterIndex == b.Index {
			ports++
		}
	}
	if ports != len(want.Ports) {
		t.Fatalf("the bond has %d ports, want %d", ports, len(want.Ports))
	}
	if v, err := netlink.LinkByName("office"); err != nil || v.Attrs().ParentIndex != b.Index || v.Attrs().Flags&net.FlagUp == 0 {
		t.Fatalf("the VLAN on the bond is %+v, %v", v, err)
	}
}

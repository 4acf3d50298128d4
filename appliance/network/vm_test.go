package network

import (
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

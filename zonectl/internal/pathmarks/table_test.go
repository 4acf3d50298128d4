package pathmarks

import (
	"net/netip"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	var table Table
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		client string
		point  int
	}{{"10.1.2.3", 46}, {"10.1.2.99", 46}, {"::ffff:10.1.2.4", 0}, {"2001:db8:1:2:3::4", 34}, {"fe80::1%eth0", 0}, {"10.1.3.1", 64}, {"10.1.3.1", -1}} {
		table.Note(now, netip.MustParseAddr(c.client), 0, Up, c.point)
	}
	table.Note(now, netip.Addr{}, 0, Up, 46)
	table.Note(now, netip.MustParseAddr("10.1.2.3"), Media, Up, 46)
	all := table.All()
	want := []string{"10.1.2.0/24", "2001:db8:1:2::/64", "fe80::/64"}
	if len(all) != len(want) {
		t.Fatalf("%d subnets: %+v", len(all), all)
	}
	for i, p := range all {
		if p.Subnet.String() != want[i] {
			t.Errorf("subnet %d is %s, want %s", i, p.Subnet, want[i])
		}
	}
	if c := all[0].Counts[0][Up]; c[46] != 2 || c[0] != 1 || all[0].Latest[0][Up] != 0 || all[0].Latest[0][Down] != -1 {
		t.Errorf("samples of the first: %v, latest %v", c, all[0].Latest)
	}
}

// TestBounded: of too many subnets the one that was heard least recently goes.
func TestBounded(t *testing.T) {
	var table Table
	for i := range MaxSubnets + 10 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		table.Note(time.Unix(int64(i), 0), addr, 1, Down, 34)
	}
	all := table.All()
	if len(all) != MaxSubnets || all[0].Subnet.String() != "10.0.10.0/24" {
		t.Errorf("%d subnets, the first is %s", len(all), all[0].Subnet)
	}
}

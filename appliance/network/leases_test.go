package network

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"meetzone/appliance/dhcp"
)

// TestLeasesOfManagementComeLast: the default route of the main table is the service network's, whatever the order of the interfaces; that of management
// is there as long as there is no other, and always in its own table.
func TestLeasesOfManagementComeLast(t *testing.T) {
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	lease := func(address, via string) dhcp.Lease {
		return dhcp.Lease{Address: netip.MustParsePrefix(address), Given: time.Now(), Boot: "another", Expire: time.Hour, Routes: []dhcp.Route{{To: everywhere, Via: netip.MustParseAddr(via)}}}
	}
	l := leases{kept: map[string]dhcp.Lease{"eth0": lease("10.0.0.7/24", "10.0.0.1"), "eth1": lease("10.0.1.7/24", "10.0.1.1")}}
	both := DHCP{Address: true, Gateway: true}
	w := Wanted{Interfaces: []Interface{{Name: "eth0", Management: true, DHCP: both}, {Name: "eth1", DHCP: both}}}
	main := func(w Wanted) (via []string) {
		for _, r := range w.Routes {
			if !r.Management {
				via = append(via, r.Via.String())
			}
		}
		return via
	}
	put := l.put(w)
	if !slices.Equal(main(put), []string{"10.0.1.1"}) || !slices.Contains(put.Routes, Route{To: everywhere, Via: netip.MustParseAddr("10.0.0.1"), Management: true}) || len(put.Routes) != 2 {
		t.Errorf("both: %+v", put.Routes)
	}
	if len(put.Interfaces[0].Addresses) != 1 || len(put.Interfaces[1].Addresses) != 1 {
		t.Errorf("addresses: %+v", put.Interfaces)
	}
	delete(l.kept, "eth1")
	if put := l.put(w); !slices.Equal(main(put), []string{"10.0.0.1"}) || len(put.Routes) != 2 {
		t.Errorf("management alone: %+v", put.Routes)
	}
	w.Routes = []Route{{To: everywhere, Via: netip.MustParseAddr("10.0.1.9")}}
	if put := l.put(w); !slices.Equal(main(put), []string{"10.0.1.9"}) {
		t.Errorf("with a route of the document: %+v", put.Routes)
	}
}

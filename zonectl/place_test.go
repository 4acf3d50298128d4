package zonectl

import (
	"net/http"
	"testing"

	"meetzone/zonectl/wire"
)

// TestRouteByLoad holds that the probe tells the router's load, and that nobody is sent to a router that is full.
func TestRouteByLoad(t *testing.T) {
	z := openZone(t, Config{})
	busy := 0.42
	z.Controller.load = func() RouterLoad { return RouterLoad{Busy: busy} }
	number := z.create(MeetingSpec{}).Number
	probed := func() (p wire.Probe) {
		if _, told := z.request(http.MethodGet, wire.PathProbe, nil, nil, &p); told != nil {
			t.Fatal(told)
		}
		return p
	}
	if p := probed(); p.Load != 42 {
		t.Errorf("load is told as %d", p.Load)
	}
	token := z.token(wire.LookupRequest{Meeting: number})
	busy = 1.2
	if p := probed(); p.Load != 100 {
		t.Errorf("load is told as %d", p.Load)
	}
	if _, told := z.request(http.MethodPost, wire.PathRoute, nil, wire.RouteRequest{Token: token}, nil); told == nil || told.Code != wire.CodeFull {
		t.Errorf("a full router: %v", told)
	}
}

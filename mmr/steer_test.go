package mmr

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/dataplane"
)

// handedOver returns how much workers have handed over.
func (tr *testRouter) handedOver(t *testing.T) (n uint64) {
	t.Helper()
	for _, w := range tr.plane.Workers() { // so that the counters are published
		if err := w.Do(t.Context(), func(dataplane.Instant) {}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range tr.plane.Stats() {
		n += s.HandedOver
	}
	return n
}

// TestSteering: authentic peers soon arrive at home by themselves, whatever is sent from their addresses beside that. Who is not authentic is led
// nowhere.
func TestSteering(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 2)
	if f, ok := tr.plane.Actual().Feature(dataplane.FeatureSteering); !ok || !f.Actual {
		t.Fatal("not steered")
	}
	c := join(t, tr.open(t), "a", 1).credentials(Video)
	good, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.ufrag+":abcd"), priority, controlling,
		stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	bad := makeCheck(t, credentials{ufrag: c.ufrag, pwd: "another password here"}, priority, controlling)
	var members, strangers []*prober
	for range 8 {
		members, strangers = append(members, probe(t, tr.plane.Addrs()[0])), append(strangers, probe(t, tr.plane.Addrs()[0]))
	}
	authentic := func() uint64 {
		before := tr.handedOver(t)
		for _, p := range members {
			for range 5 {
				p.send([]byte{10}) // of no kind: dropped where it arrives
			}
			p.send(good.Raw)
			if p.answered() == nil {
				t.Fatal("no answer")
			}
		}
		return tr.handedOver(t) - before
	}
	forged := func() uint64 {
		before, dropped := tr.handedOver(t), tr.Stats().Drops[DropIntegrity]
		for _, p := range strangers {
			p.send(bad)
		}
		waitFor(t, "forged checks to be dropped", func() bool { return tr.Stats().Drops[DropIntegrity] >= dropped+uint64(len(strangers)) })
		return tr.handedOver(t) - before
	}
	first := forged()
	for first < 3 { // as chance has it, most have come to the home worker
		strangers = append(strangers, probe(t, tr.plane.Addrs()[0]))
		first = forged()
	}
	for deadline := time.Now().Add(20 * time.Second); authentic()+authentic() > 0; forged() {
		if time.Now().After(deadline) {
			t.Fatal("authentic peers are still handed over")
		}
	}
	if now := forged(); now*2 < first { // some share a bucket with a member
		t.Fatalf("of %d forged checks that were handed over %d are: they have steered", first, now)
	}
}

// TestHotRoute: what is told to the plane of a run of datagrams is those that came to the worker's own sockets, by a path that is known.
func TestHotRoute(t *testing.T) {
	h := idleHandler(t)
	known := dataplane.UDPPath(netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddr("127.0.0.1"), 0)
	unknown := dataplane.UDPPath(netip.MustParseAddrPort("192.0.2.1:5001"), netip.MustParseAddr("127.0.0.1"), 0)
	idleTransport(t, h, known)
	for i, c := range []struct {
		path dataplane.Path
		via  uint8
		want uint32
	}{{known, 0, 1}, {known, 0, 2}, {known, 1, 2}, {unknown, 0, 2}, {known, 0, 3}} {
		h.transportOf(&dataplane.Datagram{Path: c.path, Via: c.via})
		if h.hot.n != c.want {
			t.Errorf("datagram %d: %d to be told, want %d", i, h.hot.n, c.want)
		}
	}
	h.HandleBatch(1, nil)
	if h.hot.n != 0 {
		t.Errorf("%d are left when the batch is through", h.hot.n)
	}
}

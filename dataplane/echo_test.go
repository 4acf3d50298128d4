package dataplane

import (
	"net/netip"
	"testing"

	"meetzone/dscp"
)

// TestEcho sends marked datagrams of both families to sockets of both families: TOS is read on arrival and set on departure, replies
// leave from the address that was hit.
func TestEcho(t *testing.T) {
	for _, c := range []struct{ name, listen, from, hit string }{
		{"IPv4", "0.0.0.0:0", "127.0.0.1:0", "127.0.0.2"},
		{"IPv4 address", "127.0.0.3:0", "127.0.0.1:0", "127.0.0.3"},
		{"IPv6", "[::]:0", "[::1]:0", "::1"},
		{"IPv6 address", "[::1]:0", "[::1]:0", "::1"},
		{"IPv4 on a dual-stack socket", "[::]:0", "127.0.0.1:0", "127.0.0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := make(chan Datagram, 1)
			cfg := testConfig(c.listen)
			cfg.Marks = marks
			p := startPlane(t, cfg, func(w *Worker) Handler {
				e := echo(w, dscp.Audio)
				return &testHandler{batch: func(now Instant, batch []Datagram) {
					seen <- batch[0]
					e.HandleBatch(now, batch)
				}}
			})
			hit := netip.AddrPortFrom(netip.MustParseAddr(c.hit), p.Addrs()[0].Port())
			peer := dial(t, c.from, hit) // connected: it hears only what comes from the address it has sent to
			peer.wantTOS()
			peer.mark(34 << 2)
			peer.say("hello")
			data, tos := peer.hearMarked()
			if data != "hello" || tos != 46<<2 {
				t.Errorf("heard %q with TOS %#x, want hello with 0xb8", data, tos)
			}
			d := <-seen
			if d.TOS != 34<<2 || d.Path.Local() != hit.Addr() || d.Path.Rung() != UDP || d.Path.Zone() != 0 {
				t.Errorf("handler saw %+v", d)
			}
			if from := peer.LocalAddr().String(); d.Path.Remote().String() != from {
				t.Errorf("handler saw remote %s, want %s", d.Path.Remote(), from)
			}
			waitFor(t, "counters", func() bool { return p.Stats()[0].Out.Datagrams == 1 })
			s := p.Stats()[0]
			if s.In != (Count{1, 5}) || s.InByClass[dscp.Video] != s.In || s.OutByClass[dscp.Audio] != (Count{1, 5}) {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

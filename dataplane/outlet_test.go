package dataplane

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

// TestOutletSaysNothing: what leaves from the usual address with a class of a meeting carries no control message, what leaves from another
// carries its source, and both arrive marked, from the right address.
func TestOutletSaysNothing(t *testing.T) {
	for _, c := range []struct{ listen, at, first, second string }{
		{"0.0.0.0:0", "127.0.0.1:0", "127.0.0.1", "127.0.0.2"},
		{"[::]:0", "127.0.0.1:0", "127.0.0.1", "127.0.0.2"},
		{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1", ""},
		{"[::]:0", "[::1]:0", "::1", ""},
	} {
		cfg := testConfig(c.listen)
		cfg.Marks = marks
		s := newSender(t, cfg)
		to := listen(t, c.at)
		to.wantTOS()
		var said []int
		for _, local := range []string{c.first, c.second, c.first} {
			if local == "" {
				continue
			}
			path := pathTo(to, local)
			s.commit(func(w *Worker) {
				commitString(w, &path, dscp.Audio, local)
				o := w.outlets[boolInt(!isMapped(&path.remote))].byClass[dscp.Audio]
				said = append(said, o.out.msgs[o.out.n-1].controlLen)
			})
			data, tos, from := to.hearFrom()
			if want := netip.AddrPortFrom(netip.MustParseAddr(local), s.Addrs()[0].Port()); data != local || tos != 46<<2 || from != want {
				t.Errorf("%s: %q with %#x from %v, want %v", c.listen, data, tos, from, want)
			}
		}
		want := []int{0, 0}
		if c.second != "" {
			want = []int{0, cmsgHeader + (unix.SizeofInet4Pktinfo+7)&^7, 0}
		}
		if fmt.Sprint(said) != fmt.Sprint(want) {
			t.Errorf("%s: control messages of %v bytes, want %v", c.listen, said, want)
		}
	}
}

// TestOutletsHearNothing: whatever was sent, all that comes goes to the sockets that receive, on every worker.
func TestOutletsHearNothing(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::]:0"} {
		cfg := testConfig(at)
		cfg.Workers, cfg.Marks = 3, marks
		p := startPlane(t, cfg, func(w *Worker) Handler { return echo(w, dscp.Video) })
		port := p.Addrs()[0].Port()
		for i := range 40 {
			peer := dial(t, "127.0.0.1:0", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
			for range 3 { // the second and third meet connected outlets
				peer.say(fmt.Sprint(i))
				if got := peer.hear(); got != fmt.Sprint(i) {
					t.Fatalf("%s: heard %q", at, got)
				}
			}
		}
		for id, s := range p.Stats() {
			if s.In.Datagrams == 0 {
				t.Errorf("%s: worker %d got nothing", at, id)
			}
		}
	}
}

// TestOutletsRefused: where the kernel gives no further socket on the port, everything leaves as it should all the same, and it is said.
func TestOutletsRefused(t *testing.T) {
	var log strings.Builder
	cfg := testConfig("127.0.0.1:0")
	cfg.Marks, cfg.Logger = marks, slog.New(slog.NewTextHandler(&log, nil))
	p := openPlane(t, cfg, quiet)
	port := p.Addrs()[0].Port()
	if f, _ := p.Actual().Feature(FeatureOutlets); !f.Actual {
		t.Fatalf("no outlets: %v", p.noOutlet)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	squatter, err := openUDP(false) // somebody else is where they are to be
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(squatter)
	if err := unix.Bind(squatter, &unix.SockaddrInet4{Port: int(port), Addr: outletAddr4.As4()}); err != nil {
		t.Fatal(err)
	}
	cfg.Listen[0] = netip.AddrPortFrom(cfg.Listen[0].Addr(), port)
	s := newSender(t, cfg)
	if f, _ := s.Actual().Feature(FeatureOutlets); f.Actual || f.Lost == "" || strings.Count(log.String(), "sockets by class") != 1 {
		t.Errorf("%+v, logged %s", f, log.String())
	}
	to := listen(t, "127.0.0.1:0")
	to.wantTOS()
	path := pathTo(to, "127.0.0.1")
	s.commit(func(w *Worker) { commitString(w, &path, dscp.Audio, "hello") })
	if data, tos := to.hearMarked(); data != "hello" || tos != 46<<2 {
		t.Errorf("heard %q with %#x", data, tos)
	}
}

// TestNetnsOutletSecondAddress: from the second address of an interface, to which the kernel prefers the first, datagrams leave with it.
func TestNetnsOutletSecondAddress(t *testing.T) {
	box, peer, _, peerIface := boxAndPeer(t)
	wire := peer.Capture(t, peerIface, func(p nstest.Packet) bool { return p.Dst.Port() == 7000 })
	cfg := testConfig("[::]:0")
	cfg.Marks = marks
	var s sender
	box.Do(t, func() { s = newSender(t, cfg) })
	for _, family := range [][2]string{{"10.7.0.3", "10.7.0.1"}, {"fd07::3", "fd07::1"}} {
		to := addr("10.7.0.2:7000")
		if strings.Contains(family[0], ":") {
			to = addr("[fd07::2]:7000")
		}
		for _, local := range family {
			path := UDPPath(to, netip.MustParseAddr(local), 0)
			s.commit(func(w *Worker) { commitString(w, &path, dscp.Video, local) })
		}
	}
	for _, p := range wire.Wait(t, 4, patience) {
		if p.Src.Addr().String() != string(p.Payload) || p.TOS != 34<<2 {
			t.Errorf("%q left from %v with %#x", p.Payload, p.Src, p.TOS)
		}
	}
}

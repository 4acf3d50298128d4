package dataplane

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// sender is a plane whose only task is to send what the test commits on its worker's thread.
type sender struct {
	*Plane
	t testing.TB
}

func newSender(t testing.TB, cfg Config) sender {
	t.Helper()
	return sender{startPlane(t, cfg, func(*Worker) Handler { return &testHandler{} }), t}
}

// commit runs f on the worker's thread and returns once all of it was sent.
func (s sender) commit(f func(w *Worker)) {
	s.t.Helper()
	w := s.Workers()[0]
	if err := w.Do(s.t.Context(), func(Instant) {
		f(w)
		w.Flush()
		w.public.update(&w.stats)
	}); err != nil {
		s.t.Fatal(err)
	}
}

func commitString(w *Worker, p *Path, class dscp.Class, data string) {
	w.Commit(p, class, copy(w.Reserve(len(data)), data))
}

// pathTo is the path from a local address of the plane to a peer.
func pathTo(p peer, local string) Path {
	return UDPPath(netip.MustParseAddrPort(p.LocalAddr().String()), netip.MustParseAddr(local), 0)
}

// listen opens a peer that hears from anywhere.
func listen(t testing.TB, at string) peer {
	t.Helper()
	return dialOrListen(t, at, netip.AddrPort{})
}

// run returns n different strings of equal length.
func run(n, size int) (list []string) {
	for i := range n {
		s := fmt.Sprintf("%03d", i)
		list = append(list, s+strings.Repeat("x", size-len(s)))
	}
	return list
}

// TestSuperPacketBound: where a slow link bounds super-packets, fewer datagrams share one, until the bound is lifted.
func TestSuperPacketBound(t *testing.T) {
	s := newSender(t, testConfig("127.0.0.1:0"))
	to := listen(t, "127.0.0.1:0")
	path := pathTo(to, "127.0.0.1")
	messages := uint64(0)
	for _, c := range []struct {
		bytes    int
		messages uint64
	}{{5000, 2}, {500, 8}, {0, 1}} {
		s.SetSuperPacket(c.bytes)
		s.commit(func(w *Worker) {
			for _, d := range run(8, 1000) {
				commitString(w, &path, dscp.Video, d)
			}
		})
		for range 8 {
			to.hear()
		}
		if got := s.Stats()[0].MessagesOut - messages; got != c.messages {
			t.Errorf("at most %d bytes: %d messages, want %d", c.bytes, got, c.messages)
		}
		messages = s.Stats()[0].MessagesOut
	}
}

// TestCoalesce sends runs of datagrams: all arrive as they were, in fewer messages.
func TestCoalesce(t *testing.T) {
	long, short := run(40, 1000), run(40, 300)
	alternating := []string{long[0], short[1], long[2], short[3]}
	for _, c := range []struct {
		name             string
		cfg              func(*Config)
		data             []string
		messages, supers uint64
	}{
		{"equal", nil, long[:16], 1, 1},
		{"more than a burst", nil, long[:40], 3, 3},
		{"burst of 4", func(c *Config) { c.Burst = 4 }, long[:16], 4, 4},
		{"burst of 64 and the 64 kB limit", func(c *Config) { c.Burst = 64 }, append(run(64, 1000), run(20, 1000)...), 2, 2},
		{"shorter last", nil, append(long[:3:3], short[4]), 1, 1},
		{"shorter in between", nil, append(append(long[:3:3], short[4]), short[5:8]...), 2, 2},
		{"longer", nil, append(short[:2:2], long[3:5]...), 2, 2},
		{"alternating", nil, alternating, 2, 2},
		{"growing", nil, []string{"a", "bb", "ccc"}, 3, 0},
		{"empty", nil, []string{"", "", "a", "", "b"}, 5, 0},
		{"without GSO", func(c *Config) { c.NoGSO = true }, long[:16], 16, 0},
		{"more than the batch", func(c *Config) { c.Batch, c.NoGSO = 8, true }, short, 40, 0},
		{"more than the arena", nil, append(run(999, 1000)[700:999], run(200, 1000)...), 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig("127.0.0.1:0")
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			s := newSender(t, cfg)
			to := listen(t, "127.0.0.1:0")
			path := pathTo(to, "127.0.0.1")
			s.commit(func(w *Worker) {
				for _, d := range c.data {
					commitString(w, &path, dscp.Video, d)
				}
			})
			for i, want := range c.data {
				if got := to.hear(); got != want {
					t.Fatalf("datagram %d has %d bytes, want %d: %.5q, want %.5q", i, len(got), len(want), got, want)
				}
			}
			stats := s.Stats()[0]
			if stats.Out.Datagrams != uint64(len(c.data)) {
				t.Errorf("%d datagrams counted, want %d", stats.Out.Datagrams, len(c.data))
			}
			if c.messages > 0 && (stats.MessagesOut != c.messages || stats.SuperPacketsOut != c.supers) {
				t.Errorf("%d messages, %d of them super-packets; want %d, %d", stats.MessagesOut, stats.SuperPacketsOut, c.messages, c.supers)
			}
		})
	}
}

// TestCoalesceKeepsApart commits datagrams of equal size that must not share a message.
func TestCoalesceKeepsApart(t *testing.T) {
	cfg := testConfig("0.0.0.0:0")
	cfg.Marks = marks
	s := newSender(t, cfg)
	one, two := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	one.wantTOS()
	toOne, toTwo, elsewhere := pathTo(one, "127.0.0.1"), pathTo(two, "127.0.0.1"), pathTo(one, "127.0.0.2")
	s.commit(func(w *Worker) {
		commitString(w, &toOne, dscp.Video, "v1")
		commitString(w, &toOne, dscp.Audio, "a1")
		commitString(w, &toTwo, dscp.Audio, "a2")
		commitString(w, &elsewhere, dscp.Audio, "a3")
	})
	for _, want := range []struct {
		data string
		tos  uint8
	}{{"a1", 46 << 2}, {"a3", 46 << 2}, {"v1", 34 << 2}} { // audio goes first
		if data, tos := one.hearMarked(); data != want.data || tos != want.tos {
			t.Errorf("heard %q with %#x, want %+v", data, tos, want)
		}
	}
	if data := two.hear(); data != "a2" {
		t.Errorf("heard %q, want a2", data)
	}
	if n := s.Stats()[0].MessagesOut; n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

// TestGSORefused makes the kernel refuse super-packets, as it does without checksums: what was in them is sent singly, and the egress
// is not tried again; others are.
func TestGSORefused(t *testing.T) {
	s := newSender(t, testConfig("0.0.0.0:0"))
	fd := s.workers[0].outlets[0].byClass[dscp.Audio].fd
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	to := listen(t, "127.0.0.1:0")
	path := pathTo(to, "127.0.0.1")
	data := append(run(5, 500), "tail")
	send := func(w *Worker) {
		for _, d := range data {
			commitString(w, &path, dscp.Audio, d)
		}
	}
	for range 2 {
		s.commit(send)
		for i, want := range data {
			if got := to.hear(); got != want {
				t.Fatalf("datagram %d is %.5q, want %.5q", i, got, want)
			}
		}
	}
	stats := s.Stats()[0]
	if stats.GSORefused != 1 || stats.Out.Datagrams != 12 || stats.OutByClass[dscp.Audio].Bytes != 2*2504 {
		t.Errorf("stats %+v", stats)
	}
	if off := s.Actual().WithoutGSO; len(off) != 1 || off[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("without GSO: %v", off)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 0); err != nil {
		t.Fatal(err)
	}
	path = pathTo(to, "127.0.0.2")
	s.commit(send)
	if n := s.Stats()[0].SuperPacketsOut; n != 1 {
		t.Errorf("%d super-packets from another address, want 1", n)
	}
}

// TestRefused sends what the kernel will not have: it is counted, and what comes after is sent all the same.
func TestRefused(t *testing.T) {
	s := newSender(t, testConfig("127.0.0.1:0"))
	to := listen(t, "127.0.0.1:0")
	good := pathTo(to, "127.0.0.1")
	foreign := pathTo(to, "192.0.2.1")                                                             // not an address of this machine
	six := UDPPath(addr("[::1]:9"), netip.IPv6Loopback(), 0)                                       // no socket for it
	broadcast := UDPPath(addr("255.255.255.255:9"), netip.MustParseAddr("127.0.0.1"), 0)           // not permitted
	stream := Path{remote: good.remote, local: good.local, remotePort: good.remotePort, rung: TCP} // not a datagram path
	s.commit(func(w *Worker) {
		commitString(w, &broadcast, dscp.Video, "no")
		commitString(w, &good, dscp.Audio, "one")
		commitString(w, &foreign, dscp.Video, "no")
		commitString(w, &six, dscp.Video, "no")
		commitString(w, &stream, dscp.Video, "no")
		w.Commit(&good, dscp.Content, len(w.Reserve(MaxDatagram+1)))
		commitString(w, &good, dscp.Audio, "two")
	})
	for _, want := range []string{"one", "two"} {
		if got := to.hear(); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	stats := s.Stats()[0]
	if stats.SendErrors[dscp.Video] != 4 || stats.SendErrors[dscp.Content] != 1 || stats.TooBig != 1 || stats.Out.Datagrams != 2 {
		t.Errorf("stats %+v", stats)
	}
	if off := s.Actual().WithoutGSO; len(off) != 0 {
		t.Errorf("without GSO: %v", off)
	}
}

// TestSetMarks replaces the marks while the plane runs.
func TestSetMarks(t *testing.T) {
	s := newSender(t, testConfig("[::]:0"))
	for _, at := range []struct{ listen, local string }{{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}} {
		to := listen(t, at.listen)
		to.wantTOS()
		path := pathTo(to, at.local)
		for _, mark := range []dscp.CodePoint{0, 46, 56, 0} {
			s.SetMarks(dscp.Marks{dscp.Audio: mark})
			s.commit(func(w *Worker) { commitString(w, &path, dscp.Audio, "hello") })
			if _, tos := to.hearMarked(); tos != mark.TOS() {
				t.Errorf("%s: TOS %#x, want %#x", at.local, tos, mark.TOS())
			}
		}
	}
}

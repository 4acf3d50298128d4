package dataplane

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// patience bounds every wait of these tests.
const patience = 5 * time.Second

// testHandler is a handler of two functions, either of which may be missing.
type testHandler struct {
	batch   func(now Instant, batch []Datagram)
	advance func(now Instant) Instant
}

func (h *testHandler) HandleBatch(now Instant, batch []Datagram) {
	if h.batch != nil {
		h.batch(now, batch)
	}
}

func (h *testHandler) Advance(now Instant) Instant {
	if h.advance != nil {
		return h.advance(now)
	}
	return Never
}

// echo sends every datagram back as the class.
func echo(w *Worker, class dscp.Class) *testHandler {
	return &testHandler{batch: func(_ Instant, batch []Datagram) {
		for i := range batch {
			d := &batch[i]
			w.Commit(&d.Path, class, copy(w.Reserve(len(d.Data)), d.Data))
		}
	}}
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// testConfig is small and leaves CPUs alone.
func testConfig(listen ...string) Config {
	c := Config{Workers: 1, NoPin: true, ReceiveBuffer: 1 << 20, SendBuffer: 1 << 20, RingSlots: 64}
	for _, l := range listen {
		c.Listen = append(c.Listen, addr(l))
	}
	return c
}

// openPlane opens a plane and closes it when the test ends, and sees to it that nothing is left behind.
func openPlane(t testing.TB, cfg Config, newHandler func(*Worker) Handler) *Plane {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), countFiles(t)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	p, err := Open(cfg, newHandler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
		if n := countFiles(t); n > files {
			t.Errorf("%d descriptors, %d before", n, files)
		}
	})
	return p
}

// startPlane opens and runs a plane.
func startPlane(t testing.TB, cfg Config, newHandler func(*Worker) Handler) *Plane {
	t.Helper()
	p := openPlane(t, cfg, newHandler)
	done := make(chan error, 1)
	go func() { done <- p.Run(context.Background()) }()
	t.Cleanup(func() { // before the one of openPlane
		p.Close()
		if err := <-done; err != net.ErrClosed {
			t.Errorf("run: %v", err)
		}
	})
	return p
}

// countFiles counts the sockets and eventfds of the process. The runtime's netpoller keeps an eventfd from its first use on, so that it
// is used before.
func countFiles(t testing.TB) int {
	t.Helper()
	if c, err := net.ListenPacket("udp", "127.0.0.1:0"); err == nil {
		c.Close()
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if target == "anon_inode:[eventfd]" || len(target) > 7 && target[:7] == "socket:" {
			n++
		}
	}
	return n
}

// waitFor waits until a condition that other threads bring about holds.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Errorf("waited %v for %s", patience, what)
			return
		}
	}
}

// peer is a plain socket at the other end.
type peer struct {
	*net.UDPConn
	t testing.TB
}

// dial opens a peer that sends to and receives from one address.
func dial(t testing.TB, from string, to netip.AddrPort) peer {
	t.Helper()
	return dialOrListen(t, from, to)
}

func dialOrListen(t testing.TB, from string, to netip.AddrPort) peer {
	t.Helper()
	local := net.UDPAddrFromAddrPort(addr(from))
	var c *net.UDPConn
	var err error
	if to.IsValid() {
		c, err = net.DialUDP("udp", local, net.UDPAddrFromAddrPort(to))
	} else {
		c, err = net.ListenUDP("udp", local)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := peer{c, t}
	p.option(unix.SOL_SOCKET, unix.SO_RCVBUF, 2<<20)
	return p
}

func (p peer) say(data string) {
	p.t.Helper()
	if _, err := p.Write([]byte(data)); err != nil {
		p.t.Fatal(err)
	}
}

func (p peer) hear() string {
	p.t.Helper()
	b := make([]byte, 65536)
	n, err := p.Read(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b[:n])
}

// option sets a socket option.
func (p peer) option(level, opt, value int) {
	p.t.Helper()
	raw, err := p.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = unix.SetsockoptInt(int(fd), level, opt, value) }); err != nil || failure != nil {
		p.t.Fatal(err, failure)
	}
}

func (p peer) is4() bool { return p.LocalAddr().(*net.UDPAddr).IP.To4() != nil }

// mark makes the peer send with a TOS.
func (p peer) mark(tos int) {
	p.t.Helper()
	if p.is4() {
		p.option(unix.IPPROTO_IP, unix.IP_TOS, tos)
	} else {
		p.option(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos)
	}
}

// hearMarked returns a datagram and its TOS. The socket has to have been told by wantTOS.
func (p peer) hearMarked() (string, uint8) {
	p.t.Helper()
	data, tos, _ := p.hearFrom()
	return data, tos
}

// hearFrom is hearMarked with the sender's address.
func (p peer) hearFrom() (string, uint8, netip.AddrPort) {
	p.t.Helper()
	b, oob := make([]byte, 65536), make([]byte, 256)
	n, oobn, _, from, err := p.ReadMsgUDPAddrPort(b, oob)
	if err != nil {
		p.t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range messages {
		if m.Header.Type == unix.IP_TOS || m.Header.Type == unix.IPV6_TCLASS {
			return string(b[:n]), m.Data[0], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		}
	}
	p.t.Fatal("no TOS came with the datagram")
	return "", 0, from
}

func (p peer) wantTOS() {
	p.t.Helper()
	if p.is4() {
		p.option(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	} else {
		p.option(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
	}
}

var marks = dscp.Marks{dscp.Audio: 46, dscp.Video: 34, dscp.Content: 36, dscp.Signalling: 24}

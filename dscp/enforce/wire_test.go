package enforce

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

// path is a box, a router that looks on, and somebody behind it.
type path struct {
	box, router, far  *nstest.NS
	boxIface, lookOn  string // the box's interface, and the router's to the far side
	lookIn            string // the router's to the box
	far4, far6, other netip.Addr
}

func newPath(t testing.TB) path {
	t.Helper()
	p := path{box: nstest.New(t, "box"), router: nstest.New(t, "router"), far: nstest.New(t, "far"),
		far4: netip.MustParseAddr("10.2.0.2"), far6: netip.MustParseAddr("fd02::2"), other: netip.MustParseAddr("10.2.99.2")}
	p.boxIface, p.lookIn = nstest.Link(t, p.box, p.router, "10.1.0.1/24 fd01::1/64", "10.1.0.2/24 fd01::2/64")
	p.lookOn, _ = nstest.Link(t, p.router, p.far, "10.2.0.1/16 fd02::1/64", "10.2.0.2/16 10.2.99.2/16 fd02::2/64")
	p.router.Forward(t)
	for _, ns := range []struct {
		ns *nstest.NS
		v4 string
		v6 string
	}{{p.box, "10.1.0.2", "fd01::2"}, {p.far, "10.2.0.1", "fd02::1"}} {
		ns.ns.Route(t, "default", ns.v4)
		ns.ns.Route(t, "default", ns.v6)
	}
	return p
}

// socketWith returns a Control function that sets a fwmark (0: none) and a TOS.
func socketWith(fwmark uint32, tos uint8) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		return firstError(raw.Control(func(fd uintptr) {
			if fwmark != 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(fwmark))
			}
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, int(tos))
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(tos))
		}), err)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// send sends one datagram.
func (p path) send(t testing.TB, to netip.AddrPort, fwmark uint32, tos uint8) {
	t.Helper()
	var err error
	p.box.Do(t, func() {
		d := net.Dialer{Control: socketWith(fwmark, tos)}
		var conn net.Conn
		if conn, err = d.Dial("udp", to.String()); err == nil {
			_, err = conn.Write([]byte("mark me"))
			conn.Close()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// seen sends one datagram and returns the TOS that the router saw.
func (p path) seen(t testing.TB, c *nstest.Capture, to netip.AddrPort, fwmark uint32, tos uint8) uint8 {
	t.Helper()
	c.Reset()
	p.send(t, to, fwmark, tos)
	return c.Wait(t, 1, 5*time.Second)[0].TOS
}

const probePort = 9999

func (p path) capture(t testing.TB) *nstest.Capture {
	return p.router.Capture(t, p.lookIn, func(pk nstest.Packet) bool { return pk.Dst.Port() == probePort })
}

// TestNetnsEveryClass: whatever the sender has put into the header, each class leaves with the code point of each profile in both families, by UDP
// and TCP, with the ECN bits as they were. What is of no class may not look like media.
func TestNetnsEveryClass(t *testing.T) {
	p := newPath(t)
	e := enforcer(t, p.box)
	c := p.capture(t)
	to := []netip.AddrPort{netip.AddrPortFrom(p.far4, probePort), netip.AddrPortFrom(p.far6, probePort)}
	for _, name := range []string{"rfc4594", "webex", "zoom", "off", "rfc4594"} {
		w := Wanted{Profile: profile(t, name), Exceptions: []Exception{{Prefix: netip.MustParsePrefix("10.2.99.0/24"), Profile: profile(t, "zoom")}}}
		apply(t, e, w)
		points := w.Profile.Points()
		for class := range dscp.Class(dscp.NumClasses) {
			for _, addr := range to {
				const wrong = uint8(dscp.CS1<<2 | 1) // and ECT(1)
				if got, want := p.seen(t, c, addr, class.Fwmark(), wrong), points[class].TOS()|1; got != want {
					t.Errorf("%s: %s to %s left with TOS %#x, want %#x", name, class, addr, got, want)
				}
			}
		}
		zoom := profile(t, "zoom")
		if got, want := p.seen(t, c, netip.AddrPortFrom(p.other, probePort), dscp.Audio.Fwmark(), 0), zoom.Points()[dscp.Audio].TOS(); got != want {
			t.Errorf("%s: audio to the exception left with TOS %#x, want %#x", name, got, want)
		}
		for _, foreign := range []struct {
			point dscp.CodePoint
			kept  bool
		}{{dscp.EF, false}, {dscp.AF41, false}, {dscp.CS7, false}, {13, false}, {dscp.CS0, true}, {dscp.CS2, name != "off"}} {
			want := uint8(0)
			// A point that a class of the policy or of an exception has is free, unless it belongs to a medium only.
			if foreign.kept || slices.Contains(w.points(), foreign.point) {
				want = foreign.point.TOS()
			}
			for _, addr := range to {
				if got := p.seen(t, c, addr, 0, foreign.point.TOS()|2); got != want|2 {
					t.Errorf("%s: %s of no class to %s left with TOS %#x, want %#x", name, foreign.point, addr, got, want|2)
				}
			}
		}
	}
	p.tcp(t, e)
	p.counted(t, e)
}

// tcp: all packets of a connection, its first SYN included.
func (p path) tcp(t *testing.T, e *Enforcer) {
	c := p.router.Capture(t, p.lookIn, func(pk nstest.Packet) bool { return pk.Proto == unix.IPPROTO_TCP && !pk.Outgoing })
	for _, addr := range []netip.Addr{p.far4, p.far6} {
		c.Reset()
		var l net.Listener
		var err error
		p.far.Do(t, func() { l, err = net.Listen("tcp", netip.AddrPortFrom(addr, probePort).String()) })
		if err != nil {
			t.Fatal(err)
		}
		p.box.Do(t, func() {
			d := net.Dialer{Control: socketWith(dscp.Video.Fwmark(), dscp.CS1.TOS())}
			var conn net.Conn
			if conn, err = d.Dial("tcp", l.Addr().String()); err == nil {
				_, err = conn.Write(make([]byte, 100_000))
				conn.Close()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, pk := range c.Wait(t, 5, 5*time.Second) {
			if pk.DSCP() != uint8(dscp.AF41) {
				t.Errorf("TCP to %s: a packet of %d bytes has DSCP %d", addr, pk.Size, pk.DSCP())
			}
		}
		l.Close()
	}
}

// counted: what left is counted by interface and class, also across changes of the policy; what arrives by code point.
func (p path) counted(t *testing.T, e *Enforcer) {
	before := e.Observe().Counters
	sent := before.Sent[p.boxIface]
	if n := sent[dscp.Content].Packets; n != 10 { // five policies, two families
		t.Errorf("%d packets of content were counted, want 10: %+v", n, sent)
	}
	if before.Cleared[p.boxIface].Packets == 0 {
		t.Error("no cleared packet was counted")
	}
	for i, to := range []string{"10.1.0.1:7", "[fd01::1]:7"} {
		p.far.Do(t, func() {
			d := net.Dialer{Control: socketWith(0, dscp.AF31.TOS())}
			conn, err := d.Dial("udp", to)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = conn.Write([]byte("arrives"))
		})
		until(t, 5*time.Second, fmt.Sprintf("what arrives at %s is counted", to), func() bool {
			return e.Observe().Counters.Arrived[p.boxIface][dscp.AF31].Packets == uint64(i+1)
		})
	}
}

package nstest

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

const patience = 5 * time.Second

// open opens a UDP socket inside a namespace.
func open(t *testing.T, n *NS, address string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	n.Do(t, func() {
		var err error
		if c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address))); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange sends one datagram and waits for it at the other end.
func exchange(t *testing.T, from, to *net.UDPConn, dst, data string) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte(data), netip.MustParseAddrPort(dst)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2000)
	n, err := to.Read(b)
	if err != nil || string(b[:n]) != data {
		t.Fatalf("heard %q, %v; want %q", b[:n], err, data)
	}
}

func TestNetnsLinkAndCapture(t *testing.T) {
	a, b := New(t, "left"), New(t, "right")
	ifaceA, ifaceB := Link(t, a, b, "10.9.0.1/24 fd09::1/64", "10.9.0.2/24 fd09::2/64")
	if ifaceA != "right" || ifaceB != "left" {
		t.Errorf("interfaces %s and %s", ifaceA, ifaceB)
	}
	isUDP := func(p Packet) bool { return p.Proto == 17 && p.Dst.Port() == 5000 }
	out, in := a.Capture(t, ifaceA, isUDP), b.Capture(t, ifaceB, isUDP)
	from, to := open(t, a, "[::]:4000"), open(t, b, "[::]:5000")
	exchange(t, from, to, "10.9.0.2:5000", "four")
	exchange(t, from, to, "[fd09::2]:5000", "six")

	for name, c := range map[string]*Capture{"out": out, "in": in} {
		packets := c.Wait(t, 2, patience)
		if len(packets) != 2 {
			t.Fatalf("%s: %d packets", name, len(packets))
		}
		four, six := packets[0], packets[1]
		if string(four.Payload) != "four" || four.Src != netip.MustParseAddrPort("10.9.0.1:4000") || four.Size != 32 || four.TOS != 0 {
			t.Errorf("%s: %+v", name, four)
		}
		if string(six.Payload) != "six" || six.Dst != netip.MustParseAddrPort("[fd09::2]:5000") || six.Size != 51 {
			t.Errorf("%s: %+v", name, six)
		}
		if four.Outgoing != (name == "out") {
			t.Errorf("%s: outgoing is %v", name, four.Outgoing)
		}
		if c.Missed() != 0 {
			t.Errorf("%s: packets missed", name)
		}
	}
}

func TestNetnsRouterAndBridge(t *testing.T) {
	router, left, hub, right := New(t, "router"), New(t, "left"), New(t, "hub"), New(t, "right")
	Link(t, left, router, "10.9.1.2/24 fd09:1::2/64", "10.9.1.1/24 fd09:1::1/64")
	hub.Bridge(t, "br", "10.9.2.3/24")
	Attach(t, hub, "br", router, "10.9.2.1/24 fd09:2::1/64")
	Attach(t, hub, "br", right, "10.9.2.2/24 fd09:2::2/64")
	router.Forward(t)
	left.Route(t, "default", "10.9.1.1")
	left.Route(t, "fd09:2::/64", "fd09:1::1")
	from, to := open(t, left, "[::]:4000"), open(t, right, "[::]:5000")
	exchange(t, from, to, "10.9.2.2:5000", "four")
	exchange(t, from, to, "[fd09:2::2]:5000", "six")
}

func TestNetnsCommandAndCleanUp(t *testing.T) {
	var path string
	t.Run("inner", func(t *testing.T) {
		n := New(t, "one")
		path = n.Path()
		if out := n.Run(t, "cat", "/proc/net/dev"); strings.Count(out, ":") != 1 || !strings.Contains(out, "lo:") {
			t.Errorf("interfaces inside:\n%s", out)
		}
		link, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		if inside := strings.TrimSpace(n.Run(t, "readlink", "/proc/self/ns/net")); inside == link {
			t.Error("the command ran outside")
		}
		n.Do(t, func() {
			if inside, _ := os.Readlink("/proc/thread-self/ns/net"); inside == link {
				t.Error("the function ran outside")
			}
		})
	})
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s is still there", path)
	}
}

func TestNetnsLose(t *testing.T) {
	a, b := New(t, "left"), New(t, "right")
	Link(t, a, b, "10.9.0.1/24", "10.9.0.2/24")
	from, to := open(t, a, "10.9.0.1:4000"), open(t, b, "10.9.0.2:5000")
	for _, permille := range []int{1000, 500, 0} {
		b.Lose(t, "udp dport 5000", permille)
		const sent = 200 // fit the receive buffer
		for i := range sent {
			if _, err := from.WriteToUDPAddrPort([]byte{byte(permille / 4)}, netip.MustParseAddrPort("10.9.0.2:5000")); err != nil {
				t.Fatal(i, err)
			}
		}
		b.Lose(t, "udp dport 5000", 0)
		if _, err := from.WriteToUDPAddrPort([]byte("end"), netip.MustParseAddrPort("10.9.0.2:5000")); err != nil {
			t.Fatal(err)
		}
		arrived, buf := -1, make([]byte, 10)
		for n := 0; n != 3; arrived++ {
			var err error
			if n, err = to.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
		if want := sent * (1000 - permille) / 1000; arrived < want-50 || arrived > want+50 || permille == 0 && arrived != sent {
			t.Errorf("%d in a thousand lost: %d of %d arrived", permille, arrived, sent)
		}
	}
}

// TestDecodeAnything throws bytes at the decoder that are no packets; it must neither panic nor take them for such.
func TestDecodeAnything(t *testing.T) {
	d := newDecoder()
	for n := range 100 {
		var p Packet
		if d.decode(make([]byte, n), &p) {
			t.Errorf("%d zero bytes decoded as %+v", n, p)
		}
	}
}

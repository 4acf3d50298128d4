package dataplane

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHandshakeTOS: the mark of a connection's handshake is known on the side that accepted it, in both families, on a socket of both as well.
func TestHandshakeTOS(t *testing.T) {
	for _, c := range []struct{ network, listen, dial string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1"}, {"tcp6", "[::1]:0", "::1"}, {"tcp", "[::]:0", "127.0.0.1"}, {"tcp", "[::]:0", "::1"},
	} {
		l, err := net.Listen(c.network, c.listen)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, 0xb8)
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0xb8)
			})
		}}
		conn, err := d.Dial("tcp", net.JoinHostPort(c.dial, port))
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if tos, ok := HandshakeTOS(accepted); !ok || tos != 0xb8 {
			t.Errorf("%s from %s: TOS %#x, %v", c.listen, c.dial, tos, ok)
		}
		conn.Close()
		accepted.Close()
		l.Close()
	}
	if _, ok := HandshakeTOS(new(net.UDPConn)); ok {
		t.Error("a UDP socket has had a handshake")
	}
}

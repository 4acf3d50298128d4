package client

import (
	"net"
	"net/netip"
	"testing"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// TestSocketMarks sends from one marked socket to another and reads the mark that arrives, over both families.
func TestSocketMarks(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		remote := netip.AddrPortFrom(netip.MustParseAddr(host), 9)
		if locals := localAddresses([]netip.AddrPort{remote, remote}); len(locals) != 1 || locals[0] != remote.Addr() {
			t.Logf("no %s here: %v", host, locals)
			continue
		}
		from, to := newSockets(wire.Audio, dscp.EF), newSockets(wire.Audio, 0)
		a, b := take(t, from, remote), take(t, to, remote)
		if to.codePoint() != -1 {
			t.Errorf("%s: code point %d before anything came", host, to.codePoint())
		}
		if _, err := a.WriteToAddrPort([]byte("hello"), b.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 100)
		n, sender, err := b.ReadFromAddrPort(buffer)
		if err != nil || string(buffer[:n]) != "hello" || sender.String() != a.LocalAddr().String() {
			t.Errorf("%s: %q from %s: %v", host, buffer[:n], sender, err)
		}
		if to.codePoint() != int(dscp.EF) {
			t.Errorf("%s: code point %d", host, to.codePoint())
		}
		a.Close()
		b.Close()
	}
}

func take(t *testing.T, s *sockets, remote netip.AddrPort) *socket {
	t.Helper()
	s.aim([]netip.AddrPort{remote}, nil)
	addresses := s.GetListenAddresses()
	if len(addresses) != 1 {
		t.Fatalf("addresses %v", addresses)
	}
	conn, err := s.GetConn("", addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetConn("", addresses[0]); err == nil {
		t.Error("a socket was given away twice")
	}
	return conn.(*socket)
}

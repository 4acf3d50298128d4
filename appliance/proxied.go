package main

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxiedListener believes trusted peers, tunnels above all, who their client is: their connections may begin with a PROXY protocol header. Nobody else's
// do: to them it is garbage before TLS.
type proxiedListener struct {
	net.Listener
	trusted *atomic.Pointer[[]netip.Prefix]
}

// headerWithin is how long a trusted peer may take to say who its client is.
const headerWithin = 5 * time.Second

// Accept returns the next connection.
func (l proxiedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil || !l.trusts(conn.RemoteAddr()) {
		return conn, err
	}
	return proxyproto.NewConn(conn, proxyproto.WithPolicy(proxyproto.USE), proxyproto.SetReadHeaderTimeout(headerWithin)), nil
}

func (l proxiedListener) trusts(peer net.Addr) bool {
	list := l.trusted.Load()
	if list == nil || len(*list) == 0 {
		return false
	}
	addr, err := netip.ParseAddrPort(peer.String())
	return err == nil && slices.ContainsFunc(*list, func(p netip.Prefix) bool { return p.Contains(addr.Addr().Unmap()) })
}

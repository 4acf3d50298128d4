package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxiedListener believes trusted peers, tunnels above all, who their client is: their connections may begin with a PROXY protocol header. Nobody else's
// do: to them it is garbage before TLS. A trusted peer that says nothing holds nobody else up: each is read by a goroutine of its own.
type proxiedListener struct {
	net.Listener
	trusted *atomic.Pointer[[]netip.Prefix]
	ready   chan accepted
	life    context.Context
	end     context.CancelFunc
}

type accepted struct {
	conn net.Conn
	err  error
}

// Bounds of what trusted peers have not said yet.
const (
	headerWithin = 5 * time.Second
	maxHeaders   = 1024
)

// listenProxied reads headers of those peers; runProxied ends when the listener is closed.
func listenProxied(inner net.Listener, trusted *atomic.Pointer[[]netip.Prefix]) *proxiedListener {
	l := &proxiedListener{Listener: inner, trusted: trusted, ready: make(chan accepted)}
	l.life, l.end = context.WithCancel(context.Background())
	go l.runProxied()
	return l
}

// runProxied accepts, and hands on those whose client is known.
func (l *proxiedListener) runProxied() {
	reading := make(chan struct{}, maxHeaders)
	for {
		conn, err := l.Listener.Accept()
		if err != nil || !l.trusts(conn.RemoteAddr()) {
			l.hand(conn, err)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		select {
		case reading <- struct{}{}:
			go func() {
				defer func() { <-reading }()
				l.runHeader(conn)
			}()
		default:
			conn.Close()
		}
	}
}

// runHeader reads the header of one connection, if it has one.
func (l *proxiedListener) runHeader(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(headerWithin))
	reader := bufio.NewReader(conn)
	header, err := proxyproto.Read(reader)
	_ = conn.SetReadDeadline(time.Time{})
	p := &proxiedConn{Conn: conn, reader: reader, client: conn.RemoteAddr()}
	switch {
	case err == nil && header.SourceAddr != nil:
		p.client = header.SourceAddr
	case err != nil && !errors.Is(err, proxyproto.ErrNoProxyProtocol):
		conn.Close()
		return
	}
	l.hand(p, nil)
}

func (l *proxiedListener) hand(conn net.Conn, err error) {
	select {
	case l.ready <- accepted{conn, err}:
	case <-l.life.Done():
		if conn != nil {
			conn.Close()
		}
	}
}

// Accept returns the next connection.
func (l *proxiedListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.life.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the listener.
func (l *proxiedListener) Close() error {
	l.end()
	return l.Listener.Close()
}

func (l *proxiedListener) trusts(peer net.Addr) bool {
	list := l.trusted.Load()
	if list == nil || len(*list) == 0 {
		return false
	}
	addr, err := netip.ParseAddrPort(peer.String())
	return err == nil && slices.ContainsFunc(*list, func(p netip.Prefix) bool { return p.Contains(addr.Addr().Unmap()) })
}

// proxiedConn is a connection whose client a trusted peer has named.
type proxiedConn struct {
	net.Conn
	reader *bufio.Reader
	client net.Addr
}

// Read implements net.Conn.
func (c *proxiedConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

// RemoteAddr is the client's.
func (c *proxiedConn) RemoteAddr() net.Addr { return c.client }

// NetConn is the connection below.
func (c *proxiedConn) NetConn() net.Conn { return c.Conn }

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// door is the listener of the HTTPS port behind TLS. What comes through it is told apart by its first byte once the handshake is done: STUN
// begins with two zero bits and goes to the relay of media, everything else is HTTP. ALPN does not tell, since browsers offer none for TURN,
// or http/1.1; only h2 needs no look, and net/http gets such connections as the bare *tls.Conn that it wants for HTTP/2.
type door struct {
	inner net.Listener
	tls   *tls.Config
	relay func(net.Conn) error
	out   chan net.Conn
	life  context.Context
	end   context.CancelFunc
	work  sync.WaitGroup

	mu      sync.Mutex         // guards what follows
	waiting map[netip.Addr]int // have not said yet what they are
	total   int
	inside  map[netip.Addr]int // are open, those that wait among them
	open    int
	refused uint64
}

// Bounds of connections that have not said yet what they are, and of all that are open: fewer than the descriptors that the daemon may have.
const (
	sayWithin           = 10 * time.Second
	maxStrangers        = 2048
	strangersPerNetwork = 256 // a whole site may stand behind one address
	maxInside           = 32768
	insidePerNetwork    = 2048
)

// openDoor listens for TLS on a listener; relay takes the connections that speak STUN.
func openDoor(inner net.Listener, cfg *tls.Config, relay func(net.Conn) error) *door {
	d := &door{inner: inner, tls: cfg, relay: relay, out: make(chan net.Conn), waiting: map[netip.Addr]int{}, inside: map[netip.Addr]int{}}
	d.life, d.end = context.WithCancel(context.Background())
	d.work.Go(d.runDoor)
	return d
}

// runDoor accepts connections until the door is closed, or the listener behind it.
func (d *door) runDoor() {
	defer d.end()
	for {
		conn, err := d.inner.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, or the peer has gone: others may fare better
			time.Sleep(10 * time.Millisecond)
		default:
			if v := d.enter(conn); v != nil {
				d.work.Go(func() { d.runStranger(v) })
			} else {
				conn.Close()
			}
		}
	}
}

// runStranger does the handshake with one connection and finds out what it is.
func (d *door) runStranger(conn *visitor) {
	said, cancel := context.WithTimeout(d.life, sayWithin)
	secure, stun, err := d.look(said, tls.Server(conn, d.tls))
	cancel()
	d.said(conn.source)
	switch {
	case err != nil:
		conn.Close()
	case stun:
		if marked := markedBelow(conn); marked != nil {
			marked.forget() // the stream marks it
		}
		_ = d.relay(secure) // what it refuses it closes and counts
	default:
		select {
		case d.out <- secure:
		case <-d.life.Done():
			conn.Close()
		}
	}
}

// look does the handshake, and reads the first byte unless HTTP/2 was agreed on.
func (d *door) look(ctx context.Context, conn *tls.Conn) (secure net.Conn, stun bool, err error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, false, err
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		return conn, false, nil
	}
	stop := context.AfterFunc(ctx, func() { conn.NetConn().Close() })
	first := make([]byte, 1)
	n, err := conn.Read(first)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if n == 0 || err != nil {
		return nil, false, errors.Join(err, ctx.Err())
	}
	return &replayed{Conn: conn, first: first}, first[0] < 4, nil
}

// enter counts a connection; nil: there are too many.
func (d *door) enter(conn net.Conn) *visitor {
	d.mu.Lock()
	defer d.mu.Unlock()
	source := networkOf(conn)
	if d.total >= maxStrangers || d.waiting[source] >= strangersPerNetwork || d.open >= maxInside || d.inside[source] >= insidePerNetwork {
		d.refused++
		return nil
	}
	d.waiting[source]++
	d.total++
	d.inside[source]++
	d.open++
	v := &visitor{Conn: conn, source: source}
	v.leave = sync.OnceFunc(func() { d.left(source) })
	return v
}

// said ends the counting of a connection among those that have not said what they are.
func (d *door) said(source netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	lower(d.waiting, source)
}

// left ends the counting of a connection that is closed.
func (d *door) left(source netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	lower(d.inside, source)
}

func lower(counts map[netip.Addr]int, source netip.Addr) {
	if counts[source]--; counts[source] == 0 {
		delete(counts, source)
	}
}

// visitor is a connection that is counted until it is closed.
type visitor struct {
	net.Conn
	source netip.Addr
	leave  func()
}

// Close closes the connection and ends its counting.
func (v *visitor) Close() error {
	defer v.leave()
	return v.Conn.Close()
}

// NetConn returns the connection below.
func (v *visitor) NetConn() net.Conn { return v.Conn }

// networkOf is the address, or for IPv6 the network, that connections are counted by.
func networkOf(conn net.Conn) netip.Addr {
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	a := remote.Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// Accept returns the next connection that is HTTP.
func (d *door) Accept() (net.Conn, error) {
	select {
	case conn := <-d.out:
		return conn, nil
	case <-d.life.Done():
		return nil, net.ErrClosed
	}
}

// Close closes the door, and waits for all who stand in it.
func (d *door) Close() error {
	err := d.inner.Close()
	d.end()
	d.work.Wait()
	return err
}

// Addr returns where it listens.
func (d *door) Addr() net.Addr { return d.inner.Addr() }

// replayed is a connection whose first byte has been read already. One goroutine reads it at a time.
type replayed struct {
	*tls.Conn
	first []byte
}

// Read returns the first byte first.
func (r *replayed) Read(b []byte) (int, error) {
	if len(r.first) == 0 || len(b) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.first)
	r.first = r.first[n:]
	return n, nil
}

// NetConn returns the connection under TLS.
func (r *replayed) NetConn() net.Conn { return r.Conn.NetConn() }

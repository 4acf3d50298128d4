package client

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/turn/v5"

	"meetzone/zonectl/wire"
)

// The rungs below UDP. To pion a stream socket is one more UDP socket, with a local address that is only a name: what pion writes travels over
// TCP 8801 (RFC 6544, RFC 4571), or through the router's relay on the HTTPS port (TURN over TLS), and so the connections are ours to mark, to
// dial through a proxy and to check by our own authorities. A rung is tried only when those above it have not answered within its delay, so
// that an open network sees no connection that it does not need; pion takes the first pair that works.

// Delays until a rung is tried, and bounds of a stream socket.
const (
	tcpDelay = 200 * time.Millisecond
	tlsDelay = 400 * time.Millisecond
	// After a path has died there is nothing to be gained by waiting for UDP.
	tcpDelayAfterLoss = 20 * time.Millisecond
	tlsDelayAfterLoss = 150 * time.Millisecond

	dialWithin   = 5 * time.Second
	redialAfter  = 500 * time.Millisecond
	streamQueued = 128                    // datagrams on their way out
	streamHeld   = 200 * time.Millisecond // after which they are dropped
	inboxSlots   = 256
	maxFramed    = 1500
)

// Local ports that name stream sockets; no UDP socket of a user has them.
const (
	tcpName = 1
	tlsName = 2
)

// streamSocket carries one medium's datagrams over connections.
type streamSocket struct {
	rung    string
	local   netip.AddrPort // a name
	delay   time.Duration
	journal *journal
	last    *atomic.Int64 // when something last arrived
	log     *slog.Logger
	open    func(ctx context.Context, to netip.AddrPort) (carrier, error)

	in      chan received
	out     chan outgoing
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
	actual  atomic.Pointer[string] // local address of the latest connection
	expired atomic.Pointer[time.Time]
	// unneeded says that a better rung works: what pion still writes is dropped.
	unneeded atomic.Bool
}

var _ ice.AddrPortReaderWriter = (*streamSocket)(nil)

// carrier is one connection that carries datagrams.
type carrier interface {
	write(b []byte, to netip.AddrPort) error
	read(b []byte) (n int, from netip.AddrPort, err error)
	localAddress() string
	Close() error
}

type received struct {
	data []byte
	from netip.AddrPort
}

type outgoing struct {
	data []byte
	to   netip.AddrPort
	at   time.Time
}

func newStreamSocket(rung string, local netip.AddrPort, delay time.Duration, of *sockets,
	open func(context.Context, netip.AddrPort) (carrier, error)) *streamSocket {
	s := &streamSocket{rung: rung, local: local, delay: delay, journal: of.journal, last: &of.last, log: of.log, open: open,
		in: make(chan received, inboxSlots), out: make(chan outgoing, streamQueued)}
	s.life, s.end = context.WithCancel(context.Background())
	s.running.Go(s.runWriter)
	return s
}

// runWriter waits for its turn on the ladder, and then writes what pion sends, each remote over a connection of its own.
func (s *streamSocket) runWriter() {
	carriers := make(map[netip.AddrPort]carrier)
	tried := make(map[netip.AddrPort]time.Time)
	defer func() {
		for _, c := range carriers {
			c.Close()
		}
	}()
	if !s.awaitTurn() {
		return
	}
	s.journal.begin(s.rung)
	for {
		var o outgoing
		select {
		case o = <-s.out:
		case <-s.life.Done():
			return
		}
		if time.Since(o.at) > streamHeld && len(s.out) > 0 {
			continue
		}
		c := carriers[o.to]
		if c == nil {
			if time.Since(tried[o.to]) < redialAfter {
				continue
			}
			tried[o.to] = time.Now()
			if c = s.connect(o.to); c == nil {
				continue
			}
			carriers[o.to] = c
		}
		if err := c.write(o.data, o.to); err != nil {
			s.journal.failed(s.rung, resultOf(err), err)
			c.Close()
			delete(carriers, o.to)
		}
	}
}

// awaitTurn waits for the rung's delay, or until the rungs above it have been refused. false: the socket has been closed, or a rung above
// works, and then this one is not needed: when that path dies, everything is made anew.
func (s *streamSocket) awaitTurn() bool {
	begin := time.Now()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.life.Done():
			return false
		}
		if s.journal.betterWorks(s.rung) {
			s.unneeded.Store(true)
			return false
		}
		if time.Since(begin) >= s.delay || s.journal.betterRefused(s.rung) {
			return true
		}
	}
}

func (s *streamSocket) connect(to netip.AddrPort) carrier {
	ctx, cancel := context.WithTimeout(s.life, dialWithin)
	defer cancel()
	c, err := s.open(ctx, to)
	if err != nil {
		if s.life.Err() == nil {
			s.log.Debug("rung", "rung", s.rung, "to", to, "error", err)
			s.journal.failed(s.rung, resultOf(err), err)
		}
		return nil
	}
	local := c.localAddress()
	s.actual.Store(&local)
	s.running.Go(func() { s.runReader(c) })
	return c
}

// runReader takes what comes over one connection.
func (s *streamSocket) runReader(c carrier) {
	buffer := make([]byte, maxFramed+1)
	for {
		n, from, err := c.read(buffer)
		if err != nil {
			c.Close() // the writer finds out and opens another one
			return
		}
		s.journal.answered(s.rung)
		s.last.Store(time.Now().UnixNano())
		select {
		case s.in <- received{append([]byte(nil), buffer[:n]...), from}:
		case <-s.life.Done():
			return
		default: // pion does not keep up: as a socket's buffer would, the newest is dropped
		}
	}
}

// ReadFromAddrPort reads a datagram.
func (s *streamSocket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	var deadline <-chan time.Time
	if at := s.expired.Load(); at != nil && !at.IsZero() {
		timer := time.NewTimer(time.Until(*at))
		defer timer.Stop()
		deadline = timer.C
	}
	select {
	case r := <-s.in:
		return copy(b, r.data), r.from, nil
	case <-deadline:
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case <-s.life.Done():
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// WriteToAddrPort queues a datagram; the oldest gives way when too many wait.
func (s *streamSocket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if s.life.Err() != nil {
		return 0, net.ErrClosed
	}
	if s.unneeded.Load() {
		return len(b), nil
	}
	o := outgoing{append([]byte(nil), b...), netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), time.Now()}
	for {
		select {
		case s.out <- o:
			return len(b), nil
		default:
		}
		select {
		case <-s.out:
		default:
		}
	}
}

// ReadFrom reads a datagram.
func (s *streamSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.ReadFromAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

// WriteTo sends a datagram.
func (s *streamSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("write to %T: %w", to, errors.ErrUnsupported)
	}
	return s.WriteToAddrPort(b, udp.AddrPort())
}

// Close ends the connections.
func (s *streamSocket) Close() error {
	s.end()
	return nil
}

// LocalAddr is the socket's name.
func (s *streamSocket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.local) }

// SetDeadline and SetReadDeadline bound reading; writing never waits.
func (s *streamSocket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline bounds the reads to come.
func (s *streamSocket) SetReadDeadline(t time.Time) error {
	s.expired.Store(&t)
	return nil
}

// SetWriteDeadline does nothing.
func (s *streamSocket) SetWriteDeadline(time.Time) error { return nil }

// address is the real local address, for people.
func (s *streamSocket) address() string {
	if at := s.actual.Load(); at != nil {
		return *at
	}
	return ""
}

// ---- TCP 8801

// framedConn is a connection with the framing of RFC 4571.
type framedConn struct {
	net.Conn
	to netip.AddrPort
}

func (c *framedConn) write(b []byte, _ netip.AddrPort) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, len(b)+2), uint16(len(b)))
	_ = c.SetWriteDeadline(time.Now().Add(dialWithin))
	_, err := c.Write(append(framed, b...))
	return err
}

func (c *framedConn) read(b []byte) (int, netip.AddrPort, error) {
	var head [2]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return 0, c.to, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > len(b) {
		return 0, c.to, errors.New("a datagram of the router is too large")
	}
	_, err := io.ReadFull(c.Conn, b[:n])
	return n, c.to, err
}

func (c *framedConn) localAddress() string { return c.LocalAddr().String() }

// ---- TLS 443

// relayedConn is an allocation at the router's relay.
type relayedConn struct {
	client *turn.Client
	conn   net.Conn
	packet net.PacketConn
}

// openRelay connects to the relay and makes an allocation.
func openRelay(ctx context.Context, w *web, relay wire.Relay, s *sockets) (carrier, error) {
	var failed error
	for _, address := range relay.URLs {
		host, port, err := relayHost(address)
		if err != nil {
			failed = err
			continue
		}
		conn, err := w.dial(ctx, net.JoinHostPort(host, port), s.mark)
		if err == nil {
			c, err := allocate(ctx, conn, w.tlsConfig(host), relay, s.log)
			if err == nil {
				return c, nil
			}
			conn.Close()
			failed = err
			continue
		}
		failed = err
	}
	if failed == nil {
		failed = errNoRelay
	}
	return nil, failed
}

var errNoRelay = errors.New("the router offers no relay")

// relayHost takes host and port out of a turns URL. RFC 7065.
func relayHost(address string) (host, port string, err error) {
	u, err := url.Parse(strings.Replace(address, "turns:", "turns://", 1))
	if err != nil || u.Scheme != "turns" || u.Hostname() == "" {
		return "", "", fmt.Errorf("relay %q: not a turns URL", address)
	}
	if port = u.Port(); port == "" {
		port = "443"
	}
	return u.Hostname(), port, nil
}

func allocate(ctx context.Context, conn net.Conn, cfg *tls.Config, relay wire.Relay, log *slog.Logger) (*relayedConn, error) {
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	client, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: conn.RemoteAddr().String(), TURNServerAddr: conn.RemoteAddr().String(),
		Username: relay.Username, Password: relay.Credential, Conn: turn.NewSTUNConn(secure), LoggerFactory: pionLogs{log}})
	if err != nil {
		return nil, err
	}
	if err := client.Listen(); err != nil {
		client.Close()
		return nil, err
	}
	packet, err := client.Allocate()
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("%w: %w", errAllocate, err)
	}
	return &relayedConn{client: client, conn: secure, packet: packet}, nil
}

var errAllocate = errors.New("the relay gives no allocation")

func (c *relayedConn) write(b []byte, to netip.AddrPort) error {
	_, err := c.packet.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}

func (c *relayedConn) read(b []byte) (int, netip.AddrPort, error) {
	n, from, err := c.packet.ReadFrom(b)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return 0, netip.AddrPort{}, fmt.Errorf("datagram from %T: %w", from, errors.ErrUnsupported)
	}
	at := udp.AddrPort()
	return n, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
}

func (c *relayedConn) localAddress() string { return c.conn.LocalAddr().String() }

// Close gives the allocation up with the connection; the relay needs no goodbye.
func (c *relayedConn) Close() error {
	err := c.conn.Close()
	_ = c.packet.Close()
	c.client.Close()
	return err
}

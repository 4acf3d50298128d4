package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a tunnel. The journey of a connection:
//
//  1. Run accepts it; runConn reads its ClientHello (hello.go).
//  2. Its server name is a zone's: a way to that zone is opened, by dialling or as a stream of a registered line, and the two are joined (join.go).
//  3. Otherwise TLS ends here, and one HTTP request is served (http.go): a ping, CONNECT to a zone, or a zone's registration.
type Server struct {
	cfg     Config
	log     *slog.Logger
	names   map[string]*destination
	alive   sync.WaitGroup // all runConn
	stopped context.Context
	stop    context.CancelFunc
	stats   counters

	// mu guards what follows and the destinations' lines.
	mu      sync.Mutex
	clients map[netip.Addr]int // by network
	waiting int
	open    map[net.Conn]struct{}
	closed  bool
}

// destination is a zone with what leads to it at present.
type destination struct {
	Zone
	using atomic.Int32
	lines []*line // registered connections, guarded by Server.mu
}

// counters are those of Stats.
type counters struct{ accepted, refused, failed, passed, connected, registered atomic.Uint64 }

// Stats counts since the start, but for Open and Lines.
type Stats struct {
	Accepted   uint64 // connections
	Passed     uint64 // to a zone by server name
	Connected  uint64 // to a zone by CONNECT
	Refused    uint64 // not of the allow-list, or too many
	Failed     uint64 // the zone could not be reached
	Registered uint64 // registrations
	Open       int    // connections
	Lines      int    // registered connections
}

// New makes a tunnel.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("tunnel: configuration: %w", err)
	}
	s := &Server{cfg: cfg.withDefaults(), names: map[string]*destination{}, clients: map[netip.Addr]int{}, open: map[net.Conn]struct{}{}}
	s.log = s.cfg.Logger
	s.stopped, s.stop = context.WithCancel(context.Background())
	for _, z := range cfg.Zones {
		d := &destination{Zone: z}
		for _, name := range z.Names {
			s.names[name] = d
		}
	}
	return s, nil
}

// Run serves a listener of TCP connections until Close. It closes the listener.
func (s *Server) Run(l net.Listener) error {
	stop := context.AfterFunc(s.stopped, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.stopped.Err() != nil {
				return net.ErrClosed
			}
			var passing interface{ Temporary() bool }
			if errors.As(err, &passing) && passing.Temporary() { // no descriptor is free: others will be given back
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return fmt.Errorf("tunnel: accept: %w", err)
		}
		s.stats.accepted.Add(1)
		client, ok := s.take(conn)
		if !ok {
			s.stats.refused.Add(1)
			_ = conn.Close()
			continue
		}
		go s.runConn(conn, client)
	}
}

// Close ends all connections and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for conn := range s.open {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.stop()
	s.alive.Wait()
	return nil
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Accepted: s.stats.accepted.Load(), Passed: s.stats.passed.Load(), Connected: s.stats.connected.Load(), Refused: s.stats.refused.Load(),
		Failed: s.stats.failed.Load(), Registered: s.stats.registered.Load(), Open: len(s.open)}
	counted := map[*destination]bool{}
	for _, d := range s.names {
		if !counted[d] {
			counted[d] = true
			out.Lines += len(d.lines)
		}
	}
	return out
}

// take counts a connection, unless there are too many.
func (s *Server) take(conn net.Conn) (client netip.Addr, ok bool) {
	if addr, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		client = addr.Addr().Unmap()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.waiting >= maxWaiting || len(s.open) >= s.cfg.Total || s.clients[network(client)] >= s.cfg.PerClient {
		return client, false
	}
	s.clients[network(client)]++
	s.waiting++
	s.open[conn] = struct{}{}
	s.alive.Add(1)
	return client, true
}

// settled says that a connection has told where it wants to go.
func (s *Server) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

func (s *Server) give(conn net.Conn, client netip.Addr) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
	from := network(client)
	if s.clients[from]--; s.clients[from] == 0 {
		delete(s.clients, from)
	}
	s.alive.Done()
}

// network is the address, or for IPv6 the network, that connections are counted by.
func network(client netip.Addr) netip.Addr {
	client = client.Unmap().WithZone("")
	if client.Is6() {
		if p, err := client.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return client
}

// runConn is one connection from its first byte to its last.
func (s *Server) runConn(conn net.Conn, client netip.Addr) {
	defer s.give(conn, client)
	waits := sync.OnceFunc(s.settled)
	defer waits()
	_ = conn.SetDeadline(time.Now().Add(helloWithin))
	hello, name, err := readHello(conn)
	if err != nil {
		return // no TLS, or too slow
	}
	if to := s.names[normal(name)]; to != nil {
		waits()
		_ = conn.SetDeadline(time.Time{})
		s.pass(hello, client, to)
		return
	}
	s.serveHTTP(hello, client, waits)
}

// pass joins a connection with the zone that its server name asks for.
func (s *Server) pass(conn net.Conn, client netip.Addr, to *destination) {
	way, err := s.reach(to, conn.RemoteAddr())
	if err != nil {
		s.log.Debug("zone not reached", "zone", to.Names[0], "client", client, "err", err)
		return
	}
	defer s.leave(to, way)
	s.stats.passed.Add(1)
	join(conn, way)
}

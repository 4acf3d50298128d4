package turn

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"meetzone/dataplane"
	"meetzone/dscp"
)

// Config is what a relay is asked to be. Zero values mean the documented default.
type Config struct {
	Plane  *dataplane.Plane        // must be there
	Secret []byte                  // of the zone, at least 16 bytes: credentials of one box are good at another
	Peers  func() []netip.AddrPort // the box's media addresses; must be there
	Realm  string                  // default "meetzone"
	// MaxAllocations bounds all allocations, default 4096. PerSession bounds those of one session, whatever user names it was given, default
	// 32: for four media, at two addresses, and all that once more while a client that comes back has its old ones still.
	MaxAllocations, PerSession int
	// Brief is a session whose allocations end by themselves after BriefFor, default 15 s: one that strangers get credentials of, who could hold all its places
	// otherwise. "": none.
	Brief    string
	BriefFor time.Duration
	Logger   *slog.Logger // default slog.Default
}

// Validate names everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Plane == nil || c.Peers == nil {
		errs = append(errs, errors.New("plane, peers: missing"))
	}
	if len(c.Secret) < 16 {
		errs = append(errs, fmt.Errorf("secret: %d bytes are too few, 16 are the least", len(c.Secret)))
	}
	if c.MaxAllocations < 0 || c.MaxAllocations > lastPort-firstPort || c.PerSession < 0 {
		errs = append(errs, fmt.Errorf("max allocations: not between 0 and %d", lastPort-firstPort))
	}
	if c.BriefFor < 0 {
		errs = append(errs, errors.New("brief for: negative"))
	}
	return errors.Join(errs...)
}

// Relayed addresses have ports of this range; they are numbers of allocations, nothing listens there.
const (
	firstPort = 49152
	lastPort  = 65535
)

// Server is the relay of one plane.
type Server struct {
	cfg      Config
	failures atomic.Uint64 // wrong credentials
	refused  atomic.Uint64 // too many allocations
	total    atomic.Uint64 // allocations so far

	mu    sync.Mutex // guards what follows
	ports map[uint16]bool
	users map[string]int // allocations by session
}

// New makes a relay.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("turn: %w", err)
	}
	if cfg.Realm == "" {
		cfg.Realm = "meetzone"
	}
	if cfg.MaxAllocations == 0 {
		cfg.MaxAllocations = 4096
	}
	if cfg.PerSession == 0 {
		cfg.PerSession = 32
	}
	if cfg.BriefFor == 0 {
		cfg.BriefFor = 15 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Server{cfg: cfg, ports: map[uint16]bool{}, users: map[string]int{}}, nil
}

// Take makes a stream of a connection that speaks TURN. It closes the connection when there is no room for it.
func (s *Server) Take(conn net.Conn) error {
	var se *session
	_, err := s.cfg.Plane.OpenStream(dataplane.StreamConfig{
		Conn: conn, Rung: dataplane.TLS, Class: dscp.Signalling,
		Framing: func(stream *dataplane.Stream) dataplane.Framing {
			se = newSession(s, stream)
			return se
		},
		Ended: func(reason error) { se.ended(reason) },
	})
	return err
}

// Stats counts the relay's allocations.
type Stats struct {
	Allocations int
	Total       uint64
	Refused     uint64 // too many
	Failures    uint64 // wrong or expired credentials
}

// Stats returns the counters as of now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Allocations: len(s.ports), Total: s.total.Load(), Refused: s.refused.Load(), Failures: s.failures.Load()}
}

// allocate gives an allocation its relayed address, false when there are too many.
func (s *Server) allocate(session string, wantIPv6 bool) (relayed netip.AddrPort, ok bool) {
	base := s.address(wantIPv6)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !base.IsValid() || len(s.ports) >= s.cfg.MaxAllocations || s.users[session] >= s.cfg.PerSession {
		s.refused.Add(1)
		return netip.AddrPort{}, false
	}
	port := uint16(firstPort + rand.IntN(lastPort-firstPort+1))
	for s.ports[port] { // fewer are taken than there are
		if port++; port < firstPort {
			port = firstPort
		}
	}
	s.ports[port] = true
	s.users[session]++
	s.total.Add(1)
	return netip.AddrPortFrom(base, port), true
}

// release gives an allocation back.
func (s *Server) release(session string, relayed netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ports, relayed.Port())
	if s.users[session]--; s.users[session] <= 0 {
		delete(s.users, session)
	}
}

// address is the box's address of a family that relayed addresses are made of: the other family's when there is none.
func (s *Server) address(wantIPv6 bool) (found netip.Addr) {
	for _, p := range s.cfg.Peers() {
		a := p.Addr().Unmap().WithZone("")
		if a.Is6() == wantIPv6 {
			return a
		}
		if !found.IsValid() && !wantIPv6 {
			found = a
		}
	}
	return found
}

// mayReach tells whether an address is one of the box's own media.
func (s *Server) mayReach(peer netip.Addr, port uint16) bool {
	for _, p := range s.cfg.Peers() {
		if p.Addr().Unmap().WithZone("") == peer.Unmap() && (port == 0 || p.Port() == port) {
			return true
		}
	}
	return false
}

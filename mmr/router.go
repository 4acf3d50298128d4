package mmr

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meetzone/dataplane"
)

// What a caller can do something about.
var (
	ErrFull       = errors.New("mmr: full")
	ErrExists     = errors.New("mmr: an endpoint of that id is there already")
	ErrAnswer     = errors.New("mmr: the answer cannot be used")
	ErrNotOffered = errors.New("mmr: no offer was made that this could answer")
	// ErrClientOffers says that offering is the client's part, or not: see EndpointConfig.ClientOffers.
	ErrClientOffers = errors.New("mmr: the other side makes the offer")
	// ErrNeedsFresh says that an ICE restart cannot revive the transports, since their DTLS has ended.
	ErrNeedsFresh = errors.New("mmr: only a fresh offer can bring the transports back")
)

// Defaults of the configuration.
const (
	DefaultMaxMeetings   = 1000
	DefaultMaxEndpoints  = 5000
	DefaultMaxHandshakes = 512
)

// Config is what a router is asked to be. Zero values mean the documented default.
type Config struct {
	// Candidates returns the addresses that offers name, best first: those that the plane listens on, or what is advertised in their
	// place where 1:1 NAT stands before the box. It is called for every offer, from any goroutine. It must be there.
	Candidates func() []netip.AddrPort
	// TCP says that the plane takes ICE-TCP at the same addresses, so that offers name it.
	TCP bool
	// MaxMeetings and MaxEndpoints bound what the router holds; default 1000 and 5000.
	MaxMeetings, MaxEndpoints int
	// MaxHandshakes is how many DTLS handshakes may be under way at once; default 512. More wait for their client to try again.
	MaxHandshakes int
	// Logger takes what happens once, never what happens per packet; default slog.Default.
	Logger *slog.Logger
}

// Validate names everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Candidates == nil {
		errs = append(errs, errors.New("candidates: missing"))
	}
	check := func(name string, value int) {
		if value < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is negative", name, value))
		}
	}
	check("max meetings", c.MaxMeetings)
	check("max endpoints", c.MaxEndpoints)
	check("max handshakes", c.MaxHandshakes)
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&c.MaxMeetings, DefaultMaxMeetings)
	set(&c.MaxEndpoints, DefaultMaxEndpoints)
	set(&c.MaxHandshakes, DefaultMaxHandshakes)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Router holds the meetings of one plane. Its methods, and those of Meeting and Endpoint, may be called from any goroutine but the
// workers' own.
type Router struct {
	cfg        Config
	log        *slog.Logger
	identity   *identity
	started    time.Time
	seal       cipher.Block // makes and recognises ufrags, see credentials.go
	ctx        context.Context
	cancel     context.CancelFunc
	handshakes sync.WaitGroup // all runHandshake
	pending    atomic.Int32   // handshakes under way
	endpoints  atomic.Int32
	port       atomic.Uint32              // as the latest candidates had it
	handlers   atomic.Pointer[[]*handler] // by worker; complete before the plane runs

	// mu guards the meetings, and handlers against two writers; a worker's thread never takes it.
	mu       sync.Mutex
	meetings map[*Meeting]struct{}
	closed   bool
}

// New makes a router and its DTLS certificate. Its handlers have to be given to a plane before meetings can be opened.
func New(cfg Config) (*Router, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("mmr: configuration: %w", err)
	}
	r := &Router{cfg: cfg.withDefaults(), started: time.Now(), meetings: map[*Meeting]struct{}{}}
	r.log = r.cfg.Logger
	var err error
	if r.identity, err = newIdentity(); err != nil {
		return nil, fmt.Errorf("mmr: make certificate: %w", err)
	}
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails, see its documentation
	if r.seal, err = aes.NewCipher(key[:]); err != nil {
		return nil, fmt.Errorf("mmr: make key: %w", err)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// NewHandler makes the handler of a worker; it is what dataplane.Open asks for.
func (r *Router) NewHandler(w *dataplane.Worker) dataplane.Handler {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := newHandler(r, w)
	handlers := slices.Clone(r.all())
	for len(handlers) <= w.ID() {
		handlers = append(handlers, nil)
	}
	handlers[w.ID()] = h
	r.handlers.Store(&handlers)
	return h
}

// all returns the handlers, by worker.
func (r *Router) all() []*handler {
	if p := r.handlers.Load(); p != nil {
		return *p
	}
	return nil
}

// handler returns the one on a worker, nil when there is none.
func (r *Router) handler(worker uint8) *handler {
	if all := r.all(); int(worker) < len(all) {
		return all[worker]
	}
	return nil
}

// candidates returns the addresses for an offer, without those that nobody could send to.
func (r *Router) candidates() []netip.AddrPort {
	list := slices.DeleteFunc(slices.Clone(r.cfg.Candidates()), func(a netip.AddrPort) bool {
		return !a.IsValid() || a.Addr().IsUnspecified() || a.Addr().IsMulticast() || a.Port() == 0
	})
	if len(list) > 0 {
		r.port.Store(uint32(list[0].Port()))
	}
	return list
}

// Close ends all meetings and waits for everything that the router started. To be called while the plane still runs, so that peers
// are told; afterwards it works too, in silence.
func (r *Router) Close() error {
	r.mu.Lock()
	r.closed = true
	meetings := make([]*Meeting, 0, len(r.meetings))
	for m := range r.meetings {
		meetings = append(meetings, m)
	}
	r.mu.Unlock()
	for _, m := range meetings {
		m.Close()
	}
	r.cancel()
	r.handshakes.Wait()
	return nil
}

// MeetingConfig bounds a meeting.
type MeetingConfig struct {
	MaxEndpoints int      // 0: no bound but the router's
	Codecs       []string // of pictures, best first: vp8, vp9, h264, av1; VP8 is always there. Default DefaultCodecs
}

// Open opens a meeting. Its home is the worker with the fewest endpoints.
func (r *Router) Open(cfg MeetingConfig) (*Meeting, error) {
	if err := CheckCodecs(cfg.Codecs); err != nil {
		return nil, fmt.Errorf("open meeting: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	handlers := r.all()
	if r.closed || len(handlers) == 0 {
		return nil, net.ErrClosed
	}
	if len(r.meetings) >= r.cfg.MaxMeetings {
		return nil, fmt.Errorf("open meeting: %w", ErrFull)
	}
	home := handlers[0]
	for _, h := range handlers[1:] {
		if h.load() < home.load() {
			home = h
		}
	}
	m := &Meeting{r: r, cfg: cfg, h: home, sh: newShard(), preference: preference(cfg.Codecs)}
	m.codecs, m.sh.preference = setOf(m.preference), m.preference
	if err := home.w.Post(dataplane.TaskFunc(func(dataplane.Instant) { home.addShard(m.sh) })); err != nil {
		return nil, fmt.Errorf("open meeting: %w", err)
	}
	home.meetings.Add(1)
	r.meetings[m] = struct{}{}
	return m, nil
}

// RouterStats counts what happened since the router was made.
type RouterStats struct {
	Meetings, Endpoints int
	Transports          int // connected ones
	Handshakes          uint64
	HandshakesFailed    uint64
	Checks              uint64 // authentic STUN checks
	Probes              uint64 // answered
	Unsent              uint64 // packets that could not be sealed or had no path
	Drops               [NumDrops]uint64
	SlotSwitches        uint64
	KeyframeRequests    uint64
	NACKs               uint64
	Resent              uint64
}

func (s *RouterStats) add(o *RouterStats) {
	s.Transports += o.Transports
	s.Handshakes += o.Handshakes
	s.HandshakesFailed += o.HandshakesFailed
	s.Checks += o.Checks
	s.Probes += o.Probes
	s.Unsent += o.Unsent
	for i := range s.Drops {
		s.Drops[i] += o.Drops[i]
	}
	s.SlotSwitches += o.SlotSwitches
	s.KeyframeRequests += o.KeyframeRequests
	s.NACKs += o.NACKs
	s.Resent += o.Resent
}

// statsPatience is how long Stats waits for a worker; a worker that takes longer is missing from the sum.
const statsPatience = time.Second

// Stats asks all workers for their counters.
func (r *Router) Stats() RouterStats {
	r.mu.Lock()
	sum := RouterStats{Meetings: len(r.meetings), Endpoints: int(r.endpoints.Load())}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), statsPatience)
	defer cancel()
	for _, h := range r.all() {
		counted := make(chan RouterStats, 1)
		if h.w.Do(ctx, func(dataplane.Instant) { counted <- h.collect() }) == nil {
			s := <-counted
			sum.add(&s)
		}
	}
	return sum
}

package zonectl

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meetzone/mmr"
	"meetzone/zonectl/internal/geoip"
	"meetzone/zonectl/internal/pathmarks"
	"meetzone/zonectl/wire"
)

// Deps are the parts and secrets that a controller is given.
type Deps struct {
	Router     Router
	Relay      Relay // nil: media have no way through the HTTPS port
	Store      Store
	SigningKey ed25519.PrivateKey // of the zone: signs join tokens
	// Pepper is a secret of the zone for passcodes; without one it is derived from the signing key, and then a new signing key means
	// new passcodes for all rooms.
	Pepper []byte
	// Probe makes credentials for testing the way to the media; nil: clients cannot test it.
	Probe func() mmr.ProbeCredentials
	// HandshakeTOS tells with which TOS octet a connection's handshake arrived; nil: unknown.
	HandshakeTOS func(net.Conn) (uint8, bool)
	// Load says how busy the router of this box is; nil: unknown.
	Load func() RouterLoad
	// Fingerprint is that of the certificate that TLS shows; nil: unknown.
	Fingerprint func() string
	Web         http.Handler // the browser client; nil: none
	// Dial opens TCP connections to controllers of other zones; default net.Dialer. It may mark them.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger *slog.Logger // default slog.Default
}

// Controller is the zone controller of this box.
type Controller struct {
	log       *slog.Logger
	router    Router
	relay     Relay
	store     Store
	key       ed25519.PrivateKey
	pepper    pepper
	probe     func() mmr.ProbeCredentials
	handshake func(net.Conn) (uint8, bool) // nil: unknown
	paths     pathmarks.Table              // has a lock of its own
	load      func() RouterLoad
	shown     func() string // fingerprint of the certificate
	web       http.Handler
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	others    holders                // has a lock of its own
	running   atomic.Pointer[Config] // complete
	drain     atomic.Pointer[string] // reason, nil while the box serves
	// forewarned is what people were told of the deadline of the drain, nil where there is none.
	forewarned atomic.Pointer[forewarning]
	guesses    *guesses
	starts     *allowance
	geoip      atomic.Pointer[geoip.File]

	refreshed time.Time // Run's: when the Geo-IP file was last looked at

	life          context.Context // ends with Close
	cancel        context.CancelFunc
	meetingsAlive sync.WaitGroup // all runMeeting
	channelsAlive sync.WaitGroup // all control channels
	keeping       sync.WaitGroup // runKeeper
	stopKeeping   context.CancelFunc
	counters      counters
	keeper        *keeper
	ways          *wayBook
	opened        time.Time
	run           string // names this run of the daemon
	returns       []byte // key of what sessions come back with after a restart
	server        *http.Server
	monitor       *monitor

	// mu guards what follows; it is never held while waiting for anything.
	mu        sync.Mutex
	closed    bool
	channels  int
	unwelcome map[string]int      // channels without a session, by source
	meetings  map[string]*meeting // those that run, by number
	rooms     map[string]Room
	tokens    map[string]APIToken
	sessions  map[string]*meeting // where a participant's session is, by session id
	gear      map[string]*session // that of WHIP and WHEP, by session id
	watchers  int                 // of gear
	ended     map[string]endedMeeting
	changing  sync.Mutex // held through a change of the store, taken before mu
}

// endedMeeting is remembered for a while, so that whoever has its passcode is told that it has ended.
type endedMeeting struct {
	lock lock
	at   time.Time
}

// Bounds of the memory of ended meetings.
const (
	maxEnded      = 10_000
	rememberEnded = 24 * time.Hour
)

// New makes a controller and reads the store. It serves when Serve is called, or through Handler; Run does its housekeeping.
func New(cfg Config, deps Deps) (*Controller, error) {
	if err := Check(cfg); err != nil {
		return nil, err
	}
	if len(deps.SigningKey) != ed25519.PrivateKeySize || deps.Router == nil || deps.Store.Rooms == nil || deps.Store.Tokens == nil {
		return nil, errors.New("zonectl: router, store and signing key must be there")
	}
	if deps.Logger == nil {
		deps.Logger = slog.Default()
	}
	if deps.Dial == nil {
		deps.Dial = new(net.Dialer).DialContext
	}
	if deps.Pepper == nil {
		deps.Pepper = deps.SigningKey.Seed()
	}
	p, err := newPepper(deps.Pepper)
	if err != nil {
		return nil, fmt.Errorf("zonectl: %w", err)
	}
	cfg = cfg.withDefaults()
	c := &Controller{log: deps.Logger, router: deps.Router, relay: deps.Relay, store: deps.Store, key: deps.SigningKey, pepper: p, probe: deps.Probe, handshake: deps.HandshakeTOS, shown: deps.Fingerprint, load: deps.Load, web: deps.Web, dial: deps.Dial,
		guesses: newGuesses(cfg.Guess), starts: newAllowance(cfg.Limits.Starts),
		meetings: map[string]*meeting{}, rooms: map[string]Room{}, tokens: map[string]APIToken{}, sessions: map[string]*meeting{},
		unwelcome: map[string]int{}, gear: map[string]*session{}, ended: map[string]endedMeeting{}}
	c.running.Store(&cfg)
	c.geoip.Store(geoip.Open(cfg.GeoIP))
	for number, room := range deps.Store.Rooms.All() {
		c.rooms[number] = room
	}
	for id, token := range deps.Store.Tokens.All() {
		c.tokens[id] = token
	}
	c.life, c.cancel = context.WithCancel(context.Background())
	c.opened, c.run = time.Now(), newSecret()
	c.ways = &wayBook{networks: map[netip.Prefix]*NetworkWays{}}
	if c.returns, err = hkdf.Key(sha256.New, deps.SigningKey.Seed(), nil, "meetzone returns", sha256.Size); err != nil {
		return nil, fmt.Errorf("zonectl: %w", err)
	}
	c.keeper = newKeeper(deps.Store.Meetings, c.log, c.kept)
	keeping, stop := context.WithCancel(context.Background())
	c.keeping.Go(func() { c.keeper.runKeeper(keeping) })
	c.stopKeeping = stop
	c.recallMeetings()
	c.server = c.newServer()
	c.monitor = newMonitor(c)
	return c, nil
}

// Run does the housekeeping, and watches over the quality of all media, until the context ends.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() { c.monitor.runQuality(ctx) })
	ticker := time.NewTicker(housekeeping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.life.Done():
			return net.ErrClosed
		case now := <-ticker.C:
			c.refreshPlaces(now)
			c.guesses.prune()
			c.forgetEnded()
		}
	}
}

// Close waits until everything has ended that the controller started. Whoever is in a meeting loses the control channel without a word, and
// comes back to the same meeting when the box does. The router is still needed meanwhile.
func (c *Controller) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.suspendAll()
	c.meetingsAlive.Wait()
	c.stopKeeping()
	c.keeping.Wait()
	c.mu.Lock()
	clear(c.meetings)
	c.mu.Unlock()
	farewell := time.AfterFunc(farewellWithin, c.cancel)
	c.channelsAlive.Wait() // net/http does not wait for WebSockets
	farewell.Stop()
	c.cancel()
	return c.server.Close()
}

// farewellWithin is how long Close waits for the last messages to be written.
const farewellWithin = 2 * time.Second

// takeChannel counts a WebSocket that is about to be accepted, unless there are too many, in all or of the source without a welcome so far, or the
// controller is closed.
func (c *Controller) takeChannel(source string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := channelsPerSession * c.config().Limits.Sessions
	if c.closed || c.channels >= most || c.unwelcome[source] >= min(unwelcomePerSource, max(1, most/2)) {
		return false
	}
	c.channels++
	c.unwelcome[source]++
	c.channelsAlive.Add(1)
	return true
}

func (c *Controller) giveChannel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.channels--
	c.channelsAlive.Done()
}

// welcomed notes that a channel of the source has its session, or has ended without one.
func (c *Controller) welcomed(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unwelcome[source]--; c.unwelcome[source] <= 0 {
		delete(c.unwelcome, source)
	}
}

// unwelcomePerSource bounds the channels of one source that have not got a session yet, so that nobody can shut out everybody by opening many.
const unwelcomePerSource = 256

// channelsPerSession leaves room for those that have not said hello yet, and for sessions that resume.
const channelsPerSession = 2

func (c *Controller) config() *Config { return c.running.Load() }

// Apply changes what the controller does from now on. Meetings and sessions that exist stay as they are.
func (c *Controller) Apply(cfg Config) (Actual, error) {
	if err := Check(cfg); err != nil {
		return Actual{}, err
	}
	cfg = cfg.withDefaults()
	if before := c.running.Swap(&cfg); before.GeoIP != cfg.GeoIP {
		c.geoip.Store(geoip.Open(cfg.GeoIP))
	}
	c.others.forget()
	c.guesses.set(cfg.Guess)
	c.starts.set(cfg.Limits.Starts)
	return Actual{cfg}, nil
}

// SetDrain takes the box out of service, or back into it. While it is out, nobody new is let in; who is in stays, and may resume.
func (c *Controller) SetDrain(on bool, reason string) {
	if !on {
		c.drain.Store(nil)
		return
	}
	reason = wire.CleanLine(reason, wire.MaxTitle)
	c.drain.Store(&reason)
}

// Draining returns the reason, and whether the box is out of service.
func (c *Controller) Draining() (reason string, on bool) {
	if p := c.drain.Load(); p != nil {
		return *p, true
	}
	return "", false
}

// Drain takes the box out of service and waits until everybody has left. When the context ends before, the others are told and sent away.
func (c *Controller) Drain(ctx context.Context, reason string) error {
	c.SetDrain(true, reason)
	why := c.drained() // whoever puts the box back into service meanwhile does not keep people in
	if why == nil {
		why = drained(reason)
	}
	if err := c.WaitEmpty(ctx); err != nil {
		c.sendAway(why)
		return err
	}
	return nil
}

// SendAway ends the meetings that somebody is in. Everybody is told why the box is out of service; where it is in service, nothing happens. A number that
// nobody uses at the time stays good: it may be for a meeting after the drain.
func (c *Controller) SendAway() {
	if why := c.drained(); why != nil {
		c.sendAway(why)
	}
}

// WaitEmpty waits until nobody is in a meeting.
func (c *Controller) WaitEmpty(ctx context.Context) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for c.sessionCount() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// drained is what people are told while the box is out of service, nil when it is not.
func (c *Controller) drained() *wire.Error {
	if reason, on := c.Draining(); on {
		return drained(reason)
	}
	return nil
}

// alive lists the meetings that run.
func (c *Controller) alive() []*meeting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aliveLocked()
}

func (c *Controller) aliveLocked() []*meeting { return slices.Collect(maps.Values(c.meetings)) }

// sendAway ends the meetings that somebody is in, and waits for them.
func (c *Controller) sendAway(why *wire.Error) {
	list := c.alive()
	replies := make([]chan bool, len(list))
	for i, m := range list {
		replies[i] = make(chan bool, 1)
		_ = m.send(context.Background(), sendAway{why, replies[i]}) // one that has ended meanwhile is no matter
	}
	for i, m := range list {
		select {
		case ends := <-replies[i]:
			if ends {
				<-m.done
			}
		case <-m.done:
		}
	}
}

// ---- the table of meetings

// startLocked makes a meeting that runs from now on.
func (c *Controller) startLocked(s spec) (*meeting, error) {
	if c.closed || len(c.meetings) >= c.config().Limits.Meetings {
		return nil, errBusy
	}
	m := newMeeting(c, s)
	c.meetings[s.number] = m
	c.counters.meetings.Add(1)
	c.meetingsAlive.Go(m.runMeeting)
	return m, nil
}

// freeNumberLocked returns a number that nothing has, or had of late.
func (c *Controller) freeNumberLocked() string {
	for {
		number := newNumber()
		if _, ended := c.ended[number]; !ended && !c.takenLocked(number) {
			return number
		}
	}
}

func (c *Controller) takenLocked(number string) bool {
	_, room := c.rooms[number]
	_, meeting := c.meetings[number]
	return room || meeting
}

// open returns the meeting of a number; a room's is started when it does not run.
func (c *Controller) open(number string) (*meeting, error) {
	if why := c.drained(); why != nil {
		return nil, why
	}
	return c.reopen(number)
}

// reopen is open for somebody who was in before a restart of the box: a drain leaves them in.
func (c *Controller) reopen(number string) (*meeting, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.meetings[number]; m != nil {
		select {
		case <-m.done:
		default:
			return m, nil
		}
	}
	room, found := c.rooms[number]
	switch {
	case !found:
		return nil, errEnded
	case c.closed:
		return nil, errBusy // the keeper still reads what there was
	}
	delete(c.meetings, number) // one that has just ended
	return c.startLocked(spec{number: number, title: room.Title, room: true, lock: lock{room.Passcode, room.HostKey}})
}

// inProgress returns the meeting of a number, nil when none runs.
func (c *Controller) inProgress(number string) *meeting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.meetings[number]
}

// meetingEnded takes a meeting out of the table.
func (c *Controller) meetingEnded(m *meeting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.suspended {
		return // the keeper has to find it; Close empties the table
	}
	if c.meetings[m.number] == m {
		delete(c.meetings, m.number)
	}
	c.keeper.touch(m.number)
	if !m.room && len(c.ended) < maxEnded {
		c.ended[m.number] = endedMeeting{m.lock, time.Now()}
	}
	c.log.Info("meeting ended", "meeting", m.number)
}

func (c *Controller) forgetEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number, e := range c.ended {
		if time.Since(e.at) > rememberEnded {
			delete(c.ended, number)
		}
	}
}

// takeSession notes where a session is, unless there are too many. Watchers have a limit of their own.
func (c *Controller) takeSession(s *session, m *meeting) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limits := c.config().Limits
	switch watches := s.gear != nil && !s.gear.publishes; {
	case watches && c.watchers >= limits.Watchers, !watches && len(c.sessions) >= limits.Sessions:
		return false
	case watches:
		c.watchers++
	default:
		c.sessions[s.id] = m
		c.counters.joins.Add(1)
	}
	if s.gear != nil {
		c.gear[s.id] = s
	}
	return true
}

func (c *Controller) giveSession(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.gear[id]; s != nil && !s.gear.publishes {
		c.watchers--
	}
	delete(c.sessions, id)
	delete(c.gear, id)
}

func (c *Controller) meetingOf(session string) *meeting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[session]
}

func (c *Controller) sessionCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}

package zonectl

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// ---- a router without media

// fakeRouter keeps what it was asked for.
type fakeRouter struct {
	mu       sync.Mutex
	meetings []*fakeMeeting
	full     bool
}

func (r *fakeRouter) Open(mmr.MeetingConfig) (RouterMeeting, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return nil, mmr.ErrFull
	}
	m := &fakeMeeting{r: r, endpoints: map[mmr.EndpointID]*fakeEndpoint{}}
	r.meetings = append(r.meetings, m)
	return m, nil
}

// endpoint returns the one of a participant, wherever it is.
func (r *fakeRouter) endpoint(participant string) *fakeEndpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.meetings {
		if e := m.endpoints[mmr.EndpointID(participant)]; e != nil {
			return e
		}
	}
	return nil
}

// left says how many meetings and endpoints have not been closed.
func (r *fakeRouter) left() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.meetings {
		if !m.closed {
			n++
		}
		n += len(m.endpoints)
	}
	return n
}

type fakeMeeting struct {
	r         *fakeRouter
	endpoints map[mmr.EndpointID]*fakeEndpoint
	content   mmr.EndpointID
	closed    bool
}

func (m *fakeMeeting) Join(cfg mmr.EndpointConfig) (RouterEndpoint, error) {
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	e := &fakeEndpoint{m: m, cfg: cfg}
	m.endpoints[cfg.ID] = e
	return e, nil
}

func (m *fakeMeeting) SetContent(id mmr.EndpointID) error {
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	m.content = id
	return nil
}

func (m *fakeMeeting) Close() {
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	m.closed = true
	clear(m.endpoints)
}

type fakeEndpoint struct {
	m       *fakeMeeting
	cfg     mmr.EndpointConfig
	offers  int
	answers []string
	muted   [mmr.NumMedia]bool
	views   []mmr.View
	broken  bool // needs a fresh offer
	stats   mmr.EndpointStats
	accepts int
	starts  int // ICE restarts
}

func (e *fakeEndpoint) Accept(_ context.Context, o *mmr.ClientOffer) (string, error) {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	e.accepts++
	return "v=0 accepted", nil
}

func (e *fakeEndpoint) Restart(context.Context) (string, error) {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	if e.broken {
		return "", mmr.ErrNeedsFresh
	}
	e.starts++
	return fmt.Sprintf("a=ice-ufrag:u%d\r\n", e.starts), nil
}

// connect tells the endpoint's owner that its media travel, or not.
func (e *fakeEndpoint) connect(state mmr.TransportState) {
	e.cfg.Notify(mmr.TransportsChanged{Transports: []mmr.Transport{{Medium: mmr.Audio, State: state}}})
}

func (e *fakeEndpoint) Offer(_ context.Context, fresh bool) (string, error) {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	if e.broken && !fresh {
		return "", mmr.ErrNeedsFresh
	}
	e.broken = false
	e.offers++
	return fmt.Sprintf("v=0 offer %d", e.offers), nil
}

func (e *fakeEndpoint) Answer(_ context.Context, sdp string) error {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	if !strings.HasPrefix(sdp, "v=0") {
		return mmr.ErrAnswer
	}
	e.answers = append(e.answers, sdp)
	return nil
}

func (e *fakeEndpoint) SetViews(v []mmr.View) error {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	e.views = slices.Clone(v)
	return nil
}

func (e *fakeEndpoint) SetMuted(m mmr.Medium, muted bool) error {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	e.muted[m] = muted
	return nil
}

func (e *fakeEndpoint) Stats(context.Context) (mmr.EndpointStats, error) {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	stats := e.stats
	stats.ID = e.cfg.ID
	return stats, nil
}

// count has the endpoint say something else of itself.
func (e *fakeEndpoint) count(f func(*mmr.EndpointStats)) {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	f(&e.stats)
}

func (e *fakeEndpoint) Close() error {
	e.m.r.mu.Lock()
	defer e.m.r.mu.Unlock()
	delete(e.m.endpoints, e.cfg.ID)
	return nil
}

// is waits until the endpoint is as wanted.
func (e *fakeEndpoint) is(t testing.TB, what string, f func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		e.m.r.mu.Lock()
		defer e.m.r.mu.Unlock()
		return f()
	})
}

// ---- a store in memory

type memory[V any] struct {
	mu      sync.Mutex
	records map[string]V
	err     error // what writing returns
}

func (m *memory[V]) Put(_ context.Context, key string, v V) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.records[key] = v
	}
	return m.err
}

func (m *memory[V]) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		delete(m.records, key)
	}
	return m.err
}

func (m *memory[V]) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.records[key]
	return ok
}

func (m *memory[V]) All() iter.Seq2[string, V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.All(maps.Clone(m.records))
}

// ---- a zone

type zone struct {
	*Controller
	t      testing.TB
	router *fakeRouter
	rooms  *memory[Room]
	tokens *memory[APIToken]
	kept   *memory[Kept]
	web    *httptest.Server
}

// openZone runs a controller behind real HTTPS. When the test ends, nothing may be left of it.
func openZone(t testing.TB, cfg Config) *zone {
	t.Helper()
	return openZoneOn(t, cfg, &memory[Kept]{records: map[string]Kept{}})
}

// openZoneOn runs a controller that may have meetings of an earlier run.
func openZoneOn(t testing.TB, cfg Config, kept *memory[Kept]) *zone {
	t.Helper()
	before := runtime.NumGoroutine()
	z := &zone{t: t, router: &fakeRouter{}, rooms: &memory[Room]{records: map[string]Room{}}, tokens: &memory[APIToken]{records: map[string]APIToken{}}, kept: kept}
	z.Controller = z.newController(cfg)
	z.web = httptest.NewTLSServer(z.Handler())
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- z.Run(ctx) }()
	t.Cleanup(func() {
		if err := z.Controller.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		cancel()
		<-ran
		z.web.Client().CloseIdleConnections()
		z.web.Close()
		if n := z.router.left(); n != 0 {
			t.Errorf("%d meetings and endpoints are left at the router", n)
		}
		if s := z.Stats(); s.Sessions != 0 || s.Meetings != 0 || s.Channels != 0 {
			t.Errorf("left behind: %+v", s)
		}
		if _, fuzzing := t.(*testing.F); !fuzzing { // then the testing package has goroutines of its own
			eventually(t, "goroutines ended", func() bool { return runtime.NumGoroutine() <= before })
		}
	})
	return z
}

// ownFingerprint is that of the certificate that the tests' zones say they show.
const ownFingerprint = "AB:CD"

func (z *zone) newController(cfg Config) *Controller {
	z.t.Helper()
	c, err := New(cfg, Deps{Router: z.router, Store: Store{Rooms: z.rooms, Tokens: z.tokens, Meetings: z.kept}, SigningKey: testKey(1),
		Fingerprint: func() string { return ownFingerprint }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		z.t.Fatal(err)
	}
	return c
}

func testKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

func (z *zone) create(s MeetingSpec) MeetingInfo {
	z.t.Helper()
	info, err := z.CreateMeeting(s)
	if err != nil {
		z.t.Fatal(err)
	}
	return info
}

// request makes one request; it returns the error that was answered.
func (z *zone) request(method, path string, header http.Header, body, into any) (*http.Response, *wire.Error) {
	z.t.Helper()
	text, _ := body.(string)
	if body != nil && text == "" {
		raw, err := json.Marshal(body)
		if err != nil {
			z.t.Fatal(err)
		}
		text = string(raw)
	}
	r, err := http.NewRequestWithContext(z.t.Context(), method, z.web.URL+path, strings.NewReader(text))
	if err != nil {
		z.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	maps.Copy(r.Header, header)
	answer, err := z.web.Client().Do(r)
	if err != nil {
		z.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		told := new(wire.Error)
		if err := json.NewDecoder(answer.Body).Decode(told); err != nil || told.Text == "" {
			z.t.Fatalf("%s %s: %s without an error", method, path, answer.Status)
		}
		return answer, told
	}
	if into != nil {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			z.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return answer, nil
}

func (z *zone) lookUp(l wire.LookupRequest) (wire.Lookup, *wire.Error) {
	z.t.Helper()
	var found wire.Lookup
	_, err := z.request(http.MethodPost, wire.PathLookup, nil, l, &found)
	return found, err
}

// token does stages 1 to 3.
func (z *zone) token(l wire.LookupRequest) string {
	z.t.Helper()
	found, told := z.lookUp(l)
	if told != nil {
		z.t.Fatal(told)
	}
	var route wire.Route
	if _, told := z.request(http.MethodPost, wire.PathRoute, nil, wire.RouteRequest{Token: found.Token}, &route); told != nil {
		z.t.Fatal(told)
	}
	if want := "wss" + strings.TrimPrefix(z.web.URL, "https") + wire.PathControl; route.Control != want {
		z.t.Fatalf("control channel at %q, want %q", route.Control, want)
	}
	return found.Token
}

// ---- a client

type testClient struct {
	t       testing.TB
	socket  *websocket.Conn
	welcome wire.Welcome
	state   uint64
}

func (z *zone) dial() *testClient {
	z.t.Helper()
	socket, _, err := websocket.Dial(z.t.Context(), z.web.URL+wire.PathControl,
		&websocket.DialOptions{HTTPClient: z.web.Client(), Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		z.t.Fatal(err)
	}
	socket.SetReadLimit(wire.MaxMessage)
	z.t.Cleanup(func() { socket.CloseNow() })
	return &testClient{t: z.t, socket: socket}
}

func hello(token, name string) wire.Hello {
	return wire.Hello{MinVersion: 1, MaxVersion: 1, Client: "test/1", Token: token, Name: name, Send: wire.Media[:], VideoSlots: 2}
}

// enter opens a channel, says hello and reads the welcome.
func (z *zone) enter(h wire.Hello) *testClient {
	z.t.Helper()
	c := z.dial()
	c.send(h)
	c.welcome = expect[wire.Welcome](c)
	return c
}

// join does everything up to the answer to the first offer.
func (z *zone) join(name string, l wire.LookupRequest) *testClient {
	z.t.Helper()
	c := z.enter(hello(z.token(l), name))
	expect[wire.Participants](c)
	offer := expect[wire.Offer](c)
	c.send(wire.Answer{Generation: offer.Generation, SDP: "v=0"})
	return c
}

func (c *testClient) send(m wire.Message) {
	c.t.Helper()
	data, err := wire.Encode(m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sendText(string(data))
}

func (c *testClient) sendText(text string) {
	c.t.Helper()
	if err := c.socket.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testClient) receive() (wire.Message, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	return c.read(ctx)
}

// patience is how long a test waits for what must come.
const patience = 5 * time.Second

func (c *testClient) read(ctx context.Context) (wire.Message, error) {
	_, data, err := c.socket.Read(ctx)
	if err != nil {
		return nil, err
	}
	m, err := wire.Decode(data)
	if err != nil {
		return nil, err
	}
	c.state = max(c.state, stateOf(data))
	return m, nil
}

func stateOf(data []byte) uint64 {
	var numbered struct{ State uint64 }
	_ = json.Unmarshal(data, &numbered) // messages without a number leave it 0
	return numbered.State
}

// expect reads until a message of the type comes for which every condition holds.
func expect[M wire.Message](c *testClient, conditions ...func(M) bool) M {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var seen []string
	for {
		m, err := c.read(ctx)
		if err != nil {
			var zero M
			c.t.Fatalf("waiting for %s after %s: %v", zero.Type(), strings.Join(seen, " "), err)
		}
		if wanted, ok := m.(M); ok && !slices.ContainsFunc(conditions, func(f func(M) bool) bool { return !f(wanted) }) {
			return wanted
		}
		seen = append(seen, m.Type())
	}
}

// expectFailure waits for what the server says of a message.
func (c *testClient) expectFailure(about string, code wire.Code) wire.Failure {
	c.t.Helper()
	f := expect(c, func(f wire.Failure) bool { return f.About == about })
	if f.Error.Code != code || f.Error.Text == "" {
		c.t.Errorf("failure of %s: %+v, want code %s", about, f.Error, code)
	}
	return f
}

// expectBye waits for the last message and the end.
func (c *testClient) expectBye(code wire.Code) wire.Bye {
	c.t.Helper()
	bye := expect[wire.Bye](c)
	if bye.Error.Code != code || bye.Error.Text == "" || bye.Error.Advice == "" {
		c.t.Errorf("bye: %+v, want code %s and two sentences", bye.Error, code)
	}
	if m, err := c.receive(); err == nil {
		c.t.Errorf("%s after bye", m.Type())
	} else if status := websocket.CloseStatus(err); status != websocket.StatusNormalClosure {
		c.t.Errorf("closed with %v: %v", status, err)
	}
	return bye
}

func (c *testClient) entry(id string, f func(wire.Participant) bool) {
	c.t.Helper()
	expect(c, func(j wire.Joined) bool { return j.Participant.ID == id && f(j.Participant) })
}

package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"meetzone/dataplane"
	"meetzone/mmr"
	"meetzone/zonectl/web"
	"meetzone/zonectl/wire"
)

// zone is a zone of one meeting for the browser client to talk to: the real handler of this package, a real router on a real data plane, and a
// scripted controller between them that does what the test says. It knows no policy; that is zonectl's and tested there.
type zone struct {
	t   *testing.T
	url string

	// mu guards what follows. Members of participants are changed only while it is held.
	mu           sync.Mutex
	meeting      wire.Meeting
	media        *mmr.Meeting
	passcode     string
	refuse       *wire.Error // instead of a lookup
	state        uint64
	participants []*member
	count        int
	startRefused *wire.Error
}

const (
	meetingNumber = "482913756"
	hostKey       = "key-of-the-host"
)

// member is a participant: a browser over its control channel, or one that the test has invented and that sends nothing.
type member struct {
	wire.Participant
	session  string
	socket   *websocket.Conn // nil while away, and of invented ones
	endpoint *mmr.Endpoint
	offers   int
	got      []wire.Message // what the browser said
}

func newZone(t *testing.T) *zone {
	t.Helper()
	z := &zone{t: t, meeting: wire.Meeting{Number: meetingNumber, Title: "Weekly review"}}
	var err error
	z.media, err = openRouter(t).Open(mmr.MeetingConfig{})
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", web.Handler())
	mux.HandleFunc("POST "+wire.PathLookup, z.serveLookup)
	mux.HandleFunc("GET "+wire.PathProbe, func(w http.ResponseWriter, r *http.Request) { reply(w, wire.Probe{Zone: "z"}) })
	mux.HandleFunc("POST "+wire.PathRoute, func(w http.ResponseWriter, r *http.Request) {
		reply(w, wire.Route{Router: "box", Control: "wss://" + r.Host + wire.PathControl})
	})
	mux.HandleFunc("POST "+wire.PathStart, z.serveStart)
	mux.HandleFunc("GET "+wire.PathControl, z.serveControl)
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() {
		z.mu.Lock()
		for _, m := range z.participants {
			if m.socket != nil {
				m.socket.CloseNow()
			}
		}
		z.mu.Unlock()
		server.CloseClientConnections()
		server.Close()
	})
	z.url = server.URL
	return z
}

// openRouter opens the media side on a port of loopback.
func openRouter(t *testing.T) *mmr.Router {
	t.Helper()
	var plane *dataplane.Plane
	router, err := mmr.New(mmr.Config{Candidates: func() []netip.AddrPort { return plane.Addrs() }})
	must(t, err)
	plane, err = dataplane.Open(dataplane.Config{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Workers: 1, NoPin: true, ReceiveBuffer: 1 << 20, SendBuffer: 1 << 20,
	}, router.NewHandler)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = plane.Run(ctx)
	}()
	t.Cleanup(func() {
		_ = router.Close()
		cancel()
		_ = plane.Close()
		<-done
	})
	return router
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (z *zone) serveLookup(w http.ResponseWriter, r *http.Request) {
	var asked wire.LookupRequest
	if json.NewDecoder(r.Body).Decode(&asked) != nil {
		refuse(w, http.StatusBadRequest, wire.Error{Code: wire.CodeBad, Text: "bad"})
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	switch {
	case z.refuse != nil:
		refuse(w, http.StatusForbidden, *z.refuse)
	case asked.Meeting != meetingNumber || asked.Passcode != z.passcode:
		refuse(w, http.StatusForbidden, wire.Error{Code: wire.CodeRefused, Text: "refused"})
	default:
		token := string(wire.RoleParticipant)
		if asked.HostKey == hostKey {
			token = string(wire.RoleHost)
		}
		reply(w, wire.Lookup{Meeting: z.meeting, Zones: []wire.Zone{{ID: "z", Name: "Zone", Controllers: []string{"https://" + r.Host}}}, Token: token})
	}
}

func (z *zone) serveStart(w http.ResponseWriter, r *http.Request) {
	var asked wire.StartRequest
	_ = json.NewDecoder(r.Body).Decode(&asked)
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.startRefused != nil {
		refuse(w, http.StatusForbidden, *z.startRefused)
		return
	}
	z.passcode = asked.Passcode
	if asked.Title != "" {
		z.meeting.Title = asked.Title
	}
	reply(w, wire.Started{Meeting: z.meeting, Link: "https://" + r.Host + wire.PathJoin + meetingNumber, HostKey: hostKey})
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func refuse(w http.ResponseWriter, status int, e wire.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(e)
}

// serveControl is one control channel, from hello to the end.
func (z *zone) serveControl(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer socket.CloseNow()
	socket.SetReadLimit(wire.MaxMessage)
	first, err := read(r.Context(), socket)
	hello, ok := first.(wire.Hello)
	if err != nil || !ok {
		z.t.Errorf("first message is %#v, %v", first, err)
		return
	}
	m, err := z.admit(hello, socket)
	if err != nil {
		z.t.Errorf("admit: %v", err)
		return
	}
	for {
		message, err := read(r.Context(), socket)
		if err != nil {
			break
		}
		z.mu.Lock()
		m.got = append(m.got, message)
		z.obey(m, message)
		z.mu.Unlock()
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if m.socket == socket {
		m.socket = nil
		m.Away = true
		z.broadcast(wire.Joined{State: z.next(), Participant: m.Participant})
	}
}

func read(ctx context.Context, socket *websocket.Conn) (wire.Message, error) {
	_, data, err := socket.Read(ctx)
	if err != nil {
		return nil, err
	}
	return wire.Decode(data)
}

// admit makes a new member, or finds the one that resumes.
func (z *zone) admit(hello wire.Hello, socket *websocket.Conn) (*member, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if hello.Resume != nil {
		for _, m := range z.participants {
			if m.session != "" && m.session == hello.Resume.Session {
				m.socket, m.Away = socket, false
				z.send(m, z.welcome(m, true))
				z.broadcast(wire.Joined{State: z.next(), Participant: m.Participant})
				return m, nil
			}
		}
	}
	z.count++
	id := fmt.Sprintf("p%d", z.count)
	m := &member{
		Participant: wire.Participant{ID: id, Name: hello.Name, Role: wire.Role(hello.Token), Audio: true, Video: true},
		session:     "session-of-" + id, socket: socket,
	}
	events := make(chan mmr.Event, 1024)
	go func() {
		for {
			select {
			case event := <-events:
				z.notify(m, event)
			case <-z.t.Context().Done():
				return
			}
		}
	}()
	cfg := mmr.EndpointConfig{
		ID: mmr.EndpointID(id), Send: [mmr.NumMedia]bool{true, true, true}, VideoSlots: hello.VideoSlots,
		Notify: func(event mmr.Event) { events <- event }, // on the worker's thread: only handed on
	}
	var err error
	if m.endpoint, err = z.media.Join(cfg); err != nil {
		return nil, err
	}
	z.participants = append(z.participants, m)
	z.send(m, z.welcome(m, false))
	z.send(m, wire.Participants{State: z.state, Participants: z.list()})
	z.broadcast(wire.Joined{State: z.next(), Participant: m.Participant})
	z.offer(m, true)
	return m, nil
}

func (z *zone) welcome(m *member, resumed bool) wire.Welcome {
	return wire.Welcome{Version: 1, Session: m.session, Secret: "secret", Participant: m.ID, Role: m.Role, Resumed: resumed, Router: "box", Meeting: z.meeting}
}

func (z *zone) offer(m *member, fresh bool) {
	sdp, err := m.endpoint.Offer(context.Background(), fresh)
	if err != nil {
		z.t.Errorf("offer: %v", err)
		return
	}
	m.offers++
	z.send(m, wire.Offer{Generation: m.offers, Fresh: fresh, SDP: sdp})
}

// obey does what a browser asks. Called with mu held.
func (z *zone) obey(m *member, message wire.Message) {
	switch message := message.(type) {
	case wire.Answer:
		if err := m.endpoint.Answer(context.Background(), message.SDP); err != nil {
			z.t.Errorf("answer: %v", err)
		}
	case wire.Negotiate:
		z.offer(m, message.Fresh)
	case wire.SetViews:
		views := make([]mmr.View, len(message.Views))
		for i, v := range message.Views {
			views[i] = mmr.View{Slot: v.Slot, Source: mmr.EndpointID(strings.TrimPrefix(v.Participant, "-")), Height: v.Height, Priority: v.Priority}
		}
		_ = m.endpoint.SetViews(views)
	case wire.SetMute:
		z.mute(m, message.Medium, message.Muted)
	case wire.SetShare:
		z.share(m, message.On)
	case wire.SendChat:
		z.broadcast(wire.Chat{State: z.next(), Participant: m.ID, Name: m.Name, Text: message.Text, Sent: time.Now().UnixMilli()})
	case wire.HostMute:
		if other := z.find(message.Participant); other != nil {
			z.send(other, wire.Muted{Medium: message.Medium, Muted: message.Muted, By: m.ID})
			if message.Muted {
				z.mute(other, message.Medium, true)
			}
		}
	case wire.HostRemove:
		if other := z.find(message.Participant); other != nil {
			z.send(other, wire.Bye{Error: wire.Error{Code: wire.CodeRemoved, Text: "removed"}})
			z.drop(other)
		}
	case wire.HostLock:
		z.meeting.Locked = message.Locked
		z.broadcast(wire.MeetingChanged{State: z.next(), Meeting: z.meeting})
	case wire.HostEnd:
		z.broadcast(wire.Bye{Error: wire.Error{Code: wire.CodeEnded, Text: "ended"}})
	case wire.ClaimHost:
		if message.Key != hostKey {
			z.send(m, wire.Failure{About: message.Type(), Error: wire.Error{Code: wire.CodeRole, Text: "wrong key"}})
			return
		}
		m.Role = wire.RoleHost
		z.send(m, wire.RoleChanged{Role: m.Role})
		z.broadcast(wire.Joined{State: z.next(), Participant: m.Participant})
	case wire.Ping:
		z.send(m, wire.Pong(message))
	case wire.Leave:
		z.drop(m)
	}
}

func (z *zone) mute(m *member, medium wire.Medium, muted bool) {
	before := m.Participant
	switch medium {
	case wire.Audio:
		m.Audio = !muted
	case wire.Video:
		m.Video = !muted
	case wire.Content:
		if muted {
			z.share(m, false)
		}
	}
	if m.Participant != before {
		z.broadcast(wire.Joined{State: z.next(), Participant: m.Participant})
	}
}

func (z *zone) share(m *member, on bool) {
	if m.Sharing == on {
		return
	}
	source := mmr.EndpointID("")
	if on {
		source = mmr.EndpointID(m.ID)
	}
	m.Sharing = on
	z.media.SetContent(source)
	z.broadcast(wire.Joined{State: z.next(), Participant: m.Participant})
}

func (z *zone) drop(m *member) {
	for i, other := range z.participants {
		if other == m {
			z.participants = append(z.participants[:i:i], z.participants[i+1:]...)
			break
		}
	}
	m.socket = nil
	if m.endpoint != nil {
		_ = m.endpoint.Close()
	}
	z.broadcast(wire.Left{State: z.next(), Participant: m.ID})
}

// notify passes an event of the router on.
func (z *zone) notify(m *member, event mmr.Event) {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch event := event.(type) {
	case mmr.SlotsChanged:
		slots := make([]wire.Slot, len(event.Slots))
		for i, s := range event.Slots {
			slots[i] = wire.Slot{
				Mid: fmt.Sprintf("%s%d", s.Medium, s.Index), Medium: wire.Media[s.Medium], Participant: string(s.Source), Paused: s.Paused,
			}
		}
		z.send(m, wire.Slots{Slots: slots})
	case mmr.SpeakerChanged:
		z.send(m, wire.Speaker{Participant: string(event.Speaker)})
	case mmr.TransportsChanged:
		transports := make([]wire.TransportState, len(event.Transports))
		for i, s := range event.Transports {
			transports[i] = wire.TransportState{
				Medium: wire.Media[s.Medium], State: s.State.String(), Rung: s.Rung.String(), Cipher: s.Cipher, DSCP: s.DSCP,
				Local: address(s.Local), Remote: address(s.Remote),
			}
		}
		z.send(m, wire.Transports{Transports: transports})
	}
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (z *zone) find(id string) *member {
	for _, m := range z.participants {
		if m.ID == id {
			return m
		}
	}
	return nil
}

func (z *zone) list() []wire.Participant {
	list := make([]wire.Participant, len(z.participants))
	for i, m := range z.participants {
		list[i] = m.Participant
	}
	return list
}

func (z *zone) next() uint64 {
	z.state++
	return z.state
}

func (z *zone) broadcast(message wire.Message) {
	for _, m := range z.participants {
		z.send(m, message)
	}
}

func (z *zone) send(m *member, message wire.Message) {
	if m.socket == nil {
		return
	}
	data, err := wire.Encode(message)
	if err != nil {
		z.t.Errorf("encode: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = m.socket.Write(ctx, websocket.MessageText, data)
}

// invent adds participants who send nothing.
func (z *zone) invent(people ...wire.Participant) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, p := range people {
		z.participants = append(z.participants, &member{Participant: p})
		z.broadcast(wire.Joined{State: z.next(), Participant: p})
	}
}

// say sends a message to every browser.
func (z *zone) say(message wire.Message) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.broadcast(message)
}

// cut breaks every control channel as a lost network would.
func (z *zone) cut() {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, m := range z.participants {
		if m.socket != nil {
			go m.socket.CloseNow()
		}
	}
}

// heard returns what the browsers with this name said so far, of one type.
func heard[M wire.Message](z *zone, name string) (all []M) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, m := range z.participants {
		if m.Name != name {
			continue
		}
		for _, message := range m.got {
			if message, ok := message.(M); ok {
				all = append(all, message)
			}
		}
	}
	return all
}

// marks returns the code points with which a browser's media arrive.
func (z *zone) marks(t *testing.T, name string) (marks [mmr.NumMedia]int) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, m := range z.participants {
		if m.Name == name {
			stats, err := m.endpoint.Stats(t.Context())
			must(t, err)
			for _, transport := range stats.Transports {
				marks[transport.Medium] = transport.DSCP
			}
		}
	}
	return marks
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package zonectl

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"meetzone/zonectl/wire"
)

// TestHelloRefused: every way to be turned away at the control channel has its code and two sentences.
func TestHelloRefused(t *testing.T) {
	z := openZone(t, Config{Limits: Limits{Participants: 2, Sessions: 3}})
	number := z.create(MeetingSpec{}).Number
	good := z.token(wire.LookupRequest{Meeting: number})
	other := z.create(MeetingSpec{}).Number
	third := z.token(wire.LookupRequest{Meeting: z.create(MeetingSpec{}).Number})
	ended := z.token(wire.LookupRequest{Meeting: other})
	if err := z.EndMeeting(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	forged, _ := wire.SignToken(testKey(2), wire.Claims{ID: "x", Zone: "zone", Meeting: number, Role: wire.RoleHost, Expires: time.Now().Add(time.Hour)})
	future := hello(good, "A")
	future.MinVersion, future.MaxVersion = 7, 9
	refused := func(name, text string, code wire.Code) {
		t.Helper()
		c := z.dial()
		c.sendText(text)
		if bye := c.expectBye(code); bye.Error.Code != code {
			t.Errorf("%s: %+v", name, bye)
		}
	}
	encoded := func(m wire.Message) string {
		data, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	refused("no hello", encoded(wire.Ping{}), wire.CodeBad)
	refused("nonsense", "{", wire.CodeBad)
	refused("no token", encoded(hello("", "A")), wire.CodeToken)
	refused("forged", encoded(hello(forged, "A")), wire.CodeToken)
	refused("future", encoded(future), wire.CodeVersion)
	refused("ended", encoded(hello(ended, "A")), wire.CodeEnded)
	resume := hello("", "A")
	resume.Resume = &wire.Resume{Session: "none", Secret: "none"}
	refused("no such session", encoded(resume), wire.CodeSession)

	a := z.join("A", wire.LookupRequest{Meeting: number})
	z.join("B", wire.LookupRequest{Meeting: number})
	refused("meeting full", encoded(hello(good, "C")), wire.CodeFull)
	z.router.mu.Lock()
	z.router.full = true
	z.router.mu.Unlock()
	refused("router full", encoded(hello(third, "C")), wire.CodeFull)
	z.router.mu.Lock()
	z.router.full = false
	z.router.mu.Unlock()
	c := z.enter(hello(third, "C"))
	c.send(wire.Ping{})
	expect[wire.Pong](c)
	a.send(wire.Leave{})
	eventually(t, "there is room again", func() bool { return z.Stats().Sessions == 2 })
	d := z.enter(hello(good, "D"))
	if d.welcome.Role != wire.RoleParticipant {
		t.Errorf("%+v", d.welcome)
	}
}

// TestZoneFull: no more sessions than the zone takes.
func TestZoneFull(t *testing.T) {
	z := openZone(t, Config{Limits: Limits{Sessions: 2, Meetings: 2}})
	first, second := z.create(MeetingSpec{}).Number, z.create(MeetingSpec{}).Number
	if _, err := z.CreateMeeting(MeetingSpec{}); tell(err).Code != wire.CodeFull {
		t.Errorf("a third meeting: %v", err)
	}
	token := z.token(wire.LookupRequest{Meeting: first})
	z.join("A", wire.LookupRequest{Meeting: first})
	z.join("B", wire.LookupRequest{Meeting: second})
	c := z.dial()
	c.send(hello(token, "C"))
	c.expectBye(wire.CodeFull)
	if answer, told := z.request("POST", wire.PathRoute, nil, wire.RouteRequest{Token: token}, nil); told == nil || told.Code != wire.CodeFull || answer.Header.Get("Retry-After") == "" {
		t.Errorf("route: %v", told)
	}
}

// TestMessageRefused: bad messages are answered and do not end the session; too many do.
func TestMessageRefused(t *testing.T) {
	z := openZone(t, Config{})
	c := z.join("A", wire.LookupRequest{Meeting: z.create(MeetingSpec{}).Number})
	for text, about := range map[string]string{`{"type":"dance"}`: "dance", `nonsense`: "", `{"type":"set-mute","medium":"x"}`: "set-mute",
		`{"type":"hello","min_version":1,"max_version":1}`: "hello", `{"type":"bye","error":{"code":"x"}}`: "bye"} {
		c.sendText(text)
		c.expectFailure(about, wire.CodeBad)
	}
	c.send(wire.Ping{Sent: 3})
	expect[wire.Pong](c)
	for range chatsBurst + 1 {
		c.send(wire.SendChat{Text: "x"})
	}
	c.expectFailure("send-chat", wire.CodeRate)
	for range 2*messagesBurst + maxExcess {
		if c.socket.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ping"}`)) != nil {
			break
		}
	}
	c.expectBye(wire.CodeRate)
}

// TestBinaryFrame: only text is spoken.
func TestBinaryFrame(t *testing.T) {
	z := openZone(t, Config{})
	c := z.join("A", wire.LookupRequest{Meeting: z.create(MeetingSpec{}).Number})
	if err := c.socket.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	c.expectFailure("", wire.CodeBad)
}

// TestRequestRefused has every refusal of the HTTP half.
func TestRequestRefused(t *testing.T) {
	z := openZone(t, Config{Start: StartAPI})
	number := z.create(MeetingSpec{}).Number
	for _, c := range []struct {
		name, method, path, body string
		header                   http.Header
		code                     wire.Code
	}{
		{"policy", "POST", wire.PathStart, `{}`, nil, wire.CodePolicy},
		{"no JSON", "POST", wire.PathLookup, `meeting=1`, nil, wire.CodeBad},
		{"two objects", "POST", wire.PathLookup, `{}{}`, nil, wire.CodeBad},
		{"form", "POST", wire.PathLookup, `{}`, http.Header{"Content-Type": {"text/plain"}}, wire.CodeBad},
		{"too long", "POST", wire.PathLookup, `{"meeting":"` + strings.Repeat("1", maxBody) + `"}`, nil, wire.CodeBad},
		{"role", "POST", wire.PathLookup, `{"meeting":"` + number + `","role":"king"}`, nil, wire.CodeBad},
		{"host without key", "POST", wire.PathLookup, `{"meeting":"` + number + `","role":"host"}`, nil, wire.CodeRole},
		{"no token", "POST", wire.PathRoute, `{}`, nil, wire.CodeToken},
		{"path", "GET", "/v1/other", "", nil, wire.CodeUnknown},
		{"API path", "GET", "/api/v1/other", "", nil, wire.CodeUnknown},
	} {
		answer, told := z.request(c.method, c.path, c.header, c.body, nil)
		if told == nil || told.Code != c.code || told.Advice == "" || answer.StatusCode != statuses[c.code] {
			t.Errorf("%s: %+v, %s", c.name, told, answer.Status)
		}
		for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"} {
			if answer.Header.Get(name) == "" {
				t.Errorf("%s: no %s", c.name, name)
			}
		}
		if answer.Header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: HSTS with a self-signed certificate", c.name)
		}
	}
}

// TestStarts: one source starts only so many meetings.
func TestStarts(t *testing.T) {
	z := openZone(t, Config{Limits: Limits{Starts: 2}})
	for range 2 {
		if _, told := z.request("POST", wire.PathStart, nil, wire.StartRequest{}, nil); told != nil {
			t.Fatal(told)
		}
	}
	if _, told := z.request("POST", wire.PathStart, nil, wire.StartRequest{}, nil); told == nil || told.Code != wire.CodeRate || told.Retry < 3000 {
		t.Errorf("%+v", told)
	}
}

// TestChannelsOfOneSource: one source cannot take all control channels without ever getting a session; those with one do not count.
func TestChannelsOfOneSource(t *testing.T) {
	c := openZone(t, Config{}).Controller
	take := func(source string) bool {
		ok := c.takeChannel(source)
		if ok {
			t.Cleanup(c.giveChannel)
		}
		return ok
	}
	for n := range unwelcomePerSource {
		if !take("a") {
			t.Fatalf("only %d channels", n)
		}
	}
	if take("a") || !take("b") {
		t.Error("one source has no bound, or another one has to suffer from it")
	}
	c.welcomed("a")
	if !take("a") {
		t.Error("a channel with a session counts")
	}
	for range unwelcomePerSource {
		c.welcomed("a")
	}
	c.welcomed("b")
	if len(c.unwelcome) != 0 {
		t.Errorf("left behind: %v", c.unwelcome)
	}
}

// TestOrigin: pages of other hosts cannot open a control channel.
func TestOrigin(t *testing.T) {
	z := openZone(t, Config{URLs: []string{"https://meet.example:8443"}})
	for origin, want := range map[string]bool{"": true, z.web.URL: true, "https://meet.example:8443": true, "https://evil.example": false, "null": false} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		socket, _, err := websocket.Dial(t.Context(), z.web.URL+wire.PathControl, &websocket.DialOptions{HTTPClient: z.web.Client(),
			Subprotocols: []string{wire.Subprotocol}, HTTPHeader: header})
		if (err == nil) != want {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			socket.CloseNow()
		}
	}
	socket, _, err := websocket.Dial(t.Context(), z.web.URL+wire.PathControl, &websocket.DialOptions{HTTPClient: z.web.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("without subprotocol: %v", err)
	}
}

// TestDrain: nobody new is let in, who is in may resume, and at the deadline everybody is told.
func TestDrain(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	token := z.token(wire.LookupRequest{Meeting: number})
	a, b := z.join("A", wire.LookupRequest{Meeting: number}), z.join("B", wire.LookupRequest{Meeting: number})
	z.SetDrain(true, "maintenance until noon")
	for name, told := range map[string]*wire.Error{
		"lookup": second(z.lookUp(wire.LookupRequest{Meeting: number})),
		"start":  second(z.request("POST", wire.PathStart, nil, wire.StartRequest{}, nil)),
		"route":  second(z.request("POST", wire.PathRoute, nil, wire.RouteRequest{Token: token}, nil)),
	} {
		if told == nil || told.Code != wire.CodeDrain || !strings.Contains(told.Text, "maintenance until noon") {
			t.Errorf("%s: %v", name, told)
		}
	}
	c := z.dial()
	c.send(hello(token, "C"))
	c.expectBye(wire.CodeDrain)
	state := b.state
	b.away(a)
	b = z.resumeFrom(b, b.welcome.Secret, state)
	expect[wire.Welcome](b)

	z.SetDrain(false, "")
	if _, told := z.lookUp(wire.LookupRequest{Meeting: number}); told != nil {
		t.Errorf("back in service: %v", told)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := z.Drain(ctx, "power"); err == nil {
		t.Error("drained although people were there")
	}
	a.expectBye(wire.CodeDrain)
	b.expectBye(wire.CodeDrain)
	if err := z.Drain(t.Context(), "power"); err != nil {
		t.Errorf("drain of an empty zone: %v", err)
	}
}

// TestSendAwayKeepsNumbers: the deadline of a drain ends the meeting that people are in, not one that was made for later.
func TestSendAwayKeepsNumbers(t *testing.T) {
	z := openZone(t, Config{})
	later := z.create(MeetingSpec{Title: "Later", Passcode: "1234"})
	now := z.create(MeetingSpec{}).Number
	a := z.join("A", wire.LookupRequest{Meeting: now})
	z.SendAway() // in service: nothing happens
	z.SetDrain(true, "new cables")
	for range 2 { // again, as after the deadline
		z.SendAway()
	}
	a.expectBye(wire.CodeDrain)
	z.SetDrain(false, "")
	if _, told := z.lookUp(wire.LookupRequest{Meeting: now}); told == nil || told.Code != wire.CodeEnded {
		t.Errorf("the meeting that A was in: %+v", told)
	}
	if b := z.join("B", wire.LookupRequest{Meeting: later.Number, Passcode: "1234", Role: wire.RoleHost, HostKey: later.HostKey}); b.welcome.Meeting.Title != "Later" {
		t.Errorf("the meeting for later: %+v", b.welcome)
	}
}

// TestDrainPutBack: a drain that was called off for others still ends at its deadline, with everybody told.
func TestDrainPutBack(t *testing.T) {
	z := openZone(t, Config{})
	a := z.join("A", wire.LookupRequest{Meeting: z.create(MeetingSpec{}).Number})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- z.Drain(ctx, "restart") }()
	for _, on := z.Draining(); !on; _, on = z.Draining() {
		runtime.Gosched()
	}
	z.SetDrain(false, "")
	cancel()
	a.expectBye(wire.CodeDrain)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("drained although somebody was there")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the drain does not end")
	}
}

func second[A, B any](_ A, b B) B { return b }

// TestEmptyMeetings: meetings end when nobody comes, and when everybody has left.
func TestEmptyMeetings(t *testing.T) {
	z := openZone(t, Config{Limits: Limits{EmptyAfter: 30 * time.Millisecond, UnusedAfter: 100 * time.Millisecond}})
	number := z.create(MeetingSpec{}).Number
	z.join("A", wire.LookupRequest{Meeting: number}).send(wire.Leave{})
	z.create(MeetingSpec{})
	eventually(t, "both have ended", func() bool { return z.Stats().Meetings == 0 })
	if _, told := z.lookUp(wire.LookupRequest{Meeting: number}); told == nil || told.Code != wire.CodeEnded {
		t.Errorf("%v", told)
	}
}

// TestConfig: what is wrong is named, all of it; Apply takes effect at once.
func TestConfig(t *testing.T) {
	bad := Config{Start: "nobody", URLs: []string{"http://x", "https://x/y"}, Media: "8801", Limits: Limits{Participants: 1, Sessions: -1}}
	err := Check(bad)
	for _, want := range []string{"start", "http://x", "https://x/y", "media", "participants", "sessions"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named: %v", want, err)
		}
	}
	z := openZone(t, Config{})
	if _, err := z.Apply(bad); err == nil {
		t.Error("applied")
	}
	actual, err := z.Apply(Config{Start: StartAPI, URLs: []string{"https://meet.example"}, Media: "192.0.2.1:8801"})
	if err != nil || actual.Limits.Participants != 300 {
		t.Fatal(actual, err)
	}
	if _, told := z.request("POST", wire.PathStart, nil, wire.StartRequest{}, nil); told == nil || told.Code != wire.CodePolicy {
		t.Errorf("%v", told)
	}
	var probe wire.Probe
	if z.request("GET", wire.PathProbe, nil, nil, &probe); probe.Controller != z.web.URL || probe.Media != "192.0.2.1:8801" {
		t.Errorf("%+v", probe)
	}
	if link := z.create(MeetingSpec{}).Link; !strings.HasPrefix(link, "https://meet.example/j/") {
		t.Errorf("link %s", link)
	}
	if _, err := New(Config{}, Deps{}); err == nil {
		t.Error("a controller of nothing")
	}
}

// TestServe: HTTP/2 on a listener of *tls.Conn, and the end of it.
func TestServe(t *testing.T) {
	z := openZone(t, Config{})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(inner, &tls.Config{Certificates: z.web.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}})
	served := make(chan error, 1)
	go func() { served <- z.Serve(l) }()
	transport := z.web.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	transport.TLSClientConfig.NextProtos = nil
	client := &http.Client{Transport: transport}
	answer, err := client.Get("https://" + l.Addr().String() + wire.PathProbe)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 || answer.ProtoMajor != 2 {
		t.Errorf("%s over %s", answer.Status, answer.Proto)
	}
	transport.CloseIdleConnections()
	if err := z.Controller.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != net.ErrClosed {
		t.Errorf("serve returned %v", err)
	}
}

// FuzzChannel sends anything to a session and expects that it still answers, or was closed as a flood.
func FuzzChannel(f *testing.F) {
	f.Add([]byte(`{"type":"set-views","views":[{"slot":1,"participant":"x"}]}`))
	f.Add([]byte(`{"type":"host-mute","participant":"x","medium":"audio","muted":true}`))
	f.Add([]byte(`{"type":"answer","generation":1,"sdp":"v=0"}`))
	f.Add([]byte(`{"type":"leave"}`))
	f.Add([]byte(`{`))
	for name := range wire.Types() {
		f.Add([]byte(`{"type":"` + name + `"}`))
	}
	shared := openZone(f, Config{})
	f.Fuzz(func(t *testing.T, data []byte) {
		z := *shared
		z.t = t
		info := z.create(MeetingSpec{})
		defer func() { _ = z.EndMeeting(t.Context(), info.Number) }() // it may have ended itself
		c := z.join("A", wire.LookupRequest{Meeting: info.Number, HostKey: info.HostKey})
		if len(data) > wire.MaxMessage {
			return
		}
		c.sendText(string(data))
		m, _ := wire.Decode(data)
		switch m.(type) {
		case wire.Leave, wire.HostEnd:
			return
		}
		c.send(wire.Ping{Sent: 77})
		expect(c, func(p wire.Pong) bool { return p.Sent == 77 })
	})
}

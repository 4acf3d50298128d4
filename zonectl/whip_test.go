package zonectl

import (
	_ "embed"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"meetzone/dscp"
	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// Offers that pion made.
var (
	//go:embed testdata/publisher.sdp
	publisherSDP string
	//go:embed testdata/watcher.sdp
	watcherSDP string
)

// gearAnswer is what gear was answered.
type gearAnswer struct {
	status  int
	header  http.Header
	body    string
	problem problem
}

// gear makes one request of WHIP or WHEP.
func (z *zone) gear(method, path, kind, body string, header http.Header) gearAnswer {
	z.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = z.web.URL + path
	}
	r, err := http.NewRequestWithContext(z.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		z.t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	maps.Copy(r.Header, header)
	answer, err := z.web.Client().Do(r)
	if err != nil {
		z.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		z.t.Fatal(err)
	}
	a := gearAnswer{status: answer.StatusCode, header: answer.Header, body: string(raw)}
	if a.status >= 400 && method != http.MethodHead {
		if err := json.Unmarshal(raw, &a.problem); err != nil || a.problem.Title == "" || a.problem.Status != a.status ||
			a.header.Get("Content-Type") != "application/problem+json" {
			z.t.Errorf("%s %s: %d with %q, no problem in it", method, path, a.status, raw)
		}
	}
	return a
}

func bearer(s string) http.Header { return http.Header{"Authorization": {"Bearer " + s}} }

func (z *zone) publish(number string, header http.Header) gearAnswer {
	z.t.Helper()
	return z.gear(http.MethodPost, wire.PathWHIP+number, typeSDP, publisherSDP, header)
}

func (z *zone) watch(number string, header http.Header) gearAnswer {
	z.t.Helper()
	return z.gear(http.MethodPost, wire.PathWHEP+number, typeSDP, watcherSDP, header)
}

// is checks the status.
func (a gearAnswer) is(t *testing.T, what string, status int) gearAnswer {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: %d %s, want %d", what, a.status, a.body, status)
	}
	return a
}

// only returns the endpoint of the router that the others are not.
func (r *fakeRouter) only(t *testing.T, want func(mmr.EndpointConfig) bool) *fakeEndpoint {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.meetings {
		for _, e := range m.endpoints {
			if want(e.cfg) {
				return e
			}
		}
	}
	t.Fatal("no such endpoint")
	return nil
}

func isPublisher(c mmr.EndpointConfig) bool { return c.ClientOffers && c.Send[mmr.Video] }
func isWatcher(c mmr.EndpointConfig) bool   { return c.ClientOffers && !c.Send[mmr.Video] }

// TestPublisherIsSeen: gear is a participant with the role publisher and the name that it gave, until it deletes its session.
func TestPublisherIsSeen(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	alice := z.join("Alice", wire.LookupRequest{Meeting: number})
	a := z.publish(number+"?name=Stage+camera", nil).is(t, "publish", http.StatusCreated)
	if a.body != "v=0 accepted" || a.header.Get("Content-Type") != typeSDP || a.header.Get("ETag") == "" || a.header.Get("Accept-Patch") != typeFragment {
		t.Errorf("answer %+v", a)
	}
	seen := expect(alice, func(j wire.Joined) bool { return j.Participant.Role == wire.RolePublisher })
	if p := seen.Participant; p.Name != "Stage camera" || !p.Audio || !p.Video || p.Away {
		t.Errorf("seen as %+v", p)
	}
	session := a.header.Get("Location")
	if !strings.HasPrefix(session, z.web.URL+wire.PathWHIP+number+"/") {
		t.Fatalf("session at %q", session)
	}
	z.gear(http.MethodGet, session, "", "", nil).is(t, "get", http.StatusNoContent)
	z.gear(http.MethodDelete, session, "", "", nil).is(t, "delete", http.StatusOK)
	expect(alice, func(l wire.Left) bool { return l.Participant == seen.Participant.ID })
	eventually(t, "session forgotten", func() bool { return z.gear(http.MethodDelete, session, "", "", nil).status == http.StatusNotFound })
}

// mintRelay mints for the tests.
type mintRelay struct{}

func (mintRelay) Mint(class dscp.Class, session string, _ time.Time) (string, string) {
	return "1:" + class.String() + ":" + session, "c2VjcmV0"
}

// TestGearRelay: the answer names the way through the HTTPS port, under the address that the gear used.
func TestGearRelay(t *testing.T) {
	z := openZone(t, Config{URLs: []string{"https://meet.example"}})
	number := z.create(MeetingSpec{}).Number
	if links := z.publish(number, nil).header.Values("Link"); len(links) != 0 {
		t.Errorf("without a relay: %q", links)
	}
	z.relay = mintRelay{}
	links := z.publish(number, nil).header.Values("Link")
	if len(links) != 2 || !strings.HasPrefix(links[0], "<turns:127.0.0.1:") || !strings.HasPrefix(links[1], "<turns:meet.example:443?transport=tcp>") {
		t.Fatalf("links %q", links)
	}
	for _, want := range []string{`; rel="ice-server"`, `; username="1:signalling:`, `; credential="c2VjcmV0"`, `; credential-type="password"`} {
		if !strings.Contains(links[0], want) {
			t.Errorf("no %s in %s", want, links[0])
		}
	}
}

// TestWatcherIsNot: a watcher is in no list, sees the speaker, and is limited apart from the participants.
func TestWatcherIsNot(t *testing.T) {
	z := openZone(t, Config{Limits: Limits{Watchers: 2, Participants: 2}})
	number := z.create(MeetingSpec{}).Number
	early := z.watch(number, nil).is(t, "before anybody", http.StatusConflict)
	if early.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	alice := z.join("Alice", wire.LookupRequest{Meeting: number})
	bob := z.join("Bob", wire.LookupRequest{Meeting: number})
	first := z.watch(number, nil).is(t, "watch", http.StatusCreated)
	screen := z.router.only(t, isWatcher)
	screen.is(t, "shows the first", func() bool {
		return len(screen.views) == 1 && string(screen.views[0].Source) == alice.welcome.Participant
	})
	screen.cfg.Notify(mmr.SpeakerChanged{Speaker: mmr.EndpointID(bob.welcome.Participant)})
	screen.is(t, "shows the speaker", func() bool { return string(screen.views[0].Source) == bob.welcome.Participant })
	z.watch(number, nil).is(t, "the second", http.StatusCreated)
	if full := z.watch(number, nil).is(t, "the third", http.StatusServiceUnavailable); full.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	z.publish(number, nil).is(t, "a third participant", http.StatusServiceUnavailable)
	info, err := z.Meeting(t.Context(), number)
	if err != nil || info.Count != 2 || info.Watchers != 2 {
		t.Errorf("%+v %v", info, err)
	}
	if s := z.Stats(); s.Sessions != 2 || s.Watchers != 2 {
		t.Errorf("stats %+v", s)
	}
	z.gear(http.MethodDelete, first.header.Get("Location"), "", "", nil).is(t, "delete", http.StatusOK)
	eventually(t, "place given back", func() bool { return z.watch(number, nil).status == http.StatusCreated })
}

// TestWatcherOfContent: a screen that asks for it is shown what somebody shares while they do, and the speaker again afterwards; others never.
func TestWatcherOfContent(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	alice := z.join("Alice", wire.LookupRequest{Meeting: number})
	z.watch(number+"?content=1", nil).is(t, "watch", http.StatusCreated)
	screen := z.router.only(t, isWatcher)
	me := mmr.EndpointID(alice.welcome.Participant)
	shows := func(what string, e *fakeEndpoint, want mmr.View) {
		t.Helper()
		e.is(t, what, func() bool { return len(e.views) == 1 && e.views[0] == want })
	}
	shows("the camera", screen, mmr.View{Source: me})
	alice.send(wire.SetShare{On: true})
	shows("what is shared", screen, mmr.View{Source: me, Content: true})
	alice.send(wire.SetShare{On: false})
	shows("the camera again", screen, mmr.View{Source: me})
}

// TestWatchersKeepNothingAlive: they do not hold up a drain, and go with the meeting.
func TestWatchersKeepNothingAlive(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	alice := z.join("Alice", wire.LookupRequest{Meeting: number})
	z.watch(number, nil).is(t, "watch", http.StatusCreated)
	alice.send(wire.Leave{})
	if err := z.Drain(t.Context(), "moving house"); err != nil {
		t.Error(err)
	}
	if a := z.publish(number, nil).is(t, "while draining", http.StatusServiceUnavailable); !strings.Contains(a.problem.Title, "moving house") {
		t.Errorf("told %+v", a.problem)
	}
	if err := z.EndMeeting(t.Context(), number); err != nil {
		t.Error(err)
	}
	if s := z.Stats(); s.Watchers != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestGearAdmission: the same refusals as at the lookup, with the statuses of HTTP.
func TestGearAdmission(t *testing.T) {
	z := openZone(t, Config{})
	guarded := z.create(MeetingSpec{Passcode: "4711"})
	open := z.create(MeetingSpec{})
	z.join("Alice", wire.LookupRequest{Meeting: guarded.Number, Passcode: "4711"})
	z.join("Bob", wire.LookupRequest{Meeting: open.Number})
	tokenOf := func(role wire.Role) http.Header {
		found, told := z.lookUp(wire.LookupRequest{Meeting: guarded.Number, Passcode: "4711", Role: role})
		if told != nil {
			t.Fatal(told)
		}
		return bearer(found.Token)
	}
	foreign := func(h http.Header) http.Header {
		h = h.Clone()
		if h == nil {
			h = http.Header{}
		}
		h.Set("Origin", "https://elsewhere.example")
		return h
	}
	for name, c := range map[string]struct {
		number    string
		header    http.Header
		pub, view int
	}{
		"open":                          {open.Number, nil, 201, 201},
		"open, from a strange page":     {open.Number, foreign(nil), 401, 401},
		"open, strange page, any code":  {open.Number, foreign(bearer("x")), 401, 401},
		"no passcode":                   {guarded.Number, nil, 401, 401},
		"wrong passcode":                {guarded.Number, bearer("4712"), 403, 403},
		"passcode":                      {guarded.Number, bearer("4711"), 201, 201},
		"passcode, from a strange page": {guarded.Number, foreign(bearer("4711")), 401, 401},
		"token, from a strange page":    {guarded.Number, foreign(tokenOf(wire.RoleParticipant)), 201, 201},
		"unknown number":                {"123456789", nil, 401, 401},
		"unknown number, passcode":      {"123456789", bearer("4711"), 403, 403},
		"no number":                     {"nonsense", nil, 401, 401},
		"token of a participant":        {guarded.Number, tokenOf(wire.RoleParticipant), 201, 201},
		"token of a publisher":          {guarded.Number, tokenOf(wire.RolePublisher), 201, 403},
		"token of a viewer":             {guarded.Number, tokenOf(wire.RoleViewer), 403, 201},
		"token of another meeting":      {open.Number, tokenOf(wire.RoleViewer), 401, 401},
		"forged token":                  {guarded.Number, bearer("eyJhbGciOiJub25lIn0.e30."), 401, 401},
	} {
		pub := z.publish(c.number, c.header).is(t, name+": publish", c.pub)
		z.watch(c.number, c.header).is(t, name+": watch", c.view)
		if c.pub == 401 && pub.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without WWW-Authenticate", name)
		}
	}
	z.publish(guarded.Number, http.Header{"Authorization": {"Bearer  4711"}}).is(t, "spaces", http.StatusCreated)
}

// TestGearGuesses: wrong passcodes of gear count like all others.
func TestGearGuesses(t *testing.T) {
	z := openZone(t, Config{Guess: GuessLimits{Attempts: 3}})
	number := z.create(MeetingSpec{Passcode: "4711"}).Number
	for range 5 {
		page := bearer("1")
		page.Set("Origin", "https://elsewhere.example")
		z.publish(number, page).is(t, "from a strange page", http.StatusUnauthorized)
	}
	for range 3 {
		z.publish(number, bearer("1")).is(t, "wrong", http.StatusForbidden)
	}
	if a := z.publish(number, bearer("4711")).is(t, "too many", http.StatusTooManyRequests); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if _, told := z.lookUp(wire.LookupRequest{Meeting: number, Passcode: "4711"}); told == nil || told.Code != wire.CodeGuess {
		t.Errorf("lookup after that: %v", told)
	}
}

// TestGearLocked: a locked meeting takes no gear but with a host's token; one that has ended takes none.
func TestGearLocked(t *testing.T) {
	z := openZone(t, Config{})
	info := z.create(MeetingSpec{})
	host := z.join("Ada", wire.LookupRequest{Meeting: info.Number, HostKey: info.HostKey})
	found, _ := z.lookUp(wire.LookupRequest{Meeting: info.Number, HostKey: info.HostKey})
	host.send(wire.HostLock{Locked: true})
	expect(host, func(c wire.MeetingChanged) bool { return c.Meeting.Locked })
	z.publish(info.Number, nil).is(t, "locked", http.StatusForbidden)
	z.watch(info.Number, nil).is(t, "locked", http.StatusForbidden)
	z.publish(info.Number, bearer(found.Token)).is(t, "host's", http.StatusCreated)
	host.send(wire.HostEnd{})
	eventually(t, "ended", func() bool { return z.publish(info.Number, nil).status == http.StatusGone })
}

// TestGearRequests: what is no proper request is refused with a status that says why.
func TestGearRequests(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	z.join("Alice", wire.LookupRequest{Meeting: number})
	endpoint, session := wire.PathWHIP+number, z.publish(number, nil).header.Get("Location")
	other := strings.Replace(session, wire.PathWHIP, wire.PathWHEP, 1)
	strange := strings.ReplaceAll(publisherSDP, "VP8", "VP6")
	for name, c := range map[string]struct {
		method, path, kind, body string
		header                   http.Header
		want                     int
	}{
		"JSON":                    {"POST", endpoint, "application/json", "{}", nil, 415},
		"no type":                 {"POST", endpoint, "", publisherSDP, nil, 415},
		"type with parameter":     {"POST", endpoint, "application/sdp; charset=utf-8", publisherSDP, nil, 201},
		"accepts only HTML":       {"POST", endpoint, typeSDP, publisherSDP, http.Header{"Accept": {"text/html"}}, 406},
		"accepts SDP":             {"POST", endpoint, typeSDP, publisherSDP, http.Header{"Accept": {"text/html, application/sdp;q=0.5"}}, 201},
		"no SDP":                  {"POST", endpoint, typeSDP, "hello", nil, 400},
		"watches at WHIP":         {"POST", endpoint, typeSDP, watcherSDP, nil, 422},
		"unknown codec":           {"POST", endpoint, typeSDP, strange, nil, 422},
		"too long":                {"POST", endpoint, typeSDP, publisherSDP + strings.Repeat("a=x\r\n", maxOffer/5), nil, 413},
		"PUT":                     {"PUT", endpoint, typeSDP, publisherSDP, nil, 405},
		"PATCH":                   {"PATCH", endpoint, typeFragment, "", nil, 405},
		"POST to a session":       {"POST", session, typeSDP, publisherSDP, nil, 405},
		"unknown session":         {"DELETE", endpoint + "/nothing", "", "", nil, 404},
		"session of the other":    {"DELETE", other, "", "", nil, 404},
		"PATCH, unknown":          {"PATCH", endpoint + "/nothing", typeFragment, "", nil, 404},
		"GET, unknown":            {"GET", endpoint + "/nothing", "", "", nil, 404},
		"PATCH with another type": {"PATCH", session, typeSDP, publisherSDP, http.Header{"If-Match": {"*"}}, 415},
	} {
		a := z.gear(c.method, c.path, c.kind, c.body, c.header).is(t, name, c.want)
		if c.want == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s: 405 without Allow", name)
		}
		if c.want == 415 && a.header.Get("Accept-Post")+a.header.Get("Accept-Patch") == "" {
			t.Errorf("%s: 415 without what would be accepted", name)
		}
		if name == "unknown codec" && !strings.Contains(a.problem.Detail, "VP8") {
			t.Errorf("%s: told %+v", name, a.problem)
		}
	}
	z.gear("GET", endpoint, "", "", nil).is(t, "GET", 204)
	if a := z.gear("HEAD", endpoint, "", "", nil).is(t, "HEAD", 200); a.header.Get("Content-Type") != typeSDP {
		t.Errorf("HEAD: %v", a.header)
	}
}

// TestGearPages: browsers ask first (CORS), and let a page see the headers that it needs.
func TestGearPages(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{Passcode: "1"}).Number
	asks := http.Header{"Origin": {"https://elsewhere.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"}}
	for _, path := range []string{wire.PathWHIP + number, wire.PathWHEP + number, wire.PathWHIP + number + "/x"} {
		a := z.gear("OPTIONS", path, "", "", asks).is(t, path, 200)
		if a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Authorization") ||
			!strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Location") {
			t.Errorf("%s: %v", path, a.header)
		}
	}
	if a := z.gear("OPTIONS", wire.PathWHIP+number, "", "", nil); a.header.Get("Accept-Post") != typeSDP {
		t.Errorf("OPTIONS: %v", a.header)
	}
	if a := z.publish(number, bearer("2")); a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page could not read why it was refused")
	}
}

const fragmentOf = "a=ice-ufrag:%u\r\na=ice-pwd:%p\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 2130706431 192.0.2.7 61764 typ host\r\n"

func fragment(ufrag, pwd string) string {
	return strings.NewReplacer("%u", ufrag, "%p", pwd).Replace(fragmentOf)
}

// TestGearPatch: candidates are taken, ICE is restarted, and entity-tags tell one session of ICE from the next.
func TestGearPatch(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	a := z.publish(number, nil).is(t, "publish", http.StatusCreated)
	session, tag := a.header.Get("Location"), a.header.Get("ETag")
	same := fragment("YEhvUKVItsTmdFQi", "yXZJxSIOfRIDqSmBtjiFBuYFEkPNWdRm") // as the offer has them
	patch := func(body, match string) gearAnswer {
		h := http.Header{}
		if match != "" {
			h.Set("If-Match", match)
		}
		return z.gear(http.MethodPatch, session, typeFragment, body, h)
	}
	if b := patch(same, tag).is(t, "candidates", http.StatusNoContent); b.header.Get("ETag") != "" || b.body != "" {
		t.Errorf("candidates: %+v", b)
	}
	patch(same, "").is(t, "without If-Match", http.StatusPreconditionRequired)
	patch(same, `"other"`).is(t, "wrong tag", http.StatusPreconditionFailed)
	patch(same, `W/`+tag).is(t, "weak tag", http.StatusPreconditionFailed)
	patch("nonsense", "*").is(t, "nonsense", http.StatusBadRequest)
	patch("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", "*").is(t, "without ufrag", http.StatusBadRequest)
	e := z.router.only(t, isPublisher)
	if e.starts != 0 {
		t.Errorf("%d restarts so far", e.starts)
	}
	b := patch(fragment("new1", "secret1"), "*").is(t, "restart", http.StatusOK)
	if !strings.Contains(b.body, "a=ice-ufrag:u1") || b.header.Get("Content-Type") != typeFragment || b.header.Get("ETag") == tag || b.header.Get("ETag") == "" {
		t.Errorf("restart: %+v", b)
	}
	patch(fragment("new1", "secret1"), tag).is(t, "candidates of before", http.StatusPreconditionFailed)
	patch(fragment("new1", "secret1"), b.header.Get("ETag")).is(t, "candidates", http.StatusNoContent)
	e.broken = true
	patch(fragment("new2", "secret2"), "*").is(t, "restart of what is over", http.StatusConflict)
	patch(fragment("new1", "secret1"), b.header.Get("ETag")).is(t, "the old goes on", http.StatusNoContent)
	z.gear(http.MethodDelete, session, "", "", http.Header{"If-Match": {tag}}).is(t, "delete, whatever the tag", http.StatusOK)
}

// TestGearPatchRate: who sends fragments without end is told to wait.
func TestGearPatchRate(t *testing.T) {
	z := openZone(t, Config{})
	session := z.publish(z.create(MeetingSpec{}).Number, nil).header.Get("Location")
	for range patchesBurst + 20 {
		if a := z.gear(http.MethodPatch, session, typeFragment, "", nil); a.status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("never")
}

// TestGearGone: gear that has not been connected for a while is taken out; so is gear whose DTLS has ended, at once.
func TestGearGone(t *testing.T) {
	z := openZone(t, Config{Limits: Limits{ResumeWithin: 20 * time.Millisecond}})
	number := z.create(MeetingSpec{}).Number
	alice := z.join("Alice", wire.LookupRequest{Meeting: number})
	left := func(what string) {
		t.Helper()
		expect[wire.Left](alice)
		eventually(t, what, func() bool { return z.Stats().Sessions == 1 })
	}
	z.publish(number, nil).is(t, "publish", http.StatusCreated)
	e := z.router.only(t, isPublisher)
	e.connect(mmr.TransportConnected)
	e.connect(mmr.TransportLost)
	left("lost")
	z.publish(number, nil).is(t, "publish", http.StatusCreated)
	z.router.only(t, isPublisher).cfg.Notify(mmr.Gone{Final: true})
	left("closed")
	z.watch(number, nil).is(t, "watch", http.StatusCreated)
	z.router.only(t, isWatcher).cfg.Notify(mmr.Gone{Final: true})
	eventually(t, "watcher closed", func() bool { return z.Stats().Watchers == 0 })
}

// TestPublisherRemoved: a host can mute and remove gear like anybody.
func TestPublisherRemoved(t *testing.T) {
	z := openZone(t, Config{})
	info := z.create(MeetingSpec{})
	host := z.join("Ada", wire.LookupRequest{Meeting: info.Number, HostKey: info.HostKey})
	found, _ := z.lookUp(wire.LookupRequest{Meeting: info.Number, Role: wire.RolePublisher})
	session := z.publish(info.Number, bearer(found.Token)).is(t, "publish", http.StatusCreated).header.Get("Location")
	id := expect(host, func(j wire.Joined) bool { return j.Participant.Role == wire.RolePublisher }).Participant.ID
	e := z.router.only(t, isPublisher)
	host.send(wire.HostMute{Participant: id, Medium: wire.Video, Muted: true})
	e.is(t, "muted", func() bool { return e.muted[mmr.Video] })
	host.entry(id, func(p wire.Participant) bool { return p.Audio && !p.Video })
	host.send(wire.HostRemove{Participant: id})
	expect(host, func(l wire.Left) bool { return l.Participant == id })
	eventually(t, "session gone", func() bool { return z.gear("GET", session, "", "", nil).status == http.StatusNotFound })
	z.publish(info.Number, bearer(found.Token)).is(t, "again, with the token of the removed", http.StatusForbidden)
}

// TestRemovedStaysOut: an encoder without a token that was removed does not get in again by connecting again; what else came from there goes too.
func TestRemovedStaysOut(t *testing.T) {
	z := openZone(t, Config{})
	info := z.create(MeetingSpec{Passcode: "4711"})
	host := z.join("Ada", wire.LookupRequest{Meeting: info.Number, HostKey: info.HostKey})
	z.publish(info.Number, bearer("4711")).is(t, "publish", http.StatusCreated)
	z.watch(info.Number, bearer("4711")).is(t, "watch", http.StatusCreated)
	id := expect(host, func(j wire.Joined) bool { return j.Participant.Role == wire.RolePublisher }).Participant.ID
	host.send(wire.HostRemove{Participant: id})
	expect(host, func(l wire.Left) bool { return l.Participant == id })
	eventually(t, "the watcher is gone", func() bool { return z.Stats().Watchers == 0 })
	z.publish(info.Number, bearer("4711")).is(t, "publish again", http.StatusForbidden)
	z.watch(info.Number, bearer("4711")).is(t, "watch again", http.StatusForbidden)

	token := z.token(wire.LookupRequest{Meeting: info.Number, Passcode: "4711"})
	ben, again := z.enter(hello(token, "Ben")), z.enter(hello(token, "Ben"))
	host.send(wire.HostRemove{Participant: ben.welcome.Participant})
	ben.expectBye(wire.CodeRemoved)
	again.expectBye(wire.CodeRemoved)
}

// TestGearIsNotResumed: the URL of a session opens no control channel.
func TestGearIsNotResumed(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	location := z.publish(number, nil).header.Get("Location")
	c := z.dial()
	h := hello("", "Mallory")
	h.Resume = &wire.Resume{Session: location[strings.LastIndex(location, "/")+1:], Secret: "x"}
	c.send(h)
	c.expectBye(wire.CodeSession)
}

// TestProbeRelay: who asks for it gets the way through the HTTPS port for a class, of an account that everybody's probes share.
func TestProbeRelay(t *testing.T) {
	z := openZone(t, Config{URLs: []string{"https://meet.example"}})
	z.probe = func() mmr.ProbeCredentials { return mmr.ProbeCredentials{Ufrag: "u", Password: "p"} }
	ask := func(query string) (probe wire.Probe, told *wire.Error) {
		_, told = z.request(http.MethodGet, wire.PathProbe+query, nil, nil, &probe)
		return probe, told
	}
	if probe, told := ask("?relay=video"); told != nil || probe.Check == nil || probe.Check.Relay != nil {
		t.Errorf("of a box without a relay: %+v, %v", probe.Check, told)
	}
	z.relay = mintRelay{}
	if probe, told := ask(""); told != nil || probe.Check == nil || probe.Check.Relay != nil {
		t.Errorf("unasked: %+v, %v", probe.Check, told)
	}
	probe, told := ask("?relay=video")
	if told != nil || probe.Check == nil || probe.Check.Relay == nil {
		t.Fatalf("asked: %+v, %v", probe.Check, told)
	}
	if r := probe.Check.Relay; r.Username != "1:video:"+ProbeAccount || len(r.URLs) != 1 || !strings.HasPrefix(r.URLs[0], "turns:127.0.0.1:") {
		t.Errorf("relay %+v", r)
	}
	if _, told := ask("?relay=loud"); told == nil || told.Text != errProbeClass.Text {
		t.Errorf("of a class that does not exist: %v", told)
	}
}

// TestGearIsSentOn: gear that comes to a zone which does not have the meeting is sent to the one that has it, and HTTP clients follow.
func TestGearIsSentOn(t *testing.T) {
	first, second := twoZones(t, func(c *Config, first Zone) { c.Zones = []Zone{first} })
	guarded := first.create(MeetingSpec{Passcode: "1234"})
	first.join("Alice", wire.LookupRequest{Meeting: guarded.Number, Passcode: "1234"})
	second.publish(guarded.Number, bearer("1234")).is(t, "publish and follow", http.StatusCreated)
	first.router.only(t, isPublisher)
	second.watch(guarded.Number, bearer("wrong")).is(t, "watch and follow with a wrong passcode", http.StatusForbidden)

	second.web.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	token, told := first.lookUp(wire.LookupRequest{Meeting: guarded.Number, Passcode: "1234"})
	if told != nil {
		t.Fatal(told)
	}
	for what, header := range map[string]http.Header{"no passcode": nil, "a passcode": bearer("1234"), "a token": bearer(token.Token)} {
		for _, path := range []string{wire.PathWHIP + guarded.Number + "?name=Stage", wire.PathWHEP + guarded.Number} {
			a := second.gear(http.MethodPost, path, typeSDP, publisherSDP, header).is(t, what+" at "+path, http.StatusTemporaryRedirect)
			var why problem
			if err := json.Unmarshal([]byte(a.body), &why); err != nil || why.Zone == nil || why.Zone.ID != "first" || !strings.Contains(why.Title, "zone First") {
				t.Errorf("%s at %s: %s: %v", what, path, a.body, err)
			}
			if to := a.header.Get("Location"); to != first.web.URL+path {
				t.Errorf("%s at %s: sent to %q", what, path, to)
			}
		}
	}
	second.publish("999999999", bearer("1234")).is(t, "a number that nobody has", http.StatusForbidden)
}

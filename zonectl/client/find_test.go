package client

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"meetzone/zonectl/wire"
)

// lookupHost answers lookups of meeting 42 over HTTPS, and counts them.
type lookupHost struct {
	*httptest.Server
	asked atomic.Int32
}

func newLookupHost(t *testing.T, answer wire.Lookup) *lookupHost {
	h := new(lookupHost)
	answer.Meeting.Number = "42"
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathLookup, func(w http.ResponseWriter, r *http.Request) {
		h.asked.Add(1)
		reply(w, answer)
	})
	h.Server = httptest.NewTLSServer(mux)
	t.Cleanup(h.Close)
	return h
}

// newSilentHost takes connections and never says anything.
func newSilentHost(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "https://" + l.Addr().String()
}

// newDeadHost is an address at which nothing listens, and nothing else can begin to: a socket has it that never does.
func newDeadHost(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("https://127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port)
}

// rootsOf trusts what the test servers show, which is the same for all of them.
func rootsOf(t *testing.T) *x509.CertPool {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// looking is a session that is about to look a meeting up by a link, and what it logs.
func looking(t *testing.T, link, cache string) (*Session, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	cfg := Config{URL: link, Meeting: "42", Roots: rootsOf(t), Cache: cache, Proxy: ProxyNone, Logger: slog.New(slog.NewTextHandler(&logged, nil))}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := newSession(cfg.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	s.further = cfg.furtherDoors()
	t.Cleanup(s.web.close)
	return s, &logged
}

func (s *Session) lookUpNow(t *testing.T) error {
	t.Helper()
	base, number, err := s.cfg.target()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = s.lookUp(ctx, base, number)
	return err
}

// linkTo is a join link with further hosts.
func linkTo(base string, further ...string) string {
	var hosts []string
	for _, one := range further {
		hosts = append(hosts, strings.TrimPrefix(one, "https://"))
	}
	return base + wire.PathJoin + "42?" + url.Values{wire.LinkHosts: {strings.Join(hosts, ",")}}.Encode()
}

// TestFurtherHostAnswers: hosts that are down, silent or no zone at all are passed over, and the next one of the link answers.
func TestFurtherHostAnswers(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	for _, c := range []struct {
		name, first, result string
	}{{"down", newDeadHost(t), "refused"}, {"silent", newSilentHost(t), ""}, {"no zone", other.URL, "not a zone"}} {
		t.Run(c.name, func(t *testing.T) {
			answers, spare := newLookupHost(t, wire.Lookup{Token: "by the second"}), newLookupHost(t, wire.Lookup{Token: "by the third"})
			s, _ := looking(t, linkTo(c.first, answers.URL, spare.URL), "")
			if err := s.lookUpNow(t); err != nil {
				t.Fatal(err)
			}
			if s.lookup.Token != "by the second" || answers.asked.Load() != 1 {
				t.Errorf("the package is %q, after %d questions to the second host", s.lookup.Token, answers.asked.Load())
			}
			want := Attempt{Stage: StageLookup, Way: "direct", Host: hostOf(c.first), Result: c.result}
			told := slices.ContainsFunc(s.attempts, func(a Attempt) bool { a.Took = 0; return a == want })
			if c.result != "" && !told {
				t.Errorf("%+v does not tell of %+v", s.attempts, want)
			}
		})
	}
}

// TestAnswerOfTheLinksHostCounts: when the link's own host refuses, nobody else is asked; what a further host refuses is nothing while others may know better.
func TestAnswerOfTheLinksHostCounts(t *testing.T) {
	refuses := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		reply(w, wire.Error{Code: wire.CodeRefused, Text: "Number or passcode is wrong."})
	}))
	defer refuses.Close()
	answers := newLookupHost(t, wire.Lookup{Token: "token"})
	s, _ := looking(t, linkTo(refuses.URL, answers.URL), "")
	if err := s.lookUpNow(t); err == nil || Reason(err) != string(wire.CodeRefused) || answers.asked.Load() != 0 {
		t.Errorf("%v, after %d questions to the next host", err, answers.asked.Load())
	}
	s, _ = looking(t, linkTo(newDeadHost(t), refuses.URL, answers.URL), "")
	if err := s.lookUpNow(t); err != nil || s.lookup.Token != "token" {
		t.Errorf("%q: %v", s.lookup.Token, err)
	}
}

// TestNobodyAnswers tells of the host that the person named.
func TestNobodyAnswers(t *testing.T) {
	first := newDeadHost(t)
	_, err := Join(t.Context(), Config{URL: linkTo(first, newDeadHost(t)), Roots: rootsOf(t), Proxy: ProxyNone})
	if err == nil || !strings.Contains(err.Error(), "Nothing listens at "+hostOf(first)) {
		t.Errorf("%v", err)
	}
}

// TestJoinByCache goes into a meeting by a front, and again when neither it nor the further host of the link is up: the cache knows the controller.
func TestJoinByCache(t *testing.T) {
	z, cache, dead := newEchoZone(t), t.TempDir(), newDeadHost(t)
	front := httptest.NewTLSServer(z.server.Config.Handler)
	enter := func(cache string) error {
		s, err := Join(t.Context(), Config{URL: linkTo(front.URL, dead), Send: wire.Media[:], Roots: z.roots(), Cache: cache, Proxy: ProxyNone})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	if err := enter(cache); err != nil {
		t.Fatal(err)
	}
	front.Close()
	if err := enter(cache); err != nil {
		t.Errorf("with the cache: %v", err)
	}
	if err := enter(t.TempDir()); err == nil || !strings.Contains(err.Error(), "Nothing listens at "+hostOf(front.URL)) {
		t.Errorf("without the cache: %v", err)
	}
}

// TestCacheFile: a file for each host, which is this user's alone, also where another one stood before.
func TestCacheFile(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "meetzone")
	now := time.Now()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cacheFile(folder, "https://a.example"), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"https://a.example", "https://b.example"} {
		if err := keep(folder, base, remembered{Saved: now, Tunnels: []string{"https://tunnel-of-" + hostOf(base)}}); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v: %v", f.Name(), info.Mode(), err)
		}
	}
	for _, base := range []string{"https://a.example", "https://b.example"} {
		if r, err := recall(folder, base, now); err != nil || !slices.Equal(r.Tunnels, []string{"https://tunnel-of-" + hostOf(base)}) {
			t.Errorf("of %s is remembered %+v: %v", base, r, err)
		}
	}
	if r, err := recall(folder, "https://c.example", now); err != nil || r.Version != 0 {
		t.Errorf("of a host that was never asked is remembered %+v: %v", r, err)
	}
	if err := keep("", "https://a.example", remembered{}); err != nil {
		t.Errorf("without a folder: %v", err)
	}
}

// TestCacheFolderIsPrivate: where there is no folder yet, only this user may enter the new one.
func TestCacheFolderIsPrivate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "meetzone")
	if err := keep(folder, "https://a.example", remembered{Saved: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
}

// TestCacheBounds: what is too old, of the future, too much or of another version is not used.
func TestCacheBounds(t *testing.T) {
	now := time.Now()
	many := make([]string, 4*maxDoors)
	for i := range many {
		many[i] = "https://host" + strings.Repeat("x", i)
	}
	zones := make([]wire.Zone, 2*maxProbed)
	for i := range zones {
		zones[i].Controllers = []string{"https://zone"}
	}
	good := remembered{Version: cacheVersion, Saved: now, Zones: []wire.Zone{{Controllers: []string{"https://c"}}}, Controller: "https://c", Network: "n", Measured: now}
	for _, c := range []struct {
		name   string
		change func(*remembered)
		ok     func(remembered) bool
	}{
		{"as it is", func(*remembered) {}, func(r remembered) bool { return len(r.Zones) == 1 && r.Controller == "https://c" && r.Network == "n" }},
		{"almost too old", func(r *remembered) { r.Saved = now.Add(time.Second - rememberedFor) }, func(r remembered) bool { return len(r.Zones) == 1 }},
		{"too old", func(r *remembered) { r.Saved = now.Add(-time.Second - rememberedFor) }, func(r remembered) bool { return len(r.Zones) == 0 }},
		{"of the future", func(r *remembered) { r.Saved = now.Add(time.Second) }, func(r remembered) bool { return len(r.Zones) == 0 }},
		{"another version", func(r *remembered) { r.Version++ }, func(r remembered) bool { return len(r.Zones) == 0 }},
		{"measured almost too long ago", func(r *remembered) { r.Measured = now.Add(time.Second - measuredFor) }, func(r remembered) bool { return r.Controller != "" }},
		{"measured too long ago", func(r *remembered) { r.Measured = now.Add(-time.Second - measuredFor) }, func(r remembered) bool { return r.Controller == "" && len(r.Zones) == 1 }},
		{"measured in the future", func(r *remembered) { r.Measured = now.Add(time.Second) }, func(r remembered) bool { return r.Controller == "" }},
		{"no address", func(r *remembered) { r.Controller = "http://c" }, func(r remembered) bool { return r.Controller == "" && len(r.Zones) == 1 }},
		{"many tunnels", func(r *remembered) { r.Tunnels = many }, func(r remembered) bool { return len(r.Tunnels) == maxDoors }},
		{"many zones", func(r *remembered) { r.Zones = zones }, func(r remembered) bool { return len(r.Zones) == maxProbed }},
		{"many controllers", func(r *remembered) { r.Zones[0].Controllers = many }, func(r remembered) bool { return len(r.Zones[0].Controllers) == maxDoors }},
		{"wrong tunnels", func(r *remembered) {
			r.Tunnels = []string{"http://a", "https://a/path", "https://u@a", "https://", "https://:1", "https://[", "https://ok:1"}
		},
			func(r remembered) bool { return slices.Equal(r.Tunnels, []string{"https://ok:1"}) }},
	} {
		changed := good
		changed.Zones = slices.Clone(good.Zones)
		c.change(&changed)
		content, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := parseRemembered(content, now); err != nil || !c.ok(r) {
			t.Errorf("%s: %+v: %v", c.name, r, err)
		}
	}
	if r, err := parseRemembered(make([]byte, maxCached+1), now); err == nil || r.Version != 0 {
		t.Errorf("a file that is too long: %+v: %v", r, err)
	}
}

// TestOldCacheIsNoDoor: a package that is too old leads nowhere any more, even if its controller lives.
func TestOldCacheIsNoDoor(t *testing.T) {
	answers, first := newLookupHost(t, wire.Lookup{Token: "token"}), newDeadHost(t)
	for _, c := range []struct {
		age   time.Duration
		found bool
	}{{rememberedFor - time.Hour, true}, {rememberedFor + time.Hour, false}} {
		folder := t.TempDir()
		if err := keep(folder, first, remembered{Saved: time.Now().Add(-c.age), Zone: "z", Zones: []wire.Zone{{ID: "z", Controllers: []string{answers.URL}}}}); err != nil {
			t.Fatal(err)
		}
		s, logged := looking(t, linkTo(first), folder)
		if err := s.lookUpNow(t); (err == nil) != c.found {
			t.Errorf("%v old: %v", c.age, err)
		}
		if logged.Len() > 0 {
			t.Errorf("that it is old is no matter for a warning: %s", logged)
		}
	}
}

// TestPasscodeStaysInTheZone: while the host is down, the other controllers of its zone are asked, and none of another zone, which would see the passcode.
func TestPasscodeStaysInTheZone(t *testing.T) {
	first, foreign, twin := newDeadHost(t), newLookupHost(t, wire.Lookup{Token: "foreign"}), newLookupHost(t, wire.Lookup{Token: "twin"})
	for _, c := range []struct {
		name  string
		known remembered
		token string // "": nobody may be asked
	}{
		{"the zone has another controller", remembered{Zone: "own", Zones: []wire.Zone{{ID: "far", Controllers: []string{foreign.URL}}, {ID: "own", Controllers: []string{twin.URL}}}}, "twin"},
		{"a file of an older client", remembered{Zones: []wire.Zone{{ID: "far", Controllers: []string{foreign.URL}}, {ID: "own", Controllers: []string{first, twin.URL}}}}, "twin"},
		{"only other zones are known", remembered{Zone: "own", Zones: []wire.Zone{{ID: "far", Controllers: []string{foreign.URL}}}}, ""},
	} {
		folder := t.TempDir()
		c.known.Saved = time.Now()
		if err := keep(folder, first, c.known); err != nil {
			t.Fatal(err)
		}
		s, _ := looking(t, first+wire.PathJoin+"42", folder)
		s.cfg.Passcode = "1234"
		if err := s.lookUpNow(t); (err == nil) != (c.token != "") || s.lookup.Token != c.token {
			t.Errorf("%s: %q, %v", c.name, s.lookup.Token, err)
		}
	}
	if n := foreign.asked.Load(); n != 0 {
		t.Errorf("another zone was asked %d times", n)
	}
}

// TestFollowsOnce: the zone that an answer names is asked, with its further controllers; one that names a third zone sends nobody on.
func TestFollowsOnce(t *testing.T) {
	points := func(to ...string) *lookupHost {
		h := new(lookupHost)
		h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			h.asked.Add(1)
			w.WriteHeader(http.StatusConflict)
			reply(w, wire.Error{Code: wire.CodeElsewhere, Text: "Elsewhere.", Zone: &wire.Zone{ID: "there", Controllers: to}})
		}))
		t.Cleanup(h.Close)
		return h
	}
	there := newLookupHost(t, wire.Lookup{Token: "there", Zone: "there"})
	s, _ := looking(t, points(newDeadHost(t), there.URL, "http://no.example").URL+wire.PathJoin+"42", t.TempDir())
	if err := s.lookUpNow(t); err != nil || s.lookup.Token != "there" || s.known.Zone != "" {
		t.Errorf("%q of %q: %v", s.lookup.Token, s.known.Zone, err)
	}
	never := newLookupHost(t, wire.Lookup{Token: "never"})
	second := points(never.URL)
	s, _ = looking(t, points(second.URL).URL+wire.PathJoin+"42", "")
	if err := s.lookUpNow(t); err == nil || Reason(err) != string(wire.CodeElsewhere) || second.asked.Load() != 1 || never.asked.Load() != 0 {
		t.Errorf("%v after %d questions, and %d to the third", err, second.asked.Load(), never.asked.Load())
	}
}

// TestCorruptCache: a file that cannot be read is warned of and passed over, and the next answer replaces it.
func TestCorruptCache(t *testing.T) {
	answers := newLookupHost(t, wire.Lookup{Token: "token", Tunnels: []string{"https://tunnel.example"}})
	for name, content := range map[string]string{
		"empty": "", "no JSON": "\x00\xff\x17", "cut off": `{"version":1,"saved":"2026-01-01T00:00:00Z","zones":[{"id":"z"`,
		"wrong types": `{"version":1,"zones":"all"}`, "too long": strings.Repeat(" ", maxCached+1) + "{}", "deep": strings.Repeat("[", maxCached),
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := cacheFile(folder, answers.URL)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, logged := looking(t, linkTo(answers.URL), folder)
			if err := s.lookUpNow(t); err != nil || s.lookup.Token != "token" {
				t.Fatalf("%q: %v", s.lookup.Token, err)
			}
			if !strings.Contains(logged.String(), "level=WARN") || !strings.Contains(logged.String(), filepath.Base(path)) {
				t.Errorf("the log says %q", logged)
			}
			if r, err := recall(folder, answers.URL, time.Now()); err != nil || !slices.Equal(r.Tunnels, []string{"https://tunnel.example"}) {
				t.Errorf("then is remembered %+v: %v", r, err)
			}
		})
	}
}

// FuzzParseRemembered: whatever the file holds, what is remembered has bounds, and all addresses in it are some.
func FuzzParseRemembered(f *testing.F) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	whole, err := json.Marshal(remembered{Version: cacheVersion, Saved: now.Add(-time.Hour), Tunnels: []string{"https://t.example", "http://t.example"}, Network: "n",
		Zones:      []wire.Zone{{ID: "z", Name: "Z", Controllers: []string{"https://c.example:8443", "https://[2001:db8::1]:443", "https://u@c", "https://c/x"}}},
		Controller: "https://c.example:8443", Measured: now.Add(-time.Minute)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(`{"version":1,"saved":"2026-05-04T03:02:02Z"}`))
	f.Add([]byte(`{"version":1,"saved":"2026-05-04T03:00:00Z","zones":[null,{"controllers":null}],"tunnels":["https://%41","https://[","https://:1"]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := parseRemembered(content, now)
		if err != nil && r.Version != 0 {
			t.Fatalf("%v, and yet %+v", err, r)
		}
		if r.Version == 0 {
			return
		}
		if len(r.Zones) > maxProbed || len(r.Tunnels) > maxDoors || r.Saved.After(now) || now.Sub(r.Saved) > rememberedFor {
			t.Fatalf("%d zones, %d tunnels, saved %v", len(r.Zones), len(r.Tunnels), r.Saved)
		}
		if r.Controller != "" && (r.Measured.After(now) || now.Sub(r.Measured) > measuredFor) {
			t.Fatalf("controller %q, measured %v", r.Controller, r.Measured)
		}
		addresses := slices.Clone(r.Tunnels)
		for _, z := range r.Zones {
			if len(z.Controllers) > maxDoors {
				t.Fatalf("%d controllers", len(z.Controllers))
			}
			addresses = append(addresses, z.Controllers...)
		}
		for _, address := range addresses {
			if request, err := http.NewRequest(http.MethodPost, address+wire.PathLookup, nil); err != nil || request.URL.Scheme != "https" ||
				request.URL.User != nil || request.URL.Path != wire.PathLookup || request.URL.Hostname() == "" {
				t.Fatalf("address %q: %v", address, err)
			}
		}
	})
}

package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dop251/goja"
)

// evaluates runs one expression as a PAC file would, at a moment.
func evaluates(t *testing.T, expression string, now time.Time) string {
	t.Helper()
	engine := goja.New()
	if err := (pacFunctions{ctx: t.Context(), engine: engine, target: "127.0.0.1:443", now: func() time.Time { return now }}).register(); err != nil {
		t.Fatal(err)
	}
	v, err := engine.RunString(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v.String()
}

// TestPACFunctions: the examples of the format's description, and what is no example of anything.
func TestPACFunctions(t *testing.T) {
	now := time.Date(2026, time.March, 4, 13, 30, 15, 0, time.Local) // a Wednesday
	for expression, want := range map[string]string{
		`isPlainHostName("www")`: "true", `isPlainHostName("www.example.com")`: "false",
		`dnsDomainIs("www.example.com", ".example.com")`: "true", `dnsDomainIs("www", ".example.com")`: "false",
		`localHostOrDomainIs("www.example.com", "www.example.com")`: "true", `localHostOrDomainIs("www", "www.example.com")`: "true",
		`localHostOrDomainIs("home.example.com", "www.example.com")`: "false",
		`isResolvable("10.1.2.3")`:                                   "true", `dnsResolve("10.1.2.3")`: "10.1.2.3", `dnsResolve("fd00::1")`: "null", `isResolvable("")`: "false",
		`isInNet("198.95.249.79", "198.95.249.79", "255.255.255.255")`: "true", `isInNet("198.95.6.8", "198.95.0.0", "255.255.0.0")`: "true",
		`isInNet("198.96.6.8", "198.95.0.0", "255.255.0.0")`: "false", `isInNet("198.95.6.8", "nonsense", "255.255.0.0")`: "false", `isInNet("fd00::1", "0.0.0.0", "0.0.0.0")`: "false",
		`dnsDomainLevels("www")`: "0", `dnsDomainLevels("www.example.com")`: "2", `convert_addr("104.16.41.2")`: "1745889538", `convert_addr("x")`: "0", `myIpAddress()`: "127.0.0.1",
		`shExpMatch("http://home.example.com/people/ari/index.html", "*/ari/*")`: "true", `shExpMatch("http://home.example.com/people/x/index.html", "*/ari/*")`: "false",
		`shExpMatch("box.lab", "b?x.*")`: "true", `shExpMatch("a[b]", "a[b]")`: "true", `shExpMatch("ab", "a[b]")`: "false",
		`weekdayRange("MON", "FRI")`: "true", `weekdayRange("WED")`: "true", `weekdayRange("FRI", "MON")`: "false", `weekdayRange("THU", "WED")`: "true", `weekdayRange("XXX")`: "false", `weekdayRange()`: "false",
		`timeRange(13)`: "true", `timeRange(12)`: "false", `timeRange(9, 17)`: "true", `timeRange(14, 17)`: "false", `timeRange(22, 6)`: "false", `timeRange(13, 0, 13, 29)`: "false",
		`timeRange(13, 30, 13, 30)`: "true", `timeRange(13, 30, 16, 13, 40, 0)`: "false", `timeRange(13, 30, 15, 13, 40, 0)`: "true", `timeRange(1, 2, 3)`: "false", `timeRange("x")`: "false",
		`dateRange(4)`: "true", `dateRange(5)`: "false", `dateRange("MAR")`: "true", `dateRange(2026)`: "true", `dateRange(1, 15)`: "true", `dateRange("JAN", "FEB")`: "false", `dateRange("NOV", "APR")`: "true",
		`dateRange(1, "JUN", 15, "AUG")`: "false", `dateRange(1, "MAR", 15, "AUG")`: "true", `dateRange("OCT", 2025, "MAR", 2026)`: "true", `dateRange(1, "JUN", 2025, 3, "MAR", 2026)`: "false", `dateRange(1.5)`: "false",
	} {
		if got := evaluates(t, expression, now); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
	if got := evaluates(t, `timeRange(2, "GMT") + " " + weekdayRange("THU", "GMT")`, time.Date(2026, time.March, 5, 2, 0, 0, 0, time.UTC)); got != "true true" {
		t.Errorf("GMT: %s", got)
	}
}

// TestPACFile: where a file leads, by a path and by HTTP, and what is told of one that is of no use.
func TestPACFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy.pac")
	script := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(script)) }))
	defer server.Close()
	function := func(body string) string { return "function FindProxyForURL(url, host) { " + body + " }" }
	for name, c := range map[string]struct{ script, hops, fault string }{
		"direct":                {function(`return host == "box.lab" && url == "https://box.lab:8443/" ? "DIRECT" : "PROXY wrong:1"`), "[direct]", ""},
		"a list":                {function(`return "PROXY a:3128; SOCKS s:1080; HTTPS b; DIRECT"`), "[http://a:3128 https://b direct]", ""},
		"no function":           {"var x = 1;", "", "no function FindProxyForURL"},
		"no script":             {"function (", "", "does not work"},
		"it throws":             {function("throw 'broken'"), "", "broken"},
		"recursion":             {function("return FindProxyForURL(url, host)"), "", "does not work"},
		"of no use":             {function(`return "SOCKS s:1080"`), "", "can be used"},
		"nothing":               {function(``), "", "can be used"},
		"an object":             {function("return {toString: function() { throw 1 }}"), "", "answers with no text"},
		"it throws what throws": {function("throw {toString: function() { throw 1 }}"), "", "cannot be told"},
		"too long":              {strings.Repeat(" ", maxPAC+1), "", "longer than"},
	} {
		script = c.script
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{file, "file://" + file, server.URL} {
			hops, err := proxiesByPAC(t.Context(), source, "https://box.lab:8443", false, nil)
			var told []string
			for _, h := range hops {
				if h == nil {
					told = append(told, "direct")
				} else {
					told = append(told, h.String())
				}
			}
			if c.fault == "" && fmt.Sprint(told) != c.hops || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
				t.Errorf("%s at %s: %v, %v", name, source, told, err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := askPAC(ctx, function("for (;;) ;"), "https://box.lab"); err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Errorf("a file without an end: %v", err)
	}
	if _, err := proxiesByPAC(t.Context(), filepath.Join(t.TempDir(), "none.pac"), "https://box.lab", false, nil); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("no file: %v", err)
	}
}

// TestPACExpression: a regular expression that takes for ever holds nobody up, though the engine cannot interrupt it.
func TestPACExpression(t *testing.T) {
	asks := func(ctx context.Context, length int) (time.Duration, error) {
		began := time.Now()
		_, err := askPAC(ctx, fmt.Sprintf(`function FindProxyForURL() { return /^(?=a)(a+)+$/.test("%sb") ? "PROXY a:1" : "DIRECT"; }`, strings.Repeat("a", length)), "https://box.lab")
		return time.Since(began), err
	}
	length, whole := 12, time.Duration(0)
	for ; whole < 300*time.Millisecond; length++ { // each letter doubles the time
		var err error
		if whole, err = asks(t.Context(), length); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if took, err := asks(ctx, length+3); err == nil || !strings.Contains(err.Error(), "has not answered") || took > 4*whole {
		t.Errorf("after %v, where the whole takes more than %v: %v", took, 8*whole, err)
	}
}

// TestPACLogin: a login is shown to no proxy that anybody on the way may have named.
func TestPACLogin(t *testing.T) {
	serve := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`function FindProxyForURL() { return "PROXY a:3128"; }`))
	}
	open, closed := httptest.NewServer(http.HandlerFunc(serve)), httptest.NewTLSServer(http.HandlerFunc(serve))
	defer open.Close()
	defer closed.Close()
	leads := httptest.NewTLSServer(http.RedirectHandler(open.URL, http.StatusFound))
	defer leads.Close()
	file := filepath.Join(t.TempDir(), "proxy.pac")
	if err := os.WriteFile(file, []byte(`function FindProxyForURL() { return "PROXY a:3128"; }`), 0o600); err != nil {
		t.Fatal(err)
	}
	for source, safe := range map[string]bool{open.URL: false, closed.URL: true, leads.URL: false, file: true} {
		for _, login := range []string{"", "ada:lovelace"} {
			cfg := Config{PAC: source, ProxyLogin: login, Roots: rootsOf(t)}
			w, err := firstWay(t.Context(), cfg, cfg.marks(), "https://box.lab")
			if works := safe || login == ""; works != (err == nil) || works != (w.kind == WayProxy) || err != nil && !strings.Contains(err.Error(), "take it from https") {
				t.Errorf("%s with the login %q: %v, %v", source, login, w, err)
			}
		}
	}
}

// TestPACListGoesRound: when the place that was found last fails, those before it are tried again.
func TestPACListGoesRound(t *testing.T) {
	up, asked := "b", ""
	l := &hopList{}
	for _, name := range []string{"a", "b", "c"} {
		l.dials = append(l.dials, func(context.Context, string, string) (net.Conn, error) {
			if asked += name; name != up {
				return nil, net.ErrClosed
			}
			return nil, nil
		})
	}
	for _, one := range []struct{ up, asked string }{{"b", "ab"}, {"b", "b"}, {"a", "bca"}, {"c", "abc"}, {"", "cab"}} {
		up, asked = one.up, ""
		if _, err := l.dial(t.Context(), "tcp", "box.lab:443"); asked != one.asked || (err == nil) != (up != "") {
			t.Errorf("with %q up: %q, want %q: %v", up, asked, one.asked, err)
		}
	}
}

// TestPACWay: a proxy that is down is passed over, and the next one is used from then on; one that says no is not got around.
func TestPACWay(t *testing.T) {
	var asked int
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Proxy-Authorization") == "" {
			w.Header().Set("Proxy-Authenticate", `Basic realm="lab"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
		}
	}))
	defer proxy.Close()
	hops := parseHops("PROXY " + hostOf(newDeadHost(t)) + "; PROXY " + proxy.Listener.Addr().String() + "; DIRECT")
	direct := way{kind: WayDirect, dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "box.lab:443" {
			t.Error("went around the proxy")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	for _, login := range []string{"", "ada:lovelace"} {
		asked = 0
		w := pacWay(hops, loginOf(login), nil, direct)
		for range 2 {
			conn, err := w.dial(t.Context(), "tcp", "box.lab:443")
			if err == nil {
				_ = conn.Close()
			}
			if (err == nil) != (login != "") || login == "" && Reason(err) != "proxy 407" {
				t.Errorf("%q: %v", login, err)
			}
		}
		if asked < 2 || w.kind != WayProxy {
			t.Errorf("%q: the proxy was asked %d times, %v", login, asked, w)
		}
	}
	if w := pacWay(parseHops("DIRECT; PROXY a:1"), nil, nil, direct); w.kind != WayDirect {
		t.Errorf("direct at first: %v", w)
	}
}

// FuzzParseHops: whatever a file answers, what comes of it are proxies without credentials.
func FuzzParseHops(f *testing.F) {
	for _, seed := range []string{"DIRECT", "PROXY a:3128; DIRECT", "HTTPS [::1]:1;PROXY u@b:1", "PROXY a/b", "SOCKS5 c:1; HTTP d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		hops := parseHops(answer)
		if len(hops) > maxPACHops {
			t.Fatalf("%d hops", len(hops))
		}
		for _, h := range hops {
			if h != nil && (h.User != nil || h.Hostname() == "" || h.Scheme != "http" && h.Scheme != "https") {
				t.Errorf("%q: %v", answer, h)
			}
		}
	})
}

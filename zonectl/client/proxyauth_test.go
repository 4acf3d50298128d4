package client

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ntlmChallenge is a CHALLENGE_MESSAGE (MS-NLMP, section 2.2.1.2) with a target's names, without key exchange, which only sessions that sign or seal need.
const ntlmChallenge = "TlRMTVNTUAACAAAADAAMADgAAAAzgoqiASNFZ4mrze8AAAAAAAAAACQAJABEAAAABgBwFwAAAA9TAGUAcgB2AGUAcgACAAwARABvAG0AYQBpAG4AAQAMAFMAZQByAHYAZQByAAAAAAA="

// TestProxyNTLM: a proxy that wants NTLM is answered on one connection, and who has no domain, a wrong kind of challenge or no credentials is told 407.
func TestProxyNTLM(t *testing.T) {
	proxy := func(challenge string) *httptest.Server {
		p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			scheme, token, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
			raw, _ := base64.StdEncoding.DecodeString(token)
			if scheme != "NTLM" || len(raw) < 12 || raw[8] == 1 {
				w.Header().Add("Proxy-Authenticate", "Negotiate")
				w.Header().Add("Proxy-Authenticate", strings.TrimSpace("NTLM "+map[bool]string{true: challenge}[len(raw) > 8 && raw[8] == 1]))
				w.Header().Add("Proxy-Authenticate", `Basic realm="lab"`)
				w.WriteHeader(http.StatusProxyAuthRequired)
				_, _ = io.WriteString(w, strings.Repeat("denied ", 1000))
				return
			}
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"+r.RemoteAddr+" "+r.Host+"\n")
			_, _ = io.Copy(io.Discard, buffered)
		}))
		t.Cleanup(p.Close)
		return p
	}
	open := func(p *httptest.Server, user *url.Userinfo) (string, error) {
		d := &proxyDialer{url: &url.URL{Scheme: "http", Host: p.Listener.Addr().String(), User: user}, dial: new(net.Dialer).DialContext}
		conn, err := d.DialContext(t.Context(), "tcp", "box.lab:443")
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return bufio.NewReader(conn).ReadString('\n')
	}
	for _, user := range []string{`LAB\ada`, "ada@lab", "ada"} {
		if said, err := open(proxy(ntlmChallenge), url.UserPassword(user, "lovelace")); err != nil || !strings.HasSuffix(said, " box.lab:443\n") {
			t.Errorf("%s: %q, %v", user, said, err)
		}
	}
	for what, p := range map[string]*httptest.Server{"no base64": proxy("!"), "no challenge": proxy("TlRMTVNTUAAB"), "nothing": proxy("")} {
		if said, err := open(p, url.UserPassword("ada", "lovelace")); err == nil {
			t.Errorf("%s: %q", what, said)
		}
	}
	if _, err := open(proxy(ntlmChallenge), nil); Reason(err) != "proxy 407" {
		t.Errorf("without credentials: %v", err)
	}
}

// newRefusingProxy offers one scheme, and counts how often it is shown credentials. The first accept ones it takes, and answers 403; the next
// stale ones it calls stale; the rest it refuses.
func newRefusingProxy(t *testing.T, scheme string, accept, stale int32) (proxy *httptest.Server, shown *atomic.Int32) {
	shown = new(atomic.Int32)
	proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offer := map[string]string{"Basic": `Basic realm="lab"`, "Digest": `Digest realm="lab", nonce="n", qop="auth"`, "NTLM": "NTLM"}[scheme]
		by, token, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
		raw, _ := base64.StdEncoding.DecodeString(token)
		switch {
		case by == "":
		case by == "NTLM" && len(raw) > 8 && raw[8] == 1:
			offer += " " + ntlmChallenge
		default:
			n := shown.Add(1)
			if n <= accept {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			if n <= accept+stale {
				offer += ", stale=true"
			}
		}
		w.Header().Set("Proxy-Authenticate", offer)
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	t.Cleanup(proxy.Close)
	return proxy, shown
}

// TestProxyRefuses: credentials that a proxy refuses are shown once, however many connections are wanted at the same time and later, so that they lock no account; a nonce
// that is stale, or that the proxy has forgotten, is no refusal.
func TestProxyRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		scheme              string
		accept, stale, want int32
	}{
		"Basic": {scheme: "Basic", want: 1}, "Digest": {scheme: "Digest", want: 1}, "NTLM": {scheme: "NTLM", want: 1},
		"a stale nonce": {scheme: "Digest", stale: 1, want: 2}, "a forgotten nonce": {scheme: "Digest", accept: 1, want: 3}, "another password": {scheme: "Basic", accept: 1, want: 2},
	} {
		proxy, shown := newRefusingProxy(t, c.scheme, c.accept, c.stale)
		d := &proxyDialer{url: &url.URL{Scheme: "http", Host: proxy.Listener.Addr().String(), User: url.UserPassword("ada", "wrong")}, dial: new(net.Dialer).DialContext}
		dial := func() error {
			_, err := d.DialContext(t.Context(), "tcp", "box.lab:443")
			return err
		}
		if c.accept > 0 {
			if err := dial(); Reason(err) != "proxy 403" {
				t.Errorf("%s: %v", name, err)
			}
		}
		var all sync.WaitGroup
		for range 8 {
			if c.accept > 0 { // then they need not wait for each other
				break
			}
			all.Go(func() {
				if err := dial(); Reason(err) != "proxy 407" {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		all.Wait()
		for range 3 {
			if err := dial(); Reason(err) != "proxy 407" || turns(err) {
				t.Errorf("%s: %v, turns %v", name, err, turns(err))
			}
		}
		if n := shown.Load(); n != c.want {
			t.Errorf("%s: credentials were shown %d times, want %d", name, n, c.want)
		}
	}
}

// TestProxyTrialHoldsNobodyUp: a connection for which a proxy takes its time does not keep the next one from being asked for.
func TestProxyTrialHoldsNobodyUp(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "silent") {
			<-r.Context().Done()
		}
	}))
	defer proxy.Close()
	d := &proxyDialer{url: &url.URL{Scheme: "http", Host: proxy.Listener.Addr().String(), User: url.UserPassword("ada", "lovelace")}, dial: new(net.Dialer).DialContext}
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() { _, err := d.DialContext(ctx, "tcp", "silent.lab:443"); given <- err }()
	for trial := false; !trial; time.Sleep(time.Millisecond) {
		d.auth.mu.Lock()
		trial = d.auth.trial != nil
		d.auth.mu.Unlock()
	}
	conn, err := d.DialContext(t.Context(), "tcp", "box.lab:443")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	cancel()
	if err := <-given; err == nil {
		t.Error("the silent one answers")
	}
}

// FuzzProxyChallenge: whatever a proxy asks for, what is answered is one line.
func FuzzProxyChallenge(f *testing.F) {
	for _, seed := range []string{"NTLM " + ntlmChallenge, "Negotiate " + ntlmChallenge, "NTLM", `Digest realm="lab", nonce="n", qop="auth"`, `Basic realm="lab"`, "NTLM TlRMTVNTUAACAAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var a proxyAuth
		user, header := url.UserPassword("ada", "lovelace"), http.Header{"Proxy-Authenticate": {value}}
		if !a.learn(user, header) {
			return
		}
		first, err := a.first(user, "box.lab:443")
		if err != nil {
			return
		}
		second, _ := a.second(user, &http.Response{StatusCode: http.StatusProxyAuthRequired, Header: header})
		if strings.ContainsAny(first+second, "\r\n") {
			t.Errorf("%q, %q", first, second)
		}
	})
}

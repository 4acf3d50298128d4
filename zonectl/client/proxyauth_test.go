package client

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
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

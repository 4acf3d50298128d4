package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"meetzone/zonectl/wire"
)

// opener is a proxy that opens TLS connections, as networks have that inspect what passes: it answers by CONNECT and at its own address, with certificates
// of an authority of its own, and passes on what it reads.
type opener struct {
	inside    *httptest.Server // where TLS ends
	connect   *httptest.Server // the proxy that a client is told of
	authority *x509.Certificate
}

// certify makes a certificate of a key, signed by parent's, or by itself.
func certify(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// newOpener stands before a zone; change may alter what the zone answers, and block answers instead of it where it says so.
func newOpener(t *testing.T, zone string, trust *x509.CertPool, change func(*http.Response), block func(http.ResponseWriter, *http.Request) bool) *opener {
	t.Helper()
	authority, signer := certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Example Inspection CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, key := certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, authority, signer)
	target, err := url.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	onward := httputil.NewSingleHostReverseProxy(target)
	onward.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}}
	onward.ModifyResponse = func(r *http.Response) error {
		change(r)
		return nil
	}
	onward.ErrorLog = log.New(io.Discard, "", 0)
	o := &opener{authority: authority}
	o.inside = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !block(w, r) {
			onward.ServeHTTP(w, r)
		}
	}))
	o.inside.Config.ErrorLog = log.New(io.Discard, "", 0)
	o.inside.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}}}
	o.inside.StartTLS()
	t.Cleanup(o.inside.Close)
	o.connect = httptest.NewServer(http.HandlerFunc(o.serveConnect))
	t.Cleanup(o.connect.Close)
	return o
}

// serveConnect has every connection end inside, wherever it was to lead.
func (o *opener) serveConnect(w http.ResponseWriter, r *http.Request) {
	inside, err := net.Dial("tcp", o.inside.Listener.Addr().String())
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer inside.Close()
	outside, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer outside.Close()
	if _, err := io.WriteString(outside, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(inside, buffered)
		_ = inside.Close()
	}()
	_, _ = io.Copy(outside, inside)
}

func unchanged(*http.Response) {}

func passesAll(http.ResponseWriter, *http.Request) bool { return false }

// trusting is what a computer trusts on which somebody has installed the authority of the proxy.
func (o *opener) trusting(z *echoZone) *x509.CertPool {
	pool := z.roots()
	pool.AddCert(o.authority)
	return pool
}

const opens = "A proxy on the way opens TLS connections (the certificate that arrives is not the one of the box, but issued by \"Example Inspection CA\")"

// TestInterceptedSession: the proxy's authority is trusted here, and the lookup goes by the proxy without the client's knowledge. People meet, and are told.
func TestInterceptedSession(t *testing.T) {
	z := newEchoZone(t)
	o := newOpener(t, z.server.URL, z.roots(), unchanged, passesAll)
	var lookedUp string
	p := joinEcho(t, z, func(cfg *Config) {
		cfg.URL, cfg.Roots, cfg.Proxy = o.inside.URL, o.trusting(z), ProxyNone
		cfg.Progress = func(p Progress) {
			if p.Stage == StageLookup && p.Done {
				lookedUp = p.Detail
			}
		}
	})
	if !strings.Contains(lookedUp, "a proxy on the way opens TLS connections") {
		t.Errorf("the lookup says %q", lookedUp)
	}
	if said := p.Stats().Intercepted; !strings.HasPrefix(said, opens) || !strings.Contains(said, hostOf(o.inside.URL)) {
		t.Errorf("the session says %q", said)
	}
}

// TestQuoted: what a proxy writes does no harm to a terminal, and takes little of it.
func TestQuoted(t *testing.T) {
	if got := quoted("a\x1b[31m\nb"); got != `"a\x1b[31m\nb"` {
		t.Error(got)
	}
	if got := quoted(strings.Repeat("x", 4*maxQuoted)); len(got) != maxQuoted+2 {
		t.Errorf("%d bytes", len(got))
	}
}

// TestNothingIntercepts: the zone itself is not taken for a proxy.
func TestNothingIntercepts(t *testing.T) {
	z := newEchoZone(t)
	if said := joinEcho(t, z, nil).Stats().Intercepted; said != "" {
		t.Error(said)
	}
}

// TestInterceptedRefusals: whatever the proxy spoils, the error says that it is there.
func TestInterceptedRefusals(t *testing.T) {
	z := newEchoZone(t)
	adds := func(r *http.Response) { r.Header.Set("Via", "1.1 inspector") }
	blocks := func(path string, header string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			if header != "" {
				w.Header().Set("Via", header)
			}
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<h1>Blocked</h1>")
			return true
		}
	}
	for _, c := range []struct {
		name    string
		change  func(*http.Response)
		block   func(http.ResponseWriter, *http.Request) bool
		trusted bool
		stage   Stage
		want    []string
	}{
		{"untrusted authority", unchanged, passesAll, false, StageLookup, []string{"is not trusted", "issued by \"Example Inspection CA\"", "a proxy on the way opens TLS connections"}},
		{"the control channel is not let through", unchanged, blocks(wire.PathControl, ""), true, StageControl, []string{opens}},
		{"the route is not let through", unchanged, blocks(wire.PathRoute, ""), true, StageRouter, []string{opens}},
		{"headers are added", adds, blocks(wire.PathControl, ""), true, StageControl, []string{opens[:len(opens)-1], `it adds the header "Via: 1.1 inspector`}},
		{"it answers the lookup", unchanged, blocks(wire.PathLookup, "1.1 inspector"), true, StageLookup, []string{"A proxy on the way answers in place of 127.0.0.1", `"Via: 1.1 inspector"`}},
		{"it answers the lookup without a header", unchanged, blocks(wire.PathLookup, ""), true, StageLookup,
			[]string{"is not a meeting zone", "a proxy on the way opens TLS connections", "issued by \"Example Inspection CA\""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOpener(t, z.server.URL, z.roots(), c.change, c.block)
			cfg := Config{URL: z.server.URL, Meeting: "42", Roots: z.roots(), Proxy: o.connect.URL}
			if c.trusted {
				cfg.Roots = o.trusting(z)
			}
			_, err := Join(t.Context(), cfg)
			told, is := err.(*Error)
			if !is || told.Stage != c.stage {
				t.Fatalf("%v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			t.Log(err)
		})
	}
	// The zone's own word counts more.
	o := newOpener(t, z.server.URL, z.roots(), unchanged, passesAll)
	if _, err := Join(t.Context(), Config{URL: z.server.URL, Meeting: "43", Roots: o.trusting(z), Proxy: o.connect.URL}); err == nil ||
		err.Error() != "Number or passcode is wrong. Check both." {
		t.Errorf("%v", err)
	}
}

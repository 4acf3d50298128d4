package tunnel

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

const patience = 10 * time.Second

// certificate makes one for some names.
func certificate(t testing.TB, names ...string) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// zoneOn is a zone on a listener: it says who the client is.
func zoneOn(t *testing.T, l net.Listener) *x509.CertPool {
	t.Helper()
	pair, pool := certificate(t, "zone.example")
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "zone %s %s", r.TLS.ServerName, r.RemoteAddr)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*pair}}))
	}()
	t.Cleanup(func() { server.Close(); <-done })
	return pool
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs a tunnel and returns its base URL.
func start(t *testing.T, cfg Config) (*Server, string) {
	t.Helper()
	own, _ := certificate(t, "tunnel.example")
	cfg.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own, nil }
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	ran := make(chan error, 1)
	go func() { ran <- s.Run(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ran; !errors.Is(err, net.ErrClosed) {
			t.Errorf("run ends with %v", err)
		}
		if got := s.Stats(); got.Open != 0 {
			t.Errorf("left open: %+v", got)
		}
	})
	return s, "https://" + l.Addr().String()
}

// noLeaks fails the test when goroutines are left behind.
func noLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() { eventually(t, "goroutines ended", func() bool { return runtime.NumGoroutine() <= before }) })
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// get asks a zone by a way of dialling.
func get(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), pool *x509.CertPool, address string) (string, error) {
	t.Helper()
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	answer, err := client.Get("https://" + address + "/")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// toTunnel dials the tunnel whatever the name, as a DNS name that leads to it would have it.
func toTunnel(base string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(base, "https://"))
	}
}

// TestWays goes through a tunnel by server name and by CONNECT, to a zone that the tunnel dials and to one that has registered.
func TestWays(t *testing.T) {
	for _, registered := range []bool{false, true} {
		t.Run(fmt.Sprintf("registered=%v", registered), func(t *testing.T) {
			noLeaks(t)
			key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
			zone := Zone{Names: []string{"zone.example", "192.0.2.7"}}
			var pool *x509.CertPool
			if !registered {
				l := listen(t)
				zone.Dial = l.Addr().String()
				pool = zoneOn(t, l)
			} else {
				zone.Key = key.Public().(ed25519.PublicKey)
			}
			s, base := start(t, Config{Zones: []Zone{zone}})
			if registered {
				r := register(t, base, key)
				pool = zoneOn(t, r)
				eventually(t, "two lines", func() bool { return s.Stats().Lines == 2 })
			}
			if got, err := get(t, toTunnel(base), pool, "zone.example"); err != nil || !strings.HasPrefix(got, "zone zone.example 127.0.0.1:") {
				t.Errorf("by server name: %q, %v", got, err)
			}
			dialer := Dialer{URL: base}
			if got, err := get(t, dialer.DialContext, pool, "zone.example:443"); err != nil || !strings.HasPrefix(got, "zone zone.example 127.0.0.1:") {
				t.Errorf("by CONNECT: %q, %v", got, err)
			}
			// The zone's certificate is the zone's: what does not trust it gets nowhere, for the tunnel cannot speak for the zone.
			if _, err := get(t, dialer.DialContext, x509.NewCertPool(), "zone.example:443"); err == nil {
				t.Error("a certificate that is not trusted was taken")
			}
			var refused *StatusError
			if _, err := dialer.DialContext(t.Context(), "tcp", "elsewhere.example:443"); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
				t.Errorf("a host that is not of the list: %v", err)
			}
			if trip, err := dialer.Ping(t.Context()); err != nil || trip <= 0 {
				t.Errorf("ping: %v, %v", trip, err)
			}
			if got := s.Stats(); got.Passed != 1 || got.Connected != 2 || got.Refused != 1 || got.Failed != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// register runs a registrar.
func register(t *testing.T, base string, key ed25519.PrivateKey) *Registrar {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	shown := Fingerprint(sha256.Sum256(conn.ConnectionState().PeerCertificates[0].Raw))
	_ = conn.Close()
	r, err := NewRegistrar(RegistrarConfig{URL: base, Key: key, Fingerprint: &shown, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- r.Run() }()
	t.Cleanup(func() { _ = r.Close(); <-ran })
	return r
}

// TestClientAddress holds that a registered zone sees the client's own address, and a dialled one where it was asked for.
func TestClientAddress(t *testing.T) {
	noLeaks(t)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	s, base := start(t, Config{Zones: []Zone{{Names: []string{"zone.example"}, Key: key.Public().(ed25519.PublicKey)}}})
	r := register(t, base, key)
	pool := zoneOn(t, r)
	eventually(t, "registered", func() bool { return s.Stats().Lines > 0 })
	var local string
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := toTunnel(base)(ctx, network, address)
		if err == nil {
			local = conn.LocalAddr().String()
		}
		return conn, err
	}
	if got, err := get(t, dial, pool, "zone.example"); err != nil || got != "zone zone.example "+local {
		t.Errorf("%q, %v; the client is %s", got, err, local)
	}
}

// TestUpgradeThroughTunnel takes a connection of a registered zone over from net/http, which moves deadlines about, as WebSockets do.
func TestUpgradeThroughTunnel(t *testing.T) {
	noLeaks(t)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	s, base := start(t, Config{Zones: []Zone{{Names: []string{"zone.example"}, Key: key.Public().(ed25519.PublicKey)}}})
	pair, pool := certificate(t, "zone.example")
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), ReadTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, err := both.ReadString('\n')
		if err != nil {
			t.Errorf("read after the upgrade: %v", err)
		}
		fmt.Fprint(conn, line)
	})}
	r := register(t, base, key)
	go func() { _ = server.Serve(tls.NewListener(r, &tls.Config{Certificates: []tls.Certificate{*pair}})) }()
	defer server.Close()
	eventually(t, "registered", func() bool { return s.Stats().Lines > 0 })
	raw, err := Dialer{URL: base}.DialContext(t.Context(), "tcp", "zone.example:443")
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "zone.example"})
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: zone.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	upgraded, err := answered(t.Context(), conn, http.MethodGet, http.StatusSwitchingProtocols)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(upgraded, "hello\n")
	if got := make([]byte, 6); true {
		if _, err := io.ReadFull(upgraded, got); err != nil || string(got) != "hello\n" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// TestStrangersRegister tries to register with another key, with a token of another connection, and with none.
func TestStrangersRegister(t *testing.T) {
	noLeaks(t)
	key, other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	s, base := start(t, Config{Zones: []Zone{{Names: []string{"zone.example"}, Key: key.Public().(ed25519.PublicKey)}}})
	r := register(t, base, other)
	eventually(t, "a refusal", func() bool {
		_, err := r.Problem()
		return err != nil && strings.Contains(err.Error(), "does not know this zone's key")
	})
	stolen, err := signToken(key, "of another connection", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"stolen": stolen, "none": "", "nonsense": "a.b.c"} {
		conn, err := Dialer{URL: base}.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: %s\r\nAuthorization: Bearer %s\r\n\r\n", PathRegister, Protocol, token)
		if _, err := answered(t.Context(), conn, http.MethodPost, http.StatusSwitchingProtocols); err == nil {
			t.Errorf("%s: registered", name)
		}
		conn.Close()
	}
	if got := s.Stats(); got.Lines != 0 || got.Registered != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := (Dialer{URL: base}).DialContext(t.Context(), "tcp", "zone.example:443"); err == nil {
		t.Error("a zone that has not registered was reached")
	}
}

// TestRegistersAgain cuts the line: the zone comes back by itself.
func TestRegistersAgain(t *testing.T) {
	noLeaks(t)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	s, base := start(t, Config{Zones: []Zone{{Names: []string{"zone.example"}, Key: key.Public().(ed25519.PublicKey)}}})
	register(t, base, key)
	eventually(t, "two lines", func() bool { return s.Stats().Lines == 2 })
	s.mu.Lock()
	for _, l := range s.names["zone.example"].lines {
		l.session.Close()
	}
	s.mu.Unlock()
	eventually(t, "two lines again", func() bool { return s.Stats().Registered == 4 && s.Stats().Lines == 2 })
}

// TestLimits holds the bounds per client and per zone.
func TestLimits(t *testing.T) {
	noLeaks(t)
	l := listen(t)
	zoneOn(t, l)
	s, base := start(t, Config{Zones: []Zone{{Names: []string{"zone.example"}, Dial: l.Addr().String()}}, PerClient: 4, PerZone: 2})
	dialer := Dialer{URL: base}
	var open []net.Conn
	for range 2 {
		conn, err := dialer.DialContext(t.Context(), "tcp", "zone.example:443")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	if _, err := dialer.DialContext(t.Context(), "tcp", "zone.example:443"); err == nil {
		t.Error("a third connection to the zone was made")
	}
	eventually(t, "the third is gone", func() bool { return s.Stats().Open == 4 }) // two of clients, two to the zone
	for range 2 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	eventually(t, "four of the client", func() bool { return s.Stats().Open == 6 })
	if _, err := dialer.Ping(t.Context()); err == nil {
		t.Error("a fifth connection of the client was taken")
	}
	for _, conn := range open {
		conn.Close()
	}
	eventually(t, "all are given back", func() bool { return s.Stats().Open == 0 })
	if _, err := dialer.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFastest pings tunnels of which one is slow, one silent and one dead.
func TestFastest(t *testing.T) {
	_, fast := start(t, Config{Zones: []Zone{{Names: []string{"zone.example"}, Dial: "127.0.0.1:1"}}})
	silent, dead := listen(t), listen(t)
	defer silent.Close()
	dead.Close()
	slow := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	slow.Config.ErrorLog = log.New(io.Discard, "", 0)
	slow.StartTLS()
	defer slow.Close()
	defer slow.CloseClientConnections()
	var all []Dialer
	for _, base := range []string{"https://" + silent.Addr().String(), "https://" + dead.Addr().String(), slow.URL, fast} {
		all = append(all, Dialer{URL: base})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := Fastest(ctx, all); err != nil || got.URL != fast {
		t.Errorf("%s, %v", got.URL, err)
	}
	if _, err := Fastest(ctx, all[1:2]); err == nil {
		t.Error("a dead tunnel was taken")
	}
	if _, err := Fastest(ctx, nil); err == nil {
		t.Error("no tunnel was taken")
	}
}

func TestValidate(t *testing.T) {
	own := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	for want, cfg := range map[string]Config{
		"leads nowhere":        {Certificate: own},
		"certificate: missing": {Zones: []Zone{{Names: []string{"a"}, Dial: "a:1"}}},
		"either dialled or":    {Certificate: own, Zones: []Zone{{Names: []string{"a"}, Dial: "a:1", Key: make(ed25519.PublicKey, 32)}}},
		"needs an address":     {Certificate: own, Zones: []Zone{{Names: []string{"a"}}}},
		"there twice":          {Certificate: own, Zones: []Zone{{Names: []string{"a", "a"}, Dial: "a:1"}}},
		"write host:port":      {Certificate: own, Zones: []Zone{{Names: []string{"a"}, Dial: "a"}}},
		"write it in small":    {Certificate: own, Zones: []Zone{{Names: []string{"A"}, Dial: "a:1"}}},
		"needs 1 to":           {Certificate: own, Zones: []Zone{{Dial: "a:1"}}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := NewRegistrar(RegistrarConfig{URL: "http://x"}); err == nil || !strings.Contains(err.Error(), "https://host") || !strings.Contains(err.Error(), "key: missing") {
		t.Error(err)
	}
}

// FuzzHello feeds anything to the door of a tunnel.
func FuzzHello(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 0})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		client, server := net.Pipe()
		go func() { _, _ = client.Write(b); client.Close() }()
		defer server.Close()
		if conn, _, err := readHello(server); err == nil {
			again, _ := io.ReadAll(io.LimitReader(conn, int64(len(b))))
			if !bytes.HasPrefix(b, again) {
				t.Errorf("%x was read as %x", b, again)
			}
		}
	})
}

// addressed is a connection from some address.
type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.from))
}

// TestServerCounts: connections are counted by address, for IPv6 by network, and all together.
func TestServerCounts(t *testing.T) {
	s := &Server{cfg: Config{PerClient: 2, Total: 4}.withDefaults(), clients: map[netip.Addr]int{}, open: map[net.Conn]struct{}{}}
	type taken struct {
		conn   net.Conn
		client netip.Addr
	}
	var all []taken
	for _, c := range []struct {
		from string
		want bool
	}{
		{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false}, {"[2001:db8:0:1::1]:1", true},
		{"192.0.2.1:1", true}, {"192.0.2.2:1", false},
	} {
		near, far := net.Pipe()
		defer far.Close()
		conn := addressed{near, c.from}
		client, ok := s.take(conn)
		if ok != c.want {
			t.Errorf("%s: %v, want %v", c.from, ok, c.want)
		}
		if ok {
			all = append(all, taken{conn, client})
		}
	}
	for _, c := range all {
		s.give(c.conn, c.client)
	}
	if len(s.clients) != 0 || len(s.open) != 0 {
		t.Errorf("%v and %d connections are left", s.clients, len(s.open))
	}
}

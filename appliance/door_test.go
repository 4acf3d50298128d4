package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/appliance/config"
	"meetzone/dataplane"
	"meetzone/dscp"
)

// testDoor serves HTTP behind a door and returns its address; what speaks STUN goes to relayed.
func testDoor(t *testing.T) (address string, relayed chan net.Conn, d *door) {
	t.Helper()
	l, err := listenMarked(context.Background(), "127.0.0.1:0", dscp.Signalling)
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := openCertificates(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := certificates.selfSigned([]string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	relayed = make(chan net.Conn, 1)
	d = openDoor(l, certificates.serverTLS(), func(c net.Conn) error { relayed <- c; return nil })
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(d) }()
	t.Cleanup(func() { server.Close(); <-served; d.Close() })
	return l.Addr().String(), relayed, d
}

// TestDoor: HTTP of both versions and TURN come through one listener, and everybody gets their first byte.
func TestDoor(t *testing.T) {
	address, relayed, d := testDoor(t)
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: version == "HTTP/2.0"}
		response, err := (&http.Client{Transport: transport}).Get("https://" + address)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		transport.CloseIdleConnections()
		if string(body) != version {
			t.Errorf("served %q, want %s", body, version)
		}
	}
	for _, alpn := range [][]string{nil, {"http/1.1"}} { // Firefox offers http/1.1 for TURN through a proxy
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: alpn})
		if err != nil {
			t.Fatal(err)
		}
		m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		if _, err := conn.Write(m.Raw); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-relayed:
			b := make([]byte, len(m.Raw))
			if _, err := io.ReadFull(got, b); err != nil || string(b) != string(m.Raw) {
				t.Errorf("ALPN %v: the relay got %x: %v", alpn, b, err)
			}
			got.Close()
		case <-time.After(5 * time.Second):
			t.Errorf("ALPN %v: STUN did not get to the relay", alpn)
		}
		conn.Close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.total != 0 || len(d.waiting) != 0 {
		t.Errorf("%d in the door, %v", d.total, d.waiting)
	}
}

// TestDoorInside: a connection counts for its source until it is closed, and a source that has too many gets no further one.
func TestDoorInside(t *testing.T) {
	address, _, d := testDoor(t)
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	source := netip.MustParseAddr("127.0.0.1")
	inside := func(want, waiting int) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			d.mu.Lock()
			n, w := d.inside[source], d.waiting[source]
			d.mu.Unlock()
			if n == want && w == waiting {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d inside, %d of them wait; want %d, %d", n, w, want, waiting)
			}
		}
	}
	inside(1, 0)
	d.mu.Lock()
	d.inside[source] = insidePerNetwork
	d.mu.Unlock()
	if refused, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}); err == nil {
		refused.Close()
		t.Error("one more came in than may")
	}
	conn.Close()
	inside(insidePerNetwork-1, 0)
}

// TestDoorListenerEnds: when the listener behind the door is closed, whoever serves what comes through it gets to know.
func TestDoorListenerEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := openDoor(l, &tls.Config{}, func(net.Conn) error { return nil })
	defer d.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := d.Accept()
		ended <- err
	}()
	l.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Accept waits though nobody can come")
	}
}

// TestDoorHostile: who speaks no TLS is closed at once; who stands in the door and says nothing takes one of a bounded number of places, and
// those who come in do not wait behind them.
func TestDoorHostile(t *testing.T) {
	address, _, d := testDoor(t)
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff", "\x00\x01\x00\x00\x21\x12\xa4\x42"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, garbage)
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Errorf("%q: the connection stays open", garbage)
			}
		}
		conn.Close()
	}
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			c.Close()
		}
	}()
	for range strangersPerNetwork + 20 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, conn)
	}
	deadline := time.Now().Add(5 * time.Second)
	for refused := uint64(0); refused < 20; {
		d.mu.Lock()
		refused = d.refused
		if d.total > strangersPerNetwork {
			t.Errorf("%d stand in the door, %d is the most for one network", d.total, strangersPerNetwork)
		}
		d.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("%d were refused, want 20", refused)
		}
		time.Sleep(5 * time.Millisecond)
	}
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	conn, err := tls.DialWithDialer(&other, "tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("somebody else: %v", err)
	}
	conn.Close()
}

// TestMarkedDialer: a connection that the box opens has its class's mark from its handshake on, in both families.
func TestMarkedDialer(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		point := dscp.CS2
		dial := markedDialer(dscp.Management, func() dscp.CodePoint { return point })
		for _, point = range []dscp.CodePoint{dscp.CS2, dscp.AF11} { // the policy may change
			conn, err := dial(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			taken, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			if tos, ok := dataplane.HandshakeTOS(taken); !ok || tos != point.TOS() {
				t.Errorf("%s: the handshake came with %#x (%v), want %#x", address, tos, ok, point.TOS())
			}
		}
	}
}

// TestAuthorityDialled: the certificate's authority is reached by the box's own dialer.
func TestAuthorityDialled(t *testing.T) {
	c, err := openCertificates(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("not from here")
	c.dial = func(context.Context, string, string) (net.Conn, error) { return nil, refused }
	_, err = c.acmeClient(t.Context(), config.ACMESettings{Directory: "https://192.0.2.1/directory"})
	if !errors.Is(err, refused) {
		t.Errorf("by another dialer: %v", err)
	}
}

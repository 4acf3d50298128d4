package main

import (
	"net"
	"path/filepath"
	"testing"
)

// freePort returns a TCP address that is free for now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestFailedStart: a start that fails late, or early, leaves no listener behind.
func TestFailedStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(freePort(t))
	for _, c := range []struct{ name, https, metrics string }{
		{"metrics taken", freePort(t), taken.Addr().String()},
		{"https taken", taken.Addr().String(), freePort(t)},
	} {
		state := t.TempDir()
		f := runFlags{state: state, https: c.https, metrics: c.metrics, media: []string{"127.0.0.1:" + port}, admin: filepath.Join(state, "admin.sock")}
		if err := run(t.Context(), f); err == nil {
			t.Errorf("%s: started", c.name)
		}
		if c.https != taken.Addr().String() {
			l, err := net.Listen("tcp", c.https)
			if err != nil {
				t.Errorf("%s: HTTPS is still open: %v", c.name, err)
				continue
			}
			l.Close()
		}
		udp, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		if err != nil {
			t.Errorf("%s: media are still open: %v", c.name, err)
			continue
		}
		udp.Close()
	}
}

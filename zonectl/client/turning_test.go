package client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meetzone/zonectl/wire"
)

// newSlowHost answers lookups of meeting 42 after a time.
func newSlowHost(t *testing.T, after time.Duration) string {
	h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(after):
			reply(w, wire.Lookup{Meeting: wire.Meeting{Number: "42"}, Token: "late"})
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// TestSlowWayIsNotCutShort: a host that takes longer to answer than the client waits with tunnels is waited for, where there is no tunnel and where none helps.
func TestSlowWayIsNotCutShort(t *testing.T) {
	for name, tunnels := range map[string]string{"no tunnel": "", "a dead one": "&" + wire.LinkTunnels + "=" + newDeadHost(t), "a silent one": "&" + wire.LinkTunnels + "=" + newSilentHost(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := looking(t, linkTo(newSlowHost(t, tunnelAfter+time.Second))+tunnels, "")
			if err := s.lookUpNow(t); err != nil || s.lookup.Token != "late" || s.web.way.kind != WayDirect {
				t.Errorf("%q, %v: %v", s.lookup.Token, s.web.way, err)
			}
		})
	}
}

// TestHeldWhereNobodyGetsTo: when the zone that holds the meeting cannot be reached, its name is told, and not only that something does not answer.
func TestHeldWhereNobodyGetsTo(t *testing.T) {
	dead := newDeadHost(t)
	points := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		reply(w, wire.Error{Code: wire.CodeElsewhere, Text: "Elsewhere.", Zone: &wire.Zone{ID: "there", Name: "Seoul", Controllers: []string{dead}}})
	}))
	t.Cleanup(points.Close)
	s, _ := looking(t, points.URL+wire.PathJoin+"42", "")
	err := explain(StageLookup, "host", s.lookUpNow(t))
	if err == nil || !strings.Contains(err.Error(), "held in the zone Seoul, which cannot be reached from here ("+hostOf(dead)+": refused)") {
		t.Errorf("%v", err)
	}
}

// TestLosingTunnelIsClosed: when a tunnel answers while it is already looked at what the first way has said, what was opened through the tunnel does not stay open.
func TestLosingTunnelIsClosed(t *testing.T) {
	host := newLookupHost(t, wire.Lookup{Token: "token"})
	var open atomic.Int32
	box := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			return
		}
		inside, err := net.Dial("tcp", hostOf(host.URL))
		if err != nil {
			t.Error(err)
			return
		}
		defer inside.Close()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		open.Add(1)
		defer open.Add(-1)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(conn, inside) }()
		_, _ = io.Copy(inside, conn)
	}))
	t.Cleanup(box.Close)
	s, _ := looking(t, linkTo(host.URL)+"&"+wire.LinkTunnels+"="+box.URL, "")
	defer s.web.close()
	opened := make(chan struct{})
	no := &wire.Error{Code: wire.CodeRefused, Text: "No."}
	_, err := byAnyWay(t.Context(), s, StageLookup, "host", time.Now().Add(-tunnelAfter), func(ctx context.Context, w *web) (answer wire.Lookup, err error) {
		if w.way.kind == WayTunnel {
			defer close(opened)
			return answer, w.post(ctx, host.URL, wire.PathLookup, wire.LookupRequest{}, &answer)
		}
		return answer, pondered{no, sync.OnceFunc(func() {
			<-opened
			time.Sleep(200 * time.Millisecond) // so that the tunnel's answer is on its way; there is nothing to see of that
		})}
	})
	if !errors.Is(err, no) || s.web.way.kind != WayDirect {
		t.Fatalf("%v: %v", s.web.way, err)
	}
	for deadline := time.Now().Add(10 * time.Second); open.Load() > 0; time.Sleep(10 * time.Millisecond) { // less than idle connections stay by themselves
		if time.Now().After(deadline) {
			t.Fatal("the connection through the tunnel is left open")
		}
	}
}

// pondered is an error that takes its time to be looked at.
type pondered struct {
	error
	ponder func()
}

// As is called when the error is looked at.
func (p pondered) As(any) bool { p.ponder(); return false }

// Unwrap returns what it is.
func (p pondered) Unwrap() error { return p.error }

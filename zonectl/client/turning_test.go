package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
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

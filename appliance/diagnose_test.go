package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"meetzone/appliance/adminapi"
)

// TestDiagnose tries what this machine has: its own listeners, and one that is closed.
func TestDiagnose(t *testing.T) {
	page := httptest.NewTLSServer(nil)
	defer page.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	d := new(daemon)
	for _, c := range []struct {
		try    adminapi.Trial
		target string
		ok     bool
		says   string
	}{
		{adminapi.TryTCP, page.Listener.Addr().String(), true, "It answers."},
		{adminapi.TryTCP, closed.Addr().String(), false, "connection refused"},
		{adminapi.TryTCP, "nothing", false, "write it like host:443"},
		{adminapi.TryHTTPS, page.URL, true, "It answers 404 Not Found."},
		{adminapi.TryHTTPS, "http://" + page.Listener.Addr().String(), false, "write it like https://"},
		{adminapi.TryDNS, "localhost", true, "addresses."},
	} {
		got, err := d.Diagnose(t.Context(), adminapi.Diagnose{Try: c.try, Target: c.target})
		if err != nil || got.OK != c.ok || !strings.Contains(got.Text, c.says) {
			t.Errorf("%s %s: %+v, %v", c.try, c.target, got, err)
		}
		if c.try == adminapi.TryHTTPS && c.ok && !strings.Contains(strings.Join(got.Lines, "\n"), "NOT TRUSTED") {
			t.Errorf("a certificate that nobody signed: %q", got.Lines)
		}
	}
	if _, err := d.Diagnose(t.Context(), adminapi.Diagnose{Try: "magic", Target: "x"}); err == nil {
		t.Error("magic was tried")
	}
}

// TestLogRing: the ring keeps the newest lines, each once, whatever logger of the family wrote them.
func TestLogRing(t *testing.T) {
	ring := newLogRing()
	log := slog.New(ring.over(slog.NewTextHandler(io.Discard, nil)))
	log.With("meeting", 7).WithGroup("g").Warn("joined", "who", "Ada")
	last := ring.since(adminapi.LogQuery{}, slog.LevelDebug)
	if len(last.Lines) != 1 || last.Lines[0].Text != "joined meeting=7 g.who=Ada" || last.Next != 1 {
		t.Fatalf("%+v", last)
	}
	for i := range logLines + 10 {
		log.Info(fmt.Sprint("line ", i))
	}
	log.Error(strings.Repeat("é", logLineSize))
	all := ring.since(adminapi.LogQuery{}, slog.LevelDebug)
	if len(all.Lines) != logLines {
		t.Errorf("%d lines are kept", len(all.Lines))
	}
	for i, line := range all.Lines[1:] {
		if line.Seq != all.Lines[i].Seq+1 {
			t.Fatalf("line %d follows line %d", line.Seq, all.Lines[i].Seq)
		}
	}
	if errors := ring.since(adminapi.LogQuery{}, slog.LevelError); len(errors.Lines) != 1 || len(errors.Lines[0].Text) > logLineSize {
		t.Errorf("errors: %d", len(errors.Lines))
	}
	if found := ring.since(adminapi.LogQuery{Match: "LINE 2005", After: 5}, slog.LevelDebug); len(found.Lines) != 1 {
		t.Errorf("found %d lines", len(found.Lines))
	}
	if none := ring.since(adminapi.LogQuery{After: all.Next}, slog.LevelDebug); len(none.Lines) != 0 {
		t.Errorf("after the last line: %d", len(none.Lines))
	}
}

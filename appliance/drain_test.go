package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/appliancetest"
)

// saying is what a process has said so far.
type saying struct {
	mu   sync.Mutex // guards text, which the process's pipe writes
	text strings.Builder
}

func (s *saying) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *saying) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestNetnsDrain: nobody new comes in and is told why, also after a restart and a power cut; who is left is shown, is told ahead, and is
// sent away at the deadline; a deadline that has passed while the daemon was down holds too; undrain ends it all.
func TestNetnsDrain(t *testing.T) {
	lab := appliancetest.New(t, 1)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t, "--title", "Standup")
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	client := lab.Clients[0]
	url := "https://" + client.Box.String()

	ada := lab.ZoneClient(ctx, client, "join", "--url", url, "--meeting", meeting.Number, "--name", "Ada", "--insecure", "--for", "60s")
	said := new(saying)
	ada.Stdout, ada.Stderr = said, said
	if err := ada.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { defer close(gone); _ = ada.Wait() }()
	defer func() { _ = ada.Process.Kill(); <-gone }()
	draining := func() (d adminapi.Draining) {
		t.Helper()
		if err := json.Unmarshal(daemon.Admin(t, "drain", "--json"), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for len(draining().Left) == 0 {
		if ctx.Err() != nil {
			t.Fatal("Ada does not come in")
		}
		time.Sleep(50 * time.Millisecond)
	}

	daemon.Admin(t, "drain", "--reason", "new cables")
	refused := func(when string) {
		t.Helper()
		if out, err := daemon.TryAdmin("meeting", "create"); err == nil || !strings.Contains(string(out), "new cables") {
			t.Errorf("%s: a new meeting: %v, %s", when, err, out)
		}
		out, err := lab.ZoneClient(ctx, client, "join", "--url", url, "--meeting", meeting.Number, "--name", "Late", "--insecure", "--for", "1s").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "new cables") {
			t.Errorf("%s: somebody new: %v, %s", when, err, out)
		}
	}
	refused("draining")
	daemon.Kill(t)
	daemon = lab.StartIn(t, daemon.State)
	refused("after a power cut")
	for len(draining().Left) == 0 { // she comes back by herself
		if ctx.Err() != nil {
			t.Fatal("Ada does not come back")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if d := draining(); d.Left[0].Participants[0].Name != "Ada" || !d.Until.IsZero() || d.Since.IsZero() {
		t.Errorf("draining: %+v", d)
	}
	if m := daemon.Metrics(t); !strings.Contains(m, "meetzone_draining 1") || !strings.Contains(m, `meetzone_alarm{code="draining"} 1`) {
		t.Error("the metrics do not tell")
	}

	// She is told ahead, told otherwise, and told ahead again before she goes.
	const ahead = "the box sends everybody away: new cables"
	told := func(what string, times int) {
		t.Helper()
		for strings.Count(said.String(), what) < times {
			if ctx.Err() != nil {
				t.Fatalf("Ada is not told %q:\n%s", what, said.String())
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	if out := string(daemon.Admin(t, "drain", "--reason", "new cables", "--deadline", "2h")); !strings.Contains(out, "this zone is one box") {
		t.Errorf("drain does not say that nothing takes over:\n%s", out)
	}
	told(ahead, 1)
	daemon.Admin(t, "undrain")
	told("no longer sends everybody away", 1)
	daemon.Admin(t, "drain", "--reason", "new cables", "--deadline", "3s")
	told(ahead, 2)
	select {
	case <-gone:
	case <-ctx.Done():
		t.Fatal("the deadline sends nobody away")
	}
	if after := said.String()[strings.LastIndex(said.String(), ahead)+len(ahead):]; !strings.Contains(after, "new cables") {
		t.Errorf("Ada was sent away without a word:\n%s", said.String())
	}
	if d := draining(); len(d.Left) != 0 || !d.Over {
		t.Errorf("after the deadline: %+v", d)
	}
	daemon = lab.Restart(t, daemon)
	if out, err := daemon.TryAdmin("meeting", "create"); err == nil || !strings.Contains(string(out), "new cables") {
		t.Errorf("after the deadline and a restart: a new meeting: %v, %s", err, out)
	}
	daemon.Admin(t, "undrain")
	daemon = lab.Restart(t, daemon)
	if d := draining(); d.On {
		t.Errorf("undrained: %+v", d)
	}
	daemon.CreateMeeting(t)
	if out := string(daemon.Admin(t, "alarms")); strings.Contains(out, "draining") {
		t.Errorf("in service: %s", out)
	}
}

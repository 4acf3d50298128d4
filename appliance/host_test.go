package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
)

// TestNetnsLeavesTheHostAlone: without --own-host, as an ordinary user without any capability, the zone works, and the network of its host is
// afterwards, and meanwhile, what it was before.
func TestNetnsLeavesTheHostAlone(t *testing.T) {
	lab := appliancetest.New(t, 2)
	script, err := filepath.Abs("../.ci/host-state")
	if err != nil {
		t.Fatal(err)
	}
	state := func() string {
		out, err := lab.Box.Command(context.Background(), "bash", script).Output()
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		return string(out)
	}
	before := state()
	daemon := lab.StartPlain(t, "--https", ":8443")
	if meanwhile := state(); meanwhile != before {
		t.Errorf("the daemon changed its host:\n%s", difference(t, before, meanwhile))
	}
	meeting := daemon.CreateMeeting(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url := func(i int) string { return "https://" + lab.Clients[i].Box.String() + ":8443" }
	attends(t, lab, lab.Clients[1], url(1), meeting.Number, "Other")
	report, err := runZoneClient(ctx, lab, lab.Clients[0], url(0), meeting.Number, "Plain", "--for", "3s")
	if err != nil {
		t.Fatal(err)
	}
	if m := report.Media["video"]; m.Received < 50 {
		t.Errorf("%d packets of video received", m.Received)
	}
	daemon.Stop(t)
	if after := state(); after != before {
		t.Errorf("the daemon left its host changed:\n%s", difference(t, before, after))
	}
}

func difference(t *testing.T, before, after string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"before": before, "after": after} {
		if err := writeFile(filepath.Join(dir, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := exec.Command("diff", "-u", filepath.Join(dir, "before"), filepath.Join(dir, "after")).Output() // exit 1 says that they differ
	return string(out)
}

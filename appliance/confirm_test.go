package main

import (
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
)

// TestNetnsUnconfirmed: a change that waits to be confirmed survives an orderly restart, still waiting; a daemon that is killed goes back.
func TestNetnsUnconfirmed(t *testing.T) {
	lab := appliancetest.New(t, 1)
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "dscp.profile", "zoom", "--commit", "--confirm", "5m")
	profile := func() string { return strings.TrimSpace(string(daemon.Admin(t, "config", "get", "dscp.profile"))) }
	waits := func() bool { return strings.Contains(string(daemon.Admin(t, "status")), "revision 1 comes back") }
	if profile() != "zoom" || !waits() {
		t.Errorf("profile %s, waits %v", profile(), waits())
	}
	if out := string(daemon.Admin(t, "alarms")); !strings.Contains(out, "ALARM unconfirmed") || !strings.Contains(out, "appliance config confirm") {
		t.Errorf("no alarm of it: %s", out)
	}
	if out, err := daemon.TryAdmin("config", "set", "zone.name", "other", "--commit"); err == nil || !strings.Contains(string(out), "waits to be confirmed") {
		t.Errorf("a commit on top: %v, %s", err, out)
	}
	daemon = lab.Restart(t, daemon)
	if profile() != "zoom" || !waits() {
		t.Errorf("after a restart: profile %s, waits %v", profile(), waits())
	}
	daemon.Kill(t)
	if marks := kernelMarks(t, lab); !strings.Contains(marks, "cs7") {
		t.Errorf("with the daemon killed the kernel has lost the marks that ran:\n%s", marks)
	}
	begin := time.Now()
	daemon = lab.StartIn(t, daemon.State)
	if marks := kernelMarks(t, lab); strings.Contains(marks, "cs7") || !strings.Contains(marks, "ef") {
		t.Errorf("when the daemon is ready the kernel has not the revision that came back:\n%s", marks)
	}
	t.Logf("from the start of the process to readiness, with the kernel in order: %v", time.Since(begin).Round(time.Millisecond))
	if profile() != "rfc4594" || waits() {
		t.Errorf("after a kill: profile %s, waits %v", profile(), waits())
	}
	if history := string(daemon.Admin(t, "config", "history")); !strings.Contains(history, "was not confirmed before the daemon or the machine went down") {
		t.Errorf("history:\n%s", history)
	}
	daemon.Admin(t, "config", "set", "dscp.profile", "webex", "--commit", "--confirm", "5m")
	daemon.Admin(t, "config", "confirm")
	daemon.Kill(t)
	daemon = lab.StartIn(t, daemon.State)
	if profile() != "webex" {
		t.Errorf("confirmed, and after a kill: profile %s", profile())
	}
}

// kernelMarks returns the product's own table as the kernel has it.
func kernelMarks(t *testing.T, lab *appliancetest.Lab) string {
	t.Helper()
	return lab.Box.Run(t, "nft", "list", "table", "inet", "meetzone_marks")
}

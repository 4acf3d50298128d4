package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/appliance/appliancetest"
)

// smallDisk mounts a file system of two megabytes for the state of a daemon.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "meetzone-test-disk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=0700,uid=64811,gid=64811"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return dir
}

// fill writes until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestNetnsFullDisk: while the disk is full, changes are refused with a sentence and an alarm stands; meetings start and go on. When there is
// room again, so do changes.
func TestNetnsFullDisk(t *testing.T) {
	lab := appliancetest.New(t, 2)
	state := smallDisk(t)
	daemon := lab.StartIn(t, state)
	filler := filepath.Join(state, "filler")
	fill(t, filler)

	refused := ""
	for i := 0; i < 200 && refused == ""; i++ { // the store has some free pages of its own
		if out, err := daemon.TryAdmin("config", "set", "zone.name", fmt.Sprintf("Name %d", i), "--commit"); err != nil {
			refused = string(out)
		}
	}
	if !strings.Contains(refused, "disk") {
		t.Fatalf("with a full disk a change was answered with %q", refused)
	}
	// What is smaller than the change may still be written, the note of the refusal in the audit log for one; then the disk only fills.
	if status := string(daemon.Admin(t, "status")); !strings.Contains(status, "ALARM store-full") && !strings.Contains(status, "ALARM disk-filling") {
		t.Errorf("no alarm in the status:\n%s", status)
	}

	meeting := daemon.CreateMeeting(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url := func(i int) string { return "https://" + lab.Clients[i].Box.String() }
	attends(t, lab, lab.Clients[1], url(1), meeting.Number, "Other")
	report, err := runZoneClient(ctx, lab, lab.Clients[0], url(0), meeting.Number, "One", "--for", "3s")
	if err != nil {
		t.Fatal(err)
	}
	if m := report.Media["audio"]; m.Received < 50 {
		t.Errorf("%d packets of audio received while the disk is full", m.Received)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		out, err := daemon.TryAdmin("config", "set", "zone.name", "Room again", "--commit")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("with room on the disk again, a change is still refused: %s", out)
		}
		<-time.After(200 * time.Millisecond)
	}
	if got := strings.TrimSpace(string(daemon.Admin(t, "config", "get", "zone.name"))); got != "Room again" {
		t.Errorf("zone.name is %q", got)
	}
}

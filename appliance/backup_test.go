package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meetzone/appliance/appliancetest"
	"meetzone/appliance/backup"
)

// TestNetnsBackupAndRestore makes a backup of one box by the commands, and restores it on another: first without confirming, then for good. The
// other box becomes the zone and keeps its own identity.
func TestNetnsBackupAndRestore(t *testing.T) {
	lab := appliancetest.New(t, 1)
	old := lab.Start(t)
	old.Admin(t, "config", "set", "zone.name", "Head office", "--commit")
	room := old.CreateMeeting(t, "--title", "Board", "--room", "4711")
	secret, file := filepath.Join(t.TempDir(), "passphrase"), filepath.Join(t.TempDir(), "office.age")
	if err := os.WriteFile(secret, []byte(somePassphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	old.Admin(t, "user", "add", "ada", "--role", "operate", "--password-file", secret)
	old.Admin(t, "backup", "create", file, "--passphrase-file", secret)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || bytes.Contains(data, []byte("Head office")) {
		t.Errorf("the backup is %v, %v", info.Mode(), err)
	}
	contents, err := backup.Read(bytes.NewReader(data), somePassphrase)
	if err != nil {
		t.Fatal(err)
	}
	boxKey := readState(t, old.State, "box.key")
	if all, _ := backup.Pack(contents); bytes.Contains(all, boxKey) || !bytes.Equal(contents.ZoneKey, readState(t, old.State, "zone.key")) {
		t.Error("the backup has the key of the box, or not that of the zone")
	}
	old.Stop(t)

	other := lab.Start(t) // a new box: another state folder
	ownBox, ownZone := readState(t, other.State, "box.key"), readState(t, other.State, "zone.key")
	other.CreateMeeting(t, "--title", "Only here", "--room", "4712")
	restore := func() {
		t.Helper()
		said := string(other.Admin(t, "backup", "restore", file, "--passphrase-file", secret, "--confirm", "5m"))
		for _, want := range []string{"made by another box", "Meetzone → Head office", "user ada is added", "LOST: 1 entries of rooms", "LOST: The identity of this zone"} {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in:\n%s", want, said)
			}
		}
		other.WaitEnd(t)
		other = lab.StartIn(t, other.State)
	}
	is := func(name, rooms string, zone []byte) {
		t.Helper()
		if got := strings.TrimSpace(string(other.Admin(t, "config", "get", "zone.name"))); got != name {
			t.Errorf("the zone is %q, want %q", got, name)
		}
		if got := string(other.Admin(t, "meeting", "list")); !strings.Contains(got, rooms) {
			t.Errorf("no room %s in:\n%s", rooms, got)
		}
		if !bytes.Equal(readState(t, other.State, "zone.key"), zone) || !bytes.Equal(readState(t, other.State, "box.key"), ownBox) {
			t.Error("the key of the zone, or that of the box, is not what it should be")
		}
	}
	restore()
	is("Head office", room.Number, contents.ZoneKey)
	if alarms := string(other.Admin(t, "alarms")); !strings.Contains(alarms, "ALARM unconfirmed") {
		t.Errorf("nobody is told to confirm:\n%s", alarms)
	}
	other.Kill(t) // whoever restored has lost the box
	other = lab.StartIn(t, other.State)
	is("Meetzone", "4712", ownZone)
	if users := string(other.Admin(t, "user", "list")); strings.Contains(users, "ada") {
		t.Errorf("a user of the restore that was taken back is there:\n%s", users)
	}
	restore()
	other.Admin(t, "config", "confirm")
	other.Kill(t)
	other = lab.StartIn(t, other.State)
	is("Head office", room.Number, contents.ZoneKey)
	if log := string(other.Admin(t, "audit")); strings.Count(log, "restore") < 2 || !strings.Contains(log, "config confirm") {
		t.Errorf("the audit log:\n%s", log)
	}
}

const somePassphrase = "correct horse battery staple"

func readState(t *testing.T, folder, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

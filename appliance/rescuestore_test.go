package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/appliance/people"
	"meetzone/storage"
)

var noLog = slog.New(slog.DiscardHandler)

// newBrokenBox is a state folder with a store and a good copy of it, both with the user ada.
func newBrokenBox(t *testing.T) *rescue {
	t.Helper()
	r := &rescue{state: t.TempDir(), log: noLog, done: make(chan struct{})}
	store, err := storage.Open(storage.Config{Path: r.file(), Logger: noLog})
	if err != nil {
		t.Fatal(err)
	}
	users, err := people.New(people.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := users.First(t.Context(), "ada", somePassword); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(copyStore(r.state, store, goodCopy{Made: time.Now(), Revision: 1}), store.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, remove := range r.remove {
			remove()
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func damageFile(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a store "), 4000), 0o600); err != nil {
		t.Fatal(err)
	}
}

func asideOf(t *testing.T, r *rescue) []string {
	t.Helper()
	list, err := filepath.Glob(r.file() + ".aside-*")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRescueCopyThatFailsChangesNothing: where the copy cannot be written, the store is where it was and stays open.
func TestRescueCopyThatFailsChangesNothing(t *testing.T) {
	r := newBrokenBox(t)
	if err := os.MkdirAll(filepath.Join(r.file()+".new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.open()
	if _, err := r.UseCopy(t.Context()); err == nil || !strings.Contains(err.Error(), "Nothing has changed") {
		t.Errorf("a copy that cannot be written: %v", err)
	}
	if r.store == nil || r.damage != "" || len(asideOf(t, r)) != 0 {
		t.Errorf("the store was touched: %q, %v", r.damage, asideOf(t, r))
	}
	if err := os.RemoveAll(r.file() + ".new"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.UseCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if kept := asideOf(t, r); len(kept) != 2 {
		t.Errorf("two stores were set aside, and there are %v", kept)
	}
	if left, _ := filepath.Glob(filepath.Join(r.state, "*.new*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRescueLeavesALockedStoreAlone: a store in use is not damaged. Nothing takes its place, and it is found once it is free.
func TestRescueLeavesALockedStoreAlone(t *testing.T) {
	r := newBrokenBox(t)
	holder, err := storage.Open(storage.Config{Path: r.file(), Logger: noLog})
	if err != nil {
		t.Fatal(err)
	}
	r.open()
	if said := r.Rescue(); said.Store != "" || !strings.Contains(said.Trouble, "in use") {
		t.Errorf("a store in use: %+v", said)
	}
	for name, do := range map[string]func() error{
		"copy":  func() error { _, err := r.UseCopy(t.Context()); return err },
		"reset": func() error { _, err := r.Reset(t.Context()); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "may be whole") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(r.copy()); err != nil {
		t.Fatal(err)
	}
	if _, everybody, err := r.people(); err != nil || everybody {
		t.Errorf("everybody may do everything: %v, %v", everybody, err)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if said := r.Rescue(); said.Store != "" || said.Trouble != "" || r.store == nil {
		t.Errorf("when it is free: %+v", said)
	}
}

// TestRescueFindsUsersAnyhow: whatever is wrong with store and copy, there is a rescue.
func TestRescueFindsUsersAnyhow(t *testing.T) {
	for name, c := range map[string]struct {
		do        func(t *testing.T, r *rescue)
		ada       bool // the users of the copy count
		everybody bool
	}{
		"damaged": {do: func(t *testing.T, r *rescue) { damageFile(t, r.file()) }, ada: true},
		"missing": {do: func(t *testing.T, r *rescue) { _ = os.Remove(r.file()) }, ada: true},
		"both damaged": {do: func(t *testing.T, r *rescue) {
			damageFile(t, r.file())
			if err := os.WriteFile(r.copy(), []byte("short"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, everybody: true},
		"copy of a newer version": {do: func(t *testing.T, r *rescue) {
			damageFile(t, r.file())
			store, err := storage.Open(storage.Config{Path: r.copy(), Logger: noLog, Migrations: []storage.Migration{{Version: 1, Reads: 1, Name: "newer"}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
		}},
		"users without a key": {do: func(t *testing.T, r *rescue) { spoilUsers(t, r.file()) }, ada: true},
		"users without a key in both": {do: func(t *testing.T, r *rescue) {
			spoilUsers(t, r.file())
			spoilUsers(t, r.copy())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newBrokenBox(t)
			c.do(t, r)
			r.open()
			users, everybody, err := r.people()
			if err != nil {
				t.Fatal(err)
			}
			if everybody != c.everybody || users.None() == c.ada {
				t.Errorf("everybody %v, no users %v", everybody, users.None())
			}
		})
	}
}

// spoilUsers writes a record into a store that no version can have written.
func spoilUsers(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("users"))
		return errors.Join(err, b.Put(bytes.Repeat([]byte("u"), storage.MaxKey+1), []byte("{}")))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestRescueRestartsTheMachine: with a reason or without, and in words where nobody does it.
func TestRescueRestartsTheMachine(t *testing.T) {
	m := rescueMachine{helper: filepath.Join(t.TempDir(), "nobody.sock")}
	for _, power := range []adminapi.Power{{Action: adminapi.PowerReboot, Reason: "a test"}, {Action: adminapi.PowerOff, Reason: "a test"}, {Action: adminapi.PowerReboot}} {
		if err := m.Power(t.Context(), power); err == nil || !strings.Contains(err.Error(), "helper") {
			t.Errorf("%+v: %v", power, err)
		}
	}
}

// TestRescueOfALostStore: the daemon does not begin anew beside a good copy, which it would write over. A reset says that it is to.
func TestRescueOfALostStore(t *testing.T) {
	r := newBrokenBox(t)
	for _, lose := range []func() error{func() error { return os.Truncate(r.file(), 0) }, func() error { return os.Remove(r.file()) }} {
		if err := checkStoreThere(r.state); err != nil {
			t.Errorf("with a store: %v", err)
		}
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), runFlags{state: r.state}); !errors.Is(err, errStoreMissing) {
			t.Errorf("without a store: %v", err)
		}
		r.open()
		if r.damage == "" || r.trouble != "" {
			t.Errorf("the rescue says %q, %q", r.damage, r.trouble)
		}
		if _, err := r.UseCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := checkStoreThere(r.state); err != nil {
		t.Errorf("after a reset: %v", err)
	}
	if _, err := os.Stat(r.file()); err == nil {
		t.Error("after a reset there is a store")
	}
}

// TestRescueGoesBackFurtherEachTime: what was bad before is not what comes back, also where the newest revision cannot be read.
func TestRescueGoesBackFurtherEachTime(t *testing.T) {
	r := newBrokenBox(t)
	r.open()
	for number := uint64(1); number <= 4; number++ {
		document := config.Default()
		document.Zone.ID = "00000000-0000-4000-8000-000000000001"
		document.Box.Hostname = fmt.Sprintf("box%d", number)
		if err := r.revisions.Append(t.Context(), config.Revision{Number: number, Time: time.Now(), Who: "ada", Document: document}); err != nil {
			t.Fatal(err)
		}
	}
	unread := func(number uint64) {
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(r.file(), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("revisions")).Put(binary.BigEndian.AppendUint64(nil, number), []byte(`{"number":1,"yaml":"zone: ["}`))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		r.open()
	}
	previous := func(want string) {
		t.Helper()
		if _, err := r.UsePrevious(t.Context(), "ada"); err != nil {
			t.Fatal(err)
		}
		latest, err := r.revisions.Latest()
		if err != nil || latest.Document.Box.Hostname != want {
			t.Errorf("revision %d is of %q, want %q, %v", latest.Number, latest.Document.Box.Hostname, want, err)
		}
	}
	unread(5)
	if said := r.Rescue(); said.Previous == nil || said.Previous.Number != 4 {
		t.Errorf("beside a revision that cannot be read: %+v", said.Previous)
	}
	previous("box4") // 6
	previous("box3") // 7, and not 5
	if _, err := r.UseNetwork(t.Context(), adminapi.RescueNetwork{Interface: "eth0", Address: "192.0.2.7/24"}, "ada"); err != nil {
		t.Fatal(err)
	}
	previous("box3") // 9: the network alone was bad
	previous("box2")
	unread(11)
	if _, err := r.UseNetwork(t.Context(), adminapi.RescueNetwork{Interface: "eth0", Address: "192.0.2.7/24"}, "ada"); err != nil {
		t.Fatal(err)
	}
	if latest, err := r.revisions.Latest(); err != nil || latest.Number != 12 || latest.Document.Box.Hostname != "box2" {
		t.Errorf("an address beside a revision that cannot be read: %d, %v", latest.Number, err)
	}
}

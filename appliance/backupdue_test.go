package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"meetzone/appliance/admin"
	"meetzone/appliance/backup"
	"meetzone/appliance/config"
	"meetzone/storage"
)

// newBackups returns as much of a daemon as making backups needs: one every day, so many of them kept.
func newBackups(t *testing.T, keep int) *backups {
	t.Helper()
	state, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	store, err := storage.Open(storage.Config{Path: filepath.Join(state, "meetzone.db"), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	revisions, err := admin.NewRevisionStore(store)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := admin.NewRevisions(admin.RevisionsConfig{Store: revisions, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	document := config.Default()
	document.Zone.ID, document.Backup = "zone", config.Backup{Every: config.Duration(24 * time.Hour), Keep: keep}
	if err := engine.Start(t.Context(), document); err != nil {
		t.Fatal(err)
	}
	own, err := openIdentity(state)
	if err != nil {
		t.Fatal(err)
	}
	b := &backups{d: &daemon{flags: runFlags{state: state}, log: quiet, store: store, revisions: engine, identity: own}, store: revisions}
	if err := b.SetPassphrase(somePassphrase); err != nil {
		t.Fatal(err)
	}
	return b
}

// listed are the times of the backups that are kept, newest first.
func listed(t *testing.T, b *backups) (times []time.Time) {
	t.Helper()
	have, err := b.Backups()
	if err != nil || have.Problem != "" {
		t.Fatalf("%q, %v", have.Problem, err)
	}
	for _, one := range have.Backups {
		times = append(times, one.Created)
	}
	return times
}

// TestBackupsAreMadeWhenDue lets four days go by: a backup at the start and one each day, of which three are kept.
func TestBackupsAreMadeWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackups(t, 3)
		begun := time.Now().UTC()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.runBackups(ctx) }()
		days := func(numbers ...int) (times []time.Time) {
			for _, n := range numbers {
				times = append(times, begun.Add(time.Duration(n)*24*time.Hour))
			}
			return times
		}
		for _, step := range []struct {
			wait time.Duration
			want []time.Time
		}{
			{0, days(0)}, {24*time.Hour - time.Second, days(0)}, {time.Second, days(1, 0)}, {24 * time.Hour, days(2, 1, 0)}, {24 * time.Hour, days(3, 2, 1)},
		} {
			time.Sleep(step.wait)
			synctest.Wait()
			if got := listed(t, b); !slices.EqualFunc(got, step.want, time.Time.Equal) {
				t.Errorf("after %v more there are %v, want %v", step.wait, got, step.want)
			}
		}
		file, err := b.File("meetzone-" + days(3)[0].Format("20060102T150405Z") + ".age")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Read(bytes.NewReader(file.Data), somePassphrase); err != nil {
			t.Errorf("what was made cannot be read: %v", err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestBackupsAfterAClockThatRanAhead finds backups of times that are still to come. They hold up none that is due, have none made that is not, and
// go before those that are real.
func TestBackupsAfterAClockThatRanAhead(t *testing.T) {
	b, now := newBackups(t, 4), time.Now().UTC().Truncate(time.Second)
	day := 24 * time.Hour
	times := []time.Time{now.Add(400 * day), now.Add(399 * day), now.Add(-day - time.Hour), now.Add(-2*day - time.Hour), now.Add(-3*day - time.Hour)}
	if err := os.Mkdir(b.folder(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, at := range times {
		if err := os.WriteFile(filepath.Join(b.folder(), "meetzone-"+at.Format("20060102T150405Z")+".age"), []byte("backup"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for look := range 3 {
		b.due(t.Context(), time.Now())
		got := listed(t, b)
		if len(got) != 4 || got[0].Before(now) || got[0].After(time.Now()) || !slices.Equal(got[1:], times[2:]) {
			t.Fatalf("after look %d there are %v, want one of now and %v", look, got, times[2:])
		}
	}
}

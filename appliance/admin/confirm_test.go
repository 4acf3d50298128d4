package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/config"
	"meetzone/storage"
	"meetzone/storage/storagetest"
)

// commitWaiting commits a name that has to be confirmed.
func commitWaiting(t testing.TB, r *Revisions, name string, confirm time.Duration) {
	t.Helper()
	if err := r.Edit(t.Context(), named(name)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), CommitOptions{Who: "test", Confirm: confirm}); err != nil {
		t.Fatal(err)
	}
}

// countdown runs the countdown until the test ends and returns what it takes back.
func countdown(t *testing.T, r *Revisions) <-chan config.Revision {
	t.Helper()
	taken, done := make(chan config.Revision, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { done <- r.RunCountdown(ctx, func(r config.Revision) { taken <- r }) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return taken
}

// TestUnconfirmedComesUndone: nobody confirms, and the revision before is back, in the kernel and on the disk.
func TestUnconfirmedComesUndone(t *testing.T) {
	parts := newParts(t.TempDir(), nil)
	r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
	start(t, r)
	taken := countdown(t, r)
	commitWaiting(t, r, "cut off", 50*time.Millisecond)
	back := <-taken
	if back.Document.Zone.Name != "first" || back.Number != 3 || kernel(t, parts) != "first first first" {
		t.Errorf("revision %d is %s, the kernel has %s", back.Number, back.Document.Zone.Name, kernel(t, parts))
	}
	if _, found, err := r.cfg.Store.Unconfirmed(); found || err != nil || r.Waiting().Number != 0 {
		t.Errorf("it still waits: %v, %v", found, err)
	}
	if _, err := r.Confirm(t.Context(), "test"); !errors.Is(err, ErrNotWaiting) {
		t.Errorf("confirmed too late: %v", err)
	}
}

// TestComesUndoneWhateverPartsSay: the revision before is back also where a part refuses it by now, as for a file that has gone since, and where another
// cannot apply it any more. The others have it, and what failed is shown.
func TestComesUndoneWhateverPartsSay(t *testing.T) {
	parts := newParts(t.TempDir(), nil)
	r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
	start(t, r)
	taken := countdown(t, r)
	commitWaiting(t, r, "cut off", time.Hour)
	if failed := r.Failed(); len(failed) != 0 {
		t.Fatalf("after the commit: %v", failed)
	}
	no := func(d config.Document) error {
		if d.Zone.Name == "first" {
			return errors.New("there is no such file any more")
		}
		return nil
	}
	parts[0].refuse, parts[1].fail = no, no
	w := r.Waiting()
	w.Until = time.Now()
	r.setWaiting(w)
	select {
	case back := <-taken:
		if back.Document.Zone.Name != "first" || kernel(t, parts) != "first cut off first" {
			t.Errorf("revision %d is %s, the kernel has %s", back.Number, back.Document.Zone.Name, kernel(t, parts))
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("still there: %s", kernel(t, parts))
	}
	if failed := r.Failed(); len(failed) != 1 || r.Waiting().Number != 0 {
		t.Errorf("shown: %v, waits %+v", failed, r.Waiting())
	}
	if latest, err := r.cfg.Store.Latest(); err != nil || latest.Document.Zone.Name != "first" {
		t.Errorf("a start would have %s, %v", latest.Document.Zone.Name, err)
	}
}

// TestConfirmedStays: confirmed in time it stays, and nothing is committed on top before.
func TestConfirmedStays(t *testing.T) {
	parts := newParts(t.TempDir(), nil)
	r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
	start(t, r)
	taken := countdown(t, r)
	commitWaiting(t, r, "good", time.Hour)
	if err := r.Edit(t.Context(), named("on top")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), CommitOptions{}); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("a commit on top: %v", err)
	}
	if running, err := r.Confirm(t.Context(), "test"); err != nil || running.Number != 2 {
		t.Errorf("confirm: revision %d, %v", running.Number, err)
	}
	if _, found, err := r.cfg.Store.Unconfirmed(); found || err != nil || len(taken) > 0 || kernel(t, parts) != "good good good" {
		t.Errorf("after the confirmation: waits %v, %v; kernel %s", found, err, kernel(t, parts))
	}
	commitWaiting(t, r, "doubtful", time.Hour)
	if _, err := r.Rollback(t.Context(), 0, CommitOptions{}); err != nil || r.Waiting().Number != 0 || kernel(t, parts) != "good good good" {
		t.Errorf("rolled back by hand: %v, waits %+v, kernel %s", err, r.Waiting(), kernel(t, parts))
	}
}

// TestUnconfirmedAtTheStart: a daemon that died goes back before anything is opened; one that ended in order goes on waiting, and dies once.
func TestUnconfirmedAtTheStart(t *testing.T) {
	for name, planned := range map[string]bool{"died": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			var err error
			quiet, parts := slog.New(slog.DiscardHandler), newParts(t.TempDir(), nil)
			r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
			start(t, r)
			commitWaiting(t, r, "new", time.Hour)
			want, waits := "first", uint64(0)
			if planned {
				if err := r.PlanRestart(t.Context()); err != nil {
					t.Fatal(err)
				}
				want, waits = "new", 2
			}
			if r, err = NewRevisions(r.cfg); err != nil { // another daemon on the same disk
				t.Fatal(err)
			}
			if err := TakeBackUnconfirmed(t.Context(), r.cfg.Store, quiet); err != nil {
				t.Fatal(err)
			}
			start(t, r)
			if r.Running().Document.Zone.Name != want || r.Waiting().Number != waits || kernel(t, parts) != strings.Join([]string{want, want, want}, " ") {
				t.Errorf("runs %s, waits %+v, kernel %s", r.Running().Document.Zone.Name, r.Waiting(), kernel(t, parts))
			}
			if left := time.Until(r.Waiting().Until); planned && (left < 50*time.Minute || left > time.Hour) {
				t.Errorf("%v left of an hour", left)
			}
			if err := TakeBackUnconfirmed(t.Context(), r.cfg.Store, quiet); err != nil {
				t.Fatal(err)
			}
			if latest, err := r.cfg.Store.Latest(); err != nil || latest.Document.Zone.Name != "first" {
				t.Errorf("after a death: %s, %v", latest.Document.Zone.Name, err)
			}
		})
	}
}

const killVariable = "MEETZONE_ADMIN_KILL"

// TestKillWhileCommitting kills a process at random instants of committing, confirming and rolling back. Each next start has one whole revision,
// never one that was not confirmed, never an older one than was acknowledged, and the kernel agrees with it.
func TestKillWhileCommitting(t *testing.T) {
	rounds := 60
	if os.Getenv("MEETZONE_LONG") != "" {
		rounds = 300
	}
	dir := t.TempDir()
	acknowledged := 0
	stable := "first"
	for round := range rounds {
		said := killedChild(t, dir, time.Duration(rand.Int64N(int64(40*time.Millisecond))))
		allowed := []string{stable}
		for _, line := range said {
			name, _ := strings.CutPrefix(line, "begin ")
			if done, ok := strings.CutPrefix(line, "done "); ok {
				acknowledged++
				allowed = []string{done}
			} else {
				allowed = append(allowed, name)
			}
		}
		parts := newParts(dir, nil)
		func() {
			s, err := storage.Open(storage.Config{Path: filepath.Join(dir, "s.db"), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			defer s.Close()
			r := newRevisions(t, s, parts)
			if err := TakeBackUnconfirmed(t.Context(), r.cfg.Store, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			start(t, r)
			stable = r.Running().Document.Zone.Name
		}()
		if !slices.Contains(allowed, stable) {
			t.Fatalf("round %d: runs %s, allowed %q after %q", round, stable, allowed, said)
		}
		if got := kernel(t, parts); got != strings.Join([]string{stable, stable, stable}, " ") {
			t.Fatalf("round %d: the kernel has %s, the revision %s", round, got, stable)
		}
	}
	t.Logf("%d rounds, %d acknowledged changes", rounds, acknowledged)
	if acknowledged < rounds/4 {
		t.Errorf("only %d changes were acknowledged in %d rounds: the test proves little", acknowledged, rounds)
	}
}

// killedChild runs a child until it is killed, some time after its first word, and returns what it said.
func killedChild(t *testing.T, dir string, after time.Duration) (said []string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killVariable+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if len(said) == 0 {
			time.AfterFunc(after, func() { _ = child.Process.Kill() })
		}
		said = append(said, lines.Text())
	}
	_ = child.Wait() // killed
	return said
}

// changeForEver is the child: it says what it begins when that can be what the next start has, and what is done when that must be.
func changeForEver(dir string) error {
	s, err := storage.Open(storage.Config{Path: filepath.Join(dir, "s.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	store, err := NewRevisionStore(s)
	if err != nil {
		return err
	}
	ctx, quiet := context.Background(), slog.New(slog.DiscardHandler)
	cfg := RevisionsConfig{Store: store, Logger: quiet}
	for _, p := range newParts(dir, nil) {
		cfg.Parts = append(cfg.Parts, p)
	}
	r, err := NewRevisions(cfg)
	if err != nil {
		return err
	}
	first := config.Default()
	first.Zone.Name = "first"
	if err := errors.Join(TakeBackUnconfirmed(ctx, store, quiet), r.Start(ctx, first)); err != nil {
		return err
	}
	fmt.Println("done", r.Running().Document.Zone.Name)
	for n := 0; ; n++ {
		stable, next := r.Running().Document.Zone.Name, fmt.Sprintf("n%d-%d", os.Getpid(), n)
		if err := r.Edit(ctx, named(next)); err != nil {
			return err
		}
		if n%3 == 0 {
			fmt.Println("begin", next)
			if _, err := r.Commit(ctx, CommitOptions{}); err != nil {
				return err
			}
			fmt.Println("done", next)
			continue
		}
		if _, err := r.Commit(ctx, CommitOptions{Confirm: time.Hour}); err != nil {
			return err
		}
		if n%3 == 1 {
			fmt.Println("begin", next)
			if _, err := r.Confirm(ctx, "child"); err != nil {
				return err
			}
			fmt.Println("done", next)
			continue
		}
		if _, err := r.Rollback(ctx, 0, CommitOptions{}); err != nil {
			return err
		}
		fmt.Println("done", stable)
	}
}

// TestPlannedStartFails: the restart that a revision needs fails because of it, and the start after that goes back.
func TestPlannedStartFails(t *testing.T) {
	r := newRevisions(t, storagetest.Open(t, storage.Config{}), newParts(t.TempDir(), nil))
	start(t, r)
	commitWaiting(t, r, "cannot start", time.Hour)
	if err := r.PlanRestart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"cannot start", "first"} {
		if err := TakeBackUnconfirmed(t.Context(), r.cfg.Store, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		if latest, err := r.cfg.Store.Latest(); err != nil || latest.Document.Zone.Name != want {
			t.Errorf("start %d: %s, want %s; %v", i+1, latest.Document.Zone.Name, want, err)
		}
	}
}

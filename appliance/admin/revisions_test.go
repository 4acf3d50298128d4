package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"meetzone/appliance/config"
	"meetzone/storage"
	"meetzone/storage/storagetest"
)

const crashVariable = "MEETZONE_ADMIN_CRASH"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashVariable); dir != "" {
		crash(dir)
		os.Exit(1) // it was to be killed
	}
	if dir := os.Getenv(killVariable); dir != "" {
		fmt.Fprintln(os.Stderr, changeForEver(dir))
		os.Exit(1) // it was to be killed
	}
	os.Exit(m.Run())
}

// filePart is a part whose kernel is a file: what it has applied is there, whatever becomes of the process.
type filePart struct {
	name    string
	path    string
	journal *[]string // names of parts in the order of applying
	refuse  func(config.Document) error
	fail    func(config.Document) error
}

func (p *filePart) Name() string { return p.name }

func (p *filePart) Check(d config.Document) error {
	if p.refuse == nil {
		return nil
	}
	return p.refuse(d)
}

func (p *filePart) Apply(_ context.Context, d config.Document) (config.Actual, error) {
	if p.journal != nil {
		*p.journal = append(*p.journal, p.name+"="+d.Zone.Name)
	}
	if p.fail != nil {
		if err := p.fail(d); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(p.path, []byte(d.Zone.Name), 0o600); err != nil {
		return nil, err
	}
	return p.Observe(d), nil
}

func (p *filePart) Observe(d config.Document) config.Actual {
	is, err := os.ReadFile(p.path)
	note := ""
	if err != nil {
		note = err.Error()
	}
	return config.Actual{{Key: "zone.name", Wanted: d.Zone.Name, Actual: string(is), Note: note}}
}

// kernel says what the parts have really applied.
func kernel(t testing.TB, parts []*filePart) string {
	t.Helper()
	var all []string
	for _, p := range parts {
		is, err := os.ReadFile(p.path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(is))
	}
	return strings.Join(all, " ")
}

func newParts(dir string, journal *[]string) []*filePart {
	var parts []*filePart
	for _, name := range []string{"one", "two", "three"} {
		parts = append(parts, &filePart{name: name, path: filepath.Join(dir, name), journal: journal})
	}
	return parts
}

func newRevisions(t testing.TB, s *storage.Store, parts []*filePart) *Revisions {
	t.Helper()
	store, err := NewRevisionStore(s)
	if err != nil {
		t.Fatal(err)
	}
	cfg := RevisionsConfig{Store: store, Logger: slog.New(slog.DiscardHandler)}
	for _, p := range parts {
		cfg.Parts = append(cfg.Parts, p)
	}
	r, err := NewRevisions(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func named(name string) func(config.Document) (config.Document, error) {
	return func(d config.Document) (config.Document, error) { return d.Set("zone.name", name) }
}

func start(t testing.TB, r *Revisions) {
	t.Helper()
	first := config.Default()
	first.Zone.Name = "first"
	if err := r.Start(t.Context(), first); err != nil {
		t.Fatal(err)
	}
}

func commitName(t testing.TB, r *Revisions, name string) (config.Revision, error) {
	t.Helper()
	if err := r.Edit(t.Context(), named(name)); err != nil {
		t.Fatal(err)
	}
	return r.Commit(t.Context(), CommitOptions{Who: "test", Comment: "to " + name})
}

func TestCommitAndRollback(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := storagetest.Open(t, storage.Config{Path: path})
	parts := newParts(t.TempDir(), nil)
	r := newRevisions(t, s, parts)
	start(t, r)
	if _, err := r.Commit(t.Context(), CommitOptions{}); !errors.Is(err, ErrNothing) {
		t.Errorf("an empty commit: %v", err)
	}
	if _, err := r.Rollback(t.Context(), 0, CommitOptions{}); !errors.Is(err, ErrNoRevision) {
		t.Errorf("a rollback from the first revision: %v", err)
	}
	for _, name := range []string{"second", "third"} {
		if _, err := commitName(t, r, name); err != nil {
			t.Fatal(err)
		}
	}
	if got := kernel(t, parts); got != "third third third" {
		t.Errorf("applied: %s", got)
	}
	if _, edited, err := r.Candidate(); edited || err != nil {
		t.Errorf("the candidate outlives its commit: %v %v", edited, err)
	}
	if back, err := r.Rollback(t.Context(), 1, CommitOptions{Who: "test"}); err != nil || back.Number != 4 {
		t.Errorf("rollback: revision %d, %v", back.Number, err)
	}
	if back, err := r.Rollback(t.Context(), 0, CommitOptions{Who: "test"}); err != nil || back.Document.Zone.Name != "third" {
		t.Errorf("rollback to the one before: %s, %v", back.Document.Zone.Name, err)
	}
	if _, err := r.Rollback(t.Context(), 99, CommitOptions{}); !errors.Is(err, ErrNoRevision) {
		t.Errorf("rollback to nowhere: %v", err)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r = newRevisions(t, storagetest.Open(t, storage.Config{Path: path}), parts)
	start(t, r)
	if got := r.Running(); got.Number != 5 || got.Document.Zone.Name != "third" || got.Who != "test" {
		t.Errorf("after a restart revision %d, %s, by %s", got.Number, got.Document.Zone.Name, got.Who)
	}
	history, err := r.History()
	var names []string
	for _, revision := range history {
		names = append(names, fmt.Sprint(revision.Number, " ", revision.Document.Zone.Name, ": ", revision.Comment))
	}
	want := []string{"5 third: rollback to revision 3", "4 first: rollback to revision 1", "3 third: to third", "2 second: to second", "1 first: first start"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("history %q, %v, want %q", names, err, want)
	}
}

func TestFailedApplyIsUndoneInReverse(t *testing.T) {
	var journal []string
	parts := newParts(t.TempDir(), &journal)
	r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
	start(t, r)
	parts[1].fail = func(d config.Document) error {
		if d.Zone.Name == "bad" {
			return errors.New("the wire is cut")
		}
		return nil
	}
	journal = nil
	_, err := commitName(t, r, "bad")
	var failed *PartError
	if !errors.As(err, &failed) || failed.Part != "two" || failed.Op != "apply" {
		t.Fatalf("got %v", err)
	}
	if want := []string{"one=bad", "two=bad", "two=first", "one=first"}; !slices.Equal(journal, want) {
		t.Errorf("applied in the order %q, want %q", journal, want)
	}
	if got := kernel(t, parts); got != "first first first" {
		t.Errorf("after the undo: %s", got)
	}
	if r.Running().Number != 1 {
		t.Errorf("revision %d runs", r.Running().Number)
	}
	if _, edited, _ := r.Candidate(); !edited {
		t.Error("the person's work is gone with the failed commit")
	}
	if _, pending, err := r.cfg.Store.Pending(); pending || err != nil {
		t.Errorf("the journal stays open: %v", err)
	}
	if _, err := commitName(t, r, "good"); err != nil || kernel(t, parts) != "good good good" {
		t.Errorf("the next commit: %v, %s", err, kernel(t, parts))
	}
}

func TestFailedUndoIsTold(t *testing.T) {
	parts := newParts(t.TempDir(), nil)
	r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
	start(t, r)
	broken := true
	parts[1].fail = func(config.Document) error {
		if broken {
			return errors.New("dead")
		}
		return nil
	}
	_, err := commitName(t, r, "bad")
	if undo := new(UndoError); !errors.As(err, &undo) {
		t.Errorf("got %v", err)
	}
	if states := r.Parts(); states[1].Err == nil || states[0].Err != nil || !states[0].Actual[0].Agrees() {
		t.Errorf("parts %+v", states)
	}
	broken = false
	if _, err := commitName(t, r, "good"); err != nil || r.Parts()[1].Err != nil {
		t.Errorf("after the repair: %v, %+v", err, r.Parts())
	}
}

func TestEveryPartIsAskedBeforeOneIsTold(t *testing.T) {
	var journal []string
	parts := newParts(t.TempDir(), &journal)
	r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
	start(t, r)
	for _, i := range []int{0, 2} {
		parts[i].refuse = func(config.Document) error { return errors.New("not with me") }
	}
	journal = nil
	_, err := commitName(t, r, "bad")
	if err == nil || !strings.Contains(err.Error(), "one: check") || !strings.Contains(err.Error(), "three: check") {
		t.Errorf("got %v", err)
	}
	if len(journal) > 0 {
		t.Errorf("parts were touched: %q", journal)
	}
	parts[0].refuse, parts[2].refuse = nil, nil
	err = r.Edit(t.Context(), func(d config.Document) (config.Document, error) { return d.Set("zone.limits.meetings", "0") })
	if err != nil {
		t.Fatal(err)
	}
	var problems config.Problems
	if _, err := r.Commit(t.Context(), CommitOptions{}); !errors.As(err, &problems) || len(journal) > 0 {
		t.Errorf("an invalid document: %v, applied %q", err, journal)
	}
}

func TestOverrideIsNotStored(t *testing.T) {
	parts := newParts(t.TempDir(), nil)
	r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
	r.cfg.Override = func(d config.Document) config.Document { d.Zone.Name = "flag"; return d }
	start(t, r)
	if got := kernel(t, parts); got != "flag flag flag" || r.Running().Document.Zone.Name != "first" {
		t.Errorf("applied %s, stored %s", got, r.Running().Document.Zone.Name)
	}
}

// busyStore loses its tongue: the revision is written, and the answer is that nobody knows.
type busyStore struct {
	config.Store
	write, busy bool
}

func (b *busyStore) Append(ctx context.Context, next config.Revision) error {
	if !b.busy {
		return b.Store.Append(ctx, next)
	}
	if b.write {
		if err := b.Store.Append(ctx, next); err != nil {
			return err
		}
	}
	return fmt.Errorf("writing: %w", storage.ErrBusy)
}

func TestSilentDiskIsSettledLater(t *testing.T) {
	for name, written := range map[string]bool{"written after all": true, "never written": false} {
		t.Run(name, func(t *testing.T) {
			parts := newParts(t.TempDir(), nil)
			r := newRevisions(t, storagetest.Open(t, storage.Config{}), parts)
			disk := &busyStore{Store: r.cfg.Store, write: written}
			r.cfg.Store = disk
			start(t, r)
			disk.busy = true
			if _, err := commitName(t, r, "lost"); !errors.Is(err, storage.ErrBusy) {
				t.Fatalf("got %v", err)
			}
			if got := kernel(t, parts); got != "first first first" {
				t.Errorf("after the undo: %s", got)
			}
			disk.busy = false
			if err := r.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			latest, err := disk.Latest()
			if err != nil || latest.Document.Zone.Name != "first" || latest.Number != r.Running().Number {
				t.Errorf("the disk has %d %s, the box runs %d; %v", latest.Number, latest.Document.Zone.Name, r.Running().Number, err)
			}
			if _, pending, _ := disk.Pending(); pending {
				t.Error("the journal stays open")
			}
			if _, err := commitName(t, r, "next"); err != nil {
				t.Errorf("the next commit: %v", err)
			}
		})
	}
}

func TestHistoryIsBounded(t *testing.T) {
	store, err := NewRevisionStore(storagetest.Open(t, storage.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= keepRevisions+3; n++ {
		if err := store.Append(t.Context(), config.Revision{Number: n, Document: config.Default()}); err != nil {
			t.Fatal(err)
		}
	}
	history, err := store.History()
	if err != nil || len(history) != keepRevisions || history[0].Number != keepRevisions+3 {
		t.Errorf("%d revisions from %d, %v", len(history), history[0].Number, err)
	}
	if err := store.Append(t.Context(), config.Revision{Number: 7, Document: config.Default()}); !errors.Is(err, ErrTaken) {
		t.Errorf("a number that is taken: %v", err)
	}
}

// TestCrashInCommit kills a process while its second part applies a commit. The next start brings back one whole revision.
func TestCrashInCommit(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashVariable+"="+dir)
	out, err := child.CombinedOutput()
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child: %v\n%s", err, out)
	}
	parts := newParts(dir, nil)
	if got := kernel(t, parts); got != "half first first" {
		t.Fatalf("the crash left %s; the test proves nothing", got)
	}
	r := newRevisions(t, storagetest.Open(t, storage.Config{Path: filepath.Join(dir, "s.db")}), parts)
	if pending, found, err := r.cfg.Store.Pending(); !found || err != nil || pending.Number != 2 {
		t.Errorf("the journal has %v, %v, %v", pending.Number, found, err)
	}
	start(t, r)
	if got := kernel(t, parts); got != "first first first" || r.Running().Number != 1 {
		t.Errorf("after the start: %s, revision %d", got, r.Running().Number)
	}
	if _, found, _ := r.cfg.Store.Pending(); found {
		t.Error("the journal stays open")
	}
	if _, err := r.Commit(t.Context(), CommitOptions{}); err != nil || kernel(t, parts) != "half half half" {
		t.Errorf("committing the candidate again: %v, %s", err, kernel(t, parts))
	}
}

// crash is the child of TestCrashInCommit.
func crash(dir string) {
	s, err := storage.Open(storage.Config{Path: filepath.Join(dir, "s.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	store, err := NewRevisionStore(s)
	if err != nil {
		panic(err)
	}
	parts := newParts(dir, nil)
	parts[1].fail = func(d config.Document) error {
		if d.Zone.Name == "half" {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}
	r, err := NewRevisions(RevisionsConfig{Store: store, Parts: []config.Part{parts[0], parts[1], parts[2]}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	first := config.Default()
	first.Zone.Name = "first"
	ctx := context.Background()
	if err := errors.Join(r.Start(ctx, first), r.Edit(ctx, named("half"))); err != nil {
		panic(err)
	}
	_, err = r.Commit(ctx, CommitOptions{})
	fmt.Fprintln(os.Stderr, "survived:", err)
	select {}
}

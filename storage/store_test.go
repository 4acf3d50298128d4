package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/storage"
	"meetzone/storage/storagetest"
)

type room struct {
	Title string    `json:"title"`
	Seats int       `json:"seats,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

func openTable[K storage.Key, V any](t testing.TB, s *storage.Store, name string) *storage.Table[K, V] {
	t.Helper()
	table, err := storage.OpenTable[K, V](s, name)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecordsSurviveReopening(t *testing.T) {
	cfg := storage.Config{Path: filepath.Join(t.TempDir(), "new", "folder", "s.db")}
	s := storagetest.Open(t, cfg)
	rooms := openTable[string, room](t, s, "rooms")
	must(t, rooms.Put(t.Context(), "b", room{Title: "B", Seats: 3}))
	must(t, rooms.Put(t.Context(), "a", room{Title: "A"}))
	must(t, rooms.Put(t.Context(), "c", room{Title: "C"}))
	must(t, rooms.Delete(t.Context(), "c"))
	must(t, rooms.Delete(t.Context(), "never there"))
	must(t, s.Close())

	again := storagetest.Open(t, cfg)
	rooms = openTable[string, room](t, again, "rooms")
	var got []string
	for key, r := range rooms.All() {
		got = append(got, fmt.Sprint(key, r.Title, r.Seats))
	}
	if want := []string{"aA0", "bB3"}; !slices.Equal(got, want) {
		t.Errorf("records %v, want %v", got, want)
	}
	for path, want := range map[string]os.FileMode{cfg.Path: 0o600, filepath.Dir(cfg.Path): 0o700 | os.ModeDir} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}

func TestNumbersSortByValue(t *testing.T) {
	s := storagetest.Open(t, storage.Config{})
	revisions := openTable[uint64, room](t, s, "revisions")
	for _, n := range []uint64{300, 2, 1, 1 << 40} {
		must(t, revisions.Put(t.Context(), n, room{}))
	}
	if got, want := revisions.Keys(), []uint64{1, 2, 300, 1 << 40}; !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
}

func TestTransactionIsWholeOrNothing(t *testing.T) {
	s := storagetest.Open(t, storage.Config{})
	rooms := openTable[string, room](t, s, "rooms")
	seats := openTable[uint64, room](t, s, "seats")
	refusal := errors.New("no")
	err := s.Update(t.Context(), func(tx *storage.Tx) error {
		must(t, rooms.In(tx).Put("a", room{Title: "A"}))
		must(t, seats.In(tx).Put(7, room{}))
		if r, found, err := rooms.In(tx).Get("a"); !found || err != nil || r.Title != "A" {
			t.Errorf("a transaction does not see its own writes: %v %v %v", r, found, err)
		}
		if keys := seats.In(tx).Keys(); !slices.Equal(keys, []uint64{7}) {
			t.Errorf("keys inside the transaction: %v", keys)
		}
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
	if rooms.Len()+seats.Len() != 0 {
		t.Error("a refused transaction left something behind")
	}
	if s.Stats().Refused != 0 {
		t.Error("a refusal of the caller was put down to the disk")
	}
}

func TestPanicGoesOnInTheCaller(t *testing.T) {
	s := storagetest.Open(t, storage.Config{})
	func() {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "own mistake") {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = s.Update(t.Context(), func(*storage.Tx) error { panic("own mistake") })
	}()
	must(t, openTable[string, room](t, s, "rooms").Put(t.Context(), "a", room{}))
}

func TestClosedStoreRefuses(t *testing.T) {
	s := storagetest.Open(t, storage.Config{})
	rooms := openTable[string, room](t, s, "rooms")
	must(t, rooms.Put(t.Context(), "a", room{Title: "A"}))
	must(t, s.Close())
	must(t, s.Close())
	if err := rooms.Put(t.Context(), "b", room{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if r, found, _ := rooms.Get("a"); !found || r.Title != "A" {
		t.Error("reads need no file")
	}
}

func TestCancelledWriteIsNotMade(t *testing.T) {
	s := storagetest.Open(t, storage.Config{})
	rooms := openTable[string, room](t, s, "rooms")
	ctx, cancel := context.WithCancel(t.Context())
	begun, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- s.Update(context.Background(), func(*storage.Tx) error { close(begun); <-release; return nil })
	}()
	<-begun
	cancel()
	if err := rooms.Put(ctx, "a", room{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	must(t, <-first)
	must(t, rooms.Put(t.Context(), "b", room{}))
	if got := rooms.Keys(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("keys %v: a write that was refused was made", got)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	cfg := storage.Config{Path: filepath.Join(t.TempDir(), "s.db"), LockTimeout: 30 * time.Millisecond}
	storagetest.Open(t, cfg)
	if _, err := storage.Open(cfg); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
}

func TestSnapshotIsAStore(t *testing.T) {
	s := storagetest.Open(t, storage.Config{})
	rooms := openTable[string, room](t, s, "rooms")
	must(t, rooms.Put(t.Context(), "a", room{Title: "A"}))
	var copied bytes.Buffer
	must(t, s.Snapshot(&copied))
	must(t, rooms.Put(t.Context(), "b", room{}))

	path := filepath.Join(t.TempDir(), "copy.db")
	must(t, os.WriteFile(path, copied.Bytes(), 0o600))
	restored := storagetest.Open(t, storage.Config{Path: path})
	if got := openTable[string, room](t, restored, "rooms").Keys(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the snapshot has %v", got)
	}
}

func TestDamagedFileIsNamed(t *testing.T) {
	dir := t.TempDir()
	for name, damage := range map[string]func([]byte) []byte{
		"noise":     func(b []byte) []byte { return bytes.Repeat([]byte("noise"), len(b)/5) },
		"truncated": func(b []byte) []byte { return b[:3*os.Getpagesize()] },
		"metas":     func(b []byte) []byte { clear(b[:2*os.Getpagesize()]); return b },
	} {
		path := filepath.Join(dir, name)
		s, err := storage.Open(storage.Config{Path: path})
		must(t, err)
		must(t, openTable[string, room](t, s, "rooms").Put(t.Context(), "a", room{Title: strings.Repeat("x", 20_000)}))
		must(t, s.Close())
		whole, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, damage(whole), 0o600))
		if s, err = storage.Open(storage.Config{Path: path}); err == nil {
			err = errors.Join(s.Check(), s.Close())
		}
		if !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

// TestDamagedFileIsLetGoOf: bbolt panics over some files with their lock in hand. Whoever puts another in place finds it free.
func TestDamagedFileIsLetGoOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := storage.Open(storage.Config{Path: path})
	must(t, err)
	must(t, openTable[string, room](t, s, "rooms").Put(t.Context(), "a", room{Title: "x"}))
	must(t, s.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	damaged := slices.Clone(whole)
	clear(damaged[2*os.Getpagesize():])
	must(t, os.WriteFile(path, damaged, 0o600))
	if _, err := storage.Open(storage.Config{Path: path}); !errors.Is(err, storage.ErrCorrupt) {
		t.Fatalf("got %v, want ErrCorrupt", err)
	}
	must(t, os.WriteFile(path, whole, 0o600)) // the same file, so the same lock
	s, err = storage.Open(storage.Config{Path: path, LockTimeout: 100 * time.Millisecond})
	must(t, err)
	must(t, s.Close())
}

// TestWhatIsNotDamage: a store is damaged only where its content is.
func TestWhatIsNotDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s, err := storage.Open(storage.Config{Path: path})
	must(t, err)
	if err := storage.CheckFile(path); !errors.Is(err, storage.ErrLocked) || errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("in use: %v", err)
	}
	must(t, s.Close())
	must(t, storage.CheckFile(path))
	folder := t.TempDir() // the system opens a folder, but does not read it as a file
	if err := storage.CheckFile(folder); err == nil || errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a folder: %v", err)
	}
	must(t, os.WriteFile(path, []byte("short"), 0o600))
	if _, err := storage.Open(storage.Config{Path: path}); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a short file: %v", err)
	}
}

func TestStoreTooLargeIsFullAndRecovers(t *testing.T) {
	s := storagetest.Open(t, storage.Config{MaxSize: 256 << 10})
	rooms := openTable[string, room](t, s, "rooms")
	big := room{Title: strings.Repeat("x", 8<<10)}
	written, err := 0, error(nil)
	for ; err == nil && written < 1000; written++ {
		err = rooms.Put(t.Context(), fmt.Sprintf("%04d", written), big)
	}
	if !errors.Is(err, storage.ErrFull) {
		t.Fatalf("after %d records: %v, want ErrFull", written, err)
	}
	if a := s.Alarms(); len(a) != 1 || a[0].Code != storage.StoreFull {
		t.Errorf("alarms %v", a)
	}
	if rooms.Len() != written-1 {
		t.Errorf("%d records in memory, %d acknowledged", rooms.Len(), written-1)
	}
	must(t, rooms.Delete(t.Context(), "0000"))
	must(t, rooms.Put(t.Context(), "small", room{})) // and the alarm is over, or storagetest complains
}

func TestBadRecordsAreRefused(t *testing.T) {
	s := storagetest.Open(t, storage.Config{})
	rooms := openTable[string, room](t, s, "rooms")
	for name, err := range map[string]error{
		"empty key":    rooms.Put(t.Context(), "", room{}),
		"long key":     rooms.Put(t.Context(), strings.Repeat("k", storage.MaxKey+1), room{}),
		"large record": rooms.Put(t.Context(), "a", room{Title: strings.Repeat("x", storage.MaxRecord)}),
	} {
		if !errors.Is(err, storage.ErrKey) && !errors.Is(err, storage.ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := storage.OpenTable[string, room](s, "rooms"); err == nil {
		t.Error("a table was opened twice")
	}
	if _, err := storage.OpenTable[string, int](s, "numbers"); !errors.Is(err, storage.ErrRecord) {
		t.Errorf("a table of numbers: %v", err)
	}
}

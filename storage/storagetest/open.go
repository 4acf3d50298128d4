package storagetest

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"meetzone/storage"
)

// Open opens a store in the test's own folder, or at cfg.Path, and checks and closes it when the test is over. A store that the
// test has closed itself is opened once more for the check.
func Open(t testing.TB, cfg storage.Config) *storage.Store {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "store", "meetzone.db")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := storage.Open(cfg)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() { finish(t, cfg, s) })
	return s
}

func finish(t testing.TB, cfg storage.Config, s *storage.Store) {
	t.Helper()
	err := s.Check()
	if errors.Is(err, net.ErrClosed) {
		if s, err = storage.Open(cfg); err != nil {
			t.Errorf("opening the store again: %v", err)
			return
		}
		err = s.Check()
	}
	if err != nil {
		t.Errorf("the store is damaged after the test: %v", err)
	}
	for _, alarm := range s.Alarms() {
		t.Errorf("alarm %s still stands after the test", alarm.Code)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing the store: %v", err)
	}
}

package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/storage"
	"meetzone/storage/storagetest"
)

// machineOf is a folder that says what a machine says of itself.
func machineOf(t *testing.T) traces {
	dir := t.TempDir()
	where := traces{bootID: filepath.Join(dir, "boot_id"), watchdog: filepath.Join(dir, "watchdog*"), crashes: filepath.Join(dir, "pstore")}
	if err := os.Mkdir(where.crashes, 0o755); err != nil {
		t.Fatal(err)
	}
	return where
}

// TestStarts: after each way in which a run can end, the next one tells why it started.
func TestStarts(t *testing.T) {
	store := storagetest.Open(t, storage.Config{Path: filepath.Join(t.TempDir(), "db")})
	where := machineOf(t)
	put := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	table, err := storage.OpenTable[string, startRecord](store, tableStarts)
	if err != nil {
		t.Fatal(err)
	}
	start := func(boot string) *startBook {
		t.Helper()
		put(where.bootID, boot+"\n")
		s, err := beginStart(t.Context(), table, where, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	end := func(s *startBook) {
		t.Helper()
		if err := s.end(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	last := filepath.Join(where.crashes, "dmesg-efi-1")
	var run *startBook
	for _, step := range []struct {
		boot  string
		ended func(*startBook) // the run before
		code  adminapi.StartCode
		text  string
	}{
		{"a", nil, adminapi.StartFirst, "The box started for the first time."},
		{"a", end, adminapi.StartService, "The daemon was restarted in order."},
		{"a", func(*startBook) {}, adminapi.StartCrash, "The daemon ended without notice and was started again."},
		{"b", func(s *startBook) { s.because("new memory"); end(s) }, adminapi.StartOrderly, "The machine was restarted or switched off in order: new memory."},
		{"c", func(*startBook) {}, adminapi.StartPower, "The machine lost its power or was reset."},
		{"d", func(*startBook) { put(filepath.Join(filepath.Dir(where.bootID), "watchdog0"), "32\n") }, adminapi.StartWatchdog, "The machine did not move any more, and its watchdog reset it."},
		{"e", func(*startBook) {
			put(last, "Oops")
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(last, later, later); err != nil {
				t.Fatal(err)
			}
		}, adminapi.StartKernel, "The kernel crashed; its last words are kept in " + where.crashes + "."},
	} {
		if step.ended != nil {
			step.ended(run)
		}
		if run = start(step.boot); run.cause.Code != step.code || run.cause.Text != step.text {
			t.Errorf("boot %s: %+v, want %s, %q", step.boot, run.cause, step.code, step.text)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/storage"
)

// Why the daemon started: each run leaves a record that says in its beginning which boot of the machine it belongs to, and at its end that the end was in order. The next
// run reads it, and asks the kernel where the record has no end.

// tableStarts holds the record of the run that was last begun, under recordStart.
const (
	tableStarts = "starts"
	recordStart = "last"
)

// startRecord is one run of the daemon.
type startRecord struct {
	Boot    string    `json:"boot"` // of the kernel, random(4)
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"` // in order; zero: it was cut off
	Why     string    `json:"why,omitempty"`  // it ended, as somebody gave as the reason
}

// traces are the places where machine and kernel leave word of what has happened to them.
type traces struct {
	bootID   string // file
	watchdog string // files: what the watchdogs of the hardware say of the last reset
	crashes  string // folder: the kernel's last words, as systemd-pstore files them
}

var machineTraces = traces{bootID: "/proc/sys/kernel/random/boot_id", watchdog: "/sys/class/watchdog/watchdog*/bootstatus", crashes: "/var/lib/systemd/pstore"}

// startBook is the record of this run, and what was found out of the one before.
type startBook struct {
	table *storage.Table[string, startRecord]
	now   startRecord
	cause adminapi.StartCause
	why   atomic.Pointer[string] // this run is to end, as far as somebody has said
}

// openStarts begins this run's record.
func openStarts(ctx context.Context, store *storage.Store, log *slog.Logger) (*startBook, error) {
	table, err := storage.OpenTable[string, startRecord](store, tableStarts)
	if err != nil {
		return nil, err
	}
	return beginStart(ctx, table, machineTraces, log)
}

func beginStart(ctx context.Context, table *storage.Table[string, startRecord], where traces, log *slog.Logger) (*startBook, error) {
	before, found, err := table.Get(recordStart)
	if err != nil {
		return nil, fmt.Errorf("reading how the last run ended: %w", err)
	}
	s := &startBook{table: table, now: startRecord{Boot: readWord(where.bootID), Started: time.Now().UTC().Round(time.Second)}}
	s.cause = adminapi.StartCause{Code: adminapi.StartFirst, Text: "The box started for the first time."}
	if found {
		s.cause = where.cause(before, s.now.Boot)
	}
	log.Info("started", "cause", s.cause.Code, "text", s.cause.Text)
	// A disk that takes nothing keeps no box from starting; the store has its own alarm for it.
	if err := table.Put(ctx, recordStart, s.now); err != nil {
		log.Warn("this start is not on record", "err", err)
	}
	return s, nil
}

// because notes why this run is going to end.
func (s *startBook) because(why string) { s.why.Store(&why) }

// noteWithin is how long a disk may take to note the end; people wait for it.
const noteWithin = 2 * time.Second

// end says that this run ends in order.
func (s *startBook) end(ctx context.Context) error {
	record := s.now
	record.Ended = time.Now().UTC().Round(time.Second)
	if why := s.why.Load(); why != nil {
		record.Why = *why
	}
	ctx, cancel := context.WithTimeout(ctx, noteWithin)
	defer cancel()
	if err := s.table.Put(ctx, recordStart, record); err != nil {
		return fmt.Errorf("noting that the end was in order: %w", err)
	}
	return nil
}

// cause is why there is a start after a run that left this record.
func (t traces) cause(before startRecord, boot string) adminapi.StartCause {
	reason := ""
	if before.Why != "" {
		reason = ": " + before.Why
	}
	switch inOrder, sameBoot := !before.Ended.IsZero(), before.Boot == boot; {
	case sameBoot && inOrder:
		return adminapi.StartCause{Code: adminapi.StartService, Text: "The daemon was restarted in order" + reason + "."}
	case sameBoot:
		return adminapi.StartCause{Code: adminapi.StartCrash, Text: "The daemon ended without notice and was started again."}
	case inOrder:
		return adminapi.StartCause{Code: adminapi.StartOrderly, Text: "The machine was restarted or switched off in order" + reason + "."}
	case t.crashedSince(before.Started):
		return adminapi.StartCause{Code: adminapi.StartKernel, Text: "The kernel crashed; its last words are kept in " + t.crashes + "."}
	case t.watchdogFired():
		return adminapi.StartCause{Code: adminapi.StartWatchdog, Text: "The machine did not move any more, and its watchdog reset it."}
	}
	return adminapi.StartCause{Code: adminapi.StartPower, Text: "The machine lost its power or was reset."}
}

// crashedSince looks for last words of the kernel that are younger than a time.
func (t traces) crashedSince(then time.Time) bool {
	entries, err := os.ReadDir(t.crashes)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(then) {
			return true
		}
	}
	return false
}

// watchdogFired asks the drivers: WDIOF_CARDRESET of linux/watchdog.h says that the card reset the machine.
func (t traces) watchdogFired() bool {
	const cardReset = 0x20
	files, err := filepath.Glob(t.watchdog)
	if err != nil {
		return false
	}
	for _, file := range files {
		if status, err := strconv.ParseUint(readWord(file), 0, 64); err == nil && status&cardReset != 0 {
			return true
		}
	}
	return false
}

// readWord is the content of a small file of the kernel, or nothing.
func readWord(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(bytes.TrimRight(text, "\x00")))
}

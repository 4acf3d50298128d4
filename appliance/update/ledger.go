package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Ledger is what is remembered of updates: root's own, outside the revisions of the configuration.
type Ledger struct {
	Floor  string `json:"floor,omitempty"`  // only rises
	Serial uint32 `json:"serial,omitempty"` // of release keys; only rises
	Trial  *Trial `json:"trial,omitempty"`
	// Known is what is known of versions that were installed or ran, by version.
	Known  map[string]Known `json:"known,omitempty"`
	Events []Event          `json:"events,omitempty"` // the oldest first
}

// Trial is a version that was armed and has not been judged.
type Trial struct {
	Version  string    `json:"version"`
	From     string    `json:"from"` // what ran when it was armed
	Armed    time.Time `json:"armed"`
	Rollback bool      `json:"rollback,omitempty"` // it was good before
}

// Known is what decides whether a version may come back.
type Known struct {
	Floor        string `json:"floor,omitempty"`
	Serial       uint32 `json:"serial,omitempty"`
	State        int    `json:"state_version"`
	MinimumState int    `json:"minimum_state_version"`
}

// Event is something that became of an update.
type Event struct {
	At      time.Time `json:"at"`
	Kind    EventKind `json:"kind"`
	Version string    `json:"version,omitempty"`
	Text    string    `json:"text"` // a sentence
}

// EventKind is what happened.
type EventKind string

// The kinds.
const (
	EventInstalled EventKind = "installed"
	EventRefused   EventKind = "refused"
	EventFailed    EventKind = "failed"    // it was let in, and could not be written
	EventBlessed   EventKind = "blessed"   // the trial was good
	EventFellBack  EventKind = "fell-back" // it was not
	EventRolled    EventKind = "rolled-back"
)

// Bounds of a ledger.
const (
	maxEvents = 50
	maxKnown  = 16
	maxText   = 1000
	maxLedger = 1 << 20
)

// ledgerFile is where a ledger is kept.
const ledgerFile = "ledger.json"

// note adds an event.
func (l *Ledger) note(at time.Time, kind EventKind, version, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxText {
		text = text[:maxText]
	}
	l.Events = append(l.Events, Event{At: at.UTC().Truncate(time.Second), Kind: kind, Version: version, Text: text})
	if extra := len(l.Events) - maxEvents; extra > 0 {
		l.Events = l.Events[extra:]
	}
}

// know remembers a version, and forgets the lowest where there are too many.
func (l *Ledger) know(version string, k Known) {
	if l.Known == nil {
		l.Known = make(map[string]Known)
	}
	l.Known[version] = k
	for len(l.Known) > maxKnown {
		least := version
		for v := range l.Known {
			if CompareVersions(v, least) < 0 {
				least = v
			}
		}
		delete(l.Known, least)
	}
}

// ReadLedger reads a ledger's folder; where there is none, the ledger is empty.
func ReadLedger(folder string) (l Ledger, err error) {
	raw, err := os.ReadFile(filepath.Join(folder, ledgerFile))
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("reading what is known of updates: %w", err)
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return l, fmt.Errorf("reading what is known of updates: %w", err)
	}
	return l, nil
}

// writeLedger replaces a ledger at once.
func writeLedger(folder string, l Ledger) error {
	raw, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(folder, ledgerFile), raw, 0o644)
}

// replaceFile writes a file so that it is there as a whole or as it was.
func replaceFile(path string, content []byte, mode os.FileMode) (err error) {
	temporary := path + newSuffix
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if mode&0o077 != 0 { // for others, whatever the umask is; vfat, which has no modes, is root's alone
		err = errors.Join(err, f.Chmod(mode))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temporary)))
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// lockFolder excludes other processes until it is let go; ErrBusy where one is at work.
func lockFolder(folder string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(ErrBusy, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

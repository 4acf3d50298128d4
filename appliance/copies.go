package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/storage"
)

// The last good copy of the store: whenever a revision is for good, and every few hours, the store is copied and the copy checked as a whole. `appliance rescue`
// puts the copy in place when the store is damaged.

// Files of the store and its copy in the state folder.
const (
	storeFile   = "meetzone.db"
	copyFolder  = "copies"
	copyFile    = "good.db"
	copyDetails = "good.json"
)

// When it is copied.
const (
	copyLook  = 2 * time.Second
	copyEvery = 6 * time.Hour
	copyRetry = 10 * time.Minute // after a copy that failed, unless there is a new revision
)

// goodCopy is what is known of the copy.
type goodCopy struct {
	Made     time.Time `json:"made"`
	Revision uint64    `json:"revision"`
}

func readCopy(state string) (c goodCopy, err error) {
	text, err := os.ReadFile(filepath.Join(state, copyFolder, copyDetails))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	return c, err
}

// errStoreMissing keeps the daemon from beginning anew where there has been a store: its first copy would take the place of the last good one.
var errStoreMissing = errors.New("the store is missing, but its last good copy is there: `appliance rescue copy` puts it in place, `appliance rescue reset` begins anew")

// checkStoreThere refuses a start without a store beside a copy of one. A store without a byte counts as missing.
func checkStoreThere(state string) error {
	info, err := os.Stat(filepath.Join(state, storeFile))
	missing := errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
	if _, err := os.Stat(filepath.Join(state, copyFolder, copyFile)); missing && err == nil {
		return errStoreMissing
	}
	return nil
}

// removeLeft removes the unfinished files that a kill has left.
func removeLeft(folder, pattern string) {
	left, _ := filepath.Glob(filepath.Join(folder, pattern))
	for _, one := range left {
		_ = os.Remove(one)
	}
}

// copier knows what has been copied, and what could not be.
type copier struct {
	last  goodCopy  // that is there
	tried time.Time // the last time that failed; zero: the last one did not
	of    uint64    // the revision that was to be copied then

	mu      sync.Mutex // guards what follows
	problem string     // why there is no newer copy; "" nothing
}

// due says whether the store is to be copied now, while a revision runs.
func (c *copier) due(now time.Time, running uint64) bool {
	if age := now.Sub(c.last.Made); running == c.last.Revision && age >= 0 && age <= copyEvery {
		return false
	}
	return c.tried.IsZero() || running != c.of || now.Sub(c.tried) >= copyRetry
}

// note says how a copy went.
func (c *copier) note(now time.Time, wanted goodCopy, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.tried, c.of, c.problem = now, wanted.Revision, err.Error()
		return
	}
	c.last, c.tried, c.problem = wanted, time.Time{}, ""
}

// alarms says whether the copy is behind because it cannot be made.
func (c *copier) alarms() []adminapi.Alarm {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.problem == "" {
		return nil
	}
	return []adminapi.Alarm{{Code: "copy", Text: fmt.Sprintf("The last good copy of the store could not be renewed: %s.", strings.TrimSuffix(c.problem, "."))}}
}

// runCopies keeps a good copy until ctx ends.
func (d *daemon) runCopies(ctx context.Context) error {
	ticker := time.NewTicker(copyLook)
	defer ticker.Stop()
	removeLeft(filepath.Join(d.flags.state, copyFolder), "."+copyFile+"-*")
	if last, err := readCopy(d.flags.state); err == nil {
		d.copies.last = last
	}
	for {
		now, running := time.Now(), d.revisions.Running().Number
		if d.revisions.Waiting().Number == 0 && d.copies.due(now, running) {
			wanted := goodCopy{Made: now.UTC(), Revision: running}
			err := copyStore(d.flags.state, d.store, wanted)
			if err != nil {
				d.log.Error("the store could not be copied", "err", err)
			}
			d.copies.note(now, wanted, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// copyStore copies the store and checks the copy, which nobody writes to meanwhile. What is not whole replaces no good copy.
func copyStore(state string, store *storage.Store, c goodCopy) (err error) {
	folder := filepath.Join(state, copyFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "."+copyFile+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = store.Snapshot(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := storage.CheckFile(f.Name()); err != nil {
		return fmt.Errorf("the store is not whole: %w", err)
	}
	if err := os.Rename(f.Name(), filepath.Join(folder, copyFile)); err != nil {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, copyDetails), text)
}

// failure is how the last start failed, for the rescue.
type failure struct {
	At    time.Time `json:"at"`
	Cause string    `json:"cause"`
	Log   []string  `json:"log"`
}

const failureFile = "failure.json"

// noteFailure leaves word of why the daemon ends. A disk that takes nothing is what the rescue says then.
func (d *daemon) noteFailure(err error) {
	if err == nil || errors.Is(err, errStartAgain) || errors.Is(err, storage.ErrLocked) {
		return
	}
	f := failure{At: time.Now().UTC(), Cause: err.Error()}
	lines := d.records.tail(50)
	for _, line := range lines {
		f.Log = append(f.Log, line.Time.UTC().Format(time.TimeOnly)+" "+line.Level+" "+line.Text)
	}
	text, bad := json.Marshal(f)
	if bad == nil {
		bad = writeFile(filepath.Join(d.flags.state, failureFile), text)
	}
	if bad != nil {
		d.log.Warn("why the daemon ends is not noted", "err", bad)
	}
}

func readFailure(state string) (f failure, err error) {
	text, err := readBounded(filepath.Join(state, failureFile), 1<<20)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	return f, err
}

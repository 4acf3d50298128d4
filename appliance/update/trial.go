package update

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func hexBytes(s string) ([]byte, error) { return hex.DecodeString(s) }

// Settle is the first thing at each start: it remembers what runs, and finds out what became of a trial that does not run. One
// that a power cut left half armed is armed.
func (m *Machine) Settle() error {
	return m.change(func(_ *disk, v view) error {
		r, l := m.cfg.Running, &v.ledger
		m.noteDeadRoot(l)
		k := l.Known[r.Version]
		k.State, k.MinimumState = r.State, r.MinimumState
		l.know(r.Version, k)
		if t := l.Trial; t != nil && t.Version != r.Version {
			u, there, err := m.esp.get(t.Version)
			switch {
			case err != nil:
				return err
			case !there:
				l.Trial = nil
			case u.boot() == BootTrial && u.Done == 0 && v.runningUKI.boot() == BootGood:
				if err := m.setAside(v, t.Version); err != nil {
					return err
				}
			case u.Bad():
				l.Trial = nil
				l.note(time.Now(), EventFellBack, t.Version, "Version %s was started %d times and never came as far as its health check; version %s runs again.", t.Version, u.Done, r.Version)
			}
		}
		return m.save(*l)
	})
}

// deadRoot is what the initrd leaves on the ESP when a version's root was not whole: the version (image/mkosi.images/initrd, initrd-failed).
const deadRoot = "EFI/meetzone/failed"

// noteDeadRoot keeps what the initrd had to say.
func (m *Machine) noteDeadRoot(l *Ledger) {
	path := filepath.Join(m.cfg.ESP, deadRoot)
	raw, err := os.ReadFile(path)
	version := strings.TrimSpace(string(raw[:min(len(raw), 100)]))
	if err != nil || os.Remove(path) != nil {
		return
	}
	if ValidVersion(version) != nil {
		version = "of an unknown name"
	}
	if l.Trial != nil && l.Trial.Version == version {
		l.Trial = nil
	}
	l.note(time.Now(), EventFellBack, version, "The root of version %s was not whole any more, or its kernel did not find it; version %s runs instead.", version, m.cfg.Running.Version)
}

// Bless notes that the running version is good: its floor holds from now on. systemd-bless-boot.service takes its counter away.
func (m *Machine) Bless() error {
	return m.change(func(_ *disk, v view) error {
		l, version := &v.ledger, m.cfg.Running.Version
		k := l.Known[version]
		l.raise(k.Floor, k.Serial)
		if t := l.Trial; t != nil && t.Version == version {
			l.Trial = nil
			l.note(time.Now(), EventBlessed, version, "Version %s is healthy and stays.", version)
		}
		if err := m.save(*l); err != nil {
			return err
		}
		return m.keepFloor(*l)
	})
}

// Fail says that the running version is not healthy. Where it is on trial and the other slot is good, it is marked bad, and back is true: a restart goes
// back. A version that was blessed before, or that is the only one, stays.
func (m *Machine) Fail(reason string) (back bool, err error) {
	err = m.change(func(_ *disk, v view) error {
		back = v.hasRunning && v.runningUKI.Counted && v.hasIdle && v.idleUKI.boot() != BootBad
		version := m.cfg.Running.Version
		if !back {
			return nil
		}
		v.ledger.Trial = nil
		v.ledger.note(time.Now(), EventFellBack, version, "Version %s is not healthy: %s; version %s starts again.", version, reason, v.idle.Version)
		return errors.Join(m.save(v.ledger), m.leave(v))
	})
	return back && err == nil, err
}

// leave marks the running version bad and gives the other one its place back.
func (m *Machine) leave(v view) error {
	bad := UKI{Version: m.cfg.Running.Version, Counted: true, Done: max(1, v.runningUKI.Done)}
	if v.idleUKI.boot() == BootAside {
		if err := m.esp.become(v.idleUKI, UKI{Version: v.idle.Version}); err != nil {
			return err
		}
	}
	return m.esp.become(v.runningUKI, bad)
}

// Rollback arms the other slot, or takes back an update that waits for its first start. It returns the version that the next start runs.
func (m *Machine) Rollback() (next string, err error) {
	err = m.change(func(_ *disk, v view) error {
		var text string
		kind := EventRolled
		next, text, err = m.rollback(&v)
		if err != nil {
			kind, text = EventRefused, "Going back was refused: "+err.Error()+"."
		}
		v.ledger.note(time.Now(), kind, v.idle.Version, "%s", text)
		return errors.Join(err, m.save(v.ledger))
	})
	return next, err
}

// rollback does it, and says what the next start runs and what was done. The ledger is the caller's to save, but for a trial, which is noted before it is armed.
func (m *Machine) rollback(v *view) (next, text string, err error) {
	running := m.cfg.Running
	switch {
	case v.armed() != "":
		trial := *v.ledger.Trial
		v.ledger.Trial = nil
		return running.Version, fmt.Sprintf("Version %s, which waited for its first start, was taken back.", trial.Version), m.disarm(*v, trial)
	case !v.hasIdle:
		return "", "", ErrNoOther
	case v.idleUKI.boot() == BootBad:
		return "", "", fmt.Errorf("%w: version %s failed before", ErrNoOther, v.idle.Version)
	case CompareVersions(v.idle.Version, v.ledger.Floor) < 0:
		return "", "", fmt.Errorf("%w: version %s, and the floor is %s", ErrFloor, v.idle.Version, v.ledger.Floor)
	}
	known, is := v.ledger.Known[v.idle.Version]
	if !is || known.State < running.MinimumState {
		return "", "", fmt.Errorf("%w: version %s understands state %d, and %d is needed", ErrState, v.idle.Version, known.State, running.MinimumState)
	}
	text = fmt.Sprintf("The next start goes back from version %s to version %s.", running.Version, v.idle.Version)
	if v.unproved() { // it is given up
		v.ledger.Trial = nil
		return v.idle.Version, text, m.leave(*v)
	}
	v.ledger.Trial = &Trial{Version: v.idle.Version, From: running.Version, Armed: time.Now().UTC(), Rollback: true}
	if err := m.save(v.ledger); err != nil {
		return "", "", err
	}
	if err := m.esp.become(v.idleUKI, UKI{Version: v.idle.Version, Counted: true, Left: tries}); err != nil {
		return "", "", err
	}
	return v.idle.Version, text, m.setAside(*v, v.idle.Version)
}

// disarm takes back what arming did: a new version loses its UKI, one that was good before is that again.
func (m *Machine) disarm(v view, trial Trial) error {
	if v.runningUKI.boot() == BootAside {
		if err := m.esp.become(v.runningUKI, UKI{Version: m.cfg.Running.Version}); err != nil {
			return err
		}
	}
	if trial.Rollback {
		return m.esp.become(v.idleUKI, UKI{Version: v.idle.Version})
	}
	return m.esp.drop(v.idle.Version)
}

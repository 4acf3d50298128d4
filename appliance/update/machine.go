package update

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"meetzone/appliance/update/internal/gpt"
)

// Reasons to refuse an update or a rollback.
var (
	ErrHardware = errors.New("it is not for this hardware")
	ErrFloor    = errors.New("it is below the security floor")
	ErrSame     = errors.New("it runs already")
	ErrState    = errors.New("it cannot go on with the state that this version writes")
	ErrTooLarge = errors.New("it does not fit")
	ErrTrial    = errors.New("a version has not proved itself yet")
	ErrNoOther  = errors.New("there is no other version to go back to")
	ErrBusy     = errors.New("an update is under way")
)

// Running is the version that runs, as it says of itself.
type Running struct {
	Version      string `json:"version"`
	RootHash     []byte `json:"root_hash"`
	Architecture string `json:"architecture"`
	Hardware     string `json:"hardware"`              // the model
	State        int    `json:"state_version"`         // default StateVersion
	MinimumState int    `json:"minimum_state_version"` // default MinimumStateVersion
}

// Config says where an update works.
type Config struct {
	Disk    string // device, or a file in its place
	ESP     string // where the EFI system partition is mounted
	Ledger  string // folder; root's own
	Running Running
	Trust   Trust // its Serial is raised to the ledger's
}

// Validate names everything that is missing.
func (c Config) Validate() error {
	var errs []error
	for name, missing := range map[string]bool{"disk": c.Disk == "", "ESP": c.ESP == "", "ledger": c.Ledger == "", "root hash": len(c.Running.RootHash) != 32} {
		if missing {
			errs = append(errs, fmt.Errorf("%s: missing", name))
		}
	}
	return errors.Join(append(errs, ValidVersion(c.Running.Version))...)
}

// Machine is what an update changes. Each method opens what it needs and leaves nothing open.
type Machine struct {
	cfg Config
	esp esp
}

// New returns a machine.
func New(cfg Config) (*Machine, error) {
	if cfg.Running.State == 0 {
		cfg.Running.State, cfg.Running.MinimumState = StateVersion, MinimumStateVersion
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	return &Machine{cfg, esp(cfg.ESP)}, nil
}

// State is how the machine stands.
type State struct {
	Version string      `json:"version"` // that runs
	Running Running     `json:"running"`
	Slots   []SlotState `json:"slots"`
	Ledger  Ledger      `json:"ledger"`
	// Unproved says that the running version has not been blessed yet.
	Unproved bool `json:"unproved,omitempty"`
	// Armed is the version that the next start tries; "" none.
	Armed string `json:"armed,omitempty"`
}

// SlotState is one image slot.
type SlotState struct {
	Letter  string `json:"letter"`
	Version string `json:"version,omitempty"`
	Running bool   `json:"running,omitempty"`
	Boot    Boot   `json:"boot"`
	Tries   int    `json:"tries,omitempty"` // left, of a trial
}

// Boot is what the boot loader makes of a slot.
type Boot string

// What it may be.
const (
	BootNone  Boot = "none"      // it has no kernel image: it is never started
	BootGood  Boot = "good"      // blessed
	BootTrial Boot = "trial"     // counted
	BootAside Boot = "set-aside" // left by a rollback; taken only when the other one fails
	BootBad   Boot = "bad"       // failed
)

func (u UKI) boot() Boot {
	switch {
	case !u.Counted:
		return BootGood
	case u.Left > 0:
		return BootTrial
	case u.Done == 0:
		return BootAside
	}
	return BootBad
}

// view is everything that is known before something is changed.
type view struct {
	running, idle       Slot
	runningUKI, idleUKI UKI
	hasRunning, hasIdle bool // they have a UKI
	ledger              Ledger
}

// look reads disk, ESP and ledger.
func (m *Machine) look(d *disk) (v view, err error) {
	t, err := d.table()
	if err != nil {
		return v, err
	}
	list, err := slots(t)
	if err != nil {
		return v, err
	}
	if v.running, v.idle, err = pick(list, m.cfg.Running.RootHash); err != nil {
		return v, err
	}
	var errR, errI, errL error
	v.runningUKI, v.hasRunning, errR = m.esp.get(m.cfg.Running.Version)
	if v.idle.Version != "" {
		v.idleUKI, v.hasIdle, errI = m.esp.get(v.idle.Version)
	}
	v.ledger, errL = ReadLedger(m.cfg.Ledger)
	if errL == nil {
		m.keptFloor(&v.ledger)
	}
	return v, errors.Join(errR, errI, errL)
}

// armed is the version that waits for its first start.
func (v view) armed() string {
	if t := v.ledger.Trial; t != nil && v.hasIdle && t.Version == v.idle.Version && v.idleUKI.Counted && v.idleUKI.Left > 0 {
		return t.Version
	}
	return ""
}

// unproved says that the running version was not blessed yet.
func (v view) unproved() bool {
	return v.hasRunning && v.runningUKI.Counted && v.runningUKI.boot() != BootAside
}

func (m *Machine) state(v view) State {
	return State{Version: m.cfg.Running.Version, Running: m.cfg.Running, Ledger: v.ledger, Unproved: v.unproved(), Armed: v.armed()}
}

// Look tells how the machine stands.
func (m *Machine) Look() (s State, err error) {
	d, err := openDisk(m.cfg.Disk, os.O_RDONLY)
	if err != nil {
		return s, err
	}
	defer d.Close()
	v, err := m.look(d)
	if err != nil {
		return s, err
	}
	s = m.state(v)
	for _, one := range []struct {
		Slot
		UKI
		has, running bool
	}{{v.running, v.runningUKI, v.hasRunning, true}, {v.idle, v.idleUKI, v.hasIdle, false}} {
		state := SlotState{Letter: one.Letter, Version: one.Slot.Version, Running: one.running, Boot: BootNone}
		if one.has {
			state.Boot, state.Tries = one.boot(), one.Left
		}
		s.Slots = append(s.Slots, state)
	}
	slices.SortFunc(s.Slots, func(a, b SlotState) int { return int(a.Letter[0]) - int(b.Letter[0]) })
	return s, nil
}

// Admit says whether a version may be installed, before anything of it is fetched or written.
func (s State) Admit(m Manifest, r Running) error {
	switch {
	case m.Architecture != r.Architecture || !slices.Contains(m.Hardware, r.Hardware):
		return fmt.Errorf("%w: version %s is for %s on %v, and this is %s on %s", ErrHardware, m.Version, m.Architecture, m.Hardware, r.Architecture, r.Hardware)
	case m.Version == r.Version:
		return fmt.Errorf("%w: version %s", ErrSame, m.Version)
	case CompareVersions(m.Version, s.Ledger.Floor) < 0:
		return fmt.Errorf("%w: version %s, and the floor is %s", ErrFloor, m.Version, s.Ledger.Floor)
	case m.State < r.MinimumState:
		return fmt.Errorf("%w: version %s understands state %d, and %d is needed", ErrState, m.Version, m.State, r.MinimumState)
	case s.Unproved:
		return fmt.Errorf("%w: version %s, which runs, is on trial", ErrTrial, r.Version)
	case s.Armed != "":
		return fmt.Errorf("%w: version %s is installed and waits for its first start", ErrTrial, s.Armed)
	}
	return nil
}

// change runs a step with the disk open and everybody else excluded.
func (m *Machine) change(step func(d *disk, v view) error) error {
	unlock, err := lockFolder(m.cfg.Ledger)
	if err != nil {
		return err
	}
	defer unlock()
	d, err := openDisk(m.cfg.Disk, os.O_RDWR)
	if err != nil {
		return err
	}
	v, err := m.look(d)
	if err == nil {
		err = step(d, v)
	}
	return errors.Join(err, d.Close())
}

// save writes a ledger.
func (m *Machine) save(l Ledger) error { return writeLedger(m.cfg.Ledger, l) }

// Stage is a step of an installation.
type Stage string

// The stages, in order.
const (
	StageVerify Stage = "verifying"
	StageWrite  Stage = "writing"
	StageCheck  Stage = "checking"
)

// Install verifies a bundle of that many bytes, writes the idle slot, reads it back, and arms it. Refusals and failures are noted in the ledger.
func (m *Machine) Install(ctx context.Context, src io.ReaderAt, size int64, progress func(Stage, int64)) (manifest Manifest, err error) {
	if progress == nil {
		progress = func(Stage, int64) {}
	}
	err = m.change(func(d *disk, v view) error {
		kind := EventRefused
		err := func() error {
			b, err := m.admitted(ctx, src, size, v, progress)
			if err != nil {
				return err
			}
			manifest, kind = b.Manifest, EventFailed
			return m.install(ctx, d, v, b, progress)
		}()
		if err != nil {
			v.ledger.note(time.Now(), kind, manifest.Version, "%v", err)
			return errors.Join(err, m.save(v.ledger))
		}
		return nil
	})
	return manifest, err
}

// admitted opens and verifies a bundle; nothing is written for it before.
func (m *Machine) admitted(ctx context.Context, src io.ReaderAt, size int64, v view, progress func(Stage, int64)) (*Bundle, error) {
	trust := m.cfg.Trust
	trust.Serial = max(trust.Serial, v.ledger.Serial)
	b, err := Open(src, size, trust)
	if err != nil {
		return nil, err
	}
	s := m.state(v)
	if err := s.Admit(b.Manifest, m.cfg.Running); err != nil {
		return nil, err
	}
	for i, p := range []gpt.Partition{v.idle.root, v.idle.verity} {
		if part := b.Manifest.parts()[i+1]; part.Size > p.Size {
			return nil, fmt.Errorf("%w: version %s needs %d bytes where the slot has %d", ErrTooLarge, b.Manifest.Version, part.Size, p.Size)
		}
	}
	return b, b.Verify(ctx, func(n int64) { progress(StageVerify, n) })
}

// install is the order of steps in which every prefix boots the running version.
func (m *Machine) install(ctx context.Context, d *disk, v view, b *Bundle, progress func(Stage, int64)) error {
	uki, err := b.uki(ctx, nil)
	if err != nil {
		return err
	}
	if err := m.dropOthers(); err != nil {
		return err
	}
	if err := d.relabel(v.idle, emptyLabel, randomID(), randomID()); err != nil {
		return err
	}
	if err := d.write(ctx, v.idle, b, progress); err != nil {
		return err
	}
	hash, err := hexBytes(b.Manifest.RootHash)
	if err != nil {
		return err
	}
	root, tree := identities(hash)
	if err := d.relabel(v.idle, ukiPrefix+b.Manifest.Version, root, tree); err != nil {
		return err
	}
	known := Known{Floor: b.Manifest.Floor, Serial: b.Key.Serial, State: b.Manifest.State, MinimumState: b.Manifest.MinimumState}
	v.ledger.know(b.Manifest.Version, known)
	v.ledger.Trial = &Trial{Version: b.Manifest.Version, From: m.cfg.Running.Version, Armed: time.Now().UTC()}
	v.ledger.note(time.Now(), EventInstalled, b.Manifest.Version, "Version %s is in image slot %s and waits for its first start.", b.Manifest.Version, v.idle.Letter)
	if err := m.save(v.ledger); err != nil {
		return err
	}
	if err := m.esp.put(UKI{Version: b.Manifest.Version, Counted: true, Left: tries}, uki); err != nil {
		return err
	}
	return m.setAside(v, b.Manifest.Version)
}

// dropOthers takes away every kernel image but the running version's.
func (m *Machine) dropOthers() error {
	list, err := m.esp.list()
	if err != nil {
		return err
	}
	for _, u := range list {
		if u.Version != m.cfg.Running.Version {
			if err := m.esp.drop(u.Version); err != nil {
				return err
			}
		}
	}
	return nil
}

// setAside has the boot loader prefer an older version to the one that runs: it takes the newest that is not out of tries.
func (m *Machine) setAside(v view, target string) error {
	if !v.hasRunning || CompareVersions(target, m.cfg.Running.Version) > 0 {
		return nil
	}
	return m.esp.become(v.runningUKI, UKI{Version: m.cfg.Running.Version, Counted: true})
}

func randomID() (id gpt.GUID) {
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// ---- the floor, of which the ESP has a copy that a reset of the state partition does not take away

// kept is that copy.
type kept struct {
	Floor  string `json:"floor,omitempty"`
	Serial uint32 `json:"serial,omitempty"`
}

func (m *Machine) floorFile() string {
	return filepath.Join(m.cfg.ESP, "EFI", "meetzone", "floor.json")
}

// keptFloor raises a ledger's floor to the copy's.
func (m *Machine) keptFloor(l *Ledger) {
	raw, err := os.ReadFile(m.floorFile())
	var k kept
	if err == nil && json.Unmarshal(raw, &k) == nil && (k.Floor == "" || ValidVersion(k.Floor) == nil) {
		l.raise(k.Floor, k.Serial)
	}
}

// raise raises floor and serial, and says whether that changed anything.
func (l *Ledger) raise(floor string, serial uint32) bool {
	was := kept{l.Floor, l.Serial}
	if floor != "" {
		l.Floor = later(l.Floor, floor)
	}
	l.Serial = max(l.Serial, serial)
	return was != kept{l.Floor, l.Serial}
}

func (m *Machine) keepFloor(l Ledger) error {
	raw, err := json.Marshal(kept{l.Floor, l.Serial})
	if err != nil {
		return err
	}
	if was, err := os.ReadFile(m.floorFile()); err == nil && bytes.Equal(was, raw) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(m.floorFile()), 0o700); err != nil {
		return err
	}
	return replaceFile(m.floorFile(), raw, 0o600)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/helper"
	"meetzone/appliance/update"
	"meetzone/dscp"
	"meetzone/storage"
)

// The journey of an update: fetched or uploaded into the state folder → signatures and fitness checked by the daemon → handed to the helper as an open file,
// which checks everything again and writes the idle image slot → the box drains → restart. What is decided about image slots is in package update.

// updater takes updates. One runs at a time.
type updater struct {
	d      *daemon
	client *http.Client
	table  *storage.Table[string, updaterRecord]
	asked  chan func(context.Context) // what runUpdates is to do; nobody waits in it, since job says whether one is under way

	mu     sync.Mutex // guards what follows
	job    *adminapi.UpdateJob
	cancel context.CancelFunc // of the job
	record updaterRecord
}

// updaterRecord is what the daemon itself remembers of updates, outside the revisions.
type updaterRecord struct {
	Events  []update.Event `json:"events,omitempty"`  // refusals before root was asked, the oldest first
	Drained bool           `json:"drained,omitempty"` // the box drains for an update, and comes back into service with the next start
}

const (
	tableUpdate   = "update"
	recordUpdate  = "update"
	keptRefusals  = 20
	uploadedName  = "bundle"
	uploading     = "upload-*" // what becomes uploadedName
	fetchedName   = "fetched"
	updateFolder  = "update"
	minBundleRoom = 64 << 20 // that stays free beside a bundle
)

var _ admin.Updates = (*updater)(nil)

// openUpdater remembers what was, and takes the box back into service when it drained for an update.
func openUpdater(ctx context.Context, d *daemon) (*updater, error) {
	table, err := storage.OpenTable[string, updaterRecord](d.store, tableUpdate)
	if err != nil {
		return nil, err
	}
	u := &updater{d: d, table: table, asked: make(chan func(context.Context), 1)}
	u.client = &http.Client{Transport: &http.Transport{DialContext: markedDialer(dscp.Management, d.managementPoint), ForceAttemptHTTP2: true, ResponseHeaderTimeout: time.Minute,
		Proxy: http.ProxyFromEnvironment}}
	if u.record, _, err = table.Get(recordUpdate); err != nil {
		return nil, fmt.Errorf("reading what is known of updates: %w", err)
	}
	if err := os.MkdirAll(u.path(""), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for updates: %w", err)
	}
	u.clear()
	if u.record.Drained {
		if err := d.drainer.Drain(ctx, adminapi.Drain{}); err != nil {
			return nil, err
		}
		u.remember(ctx, func(r *updaterRecord) { r.Drained = false })
	}
	return u, nil
}

// clear removes uploads that came to no end with an earlier run.
func (u *updater) clear() {
	unfinished, _ := filepath.Glob(u.path(uploading)) // the pattern is a good one
	for _, file := range unfinished {
		if err := os.Remove(file); err != nil {
			u.d.log.Warn("an unfinished upload stays", "err", err)
		}
	}
}

func (u *updater) path(name string) string { return filepath.Join(u.d.flags.state, updateFolder, name) }

// remember changes the record; a disk that does not take it is the store's alarm.
func (u *updater) remember(ctx context.Context, change func(*updaterRecord)) {
	u.mu.Lock()
	change(&u.record)
	record := u.record
	u.mu.Unlock()
	if err := u.table.Put(ctx, recordUpdate, record); err != nil {
		u.d.log.Warn("what became of an update is not kept", "err", err)
	}
}

// runUpdates does what is asked, one after the other.
func (u *updater) runUpdates(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case do := <-u.asked:
			do(ctx)
		}
	}
}

// begin starts a job, unless one is under way.
func (u *updater) begin(stage string, do func(context.Context) error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.job != nil && !u.job.Over() {
		return &adminapi.Error{Code: adminapi.CodeConflict, Text: "An update is under way.", Advice: "`appliance update status` shows it, `appliance update cancel` gives it up."}
	}
	u.job = &adminapi.UpdateJob{Stage: stage, Started: time.Now()}
	u.cancel = func() {}
	u.asked <- func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		u.mu.Lock()
		u.cancel = cancel
		u.mu.Unlock()
		u.end(ctx, do(ctx))
	}
	return nil
}

// end notes what became of the job.
func (u *updater) end(ctx context.Context, err error) {
	u.mu.Lock()
	job := *u.job
	job.Stage = adminapi.UpdateDone
	if err != nil {
		job.Stage, job.Error = adminapi.UpdateFailed, tellUpdate(err)
		if ctx.Err() != nil {
			job.Error = &adminapi.Error{Code: adminapi.CodeConflict, Text: "It was cancelled.", Advice: "Start it again when you like; what was fetched is kept."}
		}
	}
	u.job = &job
	u.mu.Unlock()
	if err != nil {
		u.d.log.Warn("update not done", "version", job.Version, "err", err)
	}
}

// step shows how far the job is.
func (u *updater) step(change func(*adminapi.UpdateJob)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	job := *u.job
	change(&job)
	u.job = &job
}

// CancelUpdate implements admin.Updates.
func (u *updater) CancelUpdate() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cancel != nil {
		u.cancel()
	}
}

// Update implements admin.Updates.
func (u *updater) Update(ctx context.Context) adminapi.Update {
	out := adminapi.Update{Version: softwareVersion(), Source: u.d.revisions.Running().Document.Update.Source, Events: []adminapi.UpdateEvent{}}
	u.mu.Lock()
	out.Job = u.job
	events := slices.Clone(u.record.Events)
	u.mu.Unlock()
	state, err := u.state(ctx)
	if err != nil {
		out.Why = tellUpdate(err).Text
	} else {
		out.Version, out.Unproved, out.Armed, out.Floor = state.Version, state.Unproved, state.Armed, state.Ledger.Floor
		for _, s := range state.Slots {
			out.Slots = append(out.Slots, adminapi.ImageSlot{Letter: s.Letter, Version: s.Version, Running: s.Running, Boot: string(s.Boot), Tries: s.Tries})
		}
		events = append(events, state.Ledger.Events...)
	}
	slices.SortStableFunc(events, func(a, b update.Event) int { return a.At.Compare(b.At) })
	for _, e := range slices.Backward(events) { // the newest first, also within a second
		out.Events = append(out.Events, adminapi.UpdateEvent{At: e.At, Kind: string(e.Kind), Version: e.Version, Text: e.Text})
	}
	return out
}

// state asks the helper how the machine stands.
func (u *updater) state(ctx context.Context) (s update.State, err error) {
	err = u.d.helper().Ask(ctx, helper.UpdateState{}, helper.With{Result: &s})
	return s, err
}

// trust reads whose signatures are believed.
func (u *updater) trust() (t update.Trust, err error) {
	t.Now = time.Now()
	t.Roots, err = update.ReadRootKeys(u.d.flags.rootKeys)
	return t, err
}

// fit says whether this box takes what a bundle holds.
func (u *updater) fit(ctx context.Context, b *update.Bundle) error {
	state, err := u.state(ctx)
	if err != nil {
		return err
	}
	if b.Key.Serial < state.Ledger.Serial {
		return fmt.Errorf("%w: it is number %d, and this box has seen number %d", update.ErrWithdrawn, b.Key.Serial, state.Ledger.Serial)
	}
	return state.Admit(b.Manifest, state.Running)
}

// refused keeps why a bundle was not taken, where root was not asked.
func (u *updater) refused(ctx context.Context, version string, err error) error {
	told := tellUpdate(err)
	u.remember(ctx, func(r *updaterRecord) {
		r.Events = append(r.Events, update.Event{At: time.Now().UTC().Truncate(time.Second), Kind: update.EventRefused, Version: version, Text: told.Text})
		r.Events = r.Events[max(0, len(r.Events)-keptRefusals):]
	})
	return told
}

// ---- looking at bundles

// CheckUpdate implements admin.Updates.
func (u *updater) CheckUpdate(ctx context.Context, from adminapi.UpdateFrom) (adminapi.UpdateOffer, error) {
	b, done, err := u.look(ctx, from)
	if err != nil {
		return adminapi.UpdateOffer{}, tellUpdate(err)
	}
	defer done()
	return u.offer(ctx, b)
}

// look opens the head of a bundle, wherever it is.
func (u *updater) look(ctx context.Context, from adminapi.UpdateFrom) (b *update.Bundle, done func(), err error) {
	done = func() {}
	trust, err := u.trust()
	if err != nil {
		return nil, done, err
	}
	if from.Uploaded {
		return openStaged(u.path(uploadedName), trust)
	}
	if from.USB {
		file, err := u.stick(ctx)
		if err != nil {
			return nil, done, err
		}
		defer file.Close()
		b, err := update.OpenHead(file, trust)
		return b, done, err
	}
	fetch, err := u.fetch(from, trust)
	if err != nil {
		return nil, done, err
	}
	b, err = fetch.Head(ctx)
	return b, done, err
}

// offer says what a bundle holds, and whether the box takes it.
func (u *updater) offer(ctx context.Context, b *update.Bundle) (adminapi.UpdateOffer, error) {
	m := b.Manifest
	o := adminapi.UpdateOffer{Version: m.Version, Running: softwareVersion(), Built: m.Built, Floor: m.Floor, Notes: m.Notes, Size: b.Size()}
	if state, err := u.state(ctx); err == nil {
		o.Running = state.Version
	}
	if err := u.fit(ctx, b); err != nil {
		o.Refused = tellUpdate(err).Text
	}
	return o, nil
}

// openStaged opens a bundle in the state folder.
func openStaged(path string, trust update.Trust) (b *update.Bundle, done func(), err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, func() {}, update.ErrNoSource
	}
	if err != nil {
		return nil, func() {}, err
	}
	info, err := f.Stat()
	if err == nil {
		b, err = update.Open(f, info.Size(), trust)
	}
	return b, func() { _ = f.Close() }, err
}

// fetch prepares what brings a bundle over HTTP.
func (u *updater) fetch(from adminapi.UpdateFrom, trust update.Trust) (update.Fetch, error) {
	address := from.URL
	if address == "" {
		address = u.d.revisions.Running().Document.Update.Source
	}
	if address == "" {
		return update.Fetch{}, &adminapi.Error{Code: adminapi.CodeBad, Text: "It is not said where the bundle is.", Advice: "Name a file or an address, or set update.source."}
	}
	return update.Fetch{Client: u.client, URL: address, Path: u.path(fetchedName), Trust: trust}, nil
}

// PutBundle implements admin.Updates. Its head decides whether the rest is taken; the sums are looked at when it is installed.
func (u *updater) PutBundle(ctx context.Context, bundle io.Reader, size int64) (offer adminapi.UpdateOffer, err error) {
	trust, err := u.trust()
	if err != nil {
		return offer, tellUpdate(err)
	}
	if err := u.room(size); err != nil {
		return offer, err
	}
	f, err := os.CreateTemp(u.path(""), uploading)
	if err != nil {
		return offer, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer f.Close()
	head := io.TeeReader(bundle, f)
	b, err := update.OpenHead(head, trust)
	if err != nil {
		return offer, u.refused(ctx, "", err)
	}
	if size >= 0 && size < b.Size() {
		return offer, u.refused(ctx, b.Manifest.Version, fmt.Errorf("%w: %d of %d bytes are there", update.ErrTruncated, size, b.Size()))
	}
	if err := u.room(b.Size()); err != nil { // whoever sends need not say how much it is
		return offer, err
	}
	n, err := io.Copy(f, io.LimitReader(bundle, b.Size()-b.Start()+1))
	if err == nil && b.Start()+n != b.Size() {
		err = u.refused(ctx, b.Manifest.Version, fmt.Errorf("%w: it has %d bytes or more instead of %d", update.ErrTruncated, b.Start()+n, b.Size()))
	}
	if err == nil {
		err = errors.Join(f.Sync(), os.Rename(f.Name(), u.path(uploadedName)))
	}
	if err != nil {
		return offer, err
	}
	return u.offer(ctx, b)
}

// room says whether a bundle fits on the disk of the state.
func (u *updater) room(size int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(u.path(""), &fs); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * fs.Bsize; size+minBundleRoom > free {
		return &adminapi.Error{Code: adminapi.CodeStore, Text: fmt.Sprintf("The bundle has %d MB, and %d MB are free on the disk of the state folder.", size>>20, free>>20), Advice: "Free some space."}
	}
	return nil
}

// ---- installing

// InstallUpdate implements admin.Updates.
func (u *updater) InstallUpdate(ctx context.Context, asked adminapi.InstallUpdate) error {
	if !u.d.flags.ownHost {
		return notOurs()
	}
	if _, err := u.state(ctx); err != nil {
		return tellUpdate(err)
	}
	return u.begin(adminapi.UpdateFetching, func(ctx context.Context) error { return u.install(ctx, asked) })
}

// install is the job.
func (u *updater) install(ctx context.Context, asked adminapi.InstallUpdate) error {
	path, err := u.bring(ctx, asked.From)
	if err != nil {
		return err
	}
	trust, err := u.trust()
	if err != nil {
		return err
	}
	b, done, err := openStaged(path, trust)
	if err == nil {
		u.step(func(j *adminapi.UpdateJob) { j.Version = b.Manifest.Version })
		err = u.fit(ctx, b)
	}
	done()
	if err != nil {
		version := ""
		if b != nil {
			version = b.Manifest.Version
		}
		return errors.Join(u.refused(ctx, version, err), os.Remove(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	total := map[update.Stage]int64{
		update.StageVerify: b.Size() - b.Start(),
		update.StageWrite:  b.Manifest.Root.Size + b.Manifest.Verity.Size,
		update.StageCheck:  b.Manifest.Root.Size,
	}
	err = u.d.helper().Ask(ctx, helper.UpdateInstall{}, helper.With{File: f, Progress: func(raw []byte) {
		var p helper.UpdateProgress
		if json.Unmarshal(raw, &p) == nil {
			u.step(func(j *adminapi.UpdateJob) { j.Stage, j.Done, j.Total = string(p.Stage), p.Done, total[p.Stage] })
		}
	}})
	if ctx.Err() == nil {
		_ = os.Remove(path) // it is in the slot, or no good
	}
	if err != nil {
		return err
	}
	u.d.log.Info("update installed", "version", b.Manifest.Version)
	return u.restart(ctx, asked.Restart, "update to version "+b.Manifest.Version)
}

// bring has the bundle in the state folder.
func (u *updater) bring(ctx context.Context, from adminapi.UpdateFrom) (string, error) {
	if from.Uploaded {
		return u.path(uploadedName), nil
	}
	trust, err := u.trust()
	if err != nil {
		return "", err
	}
	if from.USB {
		return u.path(uploadedName), u.copyStick(ctx, trust)
	}
	fetch, err := u.fetch(from, trust)
	if err != nil {
		return "", err
	}
	version := ""
	fetch.Admit = func(b *update.Bundle) error {
		version = b.Manifest.Version
		u.step(func(j *adminapi.UpdateJob) { j.Version, j.Total = version, b.Size() })
		return errors.Join(u.fit(ctx, b), u.room(b.Size()))
	}
	fetch.Progress = func(done, total int64) {
		u.step(func(j *adminapi.UpdateJob) { j.Done, j.Total = done, total })
	}
	if err := fetch.Run(ctx); err != nil {
		if ctx.Err() == nil {
			err = u.refused(ctx, version, err)
		}
		return "", err
	}
	return fetch.Path, nil
}

// ---- restarting

// restart drains the box and restarts it. Where that comes to nothing, the box is in service again.
func (u *updater) restart(ctx context.Context, r adminapi.Restart, reason string) error {
	if r.Later {
		return nil
	}
	u.step(func(j *adminapi.UpdateJob) { j.Stage, j.Done, j.Total = adminapi.UpdateDraining, 0, 0 })
	ours := u.d.drainer.record() == nil
	if ours {
		u.remember(ctx, func(rec *updaterRecord) { rec.Drained = true })
	}
	err := u.drainAndReboot(ctx, r, reason, ours)
	if err != nil && ours { // whoever had taken the box out of service before keeps it so
		ctx = context.WithoutCancel(ctx)
		err = errors.Join(err, u.d.drainer.Drain(ctx, adminapi.Drain{}))
		u.remember(ctx, func(rec *updaterRecord) { rec.Drained = false })
	}
	return err
}

func (u *updater) drainAndReboot(ctx context.Context, r adminapi.Restart, reason string, drain bool) error {
	if drain {
		if err := u.d.drainer.Drain(ctx, adminapi.Drain{On: true, Reason: "The box is being updated and will be back in a few minutes."}); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, time.Duration(r.DrainS)*time.Second)
	_ = u.d.zone.WaitEmpty(waiting) // the deadline is no error: people are told when the daemon ends, and come back by themselves
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	u.step(func(j *adminapi.UpdateJob) { j.Stage = adminapi.UpdateRestarting })
	return u.d.Power(ctx, adminapi.Power{Action: adminapi.PowerReboot, Reason: reason})
}

// RollbackUpdate implements admin.Updates.
func (u *updater) RollbackUpdate(ctx context.Context, asked adminapi.RollbackUpdate) error {
	if !u.d.flags.ownHost {
		return notOurs()
	}
	return u.begin(adminapi.UpdateRestarting, func(ctx context.Context) error {
		state, err := u.state(ctx)
		if err != nil {
			return err
		}
		var rolled helper.RolledBack
		if err := u.d.helper().Ask(ctx, helper.UpdateRollback{}, helper.With{Result: &rolled}); err != nil {
			return err
		}
		u.step(func(j *adminapi.UpdateJob) { j.Version = rolled.Next })
		if rolled.Next == state.Version {
			return nil // an update that waited was taken back
		}
		return u.restart(ctx, asked.Restart, "back to version "+rolled.Next)
	})
}

func notOurs() error {
	return &adminapi.Error{Code: adminapi.CodeConflict, Text: "This machine is not the appliance's own.", Advice: "Update it by its own means."}
}

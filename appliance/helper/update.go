package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/appliance/update"
)

// What the helper does to image slots. The daemon hands a bundle over as an open file, so that no path is in a request; the helper verifies it again.

// UpdateState asks how the machine stands: the answer is an update.State.
type UpdateState struct{}

// UpdateInstall writes the bundle whose file comes with the request into the idle image slot and arms it. Progress is UpdateProgress, the answer an update.Manifest.
type UpdateInstall struct{}

// UpdateRollback arms the other image slot, or takes back an update that waits: the answer is a RolledBack.
type UpdateRollback struct{}

// UpdateProgress is how far an installation is.
type UpdateProgress struct {
	Stage update.Stage `json:"stage"`
	Done  int64        `json:"done"` // bytes of this stage
}

// RolledBack names the version that the next start runs.
type RolledBack struct {
	Next string `json:"next"`
}

func (UpdateState) verb() string    { return "update-state" }
func (UpdateInstall) verb() string  { return "update-install" }
func (UpdateRollback) verb() string { return "update-rollback" }

// Validate implements Request.
func (UpdateState) Validate() error { return nil }

// Validate implements Request.
func (UpdateInstall) Validate() error { return nil }

// Validate implements Request.
func (UpdateRollback) Validate() error { return nil }

// installTimeout is for the largest bundle on a slow disk.
const installTimeout = time.Hour

// tellEvery is how often progress is told.
const tellEvery = 250 * time.Millisecond

// OpenMachine is the machine that the helper runs on. Root, boot partition and state have to be of one disk.
func OpenMachine() (*update.Machine, error) {
	running, err := update.ReadRunning()
	if err != nil {
		return nil, err
	}
	disk, err := update.FindDisk()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(update.OnDisk(disk, update.DefaultESP), update.OnDisk(disk, update.DefaultLedger)); err != nil {
		return nil, err
	}
	roots, err := update.ReadRootKeys(update.DefaultRootKeys)
	if err != nil {
		return nil, err
	}
	return update.New(update.Config{Disk: disk, ESP: update.DefaultESP, Ledger: update.DefaultLedger, Running: running, Trust: update.Trust{Roots: roots, Now: time.Now()}})
}

// performUpdate does what has to do with image slots; done is false for other requests.
func (s *Server) performUpdate(ctx context.Context, r Request, c call) (result any, done bool, err error) {
	switch r.(type) {
	case UpdateState, UpdateInstall, UpdateRollback:
	default:
		return nil, false, nil
	}
	machine, err := s.cfg.Machine()
	if err != nil {
		return nil, true, err
	}
	switch r.(type) {
	case UpdateState:
		result, err = machine.Look()
	case UpdateRollback:
		var next string
		next, err = machine.Rollback()
		result = RolledBack{next}
	case UpdateInstall:
		result, err = install(ctx, machine, c)
	}
	return result, true, err
}

// install takes the bundle that came with the request.
func install(ctx context.Context, machine *update.Machine, c call) (update.Manifest, error) {
	if c.file == nil {
		return update.Manifest{}, fmt.Errorf("%w: no file came with it", ErrRequest)
	}
	info, err := c.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return update.Manifest{}, errors.Join(fmt.Errorf("%w: what came with it is no regular file", ErrRequest), err)
	}
	// What is read once does not push the packet path's pages out.
	_ = unix.Fadvise(int(c.file.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
	var p UpdateProgress
	var told time.Time
	return machine.Install(ctx, c.file, info.Size(), func(stage update.Stage, n int64) {
		if p.Stage != stage {
			p, told = UpdateProgress{Stage: stage}, time.Time{}
		}
		p.Done += n
		if time.Since(told) >= tellEvery {
			told = time.Now()
			c.tell(p)
		}
	})
}

// tell sends progress; whoever asked may have gone, which the context then says.
func teller(write func([]byte)) func(any) {
	return func(v any) {
		if raw, err := json.Marshal(v); err == nil {
			write(raw)
		}
	}
}

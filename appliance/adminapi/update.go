package adminapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// Paths of updates.
const (
	PathUpdate         = "/admin/v1/update"          // GET → Update
	PathUpdateCheck    = "/admin/v1/update/check"    // POST UpdateFrom → UpdateOffer
	PathUpdateBundle   = "/admin/v1/update/bundle"   // PUT a bundle's bytes → UpdateOffer
	PathUpdateInstall  = "/admin/v1/update/install"  // POST InstallUpdate → Update; the work goes on, GET tells how far it is
	PathUpdateRollback = "/admin/v1/update/rollback" // POST RollbackUpdate → Update
	PathUpdateJob      = "/admin/v1/update/job"      // DELETE: give up what is under way
)

// UpdateFrom says where a bundle is. All empty: at update.source of the document.
type UpdateFrom struct {
	URL      string `json:"url,omitempty"`      // http or https
	Uploaded bool   `json:"uploaded,omitempty"` // what was put
	USB      bool   `json:"usb,omitempty"`      // on a stick: the newest bundle in its top folder
}

// UpdateOffer is what a bundle says of itself. Its signatures are good.
type UpdateOffer struct {
	Version string    `json:"version"`
	Running string    `json:"running"`
	Built   time.Time `json:"built"`
	Floor   string    `json:"floor,omitempty"`
	Notes   string    `json:"notes,omitempty"`
	Size    int64     `json:"size"`
	// Refused is why this box does not take it; empty: it does.
	Refused string `json:"refused,omitempty"`
}

// InstallUpdate has a bundle written into the idle image slot. Then the box drains, and restarts when nobody is in a meeting or the deadline has passed.
type InstallUpdate struct {
	From UpdateFrom `json:"from"`
	Restart
}

// RollbackUpdate has the next start run the other image slot, or takes back an update that waits for its first start.
type RollbackUpdate struct{ Restart }

// Restart is when the box restarts after something that takes effect only then.
type Restart struct {
	Later  bool  `json:"later,omitempty"`   // no restart: somebody sees to it
	DrainS int64 `json:"drain_s,omitempty"` // how long meetings may go on before it; 0: at once
}

// Update is how the box stands with updates.
type Update struct {
	Version string      `json:"version"`         // that runs
	Why     string      `json:"why,omitempty"`   // why this box cannot be updated; empty: it can
	Slots   []ImageSlot `json:"slots,omitempty"` // A and B
	// Unproved says that the running version is on trial; Armed is a version that waits for its first start.
	Unproved bool          `json:"unproved,omitempty"`
	Armed    string        `json:"armed,omitempty"`
	Floor    string        `json:"floor,omitempty"` // below which nothing is installed
	Source   string        `json:"source,omitempty"`
	Job      *UpdateJob    `json:"job,omitempty"` // under way, or the last since the daemon started
	Events   []UpdateEvent `json:"events"`        // the newest first
}

// ImageSlot is one of the two image slots.
type ImageSlot struct {
	Letter  string `json:"letter"`
	Version string `json:"version,omitempty"`
	Running bool   `json:"running,omitempty"`
	Boot    string `json:"boot"`            // none, good, trial, set-aside, bad
	Tries   int    `json:"tries,omitempty"` // left, on trial
}

// UpdateJob is an update under way.
type UpdateJob struct {
	Stage   string    `json:"stage"` // fetching, verifying, writing, checking, draining, restarting; done or failed at the end
	Version string    `json:"version,omitempty"`
	Done    int64     `json:"done"`            // bytes of this stage
	Total   int64     `json:"total,omitempty"` // 0: unknown
	Started time.Time `json:"started"`
	Error   *Error    `json:"error,omitempty"`
}

// Stages of a job beside those of the installation.
const (
	UpdateFetching   = "fetching"
	UpdateDraining   = "draining"
	UpdateRestarting = "restarting"
	UpdateDone       = "done"
	UpdateFailed     = "failed"
)

// Over says that a job has ended.
func (j UpdateJob) Over() bool { return j.Stage == UpdateDone || j.Stage == UpdateFailed }

// UpdateEvent is something that became of an update.
type UpdateEvent struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // installed, refused, failed, blessed, fell-back, rolled-back
	Version string    `json:"version,omitempty"`
	Text    string    `json:"text"`
}

// Update tells how the box stands with updates.
func (c *Client) Update(ctx context.Context) (Update, error) {
	return call[Update](ctx, c, http.MethodGet, PathUpdate, nil)
}

// CheckUpdate looks at a bundle without taking it.
func (c *Client) CheckUpdate(ctx context.Context, from UpdateFrom) (UpdateOffer, error) {
	return call[UpdateOffer](ctx, c, http.MethodPost, PathUpdateCheck, from)
}

// InstallUpdate begins to install.
func (c *Client) InstallUpdate(ctx context.Context, install InstallUpdate) (Update, error) {
	return call[Update](ctx, c, http.MethodPost, PathUpdateInstall, install)
}

// RollbackUpdate goes back.
func (c *Client) RollbackUpdate(ctx context.Context, rollback RollbackUpdate) (Update, error) {
	return call[Update](ctx, c, http.MethodPost, PathUpdateRollback, rollback)
}

// CancelUpdate gives up what is under way.
func (c *Client) CancelUpdate(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, PathUpdateJob, nil)
	return err
}

// PutBundle uploads a bundle.
func (c *Client) PutBundle(ctx context.Context, bundle io.Reader, size int64) (offer UpdateOffer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://box"+PathUpdateBundle, bundle)
	if err != nil {
		return offer, &Error{Code: CodeBad, Text: "The request cannot be made: " + err.Error() + "."}
	}
	request.ContentLength = size
	request.Header.Set("Content-Type", "application/octet-stream")
	answer, err := c.http.Do(request)
	if err != nil {
		return offer, c.unreachable(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return offer, c.unreachable(err)
	}
	if answer.StatusCode >= 300 {
		return offer, refused(answer.StatusCode, raw)
	}
	if err := json.Unmarshal(raw, &offer); err != nil {
		return offer, &Error{Code: CodeServer, Text: "The daemon's answer cannot be read: " + err.Error() + "."}
	}
	return offer, nil
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"meetzone/appliance/config"
)

// Commit-confirm: a revision may have to be confirmed. Where nobody does so in time, since the change has cut off whoever made it, the revision
// before it is committed again. The store knows of the waiting as long as it lasts: a start after the daemon was killed or the plug pulled goes
// back before anything is opened (TakeBackUnconfirmed); a start after an orderly end, as for a restart that the change itself needs, goes on
// waiting for what was left of the time (PlanRestart, resumeWaiting), once: a start that fails for what the revision wants is followed by one that
// goes back.

// Waiting is a revision that waits to be confirmed.
type Waiting struct {
	Number uint64    // 0: none does
	Before uint64    // what comes back
	Until  time.Time // with the monotonic clock
}

// Waiting returns the revision that waits to be confirmed, if one does.
func (r *Revisions) Waiting() Waiting {
	r.view.RLock()
	defer r.view.RUnlock()
	return r.waiting
}

func (r *Revisions) setWaiting(w Waiting) {
	r.view.Lock()
	r.waiting = w
	r.view.Unlock()
	select {
	case r.changed <- struct{}{}:
	default: // RunCountdown is going to look anyway
	}
}

// await begins or ends the waiting, as a revision that was just stored says.
func (r *Revisions) await(stored config.Revision, before uint64) {
	if stored.Confirm > 0 {
		r.setWaiting(Waiting{Number: stored.Number, Before: before, Until: time.Now().Add(stored.Confirm)})
		return
	}
	r.setWaiting(Waiting{})
}

// resumeWaiting goes on with what an orderly end has interrupted.
func (r *Revisions) resumeWaiting() error {
	u, found, err := r.cfg.Store.Unconfirmed()
	if err != nil || !found {
		return err
	}
	r.setWaiting(Waiting{Number: u.Number, Before: u.Before, Until: time.Now().Add(u.Left)})
	r.cfg.Logger.Warn("the configuration waits to be confirmed", "revision", u.Number, "left", u.Left, "otherwise", u.Before)
	return nil
}

// Confirm says that the revision that waits is good. Once it returns nil, no crash takes the revision back.
func (r *Revisions) Confirm(ctx context.Context, who string) (config.Revision, error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	if r.Waiting().Number == 0 {
		return config.Revision{}, ErrNotWaiting
	}
	if err := r.cfg.Store.SetUnconfirmed(context.WithoutCancel(ctx), nil); err != nil {
		return config.Revision{}, fmt.Errorf("storing the confirmation: %w", err)
	}
	r.setWaiting(Waiting{})
	running := r.Running()
	r.cfg.Logger.Info("configuration confirmed", "revision", running.Number, "who", who)
	return running, nil
}

// PlanRestart notes that the daemon is about to end in order, so that the next start goes on waiting for a confirmation.
func (r *Revisions) PlanRestart(ctx context.Context) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	w := r.Waiting()
	if w.Number == 0 {
		return nil
	}
	left := max(time.Until(w.Until), time.Second) // enough for the next start to see that it is over
	return r.cfg.Store.SetUnconfirmed(ctx, &config.Unconfirmed{Number: w.Number, Before: w.Before, Left: left, Planned: true})
}

// retryEvery is how soon going back is tried again after it has failed.
const retryEvery = 5 * time.Second

// RunCountdown takes back what nobody has confirmed in time, until ctx ends. Each time it calls takenBack with the revision that runs then.
func (r *Revisions) RunCountdown(ctx context.Context, takenBack func(config.Revision)) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w := r.Waiting()
		timer.Stop()
		if w.Number != 0 {
			timer.Reset(time.Until(w.Until))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
			continue
		case <-timer.C:
		}
		revision, err := r.takeBack(ctx, w)
		switch {
		case err == nil:
			takenBack(revision)
		case errors.Is(err, ErrNotWaiting): // confirmed at the last moment
		default:
			r.cfg.Logger.Error("an unconfirmed revision could not be taken back; it is tried again", "revision", w.Number, "err", err)
		}
	}
}

// takeBack commits the revision before the one that waits, unless it does not wait any more. Nothing that a part says keeps it from that: the box may
// be cut off. Where the store fails, it goes on waiting for a moment.
func (r *Revisions) takeBack(ctx context.Context, w Waiting) (config.Revision, error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	if r.Waiting() != w {
		return config.Revision{}, ErrNotWaiting
	}
	before, err := r.cfg.Store.Revision(w.Before)
	if err == nil {
		before, err = r.goBackLocked(ctx, before.Document, CommitOptions{Who: automatic, Comment: takenBackComment(w.Number, w.Before, "in time")})
	}
	if err != nil && r.Waiting() == w {
		w.Until = time.Now().Add(retryEvery)
		r.setWaiting(w)
	}
	return before, err
}

// automatic is the author of revisions that the box commits by itself.
const automatic = "appliance"

func takenBackComment(number, before uint64, why string) string {
	return fmt.Sprintf("revision %d was not confirmed %s; revision %d again", number, why, before)
}

// TakeBackUnconfirmed makes the revision before it the newest one where a start finds a revision that waited to be confirmed when the daemon
// died. It is called before anything is opened with a document.
func TakeBackUnconfirmed(ctx context.Context, store config.Store, log *slog.Logger) error {
	u, found, err := store.Unconfirmed()
	if err != nil || !found {
		return err
	}
	if u.Planned { // one start: if it fails, for what the revision wants, the next one goes back
		u.Planned = false
		return store.SetUnconfirmed(ctx, &u)
	}
	latest, err := store.Latest()
	if err != nil {
		return err
	}
	before, err := store.Revision(u.Before)
	if err != nil {
		return fmt.Errorf("taking the unconfirmed revision %d back: %w", u.Number, err)
	}
	next := config.Revision{Number: latest.Number + 1, Time: time.Now(), Who: automatic, Document: before.Document,
		Comment: takenBackComment(u.Number, u.Before, "before the daemon or the machine went down")}
	if err := store.Append(ctx, next); err != nil {
		return fmt.Errorf("taking the unconfirmed revision %d back: %w", u.Number, err)
	}
	log.Warn("an unconfirmed revision was taken back", "revision", u.Number, "runs", next.Number, "as", u.Before)
	return nil
}

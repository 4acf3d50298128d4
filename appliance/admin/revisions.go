package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"meetzone/appliance/config"
	"meetzone/storage"
)

// A commit's journey: the candidate is validated, every part is asked whether it could apply it, the journal notes that the box
// is about to change, the parts apply it one after the other, and the revision is stored, which ends the journal. Where a part
// fails, or the disk does, the parts that have changed get the running document again, last one first. A crash in between is
// found by Start, which applies the stored revision, the whole of it: the kernel then equals one revision and never a mixture.

// RevisionsConfig says what Revisions works on.
type RevisionsConfig struct {
	Store config.Store
	Parts []config.Part // in the order of applying
	// Override changes what the parts are given, without being stored: the flags of development. Default: nothing.
	Override func(config.Document) config.Document
	Logger   *slog.Logger // default slog.Default
}

// Revisions commits documents.
type Revisions struct {
	cfg RevisionsConfig

	busy sync.Mutex // held through each change of candidate or revision, so that they follow each other

	view    sync.RWMutex // guards what readers see while a commit is under way
	running config.Revision
	parts   []PartState
	unsure  bool // the disk did not say whether it has a revision that the box does not run
	waiting Waiting

	changed chan struct{} // one place: something for RunCountdown to look at
}

// PartState is what came of a part's last Apply.
type PartState struct {
	Name   string
	Actual config.Actual
	Err    error // nil where the part runs as in Actual
}

// CommitOptions say who commits and why.
type CommitOptions struct {
	Who     string
	Comment string
	Confirm time.Duration // 0: the revision stays; otherwise it is taken back unless it is confirmed within this time
}

// PartError says which part refused or failed.
type PartError struct {
	Part string
	Op   string // "check" or "apply"
	Err  error
}

func (e *PartError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Part, e.Op, e.Err) }

// Unwrap returns the part's own error.
func (e *PartError) Unwrap() error { return e.Err }

// UndoError says that a commit failed and that a part could not be brought back either.
type UndoError struct {
	Cause error // why the commit failed
	Undo  error
}

func (e *UndoError) Error() string { return fmt.Sprintf("%v; and undoing it: %v", e.Cause, e.Undo) }

// Unwrap returns both errors.
func (e *UndoError) Unwrap() []error { return []error{e.Cause, e.Undo} }

// NewRevisions returns an engine that has not applied anything; Start does.
func NewRevisions(cfg RevisionsConfig) (*Revisions, error) {
	if cfg.Store == nil {
		return nil, errors.New("revisions: store is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Override == nil {
		cfg.Override = func(d config.Document) config.Document { return d }
	}
	return &Revisions{cfg: cfg, changed: make(chan struct{}, 1)}, nil
}

// Start applies the newest revision to every part. Where there is none, first is committed as revision 1.
func (r *Revisions) Start(ctx context.Context, first config.Document) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	latest, err := r.cfg.Store.Latest()
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	interrupted, pending, err := r.cfg.Store.Pending()
	if err != nil {
		r.cfg.Logger.Warn("the journal of commits cannot be read", "err", err)
	}
	if pending {
		r.cfg.Logger.Warn("a commit was interrupted; the revision before it is applied", "revision", latest.Number, "interrupted", interrupted.Number)
	}
	if latest.Number == 0 {
		latest = config.Revision{Number: 1, Time: time.Now(), Who: automatic, Comment: "first start", Document: first}
		if err := first.Validate(); err != nil {
			return fmt.Errorf("first configuration: %w", err)
		}
		if err := r.cfg.Store.Append(ctx, latest); err != nil {
			return fmt.Errorf("storing the first configuration: %w", err)
		}
	}
	states, err := r.applyAll(ctx, latest.Document)
	r.publish(latest, states)
	if err != nil {
		return fmt.Errorf("applying revision %d: %w", latest.Number, err)
	}
	if pending {
		if err := r.cfg.Store.Abort(ctx); err != nil {
			return err
		}
	}
	return r.resumeWaiting()
}

// applyAll applies the document to every part, also when one fails: at a start, and when going back, there is nothing else to turn to.
func (r *Revisions) applyAll(ctx context.Context, d config.Document) ([]PartState, error) {
	var errs []error
	states := make([]PartState, len(r.cfg.Parts))
	for i, part := range r.cfg.Parts {
		states[i] = r.apply(ctx, part, d)
		if states[i].Err != nil {
			errs = append(errs, states[i].Err)
		}
	}
	return states, errors.Join(errs...)
}

func (r *Revisions) apply(ctx context.Context, part config.Part, d config.Document) PartState {
	state := PartState{Name: part.Name()}
	actual, err := part.Apply(ctx, r.cfg.Override(d.Clone()))
	state.Actual = actual
	if err != nil {
		state.Err = &PartError{Part: part.Name(), Op: "apply", Err: err}
	}
	return state
}

func (r *Revisions) publish(running config.Revision, states []PartState) {
	r.view.Lock()
	defer r.view.Unlock()
	r.running, r.parts = running, states
}

// Running returns the revision that the box runs.
func (r *Revisions) Running() config.Revision {
	r.view.RLock()
	defer r.view.RUnlock()
	return r.running
}

// Parts returns what became of each part's settings, looked at again where the part can.
func (r *Revisions) Parts() []PartState {
	r.view.RLock()
	states, document := slices.Clone(r.parts), r.running.Document
	r.view.RUnlock()
	for i, state := range states {
		if o, ok := r.cfg.Parts[i].(config.Observer); ok && state.Err == nil {
			states[i].Actual = o.Observe(r.cfg.Override(document.Clone()))
		}
	}
	return states
}

// Failed returns why parts are not as the running document says, as far as their last Apply told.
func (r *Revisions) Failed() (errs []error) {
	r.view.RLock()
	defer r.view.RUnlock()
	for _, state := range r.parts {
		if state.Err != nil {
			errs = append(errs, state.Err)
		}
	}
	return errs
}

// Candidate returns the document under edit, which is the running one where nobody has changed anything.
func (r *Revisions) Candidate() (candidate config.Document, edited bool, err error) {
	candidate, edited, err = r.cfg.Store.Candidate()
	if err != nil || !edited {
		return r.Running().Document.Clone(), false, err
	}
	return candidate, len(config.Diff(r.Running().Document, candidate)) > 0, nil
}

// Edit replaces the candidate by what change makes of it. Whether it is valid is asked by Commit, so that several edits may lead there.
func (r *Revisions) Edit(ctx context.Context, change func(config.Document) (config.Document, error)) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	candidate, _, err := r.Candidate()
	if err != nil { // unreadable: start over from what runs
		candidate = r.Running().Document.Clone()
	}
	next, err := change(candidate)
	if err != nil {
		return err
	}
	return r.cfg.Store.SetCandidate(ctx, &next)
}

// Discard drops the candidate.
func (r *Revisions) Discard(ctx context.Context) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	return r.cfg.Store.SetCandidate(ctx, nil)
}

// Diff returns how the candidate differs from what runs.
func (r *Revisions) Diff() ([]string, error) {
	candidate, _, err := r.Candidate()
	return config.Diff(r.Running().Document, candidate), err
}

// History returns the revisions, newest first.
func (r *Revisions) History() ([]config.Revision, error) { return r.cfg.Store.History() }

// Commit makes the candidate the running configuration, or leaves everything as it was.
func (r *Revisions) Commit(ctx context.Context, o CommitOptions) (config.Revision, error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	candidate, edited, err := r.Candidate()
	if err != nil {
		return config.Revision{}, err
	}
	if !edited {
		return config.Revision{}, ErrNothing
	}
	if r.Waiting().Number != 0 {
		return config.Revision{}, ErrUnconfirmed
	}
	return r.commitLocked(ctx, candidate, o)
}

// Rollback commits an earlier revision again, as a new one; 0 is the one before the running one. The candidate is dropped.
func (r *Revisions) Rollback(ctx context.Context, number uint64, o CommitOptions) (config.Revision, error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	if number == 0 {
		before, err := r.before(r.Running().Number)
		if err != nil {
			return config.Revision{}, err
		}
		number = before
	}
	target, err := r.cfg.Store.Revision(number)
	if err != nil {
		return config.Revision{}, err
	}
	if len(config.Diff(r.Running().Document, target.Document)) == 0 {
		return config.Revision{}, ErrNothing
	}
	if o.Comment == "" {
		o.Comment = fmt.Sprintf("rollback to revision %d", number)
	}
	return r.commitLocked(ctx, target.Document, o)
}

// Adopt makes a document the newest revision without applying it: the daemon is to start again, and that start applies it. store stores it, with
// whatever belongs to it. Until the restart nothing else is committed.
func (r *Revisions) Adopt(ctx context.Context, next config.Document, o CommitOptions, store func(context.Context, config.Revision) error) (config.Revision, error) {
	r.busy.Lock()
	defer r.busy.Unlock()
	if r.Waiting().Number != 0 {
		return config.Revision{}, ErrUnconfirmed
	}
	ctx = context.WithoutCancel(ctx)
	if err := r.settleLocked(ctx); err != nil {
		return config.Revision{}, err
	}
	if err := r.check(next); err != nil {
		return config.Revision{}, err
	}
	before := r.Running()
	revision := config.Revision{Number: before.Number + 1, Time: time.Now(), Who: o.Who, Comment: o.Comment, Document: next, Confirm: o.Confirm}
	if err := store(ctx, revision); err != nil {
		return config.Revision{}, fmt.Errorf("storing the revision: %w", err)
	}
	r.setWaiting(Waiting{Number: revision.Number, Before: before.Number, Until: time.Now().Add(o.Confirm)})
	return revision, nil
}

// before returns the number of the newest revision below number.
func (r *Revisions) before(number uint64) (uint64, error) {
	history, err := r.cfg.Store.History()
	for _, revision := range history {
		if revision.Number < number {
			return revision.Number, nil
		}
	}
	return 0, errors.Join(fmt.Errorf("before revision %d: %w", number, ErrNoRevision), err)
}

func (r *Revisions) commitLocked(ctx context.Context, next config.Document, o CommitOptions) (config.Revision, error) {
	ctx = context.WithoutCancel(ctx) // whoever asked may hang up, a commit is not left half done
	if err := r.settleLocked(ctx); err != nil {
		return config.Revision{}, err
	}
	if err := r.check(next); err != nil {
		return config.Revision{}, err
	}
	return r.carryOutLocked(ctx, next, o, r.applyUntilFailure)
}

// goBackLocked commits a document that was in force before, for want of a better one: as at a start, no part is asked whether it likes it, and one that
// fails keeps no other from it. What failed is shown with the part.
func (r *Revisions) goBackLocked(ctx context.Context, to config.Document, o CommitOptions) (config.Revision, error) {
	ctx = context.WithoutCancel(ctx)
	if err := r.settleLocked(ctx); err != nil {
		return config.Revision{}, err
	}
	return r.carryOutLocked(ctx, to, o, func(ctx context.Context, d config.Document) ([]PartState, int, error) {
		states, err := r.applyAll(ctx, d)
		if err != nil {
			r.cfg.Logger.Error("going back, a part is not as configured", "err", err)
		}
		return states, len(states), nil
	})
}

// carryOutLocked has the parts apply a document in the way that is given, and stores the revision.
func (r *Revisions) carryOutLocked(ctx context.Context, next config.Document, o CommitOptions,
	apply func(context.Context, config.Document) (states []PartState, changed int, err error)) (config.Revision, error) {
	before := r.Running()
	revision := config.Revision{Number: before.Number + 1, Time: time.Now(), Who: o.Who, Comment: o.Comment, Document: next, Confirm: o.Confirm}
	if err := r.cfg.Store.Begin(ctx, revision); err != nil {
		return config.Revision{}, fmt.Errorf("writing the journal: %w", err)
	}
	states, changed, err := apply(ctx, next)
	if err == nil {
		if err = r.cfg.Store.Append(ctx, revision); err != nil {
			err = fmt.Errorf("storing the revision: %w", err)
		}
	}
	if err != nil {
		return config.Revision{}, r.undo(ctx, before, changed, err)
	}
	r.publish(revision, states)
	r.await(revision, before.Number)
	r.cfg.Logger.Info("configuration committed", "revision", revision.Number, "who", o.Who, "comment", o.Comment,
		"changes", config.Diff(before.Document, next))
	return revision, nil
}

// check asks the document and then every part, and returns everything that speaks against it.
func (r *Revisions) check(next config.Document) error {
	if err := next.Validate(); err != nil {
		return err
	}
	var errs []error
	for _, part := range r.cfg.Parts {
		if err := part.Check(r.cfg.Override(next.Clone())); err != nil {
			errs = append(errs, &PartError{Part: part.Name(), Op: "check", Err: err})
		}
	}
	return errors.Join(errs...)
}

// applyUntilFailure applies the document part by part. changed counts the parts that were touched, the failing one included.
func (r *Revisions) applyUntilFailure(ctx context.Context, d config.Document) (states []PartState, changed int, err error) {
	for i, part := range r.cfg.Parts {
		state := r.apply(ctx, part, d)
		states = append(states, state)
		if state.Err != nil {
			return states, i + 1, state.Err
		}
	}
	return states, len(r.cfg.Parts), nil
}

// undo gives the first changed parts the document before, last one first, and ends the journal.
func (r *Revisions) undo(ctx context.Context, before config.Revision, changed int, cause error) error {
	r.view.RLock()
	states := slices.Clone(r.parts)
	r.view.RUnlock()
	var errs []error
	for i := changed - 1; i >= 0; i-- {
		states[i] = r.apply(ctx, r.cfg.Parts[i], before.Document)
		if states[i].Err != nil {
			errs = append(errs, states[i].Err)
		}
	}
	r.publish(before, states)
	if errors.Is(cause, storage.ErrBusy) {
		r.view.Lock()
		r.unsure = true
		r.view.Unlock()
	} else if err := r.cfg.Store.Abort(ctx); err != nil {
		r.cfg.Logger.Warn("the journal could not be closed; the next start will", "err", err)
	}
	r.cfg.Logger.Error("commit failed and was undone", "cause", cause, "undo", errors.Join(errs...))
	if len(errs) > 0 {
		return &UndoError{Cause: cause, Undo: errors.Join(errs...)}
	}
	return cause
}

// settleLocked makes good what a silent disk left open. A revision that its author was told had failed, and that the disk
// wrote after all, is followed by one that says what the box runs.
func (r *Revisions) settleLocked(ctx context.Context) error {
	r.view.RLock()
	unsure, running, states := r.unsure, r.running, r.parts
	r.view.RUnlock()
	if !unsure {
		return nil
	}
	latest, err := r.cfg.Store.Latest()
	if err != nil {
		return err
	}
	if latest.Number > running.Number {
		running.Comment = fmt.Sprintf("takes revision %d back, which was refused because the disk did not answer", latest.Number)
		running.Number, running.Time, running.Who, running.Confirm = latest.Number+1, time.Now(), automatic, 0
		if w := r.Waiting(); w.Number != 0 { // going back is what failed
			running.Confirm = max(time.Until(w.Until), time.Second)
		}
		if err = r.cfg.Store.Append(ctx, running); err == nil {
			r.await(running, latest.Number)
		}
	} else {
		err = r.cfg.Store.Abort(ctx)
	}
	if err != nil {
		return fmt.Errorf("settling an earlier commit: %w", err)
	}
	r.publish(running, states)
	r.view.Lock()
	r.unsure = false
	r.view.Unlock()
	return nil
}

// Settle makes good what a silent disk left open. It is called when the disk answers again; commits do it by themselves.
func (r *Revisions) Settle(ctx context.Context) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	return r.settleLocked(context.WithoutCancel(ctx))
}

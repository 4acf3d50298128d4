package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meetzone/appliance/config"
	"meetzone/storage"
)

// keepRevisions is how many revisions history keeps; the oldest go first.
const keepRevisions = 200

// RevisionStore keeps revisions, candidate and journal in tables of the store.
type RevisionStore struct {
	store     *storage.Store
	revisions *storage.Table[uint64, revisionRecord]
	drafts    *storage.Table[string, revisionRecord]
	waiting   *storage.Table[string, waitingRecord]
	confirmed func(tx *storage.Tx, number uint64) error
}

var _ config.Store = (*RevisionStore)(nil)

// The records of the table of drafts.
const (
	draftCandidate = "candidate"
	draftPending   = "pending"
)

// revisionRecord is a revision as it is stored.
type revisionRecord struct {
	Number  uint64    `json:"number,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	Who     string    `json:"who,omitempty"`
	Comment string    `json:"comment,omitempty"`
	Again   uint64    `json:"again,omitempty"`
	YAML    string    `json:"yaml"`
}

// recordWaiting is the one record of the table of what waits to be confirmed.
const recordWaiting = "revision"

// waitingRecord is a config.Unconfirmed as it is stored.
type waitingRecord struct {
	Number  uint64 `json:"number"`
	Before  uint64 `json:"before"`
	LeftMS  int64  `json:"left_ms"`
	Planned bool   `json:"planned,omitempty"`
}

// NewRevisionStore opens the tables.
func NewRevisionStore(s *storage.Store) (*RevisionStore, error) {
	revisions, err := storage.OpenTable[uint64, revisionRecord](s, "revisions")
	if err != nil {
		return nil, err
	}
	drafts, err := storage.OpenTable[string, revisionRecord](s, "drafts")
	if err != nil {
		return nil, err
	}
	waiting, err := storage.OpenTable[string, waitingRecord](s, "unconfirmed")
	if err != nil {
		return nil, err
	}
	return &RevisionStore{store: s, revisions: revisions, drafts: drafts, waiting: waiting, confirmed: func(*storage.Tx, uint64) error { return nil }}, nil
}

// OnConfirm has something else written in the transaction that confirms a revision. It is called before anything is confirmed.
func (r *RevisionStore) OnConfirm(do func(tx *storage.Tx, number uint64) error) { r.confirmed = do }

// Latest returns the newest revision; Number 0 where there is none.
func (r *RevisionStore) Latest() (config.Revision, error) {
	keys := r.revisions.Keys()
	if len(keys) == 0 {
		return config.Revision{}, nil
	}
	return r.Revision(keys[len(keys)-1])
}

// Newest returns the number of the newest revision, also of one that cannot be read; 0 where there is none.
func (r *RevisionStore) Newest() uint64 {
	keys := r.revisions.Keys()
	if len(keys) == 0 {
		return 0
	}
	return keys[len(keys)-1]
}

// Revision returns one of them.
func (r *RevisionStore) Revision(number uint64) (config.Revision, error) {
	record, found, err := r.revisions.Get(number)
	if err != nil {
		return config.Revision{}, err
	}
	if !found {
		return config.Revision{}, fmt.Errorf("revision %d: %w", number, ErrNoRevision)
	}
	return record.revision()
}

// History returns all revisions, newest first. One that cannot be read any more does not hide the others.
func (r *RevisionStore) History() ([]config.Revision, error) {
	keys := r.revisions.Keys()
	list := make([]config.Revision, 0, len(keys))
	var errs []error
	for i := len(keys) - 1; i >= 0; i-- {
		revision, err := r.Revision(keys[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("revision %d: %w", keys[i], err))
			continue
		}
		list = append(list, revision)
	}
	return list, errors.Join(errs...)
}

// Candidate returns the document under edit.
func (r *RevisionStore) Candidate() (config.Document, bool, error) {
	record, found, err := r.drafts.Get(draftCandidate)
	if err != nil || !found {
		return config.Document{}, false, err
	}
	revision, err := record.revision()
	return revision.Document, err == nil, err
}

// SetCandidate keeps the document under edit; nil drops it.
func (r *RevisionStore) SetCandidate(ctx context.Context, candidate *config.Document) error {
	if candidate == nil {
		return r.drafts.Delete(ctx, draftCandidate)
	}
	record, err := newRecord(config.Revision{Document: *candidate})
	if err != nil {
		return err
	}
	return r.drafts.Put(ctx, draftCandidate, record)
}

// Begin notes the commit that is about to touch the box.
func (r *RevisionStore) Begin(ctx context.Context, next config.Revision) error {
	record, err := newRecord(next)
	if err != nil {
		return err
	}
	return r.drafts.Put(ctx, draftPending, record)
}

// Pending returns the commit that a crash interrupted.
func (r *RevisionStore) Pending() (config.Revision, bool, error) {
	record, found, err := r.drafts.Get(draftPending)
	if err != nil || !found {
		return config.Revision{}, false, err
	}
	revision, err := record.revision()
	return revision, err == nil, err
}

// Append keeps the revision, drops the candidate, ends what Begin began, notes whether the revision waits to be confirmed, and forgets the
// oldest revisions, but never the one that would come back.
func (r *RevisionStore) Append(ctx context.Context, next config.Revision) error {
	return r.append(ctx, next, false, func(*storage.Tx) error { return nil })
}

// AppendForRestart is Append for a revision that the next start is to apply, with what else has to be stored at once. Where it has to be confirmed,
// that start goes on waiting.
func (r *RevisionStore) AppendForRestart(ctx context.Context, next config.Revision, also func(*storage.Tx) error) error {
	return r.append(ctx, next, true, also)
}

func (r *RevisionStore) append(ctx context.Context, next config.Revision, planned bool, also func(*storage.Tx) error) error {
	record, err := newRecord(next)
	if err != nil {
		return err
	}
	return r.store.Update(ctx, func(tx *storage.Tx) error {
		revisions, drafts, waiting := r.revisions.In(tx), r.drafts.In(tx), r.waiting.In(tx)
		if _, taken, err := revisions.Get(next.Number); taken || err != nil {
			return errors.Join(fmt.Errorf("revision %d: %w", next.Number, ErrTaken), err)
		}
		keys := revisions.Keys()
		for len(keys) >= keepRevisions {
			if err := revisions.Delete(keys[0]); err != nil {
				return err
			}
			keys = keys[1:]
		}
		wait := waiting.Delete
		if next.Confirm > 0 && len(keys) > 0 {
			wait = func(key string) error {
				return waiting.Put(key, waitingRecord{Number: next.Number, Before: keys[len(keys)-1], LeftMS: next.Confirm.Milliseconds(), Planned: planned})
			}
		}
		return errors.Join(also(tx), revisions.Put(next.Number, record), drafts.Delete(draftCandidate), drafts.Delete(draftPending), wait(recordWaiting))
	})
}

// Unconfirmed returns the revision that waits to be confirmed.
func (r *RevisionStore) Unconfirmed() (config.Unconfirmed, bool, error) {
	record, found, err := r.waiting.Get(recordWaiting)
	return config.Unconfirmed{
		Number: record.Number, Before: record.Before, Left: time.Duration(record.LeftMS) * time.Millisecond, Planned: record.Planned,
	}, found, err
}

// SetUnconfirmed changes what is known of the revision that waits; nil says that it is confirmed.
func (r *RevisionStore) SetUnconfirmed(ctx context.Context, w *config.Unconfirmed) error {
	if w == nil {
		return r.confirm(ctx)
	}
	return r.waiting.Put(ctx, recordWaiting, waitingRecord{Number: w.Number, Before: w.Before, LeftMS: w.Left.Milliseconds(), Planned: w.Planned})
}

func (r *RevisionStore) confirm(ctx context.Context) error {
	return r.store.Update(ctx, func(tx *storage.Tx) error {
		waiting := r.waiting.In(tx)
		w, found, err := waiting.Get(recordWaiting)
		if err != nil || !found {
			return err
		}
		return errors.Join(r.confirmed(tx, w.Number), waiting.Delete(recordWaiting))
	})
}

// Abort ends what Begin began.
func (r *RevisionStore) Abort(ctx context.Context) error { return r.drafts.Delete(ctx, draftPending) }

func newRecord(r config.Revision) (revisionRecord, error) {
	text, err := r.Document.Marshal()
	return revisionRecord{Number: r.Number, Time: r.Time, Who: r.Who, Comment: r.Comment, Again: r.Again, YAML: string(text)}, err
}

func (r revisionRecord) revision() (config.Revision, error) {
	document, err := config.ParseStored([]byte(r.YAML))
	return config.Revision{Number: r.Number, Time: r.Time, Who: r.Who, Comment: r.Comment, Again: r.Again, Document: document}, err
}

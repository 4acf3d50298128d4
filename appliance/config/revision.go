package config

import (
	"context"
	"time"
)

// Revision is a committed document.
type Revision struct {
	Number   uint64    // counts from 1
	Time     time.Time // of the commit
	Who      string    // who committed it
	Comment  string
	Again    uint64 // the older revision that the rescue took the document of; 0 none
	Document Document
	// Confirm is how long the revision waits to be confirmed before the one before it comes back; 0: it stays.
	Confirm time.Duration
}

// Unconfirmed is a revision that waits to be confirmed. The store has it as long as it does, so that a box that dies meanwhile
// finds it at the next start.
type Unconfirmed struct {
	Number uint64        // of the revision
	Before uint64        // the revision that comes back when nobody confirms
	Left   time.Duration // of the time to confirm, when it was written
	// Planned says that the daemon ended in order, as for a restart that the change needs: the next start goes on waiting. Where it is
	// false, a start finds a daemon that died, and goes back.
	Planned bool
}

// Store keeps revisions, the candidate and the journal. Nothing it returned nil for is lost by a crash.
type Store interface {
	// Latest returns the newest revision; Number 0 where there is none.
	Latest() (Revision, error)
	// Revision returns one of them; an error where there is none of that number.
	Revision(number uint64) (Revision, error)
	// History returns all revisions that are kept, newest first.
	History() ([]Revision, error)
	// Candidate returns the document under edit; found is false where nobody is editing.
	Candidate() (candidate Document, found bool, err error)
	// SetCandidate keeps the document under edit; nil drops it.
	SetCandidate(ctx context.Context, candidate *Document) error
	// Begin notes that a commit is about to touch the box. Until Append or Abort, a start after a crash finds it in Pending.
	Begin(ctx context.Context, next Revision) error
	// Pending returns the commit that a crash interrupted; found is false where there is none.
	Pending() (next Revision, found bool, err error)
	// Append keeps the revision, drops the candidate and ends what Begin began, all at once. With next.Confirm the revision waits to be
	// confirmed from then on; without, nothing does any more.
	Append(ctx context.Context, next Revision) error
	// Unconfirmed returns the revision that waits to be confirmed; found is false where there is none.
	Unconfirmed() (waiting Unconfirmed, found bool, err error)
	// SetUnconfirmed changes that; nil says that it is confirmed.
	SetUnconfirmed(ctx context.Context, waiting *Unconfirmed) error
	// Abort ends what Begin began.
	Abort(ctx context.Context) error
}

// Part is one part of the box that takes settings. Parts are asked and told in the order in which they were given.
type Part interface {
	// Name is what status and errors call it.
	Name() string
	// Check says whether the settings can be applied, and touches nothing.
	Check(Document) error
	// Apply makes the part agree with the settings and says what came of it. It is called again with the settings before when
	// a later part fails, and at every start, so it must find settings that are already there in order.
	Apply(context.Context, Document) (Actual, error)
}

// Observer is a Part that can look again at what became of its settings, for status: kernels and disks change their mind.
type Observer interface {
	Observe(Document) Actual
}

// Actual is what a part made of its settings.
type Actual []Fact

// Fact is one setting as wanted and as it is.
type Fact struct {
	Key    string // path in the document where there is one
	Wanted string
	Actual string
	Note   string // why they differ, or what to do
}

// Agrees says that the setting is as wanted.
func (f Fact) Agrees() bool { return f.Wanted == f.Actual }

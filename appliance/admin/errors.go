package admin

import "errors"

// What a caller asked for is not there.
var (
	ErrNoRevision = errors.New("there is no such revision")
	ErrNoMeeting  = errors.New("there is no such meeting")
)

// Committing.
var (
	ErrNothing = errors.New("there is nothing to commit")
	ErrTaken   = errors.New("the revision exists already")
	// ErrUnconfirmed refuses a commit on top of a revision that may yet be taken back.
	ErrUnconfirmed = errors.New("the running revision waits to be confirmed")
	// ErrNotWaiting says that there is nothing to confirm.
	ErrNotWaiting = errors.New("no revision waits to be confirmed")
)

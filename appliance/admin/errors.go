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
)

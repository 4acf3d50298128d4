package storage

import "errors"

// Opening.
var (
	ErrLocked  = errors.New("the store is in use by another process")
	ErrCorrupt = errors.New("the store is damaged")
	ErrTooNew  = errors.New("the store was written by a newer version that this one cannot read")
)

// Writing.
var (
	// ErrBusy says that the disk does not answer in time. Whether the write was made is unknown.
	ErrBusy = errors.New("the disk does not answer")
	// ErrFull says that the disk or the store is full. Nothing was written.
	ErrFull = errors.New("the disk is full")
	// ErrFailed says that the disk reported an error. Nothing more is written until the store is opened again.
	ErrFailed = errors.New("the disk failed")
)

// Package adminapi is the admin API: its paths, its messages, and a client. It is a leaf: the command line and the console see
// this package and nothing else of the box.
//
// The API is JSON over HTTP on a unix socket (docs/admin-api.md). Every answer that is not a success is an Error, which is two
// sentences for a person: what happened, and what to do.
//
// Main types: Client, Status, Document, Revision, Meeting, Error. No goroutines, no locks; a Client may be used by several
// goroutines at once.
package adminapi

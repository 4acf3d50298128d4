// Package admin serves the admin API of package adminapi on a unix socket, and commits configuration. It knows no media, no
// files and no kernel: what it asks for goes through the interfaces Meetings, Drainer and Host, and config.Part.
//
// Main types:
//
//   - Revisions commits documents: check, journal, apply part by part, undo in reverse order on failure, store.
//   - RevisionStore keeps them in tables of package storage; it is a config.Store.
//   - Server answers requests. Who asks is known from the socket's peer credentials or from a session (package people), and each route says who may.
//
// Goroutines: net/http's. Revisions.busy is held through a whole commit, so that commits follow each other; what a reader
// sees meanwhile is guarded by Revisions.view. Server has no state of its own.
//
// Basis: unix(7), SO_PEERCRED.
package admin

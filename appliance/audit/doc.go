// Package audit keeps who did what to the box, in a table of package storage that nobody can take back: there is no way to change or remove an
// entry, a rollback does not touch it, and only the bounds make the oldest go.
//
// Main types: Log, Entry.
//
// Two kinds of entries have bounds of their own, so that who is refused, however often, pushes nothing out of what was done: Done (done, or
// failed at it) and Refused (not let in, not permitted). Who is refused very often is counted and no longer written down one by one.
//
// No goroutines. Log.appending is held while an entry is written, Log.mu guards what readers see.
package audit

// Package people knows who may administer the box: their names, roles and passwords, and the sessions of those who have logged in. It knows no
// request and no verb: what a role may do is decided by who asks it.
//
// Main types:
//
//   - Users is everybody there is, in a table of package storage outside the revisions, so that a rollback revives no old password.
//   - Session is one login. Sessions and their tokens live in memory only and end with the daemon.
//
// Passwords are kept as argon2id hashes with their parameters (RFC 9106, the PHC string format); at most two are computed at once, which bounds
// the memory they take. An unknown name costs as much as a known one. After five wrong passwords a name is locked for a time that doubles with
// each further one, up to five minutes: long enough against guessing, short enough that nobody locks the owner out for the day. How often it
// went wrong is kept over a restart.
//
// Users.mu guards sessions and failures; it is never held while a password is computed or a record is written. Changing guards the order of
// changes. No goroutines.
package people

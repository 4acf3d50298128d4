// Package config is the configuration document: its keys, their scopes and defaults, and what is valid. Values only: nothing
// here reads a file, opens a socket or knows who uses a setting.
//
// Four types build on each other:
//
//   - Document is the whole of it as Go values; its struct tags name the keys and their scope.
//   - Problem is one thing that is wrong, with its path and what to do; Problems is all of them at once.
//   - Revision is a committed document with its number, time, author and comment.
//   - Actual is what a part made of its settings, beside what was wanted.
//
// Parse takes what a person wrote and refuses unknown keys, naming the nearest known one. ParseStored takes a stored revision:
// keys that a newer version wrote are kept and come out of Marshal again. A document that is parsed starts from Default, so
// that a key may be missing; Marshal writes every key, so that a later version's other default changes nothing silently.
//
// Scope: zone keys may be replicated to other boxes of the zone, box keys never.
//
// Documents are values. Assigning one shares its lists; Clone does not. No goroutines, no locks.
package config

// Package backup is the one file that a box can be made again of: what is in it, and how it is written and read. It knows no box and no store.
//
// Main types: Contents, and the functions Write and Read. A file is JSON, compressed by gzip, encrypted by age (age-encryption.org/v1) with a
// passphrase: `age -d FILE | gunzip` reads it without this software. age authenticates it, so what Read returns was written by somebody who knew
// the passphrase.
//
// It holds the identity of the zone and never that of a box. Sizes are bounded when writing and when reading, and so is the memory that the
// passphrase takes (64 MiB to write, at most 256 MiB to read). No goroutines.
package backup

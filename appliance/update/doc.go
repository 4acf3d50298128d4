// Package update brings a new version of the appliance into the image slot that is not running: it reads a signed bundle, writes the slot, checks what
// was written against the root hash, and arms a trial boot; afterwards it says whether the trial was good, or goes back. It downloads nothing and asks nobody.
//
// The main types:
//
//   - Manifest says what a bundle holds; Bundle is a file whose signatures were checked, Create makes one (offline).
//   - Trust is whose signatures are believed: root keys, which sign release keys, which sign manifests.
//   - Machine is the disk, the ESP and the ledger that an update changes: Look, Install, Arm, Rollback, Bless, Fail.
//   - Ledger is what outlives revisions and resets of configuration: the floor below which nothing is installed, the trial, and what became of updates.
//
// What makes it safe: everything is verified before anything is written; the version in the idle slot loses its UKI before its slot is touched, the running one
// is never touched; the new UKI appears, by a rename, only after the slot was read back. So at every moment the running version boots, and none that is not whole.
//
// Who does what: the daemon reads bundles without any rights, the helper (as root) verifies them again, because it believes nobody, and writes.
// Methods of Machine exclude each other between processes by a lock on the ledger's folder. No goroutines.
//
// Basis: RFC 8032 (ed25519), systemd's Automatic Boot Assessment, the Discoverable Partitions Specification, package internal/gpt and internal/verity.
package update

// Package gpt reads a GUID partition table, and gives partitions that exist another name and identity. It makes, moves and resizes nothing.
//
// Main type: Table, of Read. Write brings it to the disk so that a power cut at any moment leaves a table that firmware and kernel accept: the backup
// first, and when that is on the disk, the primary header with the entries behind it in one write, which on 512-byte sectors is one page of 4096 bytes. What an
// interrupted Write has left is healed by the next Write.
//
// No goroutines, no locks. Basis: UEFI specification 2.10, section 5.3.
package gpt

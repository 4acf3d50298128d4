// Package verity checks data against a dm-verity hash tree and its root hash, as the kernel does at each read, but all of it at once. Check reads both to
// their end and believes nothing but the root hash.
//
// No goroutines, no locks. Basis: the kernel's Documentation/admin-guide/device-mapper/verity.rst, and the superblock of cryptsetup (version 1).
package verity

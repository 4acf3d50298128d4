// Package history remembers the last plaintext packets of one arriving stream, so that receivers who missed one can get it again.
//
// A Ring takes packets in any order under their wide sequence numbers. Two bounds hold it: a count, by an index with one place per
// sequence number, and a number of bytes, by pages of 64 KiB that are written round and round. Pages are made when they are first needed
// and kept; a stream that nobody sends costs nothing. Insert and Get do not allocate once the pages are there.
//
// Refused: packets larger than a page, and packets older than what the ring still holds.
//
// A Ring belongs to one goroutine, the worker of its stream. There are no locks.
//
// Basis: RFC 4588 section 6.3, which leaves the size of the retransmission buffer to the sender.
//
// Caveat: Get returns the ring's own bytes. Copy them before they are changed, and before the next Insert.
package history

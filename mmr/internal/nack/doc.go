// Package nack follows the sequence numbers of one arriving stream: it widens them, finds what is missing, says when to ask for it again,
// and keeps what a reception report says.
//
// A Receiver takes every packet with Insert and every retransmission with Repaired; both return the wide number and what the packet was.
// Due names the packets to ask for now, each after a short wait for reordering, then once per round trip until it comes, is given up after a
// second, or was asked for often enough. Forget drops what a keyframe made useless. Report and Stats count.
//
// Refused: a number far from the others is Stale; when its successor follows, the stream has restarted and its wide numbers go on in the
// next cycle, so they never repeat. Memory is bounded: the oldest missing packet makes room for a newer one.
//
// A Receiver belongs to one goroutine, the worker of its stream. There are no locks, and no allocations once the list of the missing has
// grown. Times are monotonic, since any fixed instant.
//
// Basis: RFC 3550 sections 6.4.1, A.1 (validity and restart), A.3 (loss) and A.8 (jitter); RFC 4585 section 6.2.1 (NACK).
//
// Caveat: jitter is taken from the first packet of each timestamp, as libwebrtc does; RFC 3550 would count a picture's burst as jitter.
package nack

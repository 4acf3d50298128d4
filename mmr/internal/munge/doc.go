// Package munge makes one continuous RTP stream of several sources: it renumbers what a receiver gets, so that the receiver sees one
// sender that never jumps, whoever is in the slot.
//
// A Track is the state of one outgoing stream. Switch names the source that shall come next; the current one goes on until the first
// keyframe of the next. Rewrite decides about every packet of both and gives it its outgoing numbers: sequence, timestamp, and for VP8
// picture id, TL0PICIDX and KEYIDX. Drop tells that a packet is left out on purpose, so that later numbers close the gap. Sent and
// Resend answer a NACK: where did that packet come from, and which numbers did it have.
//
// How it works: between two events the outgoing numbers are the incoming ones plus a constant. Such a stretch is a segment, and the last
// 64 segments are kept, so that late packets and resends get exactly the numbers of their time. A bitmap of the last 2048 numbers says
// which were sent: no number ever carries two contents.
//
// Refused: packets from before the switch, packets sent before, and what a receiver could not decode because something else was dropped
// on purpose: the rest of that picture, higher temporal layers until they synchronise, and after a lost base layer everything up to the
// next keyframe. A picture that was begun and then dropped keeps its gap, so that the receiver notices.
//
// A Track belongs to one goroutine, the worker of its meeting shard. There are no locks and no allocations.
//
// Basis: RFC 3550 sections 5.1 and 7 (a translator keeps numbering continuous), RFC 7741 section 4.2.
//
// Caveat: picture ids keep the width in which the source writes them. After Switched, when the keyframe's first packet came late, the
// packets behind it have passed already; feed them again from the history.
package munge

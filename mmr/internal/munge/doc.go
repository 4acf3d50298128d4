// Package munge makes one continuous RTP stream of several sources: it renumbers what a receiver gets, so that the receiver sees one
// sender that never jumps, whoever is in the slot.
//
// A Track is the state of one outgoing stream. Switch names the source that shall come next; the current one goes on until the first
// keyframe of the next. Select says up to which spatial and temporal layer sources are sent. Rewrite decides about every packet of both
// sources and gives it its outgoing numbers: sequence, timestamp, picture id, TL0PICIDX and KEYIDX of VP8 and VP9, frame number of a
// dependency descriptor. Drop tells that a packet is left out on purpose, so that later numbers close the gap. Sent and Resend answer a NACK:
// where did that packet come from, and which numbers did it have.
//
// How it works: between two events the outgoing numbers are the incoming ones plus a constant. Such a stretch is a segment, and the last
// 64 segments are kept, so that late packets and resends get exactly the numbers of their time. A bitmap of the last 2048 numbers says
// which were sent: no number ever carries two contents.
//
// The choice of layers goes by what the receiver could have: a layer is good while every frame of it has been sent since the frame with which
// it could be entered, and what is sent is the best good layer within what Select named. A larger temporal layer becomes good by itself, a larger
// spatial one as a rule by a keyframe: Behind says that one is needed. The picture's last packet that is sent gets the marker. Picture ids of VP9
// and frame numbers keep their gaps where layers are left out, since frames name by differences of them what they refer to; so do LiveKit, Jitsi and mediasoup.
//
// Refused: packets from before the switch, packets sent before, what is of no layer that is sent, and what a receiver could not decode because
// something else was dropped on purpose. A frame that was begun and then dropped keeps its gap, so that the receiver notices. What is refused
// although its number has been passed already is Fill: an empty packet has to close the gap.
//
// A Track belongs to one goroutine, the worker of its meeting shard. There are no locks and no allocations.
//
// Basis: RFC 3550 sections 5.1 and 7 (a translator keeps numbering continuous), RFC 7741 section 4.2, RFC 9628 section 4.2, AV1 RTP specification appendix A.
//
// Caveats: a frame of which nothing has come yet when a larger layer is chosen is not missed: if it comes later, it is left out, and the receiver asks
// for a keyframe. Picture ids keep the width in which the source writes them. After Switched, when the keyframe's first packet came late, the
// packets behind it have passed already; feed them again from the history.
package munge

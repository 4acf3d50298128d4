// Package bwe estimates what one receiver's path carries, at the side that sends: in the shape of libwebrtc's estimator (Google congestion
// control), as SFUs use it. It knows no sockets and no packets but the feedback that it reads; everything is driven by the times that its
// caller gives.
//
// An [Estimator] belongs to one receiver, whatever number of transports it has: they have one bottleneck in common as a rule, and browsers
// count the packets of all transports of a PeerConnection in one number space. So the Estimator gives one sequence of transport-wide numbers
// ([Estimator.Send]) and remembers what they were given to; feedback about them ([Estimator.Feedback]) may come over any transport. A receiver
// that runs a stack of its own for each transport reports each by itself, by a clock of its own; that is recognised, and such a report
// says nothing about the packets of the others.
//
// A report's way: statuses (feedback.go) → what was sent (history.go) → groups of packets and the change of their delay (arrival.go) →
// trend of the delay against an adaptive threshold (trend.go) → increase, hold or decrease (aimd.go), held against what arrived (acked.go)
// and what was lost (loss.go). What leaves a queue of ours arrives at one rate whether the queue grows or empties; where more arrives while the delay
// falls than while it grows, the path varies it by itself, and that much delay says nothing (swings.go). Probes (probe.go) find out what more there is: bursts that a caller sends when [Estimator.Probe] says so.
// A [Pacer] spreads what is to be sent by the estimate.
//
// Peers without transport-wide feedback are judged by their receiver reports and REMB messages ([Estimator.Report], [Estimator.Limit]).
//
// Everything is bounded: an Estimator has some 70 KiB once it has numbered a packet, and allocates nothing after that. It has one owner and
// no locks. Times are any monotonic clock's.
//
// Basis: draft-ietf-rmcat-gcc-02; draft-holmer-rmcat-transport-wide-cc-extensions-01 (feedback).
//
// Caveat: sizes are those of IP packets as far as the caller knows them, so rates contain headers and tags.
package bwe

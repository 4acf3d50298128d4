// Package quality says how good a medium was for a participant: it makes figures of counters, a score of figures by the formulas of
// docs/quality.md, and keeps the figures of meetings for a day. It measures nothing itself and knows no router and no network.
//
// Main types: [Counters] is what was counted up to a moment, [Figures] what two of them say about the time between, [Score] the one number
// that people ask for first. A [History] keeps samples by meeting, participant, medium and direction, within bounds; a [Spread] counts
// scores, loss, jitter and round trips into buckets for the metrics, without names.
//
// No goroutines. A History and a Spread may be used from several goroutines; each has one lock, a leaf.
//
// Basis: ITU-T G.107 with the delay term of Cole and Rosenbluth (2001) and the loss term of G.113 for audio; for pictures the shape of
// Ou, Ma and Wang (2011) for the frame rate, and the definition of a freeze of the W3C's webrtc-stats.
//
// Caveats: a score judges one leg, between one client and the box, in one direction; what two people hear of each other is two legs.
package quality

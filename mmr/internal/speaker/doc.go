// Package speaker ranks the voices of one meeting by loudness and names its dominant speaker, without flapping.
//
// A Detector holds the Voices that joined. Each packet tells its voice the level (RFC 6464), or the size of the Opus packet where the sender
// gives none. Update, ten times a second, smooths the levels, fast upwards and slowly downwards, and ranks: with four ranked voices three are
// heard, and each of these three hears the fourth instead of itself. Dominant is the one who has been louder than the others for a while.
//
// Steadiness: a voice gets a seat at once when one is free, be it silent: in a small meeting no first word is cut, and nobody is too soft to be
// heard. One that speaks gets the seat of a holder who has been silent for a second; from someone who speaks it takes the
// seat only by being 6 dB louder, and no seat changes twice within 300 ms. The dominant speaker changes when another has led for 600 ms,
// or has begun while the old one is silent; whoever spoke last stays dominant in silence.
//
// A Detector and its Voices belong to one goroutine, the worker of the meeting shard. There are no locks, and no allocations but in Join.
// Times are monotonic, since any fixed instant.
//
// Basis: RFC 6464 section 3 (levels in -dBov, voice bit); RFC 6716 (Opus packets of variable size).
//
// Caveat: sizes tell speech from silence, not loud from soft; a voice without levels counts as of medium loudness.
package speaker

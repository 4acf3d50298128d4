// Package codec looks just far enough into payloads to forward them: does a picture or keyframe begin here, which ids must be rewritten
// when the source of a stream changes, how large is the picture, is this silence.
//
// Kind names a codec; StartsKeyframe and Silence answer for any of them. ParseVP8 reads the VP8 payload descriptor into a VP8 value, whose
// Patch writes other picture ids into a payload of the same shape; FrameSize reads the size from a keyframe. ParseOpus reads the table of
// contents byte of an Opus packet.
//
// Refused: descriptors and packets that are cut short. Nothing is decoded, and the payload is never changed except by Patch.
//
// There are no goroutines and no locks, no allocation and no state. Patch changes the bytes in place and sets absolute values, so one
// payload can be patched for one receiver after the other, provided that the descriptor was parsed before the first Patch.
//
// Basis: RFC 7741 section 4.2 (VP8 descriptor) and 4.3 (VP8 payload header), RFC 6386 section 9.1 (frame header), RFC 6716 section 3.1
// (Opus table of contents), RFC 7587 section 3.1.3 (discontinuous transmission).
//
// Caveat: a picture id keeps the width in which its sender wrote it. Senders may mix both widths in one stream.
package codec

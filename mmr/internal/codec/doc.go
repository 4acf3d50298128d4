// Package codec looks just far enough into payloads to forward them: does a picture or keyframe begin here, to which layer does it belong,
// which ids must be rewritten when the source of a stream changes, how large is the picture, is this silence.
//
// Kind names a codec; StartsKeyframe and Silence answer for any of them. ParseVP8 and ParseVP9 read a payload descriptor into a Descriptor,
// whose Patch writes other picture ids into a payload of the same shape; FrameSize reads the size from a keyframe. ParseDependency reads the
// dependency descriptor, a header extension that says all of it without a look into the payload; a Structure holds what its frames refer to,
// and Rewrite makes the descriptor that a receiver gets. A Frame is what all of them say of the frame, in terms of LayerSets: which layers it
// is a part of, and which can be entered with it. ParseOpus reads the table of contents byte of an Opus packet.
//
// Refused: descriptors and packets that are cut short. Nothing is decoded, and the payload is never changed except by Patch.
//
// There are no goroutines and no locks, no allocation, and no state but a Structure, which belongs to the owner of its stream. Patch changes
// the bytes in place and sets absolute values, so one payload can be patched for one receiver after the other, provided that the descriptor
// was parsed before the first Patch.
//
// Basis: RFC 7741 section 4.2 (VP8 descriptor) and 4.3 (VP8 payload header), RFC 6386 section 9.1 (frame header), RFC 9628 section 4.2 (VP9
// descriptor), RFC 6184 section 5 (H.264), AV1 RTP specification section 4.4 (aggregation header) and appendix A (dependency descriptor), RFC
// 6716 section 3.1 (Opus table of contents), RFC 7587 section 3.1.3 (discontinuous transmission).
//
// Caveats: a picture id keeps the width in which its sender wrote it. Senders may mix both widths in one stream. Of layers the first four
// spatial and the first four temporal ones are told apart. Chains are passed over: what a receiver misses it asks for itself.
package codec

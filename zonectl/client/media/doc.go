// Package media reads, plays and writes the media files of the reference client: VP8, VP9 and AV1 in IVF, Opus in OGG. It encodes and decodes nothing.
//
// A Clip is a whole file in memory, cut into frames, read within the bounds of Limits; Tone and Pattern are two clips that the project made itself
// (generate.sh). A Player walks over a clip as an endless loop and hands each frame to its owner when it is due; a Pacer runs any number of players
// in one goroutine. Packetizer and Frames turn frames of any codec into RTP payloads and back; Reorder puts packets into order and waits a bounded time
// for those that are missing. IVFWriter and OGGWriter write what arrived.
//
// Keyframes: when one is asked for, a player goes on at the clip's next keyframe, at once. A file whose next keyframe is more than a second away
// continues at the nearest one in either direction, since the person who waits for a picture matters more than the story of a test file; a file
// with a single keyframe starts again. The clock of what is sent never jumps.
//
// Ownership: a Clip is immutable and may be shared by any number of players. Player, VP8Packetizer, VP8Frames, Reorder and the writers belong to one
// goroutine, but RequestKeyframe may be called from any. The frames that a Player hands out belong to its clip and must not be changed.
//
// Basis: RFC 7741 (VP8 payload), RFC 6386 section 9.1 (frame header), RFC 7587 (Opus payload), RFC 6716 section 3.1 (TOC), RFC 7845 and RFC 3533
// (Opus in OGG).
//
// Caveats: an OGG file must hold one logical Opus stream; a chained or multiplexed one is refused.
package media

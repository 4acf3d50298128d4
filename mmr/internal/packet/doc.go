// Package packet reads and writes RTP packets where they lie: no copy, no allocation, no state.
//
// Parse checks a whole plaintext packet once and returns a Header, a small value that says where everything is; ParseHeader does the
// same for a packet whose payload is still encrypted, so it does not look at padding. Elements walks the header extension, Extension
// finds one element of it, and AudioLevel, TransportSequence and AbsSendTime read the elements that a router cares about. PutHeader
// writes the fixed header of an outgoing packet; Restore and PutRTX convert from and to the retransmission format. IsRTCP tells RTP
// from RTCP on one transport, and Unwrapper widens 16-bit sequence numbers.
//
// Refused: other versions than 2, headers, extensions and padding that reach beyond the packet. A damaged extension block does not
// make the packet unusable; its elements end where the damage begins.
//
// There are no goroutines and no locks: everything is a value or works on the caller's bytes.
//
// Basis: RFC 3550 section 5.1 (header, padding) and 5.3.1 (extension), RFC 8285 (one- and two-byte elements), RFC 4588 section 4 (RTX),
// RFC 5761 section 4 (RTP or RTCP), RFC 6464 (audio level), draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2.
//
// Caveat: Header holds offsets into the packet that it was parsed from. After the bytes were moved (Restore does) use the new Header.
package packet

// Package description writes the router's offer and reads the client's answer, or the other way round: SDP as RFC 8866, RFC 9429 (JSEP)
// and RFC 9143 (BUNDLE) have it. It knows the format and no meeting: what the sections mean is the caller's affair.
//
// [Offer] is plain data, made of one [Group] per transport with its [Section]s; Marshal writes it. One offer has several BUNDLE groups,
// and so one PeerConnection gets several transports. [Answer] is what [ParseAnswer] found, section by section, with what the session level
// says filled in. [ClientOffer] is what a client offers that makes the offer itself, and [Reply] the answer; [Fragment] and [Restart] are the
// pieces by which it restarts ICE.
//
// Refused: answers above MaxAnswer bytes or with more than MaxSections sections, and lines that pion/sdp cannot read. Attributes that are
// not understood are passed over, as RFC 8866 section 5.13 demands.
//
// There are no goroutines and no locks; everything is a value.
//
// Basis: RFC 8866 SDP, RFC 8839 ICE in SDP, RFC 8840 fragments, RFC 8842 DTLS in SDP, RFC 8122 fingerprints, RFC 8285 extmap, RFC 5576 ssrc,
// RFC 4588 RTX, RFC 4585 and 5104 rtcp-fb, RFC 5761 rtcp-mux, RFC 8858 rtcp-mux-only, RFC 5506 rtcp-rsize, RFC 8830 msid.
package description

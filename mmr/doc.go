// Package mmr is the multimedia router: it takes the voice, picture and shared screen of every endpoint of a meeting and sends each
// endpoint what belongs into its receive slots. It knows endpoints by opaque ids, and no zones, people or messages. It refuses to
// renegotiate when people come and go, to decode or to mix media, and to answer anything that has not authenticated itself. The router makes
// the offer, but to equipment that makes it itself ([ReadOffer], Endpoint.Accept).
//
// The main types: a [Router] belongs to one data plane and holds [Meeting]s; a meeting holds [Endpoint]s, whose owner carries the offer and
// the answer, says what it wants to see ([View]) and takes its [Event]s. Inside: a transport is one 5-tuple with its ICE, DTLS and SRTP;
// an upTrack is what an endpoint sends of one medium, a downTrack one of its receive slots, a source what can be put into slots, and a
// shard the part of a meeting that lives on one worker. Links connect shards, on other workers and other routers, into one meeting.
//
// A packet's way stands above handler (what arrives) and in shard.go (what is forwarded); a join's way in endpoint.go.
//
// Everything of a shard is touched by the thread of its home worker alone, so there are no locks on that way; the public methods post to it
// and may be called from any goroutine but the workers' own. Each DTLS association has a goroutine, runHandshake, which ends with its
// transport. Router.mu guards the list of meetings. Notify is called on the worker's thread and must return at once.
//
// A received datagram belongs to the worker until the batch ends; what is forwarded or sent again comes from the source's history, which
// holds the packet in the clear, without padding, as it came. Forwarding allocates nothing.
//
// Basis: RFC 8445 (ICE, lite), RFC 7675 (consent), RFC 7983 (demultiplexing), RFC 5764 (DTLS-SRTP), RFC 3711 and 7714 (SRTP), RFC 3550
// (RTP), RFC 4585 and 5104 (feedback), RFC 4588 (RTX), RFC 6464 (audio level), RFC 7741 (VP8), RFC 9628 (VP9),
// RFC 6184 (H.264), AV1 RTP specification (dependency descriptor), RFC 9143 (BUNDLE).
//
// Codecs: a slot carries any codec that its client accepted, and codecrule.go tells senders which one everybody decodes; formats.go has the payload
// types. Where a meeting spans shards that is VP8, since links do not tell what the far side decodes.
//
// Caveat: which encodings of simulcast are needed is known to their shard and, through links, to the senders' own; a client that ignores
// EncodingsWanted costs bandwidth and nothing else.
package mmr

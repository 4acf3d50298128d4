// Package turn is a relay without sockets: TURN (RFC 8656) over TLS for clients that reach nothing but the HTTPS port. What a client sends
// through its allocation enters the data plane as datagrams of a stream, and what the router sends on the stream's paths goes back as
// ChannelData. The relayed address is a name for the allocation, no socket, and the only peers are this box's own media addresses: nothing
// can be reached through it that could not be reached without it.
//
// The main types: a [Server] makes streams of connections, issues credentials and keeps the books on allocations; a session is the
// server's side of one connection, and its [dataplane.Framing].
//
// Credentials are short-lived and stateless (the form of draft-uberti-behave-turn-rest): the user name says until when they are good, for
// which class of traffic and for which session, the password is its HMAC. The class marks the connection from the allocation on.
//
// Goroutines: none of its own. A session's Cut runs on its stream's reader, Append on its stream's writer; what both need is an immutable
// list behind an atomic pointer. Server.mu guards the table of allocations.
//
// Basis: RFC 8489 (STUN, long-term credentials), RFC 8656 (TURN), RFC 6062 is not done.
//
// Caveats: permissions last as long as the allocation, since every peer is the box itself.
package turn

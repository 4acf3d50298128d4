// Package client is the reference client of a meeting zone: it joins a meeting by the four stages of docs/protocol.md and carries media both ways.
// It needs nothing of the server but package wire. It neither captures nor decodes media: callers hand it encoded frames and take RTP packets.
//
// Join does lookup, zone selection and router selection, opens the control channel, answers the router's offer and returns a Session when every
// medium's transport is connected. Config says how; Progress tells each stage as it happens; Sender takes the frames of one medium; Stats says how
// each medium travels and what was lost. Error is for a person: what went wrong and what to do.
//
// The router offers three BUNDLE groups in one description, pion carries one group per PeerConnection: the offer is split into one description per
// medium, each with a PeerConnection and UDP sockets of its own, and the answers are merged again (description.go). An offer of a higher generation
// restarts ICE, or replaces the PeerConnections where it is a fresh one, which the session asks for when a path dies, when this computer's address
// changes, and when UDP passes again (staying.go). A lost control channel is resumed with back-off while media go on; after a restart of the box
// the session joins anew, as who it was.
//
// Below UDP stand TCP 8801 and TLS 443 (ladder.go). To pion they are UDP sockets too; each is opened only when those above it do not answer in
// time, and journal.go keeps what came of each.
//
// Every socket is marked with the code point of its medium, and reads the code point of what arrives. Only local addresses from which the kernel
// would send to the router's candidates become candidates (the loopback included, where the router listens there): no STUN server, no mDNS.
//
// Goroutines: Session.run owns the control channel's state and the peers, fed by runReader (one per channel) and by peers' state changes;
// runSlot reads one receive slot, runReceiverReports its RTCP, runFeedback the RTCP of one sender; runWriter and
// runReader of a stream socket carry datagrams over a connection, runClimb tries UDP again; pion has its own. mu of a Session guards what run publishes for the accessors.
// All callbacks of Config are called from those goroutines and must not block.
//
// Basis: RFC 8829 and 9143 (offers, bundles), RFC 8445 (ICE, the router being lite), RFC 6464 (audio level), RFC 3550 (jitter),
// RFC 2474, RFC 6544 and 4571 (ICE-TCP), RFC 8656 (TURN).
//
// Caveats: behind a proxy or a tunnel media travel over TLS 443 only. Reading code points needs Linux.
package client

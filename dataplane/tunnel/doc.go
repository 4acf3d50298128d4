// Package tunnel carries connections on 443 for clients that reach a zone in no other way: the HTTP tunnel of a zone. It moves bytes between a client and a
// zone and never sees inside the TLS between the two.
//
// Server is the tunnel. What arrives at its one TLS port is told apart by the server name of the ClientHello: the name of a zone is passed through as it is,
// which is how browsers use a tunnel by a DNS name; anything else is TLS with the tunnel itself, where a client asks for a ping, or by CONNECT for a zone of
// the allow-list, which is how native clients use it. There are two ways behind it: the tunnel dials the zone, or the zone has dialled out to the tunnel and
// keeps connections that carry streams (yamux), so that it needs no hole in its own firewall.
//
// Registrar is the zone's end of that: a net.Listener whose connections have the address of the client. Dialer is a client's end; Fastest pings tunnels.
//
// A zone registers with a token that it signs with its own key; the tunnel knows the public keys of its zones. The token is bound to the TLS connection
// (RFC 9266), so that nobody can pass it on. The zone checks the tunnel's certificate, by its fingerprint or an authority: it would hand its clients' connections
// to whoever poses as the tunnel. Clients do not check it: what is secret is inside, in TLS with the zone.
//
// Goroutines: Server.Run accepts and has one goroutine per connection (runConn), which copies one direction, a second copying the other (runCopy), and one
// per registration (runRegistration). Registrar.Run has one per connection that it keeps (runLine), and one for each
// new stream until it is known whose it is (runGreeting). Server.mu guards the counts and the registered lines.
//
// Basis: RFC 9110 section 9.3.6 (CONNECT), RFC 6066 section 3 (SNI), RFC 9266 (channel binding), RFC 7519 (JWT), the PROXY protocol version 2.
package tunnel

// Package wire is the protocol between the clients of a meeting zone and its boxes: the messages of the control channel, the bodies
// of the HTTP half, join tokens, and their versions. It is a leaf, used by both ends; docs/protocol.md describes it for others.
//
// Main types: Message (one Go type for each message), Encode and Decode (the JSON form, with the member "type" beside the fields),
// Claims with SignToken and VerifyToken (join tokens: JWT, RFC 7519, signed with Ed25519, RFC 8037), and Error, which is what a
// person is told.
//
// Decode refuses what is too large, is not UTF-8, or has values out of their bounds; it takes control characters out of what people
// typed, and ignores members that it does not know. A message of an unknown type is an error of its own kind (ErrUnknownType), so
// that a newer peer can be understood in part.
//
// testdata holds one file for each message; other implementations test themselves against the same files.
//
// No goroutines, no locks; all functions may be called from anywhere.
package wire

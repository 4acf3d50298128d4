// Package dscp holds the marking policy: which class of traffic carries which code point. It is a portable leaf that
// knows neither sockets nor the kernel; package dscp/enforce makes a kernel agree with it, and package dataplane puts the
// marks on the wire.
//
// Four types build on each other:
//
//   - CodePoint is the six-bit value of RFC 2474, with the names of the IANA registry.
//   - Class says what a packet carries. Its fwmark takes the class to the kernel.
//   - Profile is a named policy: one code point, 802.1p priority and band for each class.
//   - Marks is the part of a profile that a sender needs.
//
// Values only: nothing here is changed after it was made, so everything may be used from any goroutine.
//
// Basis: RFC 2474 (the field), RFC 3246 (EF), RFC 2597 (AF), RFC 5865 (VOICE-ADMIT), RFC 8622 (LE), RFC 4594 (which class takes which),
// RFC 8837 (what browsers do), IEEE 802.1Q annex I (priorities).
package dscp

// Package lldp hears which switch and port the box's interfaces are plugged into (IEEE 802.1AB). It listens only: the box announces nothing.
//
// The main types: a [Listener] keeps what was heard, for as long as its sender said; a [Neighbour] is one sender, as plain data for people.
//
// What comes is from anybody on the wire: it is decoded by gopacket, bounded in number and length, and made printable.
//
// Goroutines: [Listener.Run] reads; Listener.mu guards what was heard. The packet socket is for the EtherType of LLDP alone, so that no other packet
// reaches it. CAP_NET_RAW is needed.
package lldp

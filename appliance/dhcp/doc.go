// Package dhcp keeps the DHCPv4 lease of one interface (RFC 2131). It knows no addresses in the kernel and no files: whoever runs a Client is told
// of each change of its lease, and sets addresses and keeps leases.
//
// The main types: a [Lease] is what a server gave, as plain data that can be kept over a restart; a [Client] obtains one, renews it, asks other
// servers when its own is silent, and drops it when it has expired or a server refuses it.
//
// A kept lease is asked for again first (INIT-REBOOT), and stays in use meanwhile: a restart of the daemon costs nobody the address. How old a
// lease is, is told by the clock of the boot that it was given in, which nobody sets; in another boot by the wall clock.
//
// Messages are those of github.com/insomniacslk/dhcp; what is sent when, is decided here, because the library keeps no lease. Its packet socket
// would see every packet of the interface, media too: here it has a filter, and is open only while an answer is awaited.
//
// Goroutines: [Client.Run] and, while it awaits an answer, one of the library. CAP_NET_RAW and CAP_NET_BIND_SERVICE suffice.
package dhcp

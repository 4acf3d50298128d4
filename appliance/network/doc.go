// Package network makes the links, addresses and routes of this host what the configuration says, through netlink. It touches nothing at all
// unless the host is its own, and then only what the configuration names or what it has made itself.
//
// The main types:
//
//   - Wanted is the network as plain data: interfaces with their addresses, and routes.
//   - Owner brings the kernel to a Wanted (Apply) and keeps it there (Run).
//   - memory keeps what interfaces were before they were taken.
//   - leases runs a dhcp.Client for each interface that wants one, and puts what it obtains into what is wanted.
//   - Actual is what differs in the kernel, and what others have changed.
//
// How it recognises its own, also after a crash: every interface that it has taken or made has an alias (ip link shows it) of taken or made, and
// its routes have the protocol number Protocol. Of an interface that it has taken, all permanent addresses but link-local ones are its own. What
// it was before it was taken is in Config.File: an interface that is named no longer becomes that again; one that the appliance has made is deleted.
//
// The kernel has no transactions for this. Apply compares object by object, adds before it takes away, and touches nothing that agrees: a restart
// of the daemon interrupts nobody, and an interrupted Apply is finished by the next one.
//
// Goroutines: those of its drift.Watch, which has it look again after the kernel's notices, and those of the DHCP clients. Owner.mu guards the wanted state and the events, and makes work on
// the kernel serial.
//
// Kernel basis: rtnetlink(7), ip-link(8), ip-address(8), ip-route(8), ip-sysctl (accept_ra). CAP_NET_ADMIN suffices, for DHCP with
// CAP_NET_RAW and CAP_NET_BIND_SERVICE.
package network

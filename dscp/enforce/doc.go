// Package enforce makes the kernel of this host agree with a marking policy: an nf_tables table that sets, clamps and counts code points by the
// class (fwmark) of each packet, queues that serve the classes by band, and 802.1p priorities on VLANs. It touches nothing but what it has made
// itself, and nothing at all unless the host is its own.
//
// The main types:
//
//   - Wanted is the policy as plain data: a profile, exceptions for interfaces and prefixes, links with their rates.
//   - Enforcer brings the kernel to a Wanted (Apply), keeps it there (Run) and takes everything away again (Remove).
//   - Actual is what was found in the kernel, beside what was wanted.
//   - Event says that somebody else changed an object of ours, and what came of it.
//
// How it recognises its own: the table is called Table; queueing disciplines have the major number Major. Whatever else is there
// belongs to somebody else and stays; a link whose root qdisc somebody has put there is reported, not taken.
//
// nf_tables changes in one transaction, so that a packet meets the old table or the new one. Queues have no transactions: Apply compares
// object by object and adds, changes and deletes what differs, so that an interrupted Apply is finished by the next one.
//
// Goroutines: those of its drift.Watch, which has it look again after the kernel's notices of both families. Enforcer.mu guards the wanted state, the events and the kernel work itself, which is serial.
//
// Kernel basis: nf_tables(8), tc(8), tc-htb(8), rtnetlink(7), Documentation/networking/vlan (egress-qos-map). CAP_NET_ADMIN suffices.
package enforce

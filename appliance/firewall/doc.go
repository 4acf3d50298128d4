// Package firewall drops what nobody on the box is to hear: one nf_tables table of the box's own, inet meetzone_input, for the interfaces that the
// document names. Whatever else filters on this host stays as it is.
//
// The main types: [Wanted] is who may reach which port by which interface, as plain data; [Owner] has the kernel's table like it (Apply) and keeps it
// so (Run); [Actual] is what the kernel has counted, and what others have changed.
//
// A packet's way, in the order of the rules: ports that are open, media first; answers to what the box has begun; ICMP that IP needs, and a bounded
// rate of pings; DHCP answers; everything else is counted and dropped. Interfaces that are not named are left alone.
//
// Open ports are not tracked: neither a packet of media nor a flood of SYNs costs an entry of the kernel's table of connections.
//
// The table is replaced in one transaction, so that no packet meets half of it, and outlives the daemon. Goroutines: those of its drift.Watch.
// Owner.mu guards the wanted state and makes work on the kernel serial.
//
// Kernel basis: nf_tables through netlink (nft(8)); CAP_NET_ADMIN suffices.
package firewall

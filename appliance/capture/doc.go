// Package capture writes what passes an interface of the box into a pcapng file, bounded in time and size, for whoever has to find out where packets or
// their marks get lost. It keeps headers only unless more is asked for: content is encrypted anyway, and nobody's business.
//
// The types: Spec says what to capture, Run does it and returns a Summary. Flow names the media of a participant by its addresses.
//
// A class is known exactly for what leaves, by the fwmark of the packet, which the kernel's filter sees; for what arrives, by its code point.
//
// Run has no goroutine of its own but one that ends it in time. It needs CAP_NET_RAW.
//
// Basis: packet(7), classic BPF with the extensions of linux/filter.h, draft-ietf-opsawg-pcapng.
package capture

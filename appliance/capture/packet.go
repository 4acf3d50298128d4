package capture

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// headers is what packets are looked at for.
type headers struct {
	src, dst netip.AddrPort // ports are 0 for other protocols than UDP and TCP
	tos      uint8
	ip       bool
	size     int // of link, network and transport headers, and of RTP's fixed one
}

// rtpHeader is the fixed part of an RTP header; it comes in the clear.
const rtpHeader = 12

// parse takes an Ethernet frame apart. What is cut off or malformed ends it early; what was found up to there counts.
func parse(b []byte) (h headers) {
	if len(b) < 14 {
		h.size = len(b)
		return h
	}
	kind, at := binary.BigEndian.Uint16(b[12:]), 14
	for kind == unix.ETH_P_8021Q || kind == unix.ETH_P_8021AD {
		if len(b) < at+4 {
			h.size = len(b)
			return h
		}
		kind, at = binary.BigEndian.Uint16(b[at+2:]), at+4
	}
	h.size = at
	switch kind {
	case unix.ETH_P_IP:
		h.parse4(b, at)
	case unix.ETH_P_IPV6:
		h.parse6(b, at)
	default:
		h.size = min(len(b), 64) // ARP, LLDP and such are headers as a whole
	}
	h.size = min(h.size, len(b))
	return h
}

func (h *headers) parse4(b []byte, at int) {
	if len(b) < at+20 {
		return
	}
	ip := b[at:]
	size := int(ip[0]&15) * 4
	if size < 20 {
		return
	}
	h.ip, h.tos, h.size = true, ip[1], at+size
	src, dst := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	h.src, h.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	if binary.BigEndian.Uint16(ip[6:])&0x1fff == 0 { // the first fragment has the ports
		h.parseTransport(b, ip[9], src, dst)
	}
}

func (h *headers) parse6(b []byte, at int) {
	if len(b) < at+40 {
		return
	}
	ip := b[at:]
	h.ip, h.tos, h.size = true, ip[0]<<4|ip[1]>>4, at+40
	src, dst := netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	h.src, h.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	h.parseTransport(b, ip[6], src, dst)
}

func (h *headers) parseTransport(b []byte, proto uint8, src, dst netip.Addr) {
	at := h.size
	if len(b) < at+8 {
		return
	}
	switch proto {
	case unix.IPPROTO_UDP:
		h.size += 8
		if len(b) > h.size && b[h.size]>>6 == 2 {
			h.size += rtpHeader
		}
	case unix.IPPROTO_TCP:
		if len(b) < at+20 {
			return
		}
		h.size += max(20, int(b[at+12]>>4)*4)
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		h.size += 8
		return
	default:
		return
	}
	h.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b[at:]))
	h.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[at+2:]))
}

// SourceAndMark returns the source port of an IP packet and its code point.
func SourceAndMark(frame []byte) (port uint16, point dscp.CodePoint, ok bool) {
	h := parse(frame)
	return h.src.Port(), dscp.OfTOS(h.tos), h.ip
}

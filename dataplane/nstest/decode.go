package nstest

import (
	"bytes"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// decoder takes packets apart; it keeps its layers between packets.
type decoder struct {
	parser  *gopacket.DecodingLayerParser
	eth     layers.Ethernet
	vlan    layers.Dot1Q
	ip4     layers.IPv4
	ip6     layers.IPv6
	udp     layers.UDP
	tcp     layers.TCP
	payload gopacket.Payload
	found   []gopacket.LayerType
}

func newDecoder() *decoder {
	d := new(decoder)
	d.parser = gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &d.eth, &d.vlan, &d.ip4, &d.ip6, &d.udp, &d.tcp, &d.payload)
	d.parser.IgnoreUnsupported = true
	return d
}

// decode fills in p from a frame; false when it is not IP. What was found up to an error counts.
func (d *decoder) decode(frame []byte, p *Packet) bool {
	_ = d.parser.DecodeLayers(frame, &d.found)
	ip := false
	var src, dst netip.Addr
	var payload []byte
	for _, layer := range d.found {
		switch layer {
		case layers.LayerTypeIPv4:
			ip = true
			src, dst = toAddr(d.ip4.SrcIP), toAddr(d.ip4.DstIP)
			p.Proto, p.TOS, p.Size = uint8(d.ip4.Protocol), d.ip4.TOS, int(d.ip4.Length)
			p.DF = d.ip4.Flags&layers.IPv4DontFragment != 0
			payload = d.ip4.Payload
		case layers.LayerTypeIPv6:
			ip = true
			src, dst = toAddr(d.ip6.SrcIP), toAddr(d.ip6.DstIP)
			p.Proto, p.TOS, p.Size = uint8(d.ip6.NextHeader), d.ip6.TrafficClass, int(d.ip6.Length)+40
			payload = d.ip6.Payload
		case layers.LayerTypeUDP:
			p.Src, p.Dst = netip.AddrPortFrom(src, uint16(d.udp.SrcPort)), netip.AddrPortFrom(dst, uint16(d.udp.DstPort))
			payload = d.udp.Payload
		case layers.LayerTypeTCP:
			p.Src, p.Dst = netip.AddrPortFrom(src, uint16(d.tcp.SrcPort)), netip.AddrPortFrom(dst, uint16(d.tcp.DstPort))
			payload = d.tcp.Payload
		}
	}
	if ip && !p.Src.IsValid() {
		p.Src, p.Dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	}
	p.Payload = bytes.Clone(payload)
	return ip
}

func toAddr(ip []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

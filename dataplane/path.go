package dataplane

import "net/netip"

// Rung is one of the three ways a medium can travel, best first.
type Rung uint8

// The rungs, in order of preference. Their names are those of the wire protocol.
const (
	UDP Rung = iota // datagrams on the media port
	TCP             // ICE-TCP on the media port (RFC 6544, RFC 4571 framing)
	TLS             // TURN over TLS on the HTTPS port
)

// String returns "udp", "tcp" or "tls".
func (r Rung) String() string { return [...]string{"udp", "tcp", "tls", "unknown"}[min(r, 3)] }

// Path names the two ends between which a datagram travels, as this box sees them. It is comparable and packed, so
// that it serves as a map key on the packet path. IPv4 is kept in its mapped form.
type Path struct {
	remote     [16]byte
	local      [16]byte
	remotePort uint16
	rung       Rung
	zone       uint32 // interface index of a link-local remote, else 0
	stream     uint32 // id of the stream that carries it, 0 for UDP
}

// UDPPath returns the path of a datagram that arrived from remote at the local address. zone is the interface index of
// a link-local remote, else 0.
func UDPPath(remote netip.AddrPort, local netip.Addr, zone uint32) Path {
	return Path{remote: remote.Addr().As16(), local: local.As16(), remotePort: remote.Port(), zone: zone}
}

// StreamPath returns a path of a stream: the far end as the peer believes it to be, and the address of this box that the peer sends to.
func (s *Stream) StreamPath(remote netip.AddrPort, local netip.Addr) Path {
	return Path{remote: remote.Addr().As16(), local: local.As16(), remotePort: remote.Port(), rung: s.rung, stream: s.id}
}

// Remote returns the far end; IPv4 addresses are returned as such.
func (p *Path) Remote() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(p.remote).Unmap(), p.remotePort)
}

// Local returns the address of this box that was hit; replies leave from it.
func (p *Path) Local() netip.Addr { return netip.AddrFrom16(p.local).Unmap() }

// Rung returns the rung the path stands on.
func (p *Path) Rung() Rung { return p.rung }

// Zone returns the interface index of a link-local remote, else 0.
func (p *Path) Zone() uint32 { return p.zone }

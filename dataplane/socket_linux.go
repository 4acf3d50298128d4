package dataplane

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// socket is one worker's UDP socket at one listen address.
type socket struct {
	exit
	v6      bool // of the family AF_INET6, which may carry mapped IPv4 too
	v6Only  bool
	bound   netip.AddrPort
	receive int // bytes of receive buffer granted
	send    int
	gro     bool

	// The rest is the worker's.
	ready bool
	drops uint32 // SO_RXQ_OVFL as of the last datagram
}

// openSocket makes and binds a socket. The first of a SO_REUSEPORT group joins the group only after binding: so port 0 finds a port
// that is really free, and a port that another process has is an error and not a shared one.
func openSocket(addr netip.AddrPort, v6Only, first bool, cfg Config) (*socket, error) {
	s := &socket{v6: addr.Addr().Is6(), v6Only: v6Only}
	family := unix.AF_INET
	if s.v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil, fmt.Errorf("open socket for %s: %w", addr, os.NewSyscallError("socket", err))
	}
	s.fd = fd
	if err := s.prepare(addr, first, cfg); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open socket for %s: %w", addr, err)
	}
	return s, nil
}

func (s *socket) prepare(addr netip.AddrPort, first bool, cfg Config) error {
	if s.v6 {
		if err := s.set("IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, boolInt(s.v6Only)); err != nil {
			return err
		}
	}
	if err := s.setOptions(); err != nil {
		return err
	}
	s.receive = s.buffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.ReceiveBuffer)
	s.send = s.buffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.SendBuffer)
	s.gro = !cfg.NoGRO && unix.SetsockoptInt(s.fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	if first {
		if err := s.bind(addr); err != nil {
			return err
		}
		return s.set("SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err := s.set("SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err
	}
	return s.bind(addr)
}

// setOptions asks for destination address and TOS of what arrives, and for DF on what leaves: a fragment lost is a datagram lost, and
// firewalls drop fragments. PROBE and not DO, since with DO any host that forges one ICMP message could make the kernel refuse our
// datagrams as too big; what we send fits every sensible path, and whoever sends more searches the path MTU itself (RFC 8899).
func (s *socket) setOptions() error {
	type option struct {
		name              string
		level, opt, value int
	}
	options := []option{
		{"IP_RECVTOS", unix.IPPROTO_IP, unix.IP_RECVTOS, 1},
		{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE},
	}
	if s.v6 { // IPV6_PKTINFO tells mapped addresses too; TOS does not, it comes by IP_TOS
		options = append(options,
			option{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
			option{"IPV6_RECVTCLASS", unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1},
			option{"IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE})
	} else {
		options = append(options, option{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1})
	}
	for _, o := range options {
		if err := s.set(o.name, o.level, o.opt, o.value); err != nil {
			return err
		}
	}
	// Without the drop counter everything works, it is only not seen; probe() tells.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	return nil
}

func (s *socket) set(name string, level, opt, value int) error {
	if err := unix.SetsockoptInt(s.fd, level, opt, value); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// buffer asks for a buffer, past the system's limit when that is permitted, and returns what was granted. The kernel grants less
// without an error, and tells twice of what it grants.
func (s *socket) buffer(force, plain, wanted int) int {
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, wanted) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, plain, wanted) // what came of it is read back
	}
	granted, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, plain)
	if err != nil {
		return 0
	}
	return granted / 2
}

// bind binds to addr and notes what it came to.
func (s *socket) bind(addr netip.AddrPort) error {
	sa, err := sockaddr(addr)
	if err != nil {
		return err
	}
	if err := unix.Bind(s.fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	actual, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	port := addr.Port()
	switch actual := actual.(type) {
	case *unix.SockaddrInet4:
		port = uint16(actual.Port)
	case *unix.SockaddrInet6:
		port = uint16(actual.Port)
	}
	s.bound = netip.AddrPortFrom(addr.Addr(), port)
	return nil
}

func sockaddr(addr netip.AddrPort) (unix.Sockaddr, error) {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	if zone := addr.Addr().Zone(); zone != "" {
		index, err := zoneIndex(zone)
		if err != nil {
			return nil, err
		}
		sa.ZoneId = index
	}
	return sa, nil
}

func zoneIndex(zone string) (uint32, error) {
	if n, err := strconv.ParseUint(zone, 10, 31); err == nil {
		return uint32(n), nil
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, err)
	}
	return uint32(ifi.Index), nil
}

// serves tells whether datagrams may leave for p from this socket: the address it is bound to covers the local end.
func (s *socket) serves(p *Path) bool {
	if isMapped(&p.remote) {
		if s.v6 && s.v6Only {
			return false
		}
	} else if !s.v6 {
		return false
	}
	if s.bound.Addr().IsUnspecified() {
		return s.v6 && !s.v6Only || s.v6 == !isMapped(&p.remote)
	}
	return s.bound.Addr().As16() == p.local || p.local == [16]byte{}
}

// openAddress makes one socket per worker at one address.
func openAddress(addr netip.AddrPort, v6Only bool, cfg Config) (socks []*socket, err error) {
	for i := range cfg.Workers {
		s, err := openSocket(addr, v6Only, i == 0, cfg)
		if err != nil {
			closeSockets(socks)
			return nil, err
		}
		addr = s.bound
		socks = append(socks, s)
	}
	return socks, nil
}

// openAll makes the sockets of all addresses, by address and then by worker. All share one port.
func openAll(cfg Config) (groups [][]*socket, err error) {
	addrs, fallback := cfg.Listen, false
	if len(addrs) == 0 {
		addrs, fallback = []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), DefaultPort)}, true
	}
	v4 := false
	for _, a := range addrs {
		v4 = v4 || a.Addr().Unmap().Is4()
	}
	port := addrs[0].Port()
	for _, a := range addrs {
		addr := netip.AddrPortFrom(a.Addr().Unmap(), port)
		group, err := openAddress(addr, v4, cfg)
		if fallback && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
			cfg.Logger.Warn("no IPv6 here, listening on IPv4 only", "error", err)
			group, err = openAddress(netip.AddrPortFrom(netip.IPv4Unspecified(), port), false, cfg)
		}
		if err != nil {
			for _, g := range groups {
				closeSockets(g)
			}
			return nil, err
		}
		port = group[0].bound.Port()
		groups = append(groups, group)
	}
	return groups, nil
}

func closeSockets(socks []*socket) {
	for _, s := range socks {
		unix.Close(s.fd)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

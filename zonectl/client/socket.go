package client

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pion/ice/v4"

	"meetzone/dscp"
)

// sockets is where one medium's UDP sockets come from: pion sees them as a multiplexer, but each belongs to one ICE agent alone. There is one socket
// per local address, marked with the medium's code point, and none for addresses from which the router cannot be reached.
type sockets struct {
	mark     dscp.CodePoint
	received atomic.Int32 // TOS octet of what last arrived, -1 unknown

	// mu guards what follows: gathering asks for addresses and then takes the sockets, one by one.
	mu      sync.Mutex
	remotes []netip.AddrPort // of the router
	opened  map[string]*socket
	closed  bool
}

var _ ice.UDPMux = (*sockets)(nil)

func newSockets(mark dscp.CodePoint) *sockets {
	s := &sockets{mark: mark, opened: make(map[string]*socket)}
	s.received.Store(-1)
	return s
}

// aim says which addresses of the router the next sockets must reach.
func (s *sockets) aim(remotes []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remotes = remotes
}

// codePoint is that of what last arrived, -1 when nothing did or the system does not tell.
func (s *sockets) codePoint() int {
	tos := s.received.Load()
	if tos < 0 {
		return -1
	}
	return int(tos >> 2)
}

// GetListenAddresses opens a socket on each address from which the kernel would send to the router.
func (s *sockets) GetListenAddresses() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	var addresses []net.Addr
	for _, local := range localAddresses(s.remotes) {
		conn, err := listenMarked(local, s.mark)
		if err != nil {
			continue // another address may do; with none at all ICE fails and says so
		}
		opened := &socket{UDPConn: conn, received: &s.received, control: make([]byte, controlBytes)}
		s.opened[conn.LocalAddr().String()] = opened
		addresses = append(addresses, conn.LocalAddr())
	}
	return addresses
}

// GetConn gives one of the sockets away; whoever has it closes it.
func (s *sockets) GetConn(_ string, address net.Addr) (net.PacketConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	opened := s.opened[address.String()]
	if opened == nil {
		return nil, net.ErrClosed
	}
	delete(s.opened, address.String())
	return opened, nil
}

// RemoveConnByUfrag does nothing: each socket is closed by the candidate that has it.
func (s *sockets) RemoveConnByUfrag(string) {}

// Close closes the sockets that nobody took.
func (s *sockets) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for key, opened := range s.opened {
		opened.Close()
		delete(s.opened, key)
	}
	return nil
}

// socket is a marked UDP socket that notes the TOS of what arrives. One goroutine reads it.
type socket struct {
	*net.UDPConn
	received *atomic.Int32
	control  []byte
}

var _ ice.AddrPortReaderWriter = (*socket)(nil)

// ReadFromAddrPort reads a datagram.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, controls, _, from, err := s.ReadMsgUDPAddrPort(b, s.control)
	if err == nil {
		if tos, ok := receivedTOS(s.control[:controls]); ok {
			s.received.Store(int32(tos))
		}
	}
	return n, from, err
}

// WriteToAddrPort sends a datagram.
func (s *socket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return s.WriteToUDPAddrPort(b, to)
}

// ReadFrom reads a datagram.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.ReadFromAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

// localAddresses are those from which the kernel would send to the remotes: connecting a UDP socket asks the routing table and sends nothing.
func localAddresses(remotes []netip.AddrPort) []netip.Addr {
	var found []netip.Addr
	for _, remote := range remotes {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
		if err != nil {
			continue // no route
		}
		local, ok := conn.LocalAddr().(*net.UDPAddr)
		conn.Close()
		if !ok {
			continue
		}
		if address := local.AddrPort().Addr().Unmap(); address.IsValid() && !slices.Contains(found, address) {
			found = append(found, address)
		}
	}
	return found
}

// socketBuffer is what is asked for in both directions; the kernel may grant less.
const socketBuffer = 1 << 20

// listenMarked opens a UDP socket on an address, marked before its first datagram.
func listenMarked(local netip.Addr, mark dscp.CodePoint) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: markControl(mark)}
	conn, err := config.ListenPacket(context.Background(), "udp", netip.AddrPortFrom(local, 0).String())
	if err != nil {
		return nil, fmt.Errorf("open media socket: %w", err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("open media socket: %T", conn)
	}
	// Errors mean that the system's default size stays, which is survivable.
	_ = udp.SetReadBuffer(socketBuffer)
	_ = udp.SetWriteBuffer(socketBuffer)
	return udp, nil
}

package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/ice/v4"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// sockets is where one medium's UDP sockets come from: pion sees them as a multiplexer, but each belongs to one ICE agent alone. There is one socket
// per local address, marked with the medium's code point, and none for addresses from which the router cannot be reached. Beside them stand the
// stream sockets of the rungs below UDP (ladder.go).
type sockets struct {
	mark     dscp.CodePoint
	received atomic.Int32  // TOS octet of what last arrived, -1 unknown
	last     atomic.Int64  // when something last arrived, Unix nanoseconds
	sent     atomic.Uint64 // datagrams over UDP
	journal  *journal
	log      *slog.Logger
	web      *web // nil: UDP alone
	rush     bool // a path has died: the lower rungs need not wait for long

	// mu guards what follows: gathering asks for addresses and then takes the sockets, one by one.
	mu      sync.Mutex
	remotes []netip.AddrPort // of the router, UDP
	tcp     []netip.AddrPort // of the router, ICE-TCP
	relay   wire.Relay       // without URLs: none
	opened  map[string]net.PacketConn
	streams []*streamSocket
	closed  bool
}

var _ ice.UDPMux = (*sockets)(nil)

func newSockets(medium wire.Medium, mark dscp.CodePoint) *sockets {
	s := &sockets{mark: mark, journal: newJournal(medium), log: slog.New(slog.DiscardHandler), opened: make(map[string]net.PacketConn)}
	s.received.Store(-1)
	return s
}

// aim says which addresses of the router the next sockets must reach.
func (s *sockets) aim(remotes, tcp []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remotes, s.tcp = remotes, tcp
}

// through says which relay the next sockets may use.
func (s *sockets) through(relay wire.Relay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relay = relay
}

// lastHeard is when something last arrived, over any rung.
func (s *sockets) lastHeard() time.Time { return time.Unix(0, s.last.Load()) }

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
	var v4, v6 netip.Addr
	for _, local := range localAddresses(s.remotes) {
		if local.Is4() {
			v4 = local
		} else {
			v6 = local
		}
		if s.web != nil && !s.web.direct {
			continue
		}
		conn, err := listenMarked(local, s.mark)
		if err != nil {
			continue // another address may do; with none at all ICE fails and says so
		}
		s.journal.begin(rungUDP)
		opened := &socket{UDPConn: conn, received: &s.received, last: &s.last, sent: &s.sent, journal: s.journal, control: make([]byte, controlBytes)}
		s.opened[conn.LocalAddr().String()] = opened
		addresses = append(addresses, conn.LocalAddr())
	}
	for _, local := range []netip.Addr{v4, v6} {
		if local.IsValid() && s.web != nil {
			addresses = append(addresses, s.openStreamsLocked(local)...)
		}
	}
	return addresses
}

// openStreamsLocked makes the stream sockets of one family.
func (s *sockets) openStreamsLocked(local netip.Addr) (addresses []net.Addr) {
	add := func(rung string, name uint16, delay time.Duration, open func(context.Context, netip.AddrPort) (carrier, error)) {
		one := newStreamSocket(rung, netip.AddrPortFrom(local, name), delay, s, open)
		s.streams = append(s.streams, one)
		s.opened[one.LocalAddr().String()] = one
		addresses = append(addresses, one.LocalAddr())
	}
	wait := [...]time.Duration{tcpDelay, tlsDelay}
	if s.rush {
		wait = [...]time.Duration{tcpDelayAfterLoss, tlsDelayAfterLoss}
	}
	if s.web.direct && len(s.tcp) > 0 {
		add(rungTCP, tcpName, wait[0], func(ctx context.Context, to netip.AddrPort) (carrier, error) {
			conn, err := s.web.dial(ctx, to.String(), s.mark)
			if err != nil {
				return nil, err
			}
			return &framedConn{conn, to}, nil
		})
	}
	if relay := s.relay; len(relay.URLs) > 0 {
		if !s.web.direct {
			wait[1] = 0
		}
		add(rungTLS, tlsName, wait[1], func(ctx context.Context, _ netip.AddrPort) (carrier, error) { return openRelay(ctx, s.web, relay, s) })
	}
	return addresses
}

// standing tells the rung of a local address as pion knows it, and the real address.
func (s *sockets) standing(local netip.AddrPort) (rung, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.streams {
		if one.local == local {
			return one.rung, one.address()
		}
	}
	return rungUDP, local.String()
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
	streams := s.streams
	s.mu.Unlock()
	for _, one := range streams {
		one.Close()
		one.running.Wait()
	}
	s.mu.Lock()
	return nil
}

// socket is a marked UDP socket that notes the TOS of what arrives. One goroutine reads it.
type socket struct {
	*net.UDPConn
	received *atomic.Int32
	journal  *journal
	last     *atomic.Int64
	sent     *atomic.Uint64
	heard    bool // something has come
	control  []byte
}

var _ ice.AddrPortReaderWriter = (*socket)(nil)

// ReadFromAddrPort reads a datagram.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, controls, _, from, err := s.ReadMsgUDPAddrPort(b, s.control)
	for err != nil && refusal(err) { // an ICMP message for an earlier datagram; the path may still come to life
		s.journal.failed(rungUDP, resultOf(err), err)
		drainErrors(s.UDPConn)
		n, controls, _, from, err = s.ReadMsgUDPAddrPort(b, s.control)
	}
	if err == nil {
		s.last.Store(time.Now().UnixNano())
		if !s.heard {
			s.heard = true
			s.journal.answered(rungUDP)
		}
		if tos, ok := receivedTOS(s.control[:controls]); ok {
			s.received.Store(int32(tos))
		}
	}
	return n, from, err
}

// WriteToAddrPort sends a datagram.
func (s *socket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n, err := s.WriteToUDPAddrPort(b, to)
	if err != nil && refusal(err) { // of an earlier datagram; this one was not sent
		s.journal.failed(rungUDP, resultOf(err), err)
		drainErrors(s.UDPConn)
		n, err = s.WriteToUDPAddrPort(b, to)
	}
	if err == nil {
		s.sent.Add(1)
	}
	return n, err
}

// refusal tells whether an error says that the network refuses datagrams.
func refusal(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EPERM)
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

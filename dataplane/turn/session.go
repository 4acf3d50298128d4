package turn

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/dataplane"
	"meetzone/dscp"
)

// session is the relay's side of one connection. A client's way through it: Allocate (refused once, for the nonce), then for each of the
// box's addresses CreatePermission and ChannelBind; then ChannelData both ways. Before a channel is bound, data travel as indications.
type session struct {
	server *Server
	stream *dataplane.Stream
	opened time.Time
	nonce  string
	in     *stun.Message
	out    *stun.Message
	begun  bool
	wrong  int  // attempts with wrong credentials
	over   bool // the client has given its allocation back

	user      string
	account   string // the session of the user name, which allocations are counted by
	integrity stun.MessageIntegrity
	relayed   netip.AddrPort // valid: there is an allocation; the reader's, as is all above
	peers     atomic.Pointer[[]peer]

	// mu guards what follows: the reader takes an allocation, and whoever ends the stream gives it back.
	mu   sync.Mutex
	done bool           // the stream has ended, or the client gave the allocation back
	held netip.AddrPort // valid: to be given back
	by   string         // the session it is counted for
	end  *time.Timer    // of a brief allocation; nil: it may stay
}

// peer is one of the box's addresses that the client talks to.
type peer struct {
	addr    netip.AddrPort
	path    *dataplane.Path
	channel uint16 // 0: none
}

const (
	maxPeers    = 8
	maxWrong    = 3
	maxMessage  = 1800 // a Send indication with a whole datagram
	maxLifetime = time.Hour
	lifetime    = 10 * time.Minute
	// answerWithin is how long the answer has to get out when an allocation was given back.
	answerWithin = 500 * time.Millisecond
	// headStart is how old a connection is before it gets an allocation. libwebrtc gathers its candidates in steps of 50 ms, those of TCP one
	// step after those of relays, and gathers no more once a pair works: on a short way the relay would win the race against the better rung
	// every other time (p2p/client/basic_port_allocator.cc, AllocationSequence; p2p/base/p2p_transport_channel.cc, MaybeStopPortAllocatorSessions).
	headStart = 150 * time.Millisecond

	firstChannel = 0x4000
	lastChannel  = 0x4fff // RFC 8656, section 12

	udpProtocol  = 17
	familyIPv4   = 1
	familyIPv6   = 2
	channelSize  = 4
	headerSize   = 20
	cookie       = 0x2112a442
	dataType     = 0x0017 // Data indication
	attrXORPeer  = 0x0012
	attrDataType = 0x0013
)

var (
	errGarbage = errors.New("turn: neither STUN nor ChannelData")
	errFirst   = errors.New("turn: the connection does not begin with a STUN message")
	errSlow    = errors.New("turn: the client does not take the replies")
	errWrong   = errors.New("turn: too many attempts with wrong credentials")

	errGivenBack = errors.New("turn: the client gave the allocation back")
)

func newSession(s *Server, stream *dataplane.Stream) *session {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails, see its documentation
	se := &session{server: s, stream: stream, opened: time.Now(), nonce: hex.EncodeToString(random[:]), in: stun.New(), out: stun.New()}
	se.peers.Store(&[]peer{})
	return se
}

var _ dataplane.Framing = (*session)(nil)

// Cut implements dataplane.Framing.
func (se *session) Cut(b []byte) (dataplane.Frame, error) {
	if len(b) < channelSize {
		return dataplane.Frame{}, nil
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	switch b[0] >> 6 {
	case 0:
		return se.cutMessage(b, headerSize+n)
	case 1:
		if !se.begun {
			return dataplane.Frame{}, errFirst
		}
		return se.cutChannel(b, n)
	}
	return dataplane.Frame{}, errGarbage
}

// cutMessage takes a STUN message, and answers it.
func (se *session) cutMessage(b []byte, size int) (dataplane.Frame, error) {
	if size > maxMessage || size%4 != 0 || len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) != cookie {
		return dataplane.Frame{}, errGarbage
	}
	if len(b) < size {
		return dataplane.Frame{}, nil
	}
	se.begun = true
	m := se.in
	m.Raw = append(m.Raw[:0], b[:size]...)
	if m.Decode() != nil {
		return dataplane.Frame{}, errGarbage
	}
	f := dataplane.Frame{Size: size}
	if m.Type.Class == stun.ClassIndication {
		if m.Type.Method == stun.MethodSend {
			f.Payload, f.Path = se.sent(b[:size])
		}
		return f, nil
	}
	if m.Type.Class != stun.ClassRequest {
		return dataplane.Frame{}, errGarbage
	}
	return f, se.answer()
}

// cutChannel takes ChannelData, which over a stream is padded to a multiple of four. RFC 8656, section 12.5.
func (se *session) cutChannel(b []byte, n int) (dataplane.Frame, error) {
	size := channelSize + (n+3)&^3
	if n > dataplane.MaxDatagram {
		return dataplane.Frame{}, errGarbage
	}
	if len(b) < size {
		return dataplane.Frame{}, nil
	}
	f := dataplane.Frame{Size: size}
	channel := binary.BigEndian.Uint16(b)
	for _, p := range *se.peers.Load() {
		if p.channel == channel {
			f.Payload, f.Path = b[channelSize:channelSize+n:channelSize+n], p.path
		}
	}
	return f, nil // what comes on a channel that is not bound is dropped
}

// sent finds what a Send indication carries, in place.
func (se *session) sent(b []byte) ([]byte, *dataplane.Path) {
	var to stun.XORMappedAddress
	if to.GetFromAs(se.in, stun.AttrXORPeerAddress) != nil {
		return nil, nil
	}
	p := se.find(addrPort(to))
	if p == nil {
		return nil, nil
	}
	for rest := b[headerSize:]; len(rest) >= 4; {
		kind, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		rest = rest[4:]
		if n > len(rest) {
			return nil, nil
		}
		if kind == attrDataType {
			return rest[:n:n], p.path
		}
		rest = rest[min(len(rest), (n+3)&^3):]
	}
	return nil, nil
}

// Append implements dataplane.Framing.
func (se *session) Append(dst []byte, path *dataplane.Path, datagram []byte) []byte {
	local := path.Local()
	for _, p := range *se.peers.Load() {
		if p.addr.Addr() != local {
			continue
		}
		if p.channel == 0 {
			return appendIndication(dst, p.addr, datagram)
		}
		dst = binary.BigEndian.AppendUint16(dst, p.channel)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(datagram)))
		return pad(append(dst, datagram...), len(datagram))
	}
	return dst
}

// pad appends zeros up to a multiple of four.
func pad(dst []byte, n int) []byte {
	var zeros [3]byte
	return append(dst, zeros[:-n&3]...)
}

// appendIndication appends a Data indication. It is written by hand: it is short, and there is one for each datagram.
func appendIndication(dst []byte, from netip.AddrPort, datagram []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, dataType)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, cookie)
	var id [stun.TransactionIDSize]byte
	_, _ = rand.Read(id[:]) // never fails, see its documentation
	dst = append(dst, id[:]...)
	family, ip := byte(familyIPv4), from.Addr().AsSlice()
	if len(ip) == 16 {
		family = familyIPv6
	}
	dst = binary.BigEndian.AppendUint16(dst, attrXORPeer)
	dst = binary.BigEndian.AppendUint16(dst, uint16(4+len(ip)))
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, from.Port()^cookie>>16)
	key := binary.BigEndian.AppendUint32(nil, cookie)
	key = append(key, id[:]...)
	for i := range ip {
		dst = append(dst, ip[i]^key[i])
	}
	dst = binary.BigEndian.AppendUint16(dst, attrDataType)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(datagram)))
	dst = pad(append(dst, datagram...), len(datagram))
	binary.BigEndian.PutUint16(dst[at+2:], uint16(len(dst)-at-headerSize))
	return dst
}

func (se *session) find(addr netip.AddrPort) *peer {
	list := *se.peers.Load()
	for i := range list {
		if list[i].addr == addr {
			return &list[i]
		}
	}
	return nil
}

func addrPort(a stun.XORMappedAddress) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(a.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
}

// hold notes an allocation that is to be given back at the end; false: the end has come already.
func (se *session) hold(account string, relayed netip.AddrPort) bool {
	se.mu.Lock()
	defer se.mu.Unlock()
	if se.done {
		return false
	}
	se.held, se.by = relayed, account
	if brief := se.server.cfg; account != "" && account == brief.Brief {
		se.end = time.AfterFunc(brief.BriefFor, func() { _ = se.stream.Close() })
	}
	return true
}

// ended gives the allocation back. Any goroutine, more than once.
func (se *session) ended(reason error) {
	se.mu.Lock()
	held, by := se.held, se.by
	se.held, se.done = netip.AddrPort{}, true
	if se.end != nil {
		se.end.Stop()
	}
	se.mu.Unlock()
	if held.IsValid() {
		se.server.release(by, held)
		se.server.cfg.Logger.Debug("allocation ended", "relayed", held, "reason", reason)
	}
}

// mark lets the class of the credentials mark the connection; Signalling stands for any, and waits for the transport's.
func (se *session) mark(class dscp.Class) {
	if class != dscp.Signalling {
		se.stream.SetClass(class)
	}
}

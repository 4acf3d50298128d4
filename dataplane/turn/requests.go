package turn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v3"
)

// failure is why a request is refused.
type failure struct {
	code stun.ErrorCode
	// challenge has the answer tell realm and nonce.
	challenge bool
}

var (
	challenged   = &failure{code: stun.CodeUnauthorized, challenge: true}
	staleNonce   = &failure{code: stun.CodeStaleNonce, challenge: true}
	badRequest   = &failure{code: stun.CodeBadRequest}
	forbidden    = &failure{code: stun.CodeForbidden}
	mismatch     = &failure{code: stun.CodeAllocMismatch}
	unsupported  = &failure{code: stun.CodeUnsupportedTransProto}
	quotaReached = &failure{code: stun.CodeAllocQuotaReached}
	wrongUser    = &failure{code: stun.CodeWrongCredentials}
)

// answer obeys the request that is in se.in and queues the answer.
func (se *session) answer() error {
	m, r := se.in, se.out
	r.Reset()
	r.TransactionID = m.TransactionID
	r.Type = stun.NewType(m.Type.Method, stun.ClassSuccessResponse)
	r.WriteHeader()
	f := se.obey()
	if f != nil {
		r.Reset()
		r.TransactionID = m.TransactionID
		r.Type = stun.NewType(m.Type.Method, stun.ClassErrorResponse)
		r.WriteHeader()
		if err := f.code.AddTo(r); err != nil {
			return err
		}
		if f.challenge {
			_ = stun.NewRealm(se.server.cfg.Realm).AddTo(r) // both are short enough
			_ = stun.NewNonce(se.nonce).AddTo(r)
		}
	}
	if se.integrity != nil && (f == nil || !f.challenge) {
		if err := se.integrity.AddTo(r); err != nil {
			return err
		}
	}
	if m.Contains(stun.AttrFingerprint) {
		if err := stun.Fingerprint.AddTo(r); err != nil {
			return err
		}
	}
	if f == nil && m.Type.Method == stun.MethodAllocate {
		time.Sleep(headStart - time.Since(se.opened)) // on the reader of this connection alone
	}
	if !se.stream.Send(r.Raw) {
		return errSlow
	}
	if se.wrong >= maxWrong {
		return errWrong
	}
	return nil
}

// obey does what a request asks for, and adds to the answer; else it says why not.
func (se *session) obey() *failure {
	if se.in.Type.Method == stun.MethodBinding {
		se.addMapped()
		return nil
	}
	if f := se.authenticate(); f != nil {
		return f
	}
	switch se.in.Type.Method {
	case stun.MethodAllocate:
		return se.allocate()
	case stun.MethodRefresh:
		return se.refresh()
	case stun.MethodCreatePermission:
		return se.permit()
	case stun.MethodChannelBind:
		return se.bind()
	}
	return badRequest
}

// authenticate checks long-term credentials. RFC 8489, section 9.2.4. Those of an allocation stay good as long as it lives.
func (se *session) authenticate() *failure {
	m := se.in
	if !m.Contains(stun.AttrMessageIntegrity) {
		return challenged
	}
	var user stun.Username
	var realm stun.Realm
	var nonce stun.Nonce
	if user.GetFrom(m) != nil || realm.GetFrom(m) != nil || nonce.GetFrom(m) != nil {
		return badRequest
	}
	if nonce.String() != se.nonce {
		return staleNonce
	}
	if se.relayed.IsValid() {
		if user.String() != se.user {
			return wrongUser
		}
		if se.integrity.Check(m) != nil {
			return se.fails()
		}
		return nil
	}
	class, session, until, err := readUsername(user.String())
	if err != nil || time.Now().After(until) {
		return se.fails()
	}
	integrity := stun.NewLongTermIntegrity(user.String(), se.server.cfg.Realm, se.server.password(user.String()))
	if integrity.Check(m) != nil {
		return se.fails()
	}
	se.user, se.account, se.integrity = user.String(), session, integrity
	se.mark(class)
	return nil
}

// fails counts a wrong attempt.
func (se *session) fails() *failure {
	se.wrong++
	se.server.failures.Add(1)
	return challenged
}

func (se *session) allocate() *failure {
	m := se.in
	if se.relayed.IsValid() || se.over {
		return mismatch
	}
	protocol, err := m.Get(stun.AttrRequestedTransport)
	if err != nil || len(protocol) != 4 {
		return badRequest
	}
	if protocol[0] != udpProtocol {
		return unsupported
	}
	family, err := m.Get(stun.AttrRequestedAddressFamily)
	relayed, ok := se.server.allocate(se.account, err == nil && len(family) == 4 && family[0] == familyIPv6)
	if !ok {
		return quotaReached
	}
	if !se.hold(se.account, relayed) {
		se.server.release(se.account, relayed)
		return mismatch
	}
	se.relayed = relayed
	se.stream.Trust()
	addAddress(se.out, stun.AttrXORRelayedAddress, relayed)
	se.addLifetime(lifetime)
	se.addMapped()
	return nil
}

// refresh renews the allocation, or with a lifetime of 0 gives it back: then the connection is of no more use, and ends after the answer.
func (se *session) refresh() *failure {
	if !se.relayed.IsValid() {
		return mismatch
	}
	wanted := lifetime
	if v, err := se.in.Get(stun.AttrLifetime); err == nil && len(v) == 4 {
		wanted = min(time.Duration(binary.BigEndian.Uint32(v))*time.Second, maxLifetime)
	}
	if wanted > 0 {
		se.addLifetime(max(wanted, lifetime))
		return nil
	}
	se.addLifetime(0)
	se.over, se.relayed = true, netip.AddrPort{}
	se.peers.Store(&[]peer{})
	se.ended(errGivenBack)
	time.AfterFunc(answerWithin, func() { _ = se.stream.Close() })
	return nil
}

// permit takes note of the box's addresses that the client wants to talk to.
func (se *session) permit() *failure {
	if !se.relayed.IsValid() {
		return mismatch
	}
	found := false
	for _, a := range se.in.Attributes {
		if a.Type != stun.AttrXORPeerAddress {
			continue
		}
		one := stun.Message{TransactionID: se.in.TransactionID, Attributes: stun.Attributes{a}}
		var to stun.XORMappedAddress
		if to.GetFromAs(&one, stun.AttrXORPeerAddress) != nil {
			return badRequest
		}
		found = true
		if f := se.know(addrPort(to), 0); f != nil {
			return f
		}
	}
	if !found {
		return badRequest
	}
	return nil
}

// bind binds a channel to one of the box's addresses.
func (se *session) bind() *failure {
	if !se.relayed.IsValid() {
		return mismatch
	}
	var to stun.XORMappedAddress
	number, err := se.in.Get(stun.AttrChannelNumber)
	if err != nil || len(number) != 4 || to.GetFromAs(se.in, stun.AttrXORPeerAddress) != nil {
		return badRequest
	}
	channel := binary.BigEndian.Uint16(number)
	if channel < firstChannel || channel > lastChannel {
		return badRequest
	}
	return se.know(addrPort(to), channel)
}

// know adds a peer, or a channel to a peer. A permission is for an address; the port is looked at with data, and is the media port.
func (se *session) know(addr netip.AddrPort, channel uint16) *failure {
	if !se.server.mayReach(addr.Addr(), 0) {
		return forbidden
	}
	for _, p := range se.server.cfg.Peers() {
		if p.Addr().Unmap().WithZone("") == addr.Addr() {
			if channel != 0 && p.Port() != addr.Port() {
				return forbidden
			}
			addr = netip.AddrPortFrom(addr.Addr(), p.Port())
			break
		}
	}
	list := slices.Clone(*se.peers.Load())
	at := slices.IndexFunc(list, func(p peer) bool { return p.addr == addr })
	for i, p := range list {
		if channel != 0 && p.channel == channel && i != at {
			return badRequest
		}
	}
	switch {
	case at < 0 && len(list) == maxPeers:
		return quotaReached
	case at < 0:
		path := se.stream.StreamPath(se.relayed, addr.Addr())
		list = append(list, peer{addr: addr, path: &path, channel: channel})
	case channel != 0 && list[at].channel != 0 && list[at].channel != channel:
		return badRequest
	case channel != 0:
		list[at].channel = channel
	}
	se.peers.Store(&list)
	return nil
}

func (se *session) addLifetime(d time.Duration) {
	se.out.Add(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(d/time.Second)))
}

// addMapped tells the client the address that its connection comes from.
func (se *session) addMapped() { addAddress(se.out, stun.AttrXORMappedAddress, se.stream.Peer()) }

func addAddress(m *stun.Message, kind stun.AttrType, a netip.AddrPort) {
	// An address of either family always fits.
	_ = stun.XORMappedAddress{IP: net.IP(a.Addr().AsSlice()), Port: int(a.Port())}.AddToAs(m, kind)
}

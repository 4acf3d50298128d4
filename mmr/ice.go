package mmr

import (
	"encoding/binary"
	"net"

	"github.com/pion/stun/v3"

	"meetzone/dataplane"
	"meetzone/dscp"
)

// ICE as a lite agent does it: answer checks, follow the nominations of the controlling side, never send a check. RFC 8445, sections
// 2.5 and 7.3; consent is what the client renews with its checks, RFC 7675.
//
// What is not an authentic check is never answered, so that nothing can be learned from outside. What is answered is at least as large
// as its answer: a check has USERNAME, PRIORITY, a role, MESSAGE-INTEGRITY and FINGERPRINT, at least 104 bytes with our ufrag, and a success
// response with an IPv6 address has 76. A check too short for its answer (handleCheck compares) is dropped.

// checker holds the messages that are decoded and built over and over.
type checker struct {
	request, reply *stun.Message
}

const (
	stunHeader     = 20
	stunCookie     = 0x2112a442
	bindingRequest = 0x0001
)

// serverUfrag finds the part of USERNAME before the colon in a Binding request, without decoding the rest. It is all that a worker
// needs to know of somebody else's check. nil: no USERNAME.
func serverUfrag(b []byte) (ufrag []byte, reason Drop, ok bool) {
	if len(b) < stunHeader || len(b)%4 != 0 || binary.BigEndian.Uint32(b[4:]) != stunCookie ||
		int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		return nil, DropMalformed, false
	}
	if binary.BigEndian.Uint16(b) != bindingRequest {
		return nil, DropUnwanted, false
	}
	for rest := b[stunHeader:]; len(rest) >= 4; {
		kind, n := stun.AttrType(binary.BigEndian.Uint16(rest)), int(binary.BigEndian.Uint16(rest[2:]))
		rest = rest[4:]
		if n > len(rest) {
			return nil, DropMalformed, false
		}
		if kind == stun.AttrUsername {
			for i, c := range rest[:n] {
				if c == ':' {
					return rest[:i], 0, true
				}
			}
			return nil, DropUnknownPeer, false
		}
		rest = rest[min(len(rest), (n+3)&^3):]
	}
	return nil, DropUnknownPeer, false
}

// handleSTUN takes what looks like STUN.
func (h *handler) handleSTUN(now dataplane.Instant, d *dataplane.Datagram) {
	ufrag, reason, ok := serverUfrag(d.Data)
	if !ok {
		h.drop(reason)
		return
	}
	id, ok := h.ufrags.open(ufrag)
	if !ok {
		h.drop(DropUnknownPeer)
		return
	}
	if id.probe {
		h.handleProbe(now, ufrag, id, d)
		return
	}
	if int(id.worker) != h.w.ID() {
		h.handOver(d, id.worker)
		return
	}
	t := h.transports[id.transport]
	if t == nil {
		h.drop(DropUnknownPeer)
		return
	}
	creds := t.credentialsOf(ufrag)
	if creds == nil {
		h.drop(DropUnknownPeer)
		return
	}
	c, reason, ok := h.checks.authenticate(d.Data, creds)
	if !ok {
		h.drop(reason)
		return
	}
	h.handleCheck(now, t, creds, c, d)
}

// check is what an authentic check says.
type check struct {
	nominates  bool // USE-CANDIDATE
	controlled bool // ICE-CONTROLLED: the peer has its role wrong
	unknown    [maxUnknown]stun.AttrType
	unknowns   int
}

// maxUnknown bounds what one answer lists, so that the answer stays small.
const maxUnknown = 2

// authenticate decodes a check and verifies it. Only attributes before MESSAGE-INTEGRITY count, RFC 8489 section 14.5.
func (c *checker) authenticate(b []byte, creds *credentials) (is check, reason Drop, ok bool) {
	m := c.request
	m.Raw = append(m.Raw[:0], b...) // pion's HMAC writes behind the message, where in the arena the next datagram lies
	if err := m.Decode(); err != nil {
		return is, DropMalformed, false
	}
	if stun.Fingerprint.Check(m) != nil || creds.integrity.Check(m) != nil {
		return is, DropIntegrity, false
	}
	for _, a := range m.Attributes {
		switch a.Type {
		case stun.AttrMessageIntegrity:
			return is, 0, true
		case stun.AttrUsername, stun.AttrPriority:
		case stun.AttrUseCandidate:
			is.nominates = true
		case stun.AttrICEControlled:
			is.controlled = true
		default:
			if a.Type.Required() && is.unknowns < maxUnknown {
				is.unknown[is.unknowns] = a.Type
				is.unknowns++
			}
		}
	}
	return is, DropIntegrity, false // Check found the attribute, so this is not reached
}

// handleCheck answers an authentic check and does what it asks for.
func (h *handler) handleCheck(now dataplane.Instant, t *transport, creds *credentials, c check, d *dataplane.Datagram) {
	reply, err := h.checks.answer(c, creds, &d.Path)
	if err != nil || len(reply) > len(d.Data) {
		h.drop(DropReply)
		return
	}
	if c.unknowns > 0 || c.controlled {
		h.transmit(&d.Path, t.class, reply)
		return
	}
	k := t.learn(now, d)
	if k == nil {
		h.drop(DropConflict)
		return
	}
	h.stats.Checks++
	h.w.Belongs(&d.Path, h.w.ID(), 1)
	switch {
	case !t.foreign(k):
		h.transmit(&d.Path, t.class, reply)
	case !t.announce(k, reply):
		h.drop(DropHandOver)
		return
	}
	t.endpoint.budget.spendOther(t.class, len(reply)+ipOverhead)
	t.checked(now, k, creds, c.nominates)
}

// answer builds the answer in memory that lasts until the next one.
func (c *checker) answer(is check, creds *credentials, p *dataplane.Path) ([]byte, error) {
	m := c.reply
	m.Reset()
	m.TransactionID = c.request.TransactionID
	m.Type = stun.BindingSuccess
	if is.unknowns > 0 || is.controlled {
		m.Type = stun.BindingError
	}
	m.WriteHeader()
	var err error
	switch {
	case is.unknowns > 0:
		err = stun.ErrorCodeAttribute{Code: stun.CodeUnknownAttribute}.AddTo(m)
		if err == nil {
			err = stun.UnknownAttributes(is.unknown[:is.unknowns]).AddTo(m)
		}
	case is.controlled: // a lite agent never controls, so the other side has to: RFC 8445, section 7.3.1.1
		err = stun.ErrorCodeAttribute{Code: stun.CodeRoleConflict}.AddTo(m)
	default:
		remote := p.Remote()
		err = stun.XORMappedAddress{IP: net.IP(remote.Addr().AsSlice()), Port: int(remote.Port())}.AddTo(m)
	}
	if err != nil {
		return nil, err
	}
	if err := creds.integrity.AddTo(m); err != nil {
		return nil, err
	}
	if err := stun.Fingerprint.AddTo(m); err != nil {
		return nil, err
	}
	return m.Raw, nil
}

// transmit sends a datagram that is complete.
func (h *handler) transmit(p *dataplane.Path, class dscp.Class, b []byte) {
	if len(b) > dataplane.MaxDatagram {
		return
	}
	h.w.Commit(p, class, copy(h.w.Reserve(len(b)), b))
}

package mmr

import (
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/dataplane"
	"meetzone/dscp"
)

// Probes: a client that has not joined anything yet tests whether media would get here. It asks the controller for credentials over HTTPS and sends
// an ordinary connectivity check with them, so that a browser's PeerConnection can do it too. Any worker answers, and keeps nothing.
//
// The ufrag is one AES block like those of transports (credentials.go), of the probe kind, with the second at which it expires and random bytes. The password is
// the block encrypted once more, so that a worker finds it without a table. What is made up costs one block operation and is not answered. What is
// authentic is answered with no more bytes than it has, and a worker answers probesPerSecond at most. A connection is closed after its answer.

// ProbeCredentials let a client send probes.
type ProbeCredentials struct {
	Ufrag, Password string
	Candidates      []netip.AddrPort // where to, UDP and TCP
}

const (
	probeLife       = time.Minute
	probesPerSecond = 1000
)

// Attributes of the range that is understood or passed over, in no registry (RFC 8489, section 18.3). Both have four bytes.
const (
	// AttrTOSEcho of an answer tells the TOS octet with which it was sent (third byte), and that with which the probe arrived (last byte).
	AttrTOSEcho stun.AttrType = 0xc0d5
	// AttrProbeClass of a probe asks for an answer of a traffic class (last byte); without it, it is one of audio.
	AttrProbeClass stun.AttrType = 0xc0d6
)

// Probe makes credentials that are good for a minute.
func (r *Router) Probe() ProbeCredentials { return r.probeUntil(time.Since(r.started) + probeLife) }

// probeUntil makes credentials that are good up to a time since the start, in whole seconds.
func (r *Router) probeUntil(expires time.Duration) ProbeCredentials {
	var block [aesBlock]byte
	binary.BigEndian.PutUint32(block[1:], uint32(expires/time.Second))
	binary.BigEndian.PutUint32(block[5:], uint32(randomSession()))
	block[ufragKind] = kindProbe
	r.seal.Encrypt(block[:], block[:])
	ufrag := base64.RawStdEncoding.EncodeToString(block[:])
	var password [probePassword]byte
	derivePassword(r.seal, block[:], password[:])
	return ProbeCredentials{Ufrag: ufrag, Password: string(password[:]), Candidates: r.candidates()}
}

// probePassword is the length of a password: a block in base64.
const probePassword = ufragLen

// derivePassword finds the password of a sealed ufrag. block is overwritten.
func derivePassword(seal cipher.Block, block, password []byte) {
	seal.Encrypt(block, block)
	base64.RawStdEncoding.Encode(password, block)
}

// probeResponder answers probes on one worker. Like checker it keeps its memory.
type probeResponder struct {
	block     [aesBlock + 2]byte
	integrity [probePassword]byte
	creds     credentials // of the probe that is looked at
	address   [4 + net.IPv6len]byte
	echo      [4]byte
	budget    int
	refilled  dataplane.Instant
}

// handleProbe answers a probe whose ufrag is ours.
func (h *handler) handleProbe(now dataplane.Instant, ufrag []byte, id ufragID, d *dataplane.Datagram) {
	p := &h.probes
	if p.refilled == 0 || now-p.refilled >= dataplane.Instant(time.Second) {
		p.budget, p.refilled = probesPerSecond, now
	}
	if p.budget == 0 || uint32(time.Since(h.r.started)/time.Second) > id.transport {
		h.drop(DropProbe)
		return
	}
	if _, err := base64.RawStdEncoding.Decode(p.block[:], ufrag); err != nil {
		h.drop(DropMalformed)
		return
	}
	derivePassword(h.r.seal, p.block[:aesBlock], p.integrity[:])
	p.creds.integrity = p.integrity[:]
	c, reason, ok := h.checks.authenticate(d.Data, &p.creds)
	if !ok {
		h.drop(reason)
		return
	}
	class := h.checks.wantedClass()
	stream := d.Path.Rung() != dataplane.UDP
	reply, err := p.answer(&h.checks, c, &p.creds, d, h.w.Mark(class))
	if err != nil || len(reply) > len(d.Data) {
		h.drop(DropReply)
		return
	}
	if stream && !h.w.Adopt(&d.Path, class) {
		h.drop(DropConflict)
		return
	}
	p.budget--
	h.stats.Probes++
	h.transmit(&d.Path, class, reply)
	if stream {
		h.w.Release(&d.Path) // the connection ends when the answer has got out
	}
}

// wantedClass is the class in which a probe wants its answer.
func (c *checker) wantedClass() dscp.Class {
	value, err := c.request.Get(AttrProbeClass)
	if err != nil || len(value) != 4 || int(value[3]) >= dscp.NumClasses {
		return dscp.Audio
	}
	return dscp.Class(value[3])
}

// answer builds the answer of a check, and adds the TOS octet where its room allows: browsers do not look at it, and send no padding.
func (p *probeResponder) answer(checks *checker, c check, creds *credentials, d *dataplane.Datagram, mark dscp.CodePoint) ([]byte, error) {
	m := checks.reply
	if c.unknowns > 0 || c.controlled || len(d.Data) < probeRoom {
		return checks.answer(c, creds, &d.Path)
	}
	m.Reset()
	m.TransactionID = checks.request.TransactionID
	m.Type = stun.BindingSuccess
	m.WriteHeader()
	m.Add(stun.AttrXORMappedAddress, p.mapped(d.Path.Remote(), m.TransactionID))
	p.echo = [4]byte{2: mark.TOS(), 3: d.TOS}
	m.Add(AttrTOSEcho, p.echo[:])
	if err := creds.integrity.AddTo(m); err != nil {
		return nil, err
	}
	if err := stun.Fingerprint.AddTo(m); err != nil {
		return nil, err
	}
	return m.Raw, nil
}

// probeRoom is the size of an answer with the octet and an IPv6 address: header 20, address 24, octet 8, integrity 24, fingerprint 8.
const probeRoom = 84

// mapped writes an address as XOR-MAPPED-ADDRESS has it, RFC 8489 section 14.2. (pion's attribute allocates.)
func (p *probeResponder) mapped(remote netip.AddrPort, transaction [stun.TransactionIDSize]byte) []byte {
	var mask [net.IPv6len]byte
	binary.BigEndian.PutUint32(mask[:], stunCookie)
	copy(mask[4:], transaction[:])
	const ipv4, ipv6 = 1, 2
	p.address[1] = ipv6
	binary.BigEndian.PutUint16(p.address[2:], remote.Port()^stunCookie>>16)
	value := p.address[:4]
	if addr := remote.Addr(); addr.Is4() {
		p.address[1] = ipv4
		b := addr.As4()
		value = append(value, b[:]...)
	} else {
		b := addr.As16()
		value = append(value, b[:]...)
	}
	for i := range value[4:] {
		value[4+i] ^= mask[i]
	}
	return value
}

package mmr

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"meetzone/dataplane"
	"meetzone/dscp"
	"meetzone/mmr/internal/description"
	"meetzone/mmr/internal/packet"
	"meetzone/mmr/internal/srtp"
)

// transport is one 5-tuple of an endpoint, with the keys of its SRTP. It lives on the thread of its endpoint's worker.
//
// Its life: offered (TransportNew) → the first authentic check (TransportChecking) → DTLS, once the answer has brought the fingerprint →
// keys and a nominated path (TransportConnected, ready) → consent expired, silence, or DTLS ended (TransportLost). An ICE restart brings
// it back unless DTLS has ended; close ends it for good.
type transport struct {
	transportTracks
	endpoint *endpoint
	media    []Medium // one, or several when bundled

	h       *handler
	id      uint32
	class   dscp.Class // of STUN and DTLS: that of the first medium
	state   TransportState
	closed  bool
	creds   credentials // what checks must have; empty: none is taken
	old     credentials // what they may have until the new ones have nominated a path
	renewed uint32      // how often creds were made

	paths    []knownPath
	path     dataplane.Path // where everything goes, if selected
	selected bool
	heard    dataplane.Instant // anything authentic
	spoke    bool              // something was sent since the last pulse
	// heardLast and heardIn are what pulses saw: heard at the last one, and of the last 32, the newest lowest, those since whose predecessor anything came.
	heardLast dataplane.Instant
	heardIn   uint32
	silent    bool // after it was steady
	// retired is when a transport ends whose successor has been offered and answered; 0: it has none. Until the successor is connected it
	// goes on sending, and takes nothing any more.
	retired dataplane.Instant

	answered     bool
	fingerprints []description.Fingerprint
	early        [][]byte       // DTLS that came before the answer
	dtlsPath     dataplane.Path // where DTLS last came from
	dtls         *association
	dtlsEnded    bool

	sealer *srtp.Sealer
	opener *srtp.Opener
	cipher string
	tos    uint8
	tosSet bool
	told   int // code point that the owner was last told, plus one; 0 is none
}

const (
	// consentExpiry is after how long without a check on the selected path nothing is sent any more. RFC 7675, section 5.1.
	consentExpiry = dataplane.Instant(30 * time.Second)
	// silenceExpiry is after how long without anything authentic the peer is taken to be gone: clients check every 5 s at the latest
	// (RFC 7675), and browsers have given the path up after 16 s.
	silenceExpiry = dataplane.Instant(20 * time.Second)
	// ownsFor is how long nobody else can take a path from a transport that was heard on it.
	ownsFor = dataplane.Instant(10 * time.Second)
)

func newTransport(now dataplane.Instant, e *endpoint, media ...Medium) *transport {
	h := e.m.h
	h.lastID++
	t := &transport{endpoint: e, media: media, h: h, id: h.lastID, class: media[0].Class()}
	t.ids = offeredIDs
	t.renew()
	h.transports[t.id] = t
	return t
}

// renew gives the transport new credentials.
func (t *transport) renew() {
	t.renewed++
	t.creds = newCredentials(t.h.r.seal, ufragID{worker: uint8(t.h.w.ID()), transport: t.id, generation: t.renewed})
}

// restart begins an ICE restart: the path stays until the new credentials have nominated one. RFC 8445, section 9.
func (t *transport) restart() {
	t.old = t.creds
	t.renew()
}

// credentialsOf returns the credentials that go with a ufrag.
func (t *transport) credentialsOf(ufrag []byte) *credentials {
	switch string(ufrag) {
	case t.creds.ufrag:
		return &t.creds
	case t.old.ufrag:
		return &t.old
	}
	return nil
}

// checked does what an authentic check asks for.
func (t *transport) checked(now dataplane.Instant, k *knownPath, creds *credentials, nominates bool) {
	t.heard = now
	if !nominates {
		if t.state == TransportNew {
			t.changeState(TransportChecking, "")
		}
		return
	}
	k.nominated, k.generation = now, t.renewed
	if creds == &t.creds {
		t.old = credentials{}
	} else {
		k.generation--
	}
	if t.keeps(now, k) {
		return
	}
	moved := !t.selected || t.path != k.path
	t.path, t.selected = k.path, true
	switch {
	case t.becomeReady(now):
	case t.state == TransportNew || t.state == TransportLost:
		t.changeState(TransportChecking, "")
	case moved:
		t.endpoint.transportsChanged("")
	}
}

// becomeReady connects the transport if nothing is missing any more.
func (t *transport) becomeReady(now dataplane.Instant) bool {
	if t.state == TransportConnected || t.sealer == nil || !t.selected || t.closed {
		return false
	}
	t.state = TransportConnected
	t.endpoint.sh.transportReady(now, t)
	t.endpoint.succeeded(now, t)
	t.endpoint.transportsChanged("")
	return true
}

func (t *transport) changeState(s TransportState, reason string) {
	t.state = s
	t.endpoint.transportsChanged(reason)
}

// ready tells whether there are keys and a nominated path.
func (t *transport) ready() bool { return t.state == TransportConnected }

// owns tells whether the transport was heard lately, so that its paths are its own.
func (t *transport) owns(now dataplane.Instant) bool {
	return !t.closed && t.state != TransportLost && now-t.heard < ownsFor
}

// handleSRTP opens what is RTP or RTCP and gives it to the shard.
func (t *transport) handleSRTP(now dataplane.Instant, d *dataplane.Datagram) {
	if t.opener == nil {
		t.h.drop(DropNoKeys)
		return
	}
	if t.retired != 0 {
		return
	}
	var plain []byte
	var err error
	rtcp := packet.IsRTCP(d.Data)
	if rtcp {
		plain, err = t.opener.OpenRTCP(d.Data)
	} else {
		plain, err = t.opener.OpenRTP(d.Data)
	}
	if err != nil {
		t.h.drop(DropSRTP)
		return
	}
	t.heard = now
	if d.Path.Rung() == dataplane.UDP { // on TCP the kernel does not tell
		t.tos, t.tosSet = d.TOS, true
	}
	sh := t.endpoint.sh
	if rtcp {
		sh.handleRTCP(now, t, plain)
	} else {
		sh.handleRTP(now, t, plain, d.TOS)
	}
	t.h.touch(sh)
}

// sendRTP seals one packet straight into the send arena.
func (t *transport) sendRTP(class dscp.Class, header, payload []byte) {
	room := len(header) + len(payload) + srtp.RTPOverhead
	if !t.ready() || room > dataplane.MaxDatagram {
		t.h.stats.Unsent++
		return
	}
	n, err := t.sealer.SealRTP(t.h.w.Reserve(room), header, payload)
	if err != nil {
		t.h.stats.Unsent++
		return
	}
	t.spoke = true
	t.h.w.Commit(&t.path, class, n)
}

// sendRTCP seals one compound packet straight into the send arena.
func (t *transport) sendRTCP(class dscp.Class, compound []byte) {
	room := len(compound) + srtp.RTCPOverhead
	if !t.ready() || room > dataplane.MaxDatagram {
		t.h.stats.Unsent++
		return
	}
	n, err := t.sealer.SealRTCP(t.h.w.Reserve(room), compound)
	if err != nil {
		t.h.stats.Unsent++
		return
	}
	t.endpoint.budget.spendOther(class, n+ipOverhead)
	t.spoke = true
	t.h.w.Commit(&t.path, class, n)
}

// Bounds of what waits for the answer: one ClientHello, retransmitted a few times.
const maxEarly = 4

// handleDTLS gives a DTLS datagram to the transport's association, which the first one after the answer brings to life.
func (t *transport) handleDTLS(now dataplane.Instant, d *dataplane.Datagram) {
	if t.dtlsEnded {
		t.h.drop(DropUnwanted)
		return
	}
	t.dtlsPath = d.Path
	if !t.answered {
		if len(t.early) == maxEarly {
			t.h.drop(DropFull)
			return
		}
		t.early = append(t.early, slices.Clone(d.Data))
		return
	}
	t.feedDTLS(d.Data)
}

func (t *transport) feedDTLS(b []byte) {
	if t.dtls == nil {
		t.dtls = t.h.r.associate(t)
	}
	if t.dtls == nil || !t.dtls.deliver(b) {
		t.h.drop(DropFull)
	}
}

// accept takes what the answer says of the peer.
func (t *transport) accept(fingerprints []description.Fingerprint) {
	if t.answered {
		return
	}
	t.answered, t.fingerprints = true, fingerprints
	early := t.early
	t.early = nil
	for _, b := range early {
		t.feedDTLS(b)
	}
}

// sendDTLS sends what the association has written: only to paths that passed a check, so that a forged source never gets a flight.
func (t *transport) sendDTLS(b []byte) {
	p := &t.dtlsPath
	if t.selected {
		p = &t.path
	}
	if r, ok := t.h.routes[*p]; ok && r.t == t {
		t.endpoint.budget.spendOther(t.class, len(b)+ipOverhead)
		t.h.transmit(p, t.class, b)
	}
}

// keyed takes the keys of a finished handshake.
func (t *transport) keyed(now dataplane.Instant, profile srtp.Profile, sealer *srtp.Sealer, opener *srtp.Opener) {
	t.sealer, t.opener, t.cipher = sealer, opener, profile.String()
	t.h.stats.Handshakes++
	t.becomeReady(now)
}

// ended is told when DTLS has ended, by the peer or for a fault.
func (t *transport) ended(now dataplane.Instant, reason string) {
	t.dtlsEnded = true
	if t.sealer == nil {
		t.h.stats.HandshakesFailed++
	}
	t.sealer, t.opener = nil, nil
	t.lose(now, reason)
}

// sweep looks whether the peer is still there.
func (t *transport) sweep(now dataplane.Instant) {
	if t.retired != 0 && now >= t.retired {
		t.close(now)
		return
	}
	if t.tosSet && t.told != int(t.tos>>2)+1 && t.state == TransportConnected { // the mark changed on its way, or is known by now
		t.told = int(t.tos>>2) + 1
		t.endpoint.transportsChanged("")
	}
	for i := len(t.paths) - 1; i >= 0; i-- {
		if k := &t.paths[i]; now-k.checked >= consentExpiry {
			if t.selected && k.path == t.path {
				t.lose(now, "consent expired")
				return
			}
			t.forget(i)
		}
	}
	if t.heard == 0 || now-t.heard < silenceExpiry {
		return
	}
	switch t.state {
	case TransportConnected:
		t.lose(now, fmt.Sprintf("nothing came for %v", time.Duration(silenceExpiry)))
	case TransportChecking:
		t.selected = false
		t.forgetAll()
		t.changeState(TransportNew, "")
	}
}

// strand stops sending until another path is nominated.
func (t *transport) strand(now dataplane.Instant) {
	t.selected = false
	if t.state != TransportConnected {
		return
	}
	t.state = TransportChecking
	t.endpoint.sh.transportLost(now, t)
	t.endpoint.transportsChanged("")
}

// lose stops everything; only a new offer brings the transport back.
func (t *transport) lose(now dataplane.Instant, reason string) {
	if t.closed || t.state == TransportLost {
		return
	}
	wasReady := t.ready()
	t.selected = false
	t.creds, t.old = credentials{}, credentials{}
	t.state = TransportLost
	if wasReady {
		t.endpoint.sh.transportLost(now, t)
	}
	t.forgetAll()
	t.endpoint.transportsChanged(reason)
}

// close ends the transport. Its DTLS says goodbye on its own goroutine, through farewell.
func (t *transport) close(now dataplane.Instant) {
	if t.closed {
		return
	}
	wasReady := t.ready()
	t.closed = true
	t.state = TransportLost
	if wasReady {
		t.endpoint.sh.transportLost(now, t)
	}
	t.sealer, t.opener, t.early = nil, nil, nil
	if t.dtls != nil {
		t.dtls.stop()
	}
	if !wasReady {
		t.selected = false
	}
	t.forgetAll()
	delete(t.h.transports, t.id)
}

// farewell sends the close_notify of a closed transport, whose path is not known any more.
func (t *transport) farewell(b []byte) {
	if t.selected {
		t.h.transmit(&t.path, t.class, b)
	}
}

// describe returns how a medium travels.
func (t *transport) describe(m Medium) Transport {
	d := Transport{Medium: m, State: t.state, Cipher: t.cipher, DSCP: -1, Silent: t.silent && t.ready()}
	if t.tosSet {
		d.DSCP = int(t.tos >> 2)
	}
	if t.selected {
		d.Rung, d.Remote = t.path.Rung(), t.h.w.Peer(&t.path)
		if d.Rung != dataplane.UDP {
			d.DSCP = -1
		}
		d.Local = netip.AddrPortFrom(t.path.Local(), uint16(t.h.r.port.Load()))
	}
	return d
}

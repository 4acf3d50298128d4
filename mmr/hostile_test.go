package mmr

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/dataplane"
	"meetzone/mmr/internal/srtp"
)

// Checks made by hand, to see what is answered and what is not.

// prober is a socket that sends what it likes.
type prober struct {
	*net.UDPConn
	t testing.TB
}

func probe(t testing.TB, to netip.AddrPort) *prober {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &prober{UDPConn: c, t: t}
}

func (p *prober) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// answered returns the next datagram that comes back.
func (p *prober) answered() []byte {
	p.t.Helper()
	return p.hear(patience)
}

// silent fails the test if anything has come back. To be called when the router has dealt with what was sent.
func (p *prober) silent(what string) {
	p.t.Helper()
	if b := p.hear(time.Millisecond); b != nil {
		p.t.Errorf("%s was answered: %x", what, b)
	}
}

func (p *prober) hear(wait time.Duration) []byte {
	p.t.Helper()
	if err := p.SetReadDeadline(time.Now().Add(wait)); err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, dataplane.MaxDatagram)
	n, err := p.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return b[:n]
}

// attribute is a STUN attribute of any kind.
type attribute struct {
	kind  stun.AttrType
	value []byte
}

func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

var (
	priority    = attribute{stun.AttrPriority, []byte{1, 2, 3, 4}}
	controlling = attribute{stun.AttrICEControlling, make([]byte, 8)}
	controlled  = attribute{stun.AttrICEControlled, make([]byte, 8)}
	nominating  = attribute{stun.AttrUseCandidate, nil}
)

// makeCheck builds a Binding request for credentials.
func makeCheck(t testing.TB, c credentials, extra ...stun.Setter) []byte {
	t.Helper()
	setters := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.ufrag + ":abcd")}, extra...)
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// credentials returns those of a medium's transport.
func (mb *member) credentials(m Medium) (c credentials) {
	mb.onWorker(func(dataplane.Instant) { c = mb.e.transports[m].creds })
	return c
}

// drops waits until the router has dropped n datagrams for a reason.
func (tr *testRouter) drops(t *testing.T, reason Drop, n uint64) {
	t.Helper()
	waitFor(t, reason.String()+" drops", func() bool { return tr.Stats().Drops[reason] >= n })
	if got := tr.Stats().Drops[reason]; got != n {
		t.Errorf("%d dropped as %s, want %d", got, reason, n)
	}
}

// TestChecks sends authentic checks of all kinds: each is answered with what RFC 8445 says, and with no more bytes than it had.
func TestChecks(t *testing.T) {
	noLeaks(t)
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		tr := startRouter(t, 1, listen)
		mb := join(t, tr.open(t), "a", 1)
		c := mb.credentials(Video)
		p := probe(t, tr.plane.Addrs()[0])
		for name, x := range map[string]struct {
			extra []stun.Setter
			want  stun.MessageType
			code  stun.ErrorCode
		}{
			"plain":           {[]stun.Setter{priority, controlling}, stun.BindingSuccess, 0},
			"nominating":      {[]stun.Setter{priority, controlling, nominating}, stun.BindingSuccess, 0},
			"as small as can": {nil, stun.BindingSuccess, 0},
			"wrong role":      {[]stun.Setter{priority, controlled}, stun.BindingError, stun.CodeRoleConflict},
			"unknown attribute": {
				[]stun.Setter{priority, controlling, attribute{0x7001, nil}, attribute{0x7002, nil}, attribute{0x7003, nil}},
				stun.BindingError, stun.CodeUnknownAttribute,
			},
		} {
			request := makeCheck(t, c, x.extra...)
			p.send(request)
			reply := &stun.Message{Raw: p.answered()}
			if err := reply.Decode(); err != nil {
				t.Fatalf("%s: answer: %v", name, err)
			}
			if len(reply.Raw) > len(request) {
				t.Errorf("%s: %d bytes were answered with %d", name, len(request), len(reply.Raw))
			}
			if reply.Type != x.want || [12]byte(request[8:20]) != reply.TransactionID {
				t.Errorf("%s: answer %v", name, reply)
			}
			if err := reply.Check(stun.Fingerprint, stun.NewShortTermIntegrity(c.pwd)); err != nil {
				t.Errorf("%s: answer: %v", name, err)
			}
			if x.code != 0 {
				var code stun.ErrorCodeAttribute
				if err := code.GetFrom(reply); err != nil || code.Code != x.code {
					t.Errorf("%s: error %v %v, want %d", name, code, err, x.code)
				}
				continue
			}
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(reply); err != nil || mapped.String() != p.LocalAddr().String() {
				t.Errorf("%s: mapped address %v %v, want %v", name, mapped, err, p.LocalAddr())
			}
		}
		waitFor(t, "checking", func() bool { return mb.transportStates()[Video].State == TransportChecking })
		tr.end()
	}
}

// TestUnanswered sends what is not an authentic check: nothing comes back, and the reason is counted.
func TestUnanswered(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	mb := join(t, tr.open(t), "a", 1)
	c := mb.credentials(Audio)
	good := makeCheck(t, c, priority, controlling)
	wrongPassword := makeCheck(t, credentials{ufrag: c.ufrag, pwd: "another password here"}, priority, controlling)
	madeUp := makeCheck(t, credentials{ufrag: "AAAAAAAAAAAAAAAAAAAAAA", pwd: c.pwd}, priority, controlling)
	damaged := append([]byte(nil), good...)
	damaged[len(damaged)-1] ^= 1
	indication := append([]byte(nil), good...)
	indication[1] = 0x11
	behind, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.ufrag+":abcd"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name   string
		data   []byte
		reason Drop
		n      uint64
	}{
		{"nothing", nil, DropMalformed, 1},
		{"a byte of no kind", []byte{10}, DropMalformed, 2},
		{"cut off STUN", good[:40], DropMalformed, 3},
		{"TURN channel data", []byte{0x40, 0, 0, 4, 1, 2, 3, 4}, DropMalformed, 4},
		{"an indication", indication, DropUnwanted, 1},
		{"a wrong password", wrongPassword, DropIntegrity, 1},
		{"a damaged fingerprint", damaged, DropIntegrity, 2},
		{"no integrity", behind.Raw, DropIntegrity, 3},
		{"a made-up ufrag", madeUp, DropUnknownPeer, 1},
		{"DTLS from nowhere", []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, DropUnknownPath, 1},
		{"SRTP from nowhere", append([]byte{0x80, 111}, make([]byte, 40)...), DropUnknownPath, 2},
	} {
		p := probe(t, tr.plane.Addrs()[0])
		p.send(x.data)
		tr.drops(t, x.reason, x.n)
		p.silent(x.name)
	}
	if s := tr.Stats(); s.Checks != 0 {
		t.Errorf("%d authentic checks", s.Checks)
	}
	if mb.transportStates()[Audio].State != TransportNew {
		t.Error("the transport did not stay new")
	}
}

// TestAttributesBehindIntegrity: what stands behind MESSAGE-INTEGRITY could have been put there by anybody on the way.
func TestAttributesBehindIntegrity(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	mb := join(t, tr.open(t), "a", 1)
	c := mb.credentials(Audio)
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(c.ufrag+":abcd"), priority, controlling,
		stun.NewShortTermIntegrity(c.pwd), nominating, stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	p := probe(t, tr.plane.Addrs()[0])
	p.send(m.Raw)
	p.answered()
	mb.onWorker(func(dataplane.Instant) {
		if mb.e.transports[Audio].selected {
			t.Error("the path was nominated")
		}
	})
}

// TestPathConflict: an authentic check cannot take the path of another living transport.
func TestPathConflict(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	m := tr.open(t)
	a, b := join(t, m, "a", 1), join(t, m, "b", 1)
	p := probe(t, tr.plane.Addrs()[0])
	p.send(makeCheck(t, a.credentials(Audio), priority, controlling, nominating))
	p.answered()
	p.send(makeCheck(t, b.credentials(Audio), priority, controlling, nominating))
	tr.drops(t, DropConflict, 1)
	p.silent("the check of another transport")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	p.send(makeCheck(t, b.credentials(Audio), priority, controlling, nominating))
	p.answered()
}

// TestManyPaths: one transport remembers a bounded number of paths, and never loses the nominated one to others.
func TestManyPaths(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	mb := join(t, tr.open(t), "a", 1)
	c := mb.credentials(Audio)
	first := probe(t, tr.plane.Addrs()[0])
	first.send(makeCheck(t, c, priority, controlling, nominating))
	first.answered()
	for range 3 * maxPaths {
		p := probe(t, tr.plane.Addrs()[0])
		p.send(makeCheck(t, c, priority, controlling))
		p.answered()
	}
	mb.onWorker(func(dataplane.Instant) {
		tp := mb.e.transports[Audio]
		if len(tp.paths) != maxPaths || len(tp.h.routes) != maxPaths {
			t.Errorf("%d paths and %d routes, want %d", len(tp.paths), len(tp.h.routes), maxPaths)
		}
		if r := tp.h.routes[tp.path]; r.t != tp || tp.path.Remote().String() != first.LocalAddr().String() {
			t.Error("the nominated path is gone")
		}
	})
	if got := countRoutes(t, tr); got != maxPaths {
		t.Errorf("%d routes", got)
	}
}

// TestHandshakeBound: beyond MaxHandshakes a ClientHello is dropped, and DTLS that is not a handshake starts none.
func TestHandshakeBound(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	tr.cfg.MaxHandshakes = 1
	tr.pending.Store(1)
	mb := join(t, tr.open(t), "a", 1)
	mb.client = newTestClient(t, nil)
	mb.exchange(mb.client, false)
	waitFor(t, "dropped flights", func() bool { return tr.Stats().Drops[DropFull] >= uint64(NumMedia) })
	if states := mb.transportStates(); states[Audio].State != TransportChecking {
		t.Errorf("states %+v", states)
	}
	tr.pending.Store(-2) // room for three
	mb.waitState(TransportConnected)
}

// idleHandler returns the handler of a worker whose plane does not run, so that a test may play the worker.
func idleHandler(t testing.TB) *handler {
	t.Helper()
	r, err := New(Config{Candidates: func() []netip.AddrPort { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	plane, err := dataplane.Open(dataplane.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Workers: 1, NoPin: true}, r.NewHandler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Close(); err != nil {
			t.Error(err)
		}
	})
	return r.all()[0]
}

// idleTransport returns a connected transport of an idle handler, and what the client seals with.
func idleTransport(t testing.TB, h *handler, path dataplane.Path) (*transport, *srtp.Sealer) {
	t.Helper()
	m := &Meeting{r: h.r, h: h, sh: newShard()}
	h.addShard(m.sh)
	e := newEndpoint(m, EndpointConfig{ID: "a", Send: everything, VideoSlots: 1})
	if err := e.enter(0); err != nil {
		t.Fatal(err)
	}
	tp := e.transports[Audio]
	if tp.learn(1, &dataplane.Datagram{Path: path}) == nil {
		t.Fatal("path refused")
	}
	tp.checked(1, &tp.paths[0], &tp.creds, true)
	material := make([]byte, srtp.AEADAES128GCM.KeyingMaterialLen())
	for i := range material {
		material[i] = byte(i)
	}
	sealer, opener, err := srtp.NewPair(srtp.AEADAES128GCM, material, false)
	if err != nil {
		t.Fatal(err)
	}
	tp.keyed(1, srtp.AEADAES128GCM, sealer, opener)
	if !tp.ready() {
		t.Fatal("not ready")
	}
	client, _, err := srtp.NewPair(srtp.AEADAES128GCM, material, true)
	if err != nil {
		t.Fatal(err)
	}
	return tp, client
}

var somePath = dataplane.UDPPath(netip.MustParseAddrPort("127.0.0.2:4000"), netip.MustParseAddr("127.0.0.1"), 0)

// TestDropWithoutAllocation: what a stranger can send costs no memory.
func TestDropWithoutAllocation(t *testing.T) {
	h := idleHandler(t)
	idleTransport(t, h, somePath)
	unknown := dataplane.UDPPath(netip.MustParseAddrPort("127.0.0.9:4000"), netip.MustParseAddr("127.0.0.1"), 0)
	forged := append([]byte{0x80, 111}, make([]byte, 60)...)
	for name, d := range map[string]dataplane.Datagram{
		"made-up ufrag":    {Path: unknown, Data: makeCheck(t, credentials{ufrag: "AAAAAAAAAAAAAAAAAAAAAA", pwd: "x"}, priority)},
		"SRTP unknown":     {Path: unknown, Data: forged},
		"SRTP not genuine": {Path: somePath, Data: forged},
	} {
		batch := []dataplane.Datagram{d}
		if n := testing.AllocsPerRun(100, func() { h.HandleBatch(2, batch) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestOpenWithoutAllocation: neither does an authentic packet on its way to the shard, nor one on its way out.
func TestOpenWithoutAllocation(t *testing.T) {
	h := idleHandler(t)
	tp, client := idleTransport(t, h, somePath)
	header := []byte{0x80, 111, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9}
	payload := make([]byte, 100)
	sealed := make([]byte, 200)
	batch := []dataplane.Datagram{{Path: somePath}}
	seq := byte(0)
	n := testing.AllocsPerRun(100, func() {
		seq++
		header[3] = seq
		n, err := client.SealRTP(sealed, header, payload)
		if err != nil {
			t.Fatal(err)
		}
		batch[0].Data = sealed[:n]
		h.HandleBatch(dataplane.Instant(seq), batch)
		tp.sendRTP(tp.class, header, payload)
		h.w.Flush()
	})
	if n != 0 || sumDrops(&h.stats) != 0 || h.stats.Unsent != 0 {
		t.Errorf("%v allocations, stats %+v", n, h.stats)
	}
}

// FuzzDatagram feeds anything to the door of a worker that has a connected transport: it survives, and whatever is not authentic is
// dropped for exactly one reason.
func FuzzDatagram(f *testing.F) {
	h := idleHandler(f)
	tp, client := idleTransport(f, h, somePath)
	sealed := make([]byte, 200)
	n, err := client.SealRTP(sealed, []byte{0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9}, make([]byte, 40))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(true, sealed[:n])
	f.Add(false, sealed[:n])
	f.Add(true, makeCheck(f, credentials{ufrag: tp.creds.ufrag, pwd: "x"}, priority, nominating))
	f.Add(false, makeCheck(f, tp.creds, priority, controlling))
	f.Add(false, makeCheck(f, credentials{ufrag: "AAAAAAAAAAAAAAAAAAAAAA", pwd: "x"}, priority))
	f.Add(true, []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(true, []byte{0x80, 200, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4})
	f.Add(false, []byte{})
	f.Add(false, []byte{0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0xff, 0xff})
	unknown := dataplane.UDPPath(netip.MustParseAddrPort("127.0.0.9:4000"), netip.MustParseAddr("127.0.0.1"), 0)
	f.Fuzz(func(t *testing.T, known bool, data []byte) {
		if len(data) > dataplane.MaxDatagram {
			return
		}
		d := dataplane.Datagram{Path: unknown, Data: append([]byte(nil), data...)}
		if known {
			d.Path = somePath
		}
		dtls := known && len(data) > 0 && data[0] >= firstDTLS && data[0] <= lastDTLS
		drops := sumDrops(&h.stats)
		checks := h.stats.Checks
		heard := tp.heard
		h.HandleBatch(heard+1, []dataplane.Datagram{d})
		taken := h.stats.Checks-checks > 0 || tp.heard != heard
		if got := sumDrops(&h.stats) - drops; !taken && !dtls && got != 1 {
			t.Errorf("dropped for %d reasons", got)
		}
	})
}

func sumDrops(s *RouterStats) (n uint64) {
	for _, d := range s.Drops {
		n += d
	}
	return n
}

// TestUfrags: what the router made it recognises, and nothing else.
func TestUfrags(t *testing.T) {
	r, err := New(Config{Candidates: func() []netip.AddrPort { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(Config{Candidates: func() []netip.AddrPort { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	open := ufragOpener{seal: r.seal}
	id := ufragID{worker: 200, transport: 1<<31 + 5, generation: 7}
	c := newCredentials(r.seal, id)
	if got, ok := open.open([]byte(c.ufrag)); !ok || got != id {
		t.Errorf("opened %+v %v, want %+v", got, ok, id)
	}
	if len(c.ufrag) != ufragLen || len(c.pwd) < 22 {
		t.Errorf("credentials of %d and %d characters", len(c.ufrag), len(c.pwd))
	}
	for i := range c.ufrag {
		b := []byte(c.ufrag)
		b[i] = 'A' + (b[i]-'A'+1)%26
		if _, ok := open.open(b); ok && string(b) != c.ufrag {
			t.Errorf("opened %s", b)
		}
	}
	if _, ok := open.open([]byte(newCredentials(other.seal, id).ufrag)); ok {
		t.Error("opened the ufrag of another router")
	}
	again := newCredentials(r.seal, id)
	if again.ufrag != c.ufrag || again.pwd == c.pwd {
		t.Error("the password must be random")
	}
}

// TestValidate names everything at once.
func TestValidate(t *testing.T) {
	if _, err := New(Config{MaxMeetings: -1}); err == nil {
		t.Fatal("accepted")
	}
	if err := (Config{Candidates: func() []netip.AddrPort { return nil }}).Validate(); err != nil {
		t.Error(err)
	}
}

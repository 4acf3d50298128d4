package turn

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v3"
	"github.com/pion/turn/v5"

	"meetzone/dataplane"
	"meetzone/dscp"
)

const patience = 5 * time.Second

// echo adopts every stream and sends back what comes.
type echo struct{ w *dataplane.Worker }

func (e echo) HandleBatch(_ dataplane.Instant, batch []dataplane.Datagram) {
	for i := range batch {
		d := &batch[i]
		e.w.Adopt(&d.Path, dscp.Video)
		e.w.Commit(&d.Path, dscp.Video, copy(e.w.Reserve(len(d.Data)), d.Data))
	}
}

func (e echo) Advance(dataplane.Instant) dataplane.Instant { return dataplane.Never }

// relay runs a plane with a relay in front of it, and returns a function that connects to it.
func relay(t testing.TB, change func(*Config)) (*Server, netip.AddrPort, func() net.Conn) {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	plane, err := dataplane.Open(dataplane.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Workers: 2, NoPin: true,
		RingSlots: 64, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}, func(w *dataplane.Worker) dataplane.Handler { return echo{w} })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx) }()
	media := plane.Addrs()[0]
	cfg := Config{Plane: plane, Secret: []byte("a secret of the zone"), Peers: func() []netip.AddrPort { return []netip.AddrPort{media} },
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if change != nil {
		change(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = server.Take(conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-accepting
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := plane.Close(); err != nil {
			t.Error(err)
		}
		if s := server.Stats(); s.Allocations != 0 {
			t.Errorf("%d allocations are left", s.Allocations)
		}
		if _, fuzzing := t.(*testing.F); !fuzzing { // whose coordinator has goroutines of its own
			waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
		}
	})
	return server, media, func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		return conn
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

type credentials struct{ user, password string }

func mint(s *Server, class dscp.Class, session string, life time.Duration) credentials {
	user, password := s.Mint(class, session, time.Now().Add(life))
	return credentials{user, password}
}

// client makes pion's TURN client on a connection.
func client(t testing.TB, conn net.Conn, c credentials) *turn.Client {
	t.Helper()
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	cl, err := turn.NewClient(&turn.ClientConfig{Conn: turn.NewSTUNConn(conn), STUNServerAddr: conn.RemoteAddr().String(),
		TURNServerAddr: conn.RemoteAddr().String(), Username: c.user, Password: c.password, LoggerFactory: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// TestRelay: a real TURN client gets an allocation and talks to the box's media, first by indications and then over a channel; the
// connection has the mark of its class.
func TestRelay(t *testing.T) {
	server, media, dial := relay(t, nil)
	dialled := time.Now()
	conn := dial()
	cl := client(t, conn, mint(server, dscp.Video, "s1", time.Minute))
	relayed, err := cl.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(dialled); took < headStart {
		t.Errorf("an allocation after %v: a browser would not look for a better rung", took)
	}
	if addr := relayed.LocalAddr().(*net.UDPAddr).AddrPort(); addr.Addr() != media.Addr() || addr.Port() < firstPort {
		t.Errorf("relayed address %s, want one of the box's", addr)
	}
	_ = relayed.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 2000)
	for i := range 200 {
		want := bytes.Repeat([]byte{byte(i)}, 6+i*7)
		if _, err := relayed.WriteTo(want, net.UDPAddrFromAddrPort(media)); err != nil {
			t.Fatal(err)
		}
		n, from, err := relayed.ReadFrom(b)
		if err != nil || !bytes.Equal(b[:n], want) || from.(*net.UDPAddr).AddrPort() != media {
			t.Fatalf("datagram %d: %d bytes from %v: %v", i, n, from, err)
		}
	}
	if err := relayed.Close(); err != nil { // a Refresh with a lifetime of 0; the client leaves the connection open
		t.Fatal(err)
	}
	waitFor(t, "the allocation to end", func() bool { return server.Stats().Allocations == 0 })
	waitFor(t, "the stream to end", func() bool { return server.cfg.Plane.StreamStats().Open == 0 })
}

// TestRelayRefuses: nobody gets anything without good credentials, nor to any address but the box's media, and nobody gets too much.
func TestRelayRefuses(t *testing.T) {
	server, _, dial := relay(t, func(c *Config) { c.PerSession = 2 })
	good := mint(server, dscp.Audio, "s1", time.Minute)
	for name, c := range map[string]credentials{
		"wrong password": {good.user, "x"},
		"expired":        mint(server, dscp.Audio, "s1", -time.Second),
		"another user":   {strings.Replace(good.user, "s1", "s2", 1), good.password},
		"no class":       {"99999999999:loud:s1", good.password},
		"nonsense":       {"root", "root"},
	} {
		if _, err := client(t, dial(), c).Allocate(); err == nil {
			t.Errorf("%s: there is an allocation", name)
		}
	}
	relayed, err := client(t, dial(), good).Allocate()
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"127.0.0.2:8801", "192.0.2.1:443", "[::1]:8801"} {
		if _, err := relayed.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))); err == nil {
			t.Errorf("%s can be reached through the relay", to)
		}
	}
	second, err := client(t, dial(), good).Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	defer relayed.Close()
	if _, err := client(t, dial(), good).Allocate(); err == nil {
		t.Error("a third allocation of one session, where two are the most")
	}
	if _, err := client(t, dial(), mint(server, dscp.Video, "s1", time.Hour)).Allocate(); err == nil {
		t.Error("a third allocation of one session, by another name of it")
	}
	if s := server.Stats(); s.Allocations != 2 || s.Failures == 0 || s.Refused != 2 {
		t.Errorf("%+v", s)
	}
}

// TestRelayHostile: what is no TURN is closed at once, whatever length it claims.
func TestRelayHostile(t *testing.T) {
	_, _, dial := relay(t, nil)
	long := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	for name, data := range map[string][]byte{
		"TLS inside":     {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3},
		"HTTP":           []byte("GET / HTTP/1.1\r\n\r\n"),
		"channel first":  {0x40, 0, 0, 4, 1, 2, 3, 4},
		"huge message":   {0, 3, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42},
		"no cookie":      {0, 3, 0, 0, 1, 2, 3, 4},
		"a response":     stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw,
		"huge channel":   append(bytes.Clone(long.Raw), 0x40, 0, 0xff, 0xff),
		"broken message": append([]byte{0, 3, 0, 8}, append(bytes.Clone(long.Raw[4:20]), 0, 6, 0xff, 0xff, 0, 0, 0, 0)...),
	} {
		conn := dial()
		if _, err := conn.Write(data); err != nil {
			t.Fatal(err)
		}
		for {
			_, err := conn.Read(make([]byte, 1500))
			if n, ok := err.(net.Error); ok && n.Timeout() {
				t.Errorf("%s: the connection stays open", name)
			}
			if err != nil {
				break
			}
		}
	}
}

// TestSessionEnds: an allocation is given back whichever comes first, the end of the stream or the allocation.
func TestSessionEnds(t *testing.T) {
	server, _, dial := relay(t, nil)
	var se *session
	stream, err := server.cfg.Plane.OpenStream(dataplane.StreamConfig{Conn: dial(), Rung: dataplane.TLS, Framing: func(s *dataplane.Stream) dataplane.Framing {
		se = newSession(server, s)
		return se
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	se.account = "s1"
	se.in = stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest),
		stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{udpProtocol, 0, 0, 0}})
	se.ended(net.ErrClosed)
	if f := se.allocate(); f == nil {
		t.Error("an allocation after the end")
	}
	if n := server.Stats().Allocations; n != 0 {
		t.Errorf("%d allocations are left", n)
	}
}

// TestBriefAllocations: strangers, who share one session, cannot hold its places for long; those of other sessions stay.
func TestBriefAllocations(t *testing.T) {
	server, _, dial := relay(t, func(c *Config) { c.PerSession, c.Brief, c.BriefFor = 1, "probe", 500*time.Millisecond })
	allocate := func(session string) error {
		relayed, err := client(t, dial(), mint(server, dscp.Video, session, time.Minute)).Allocate()
		if err == nil {
			t.Cleanup(func() { _ = relayed.Close() })
		}
		return err
	}
	if err := errors.Join(allocate("s1"), allocate("probe")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a place to be free again", func() bool { return server.Stats().Allocations == 1 })
	if err := allocate("probe"); err != nil {
		t.Errorf("the place is not free: %v", err)
	}
	waitFor(t, "the second one to end", func() bool { return server.Stats().Allocations == 1 })
	if err := allocate("s1"); err == nil {
		t.Error("the allocation of somebody in a meeting has ended")
	}
}

// FuzzCut takes any bytes as what a client with an allocation sends: nothing panics, no frame is longer than what is there, and every
// payload is a part of it.
func FuzzCut(f *testing.F) {
	f.Add([]byte{0x40, 0, 0, 3, 1, 2, 3, 0})
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)).Raw)
	f.Add(appendIndication(nil, netip.MustParseAddrPort("[2001:db8::1]:8801"), []byte("hello")))
	server, media, dial := relay(f, nil)
	conn := dial()
	var stream *dataplane.Stream
	stream, err := server.cfg.Plane.OpenStream(dataplane.StreamConfig{Conn: conn, Rung: dataplane.TLS,
		Framing: func(s *dataplane.Stream) dataplane.Framing { return newSession(server, s) }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		se := newSession(server, stream)
		se.begun, se.relayed, se.user = true, netip.AddrPortFrom(media.Addr(), firstPort), "user"
		se.integrity = stun.NewShortTermIntegrity("x")
		path := stream.StreamPath(se.relayed, media.Addr())
		se.peers.Store(&[]peer{{addr: media, path: &path, channel: firstChannel}})
		for b := data; ; {
			frame, err := se.Cut(b)
			if err != nil || frame.Size == 0 {
				return
			}
			if frame.Size > len(b) || len(frame.Payload) > frame.Size || frame.Payload != nil && frame.Path == nil {
				t.Fatalf("%d bytes of payload in a frame of %d, of %d bytes", len(frame.Payload), frame.Size, len(b))
			}
			b = b[frame.Size:]
		}
	})
}

// TestIndication reads with pion what is written by hand.
func TestIndication(t *testing.T) {
	for _, from := range []string{"192.0.2.7:8801", "[2001:db8::7]:8801"} {
		for n := range 9 {
			m := stun.New()
			m.Raw = appendIndication([]byte{}, netip.MustParseAddrPort(from), bytes.Repeat([]byte{7}, n))
			if err := m.Decode(); err != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
				t.Fatalf("%v, %v", m.Type, err)
			}
			var a stun.XORMappedAddress
			data, err := m.Get(stun.AttrData)
			if a.GetFromAs(m, stun.AttrXORPeerAddress) != nil || addrPort(a).String() != from || err != nil || len(data) != n {
				t.Errorf("from %s, %d bytes (%v), want %s, %d", addrPort(a), len(data), err, from, n)
			}
		}
	}
}

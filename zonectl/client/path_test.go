package client

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/dataplane/turn"
	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

func TestVerdictOn(t *testing.T) {
	for _, c := range []struct {
		sent, arrived int
		want          Verdict
	}{{46, 46, VerdictKept}, {0, 0, VerdictKept}, {46, 0, VerdictBleached}, {46, 8, VerdictRemarked}, {0, 8, VerdictRemarked}, {-1, 0, VerdictUnknown}, {46, -1, VerdictUnknown}} {
		if got := VerdictOn(c.sent, c.arrived); got != c.want {
			t.Errorf("%d sent, %d arrived: %s, want %s", c.sent, c.arrived, got, c.want)
		}
	}
}

// deaf takes datagrams and answers none.
type deaf struct{}

func (deaf) HandleBatch(dataplane.Instant, []dataplane.Datagram) {}

func (deaf) Advance(dataplane.Instant) dataplane.Instant { return dataplane.Never }

// TestFullRelayIsNotTheWay: that others hold all places of the box's relay says nothing of the way to it; that the credentials are wrong does.
func TestFullRelayIsNotTheWay(t *testing.T) {
	plane, err := dataplane.Open(dataplane.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Workers: 1, NoPin: true, Logger: slog.New(slog.DiscardHandler)},
		func(*dataplane.Worker) dataplane.Handler { return deaf{} })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		_ = plane.Close()
	})
	server, err := turn.New(turn.Config{Plane: plane, Secret: []byte("a secret of the zone"), Peers: plane.Addrs, PerSession: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = server.Take(conn)
		}
	}()
	try := func(password string) (ReachState, string) {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		user, good := server.Mint(dscp.Video, "probe", time.Now().Add(time.Minute))
		relayed, err := allocate(t.Context(), conn, &tls.Config{InsecureSkipVerify: true}, wire.Relay{Username: user, Credential: good + password}, slog.New(slog.DiscardHandler))
		if err != nil {
			return stateOfRelay(t.Context(), err)
		}
		t.Cleanup(func() { _ = relayed.Close() })
		return ReachAnswers, ""
	}
	if state, _ := try(""); state != ReachAnswers {
		t.Fatalf("the first: %q", state)
	}
	if state, why := try(""); state != ReachUnknown || !strings.Contains(why, "Too many tests") {
		t.Errorf("one too many: %q, %q", state, why)
	}
	if state, why := try("x"); state != ReachRefused || why != "" {
		t.Errorf("wrong credentials: %q, %q", state, why)
	}
}

// FuzzDataFrom: whatever is on the wire, taking it apart stays within it.
func FuzzDataFrom(f *testing.F) {
	f.Add([]byte{0x45, 0xb8, 0, 41, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 187, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0, 7})
	f.Add(append([]byte{0x6b, 0x80, 0, 0, 0, 21, 6, 64}, make([]byte, 60)...))
	remote, local := netip.MustParseAddrPort("10.0.0.1:443"), netip.MustParseAddrPort("10.0.0.2:4096")
	f.Fuzz(func(t *testing.T, b []byte) {
		if tos, ok := dataFrom(b, remote, local); ok && len(b) == 41 && b[0] == 0x45 && tos != b[1] {
			t.Errorf("TOS %#x of % x", tos, b)
		}
	})
}

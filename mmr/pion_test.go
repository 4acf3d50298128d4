package mmr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"meetzone/dataplane"
	"meetzone/dscp"
)

// The client of these tests is pion/webrtc, with three PeerConnections behind one description, over loopback.

const patience = 10 * time.Second

// waitFor polls a condition that something real has to bring about.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(patience); !ok(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// noLeaks fails the test if goroutines are left when everything else has been cleaned up. To be called first.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		end := time.Now().Add(patience)
		for runtime.NumGoroutine() > before {
			if time.Now().After(end) {
				var b bytes.Buffer
				_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
				t.Errorf("%d goroutines at the start, %d at the end:\n%s", before, runtime.NumGoroutine(), b.String())
				return
			}
			runtime.Gosched()
		}
	})
}

// testRouter is a router with a plane of its own.
type testRouter struct {
	*Router
	plane *dataplane.Plane
	end   func()
}

func startRouter(t *testing.T, workers int, listen ...string) *testRouter {
	t.Helper()
	if listen == nil {
		listen = []string{"127.0.0.1:0"}
	}
	tr := &testRouter{}
	quiet := slog.New(slog.DiscardHandler)
	r, err := New(Config{Candidates: func() []netip.AddrPort { return tr.plane.Addrs() }, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	tr.Router = r
	cfg := dataplane.Config{Workers: workers, ReceiveBuffer: 1 << 20, SendBuffer: 1 << 20, NoPin: true, Logger: quiet}
	for _, l := range listen {
		cfg.Listen = append(cfg.Listen, netip.MustParseAddrPort(l))
	}
	cfg.Marks[dscp.Audio], cfg.Marks[dscp.Video], cfg.Marks[dscp.Content] = 46, 34, 36
	if tr.plane, err = dataplane.Open(cfg, r.NewHandler); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- tr.plane.Run(context.Background()) }()
	tr.end = sync.OnceFunc(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close router: %v", err)
		}
		if err := tr.plane.Close(); err != nil {
			t.Errorf("close plane: %v", err)
		}
		if err := <-ran; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("plane ended: %v", err)
		}
	})
	t.Cleanup(tr.end)
	return tr
}

// open opens a meeting.
func (tr *testRouter) open(t *testing.T) *Meeting {
	t.Helper()
	return tr.openWith(t, MeetingConfig{})
}

func (tr *testRouter) openWith(t *testing.T, cfg MeetingConfig) *Meeting {
	t.Helper()
	m, err := tr.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// recorded keeps the events of an endpoint.
type recorded struct {
	mu     sync.Mutex // Notify comes from a worker
	events []Event
}

func (r *recorded) notify(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorded) has(want func(Event) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.events, want)
}

// member is an endpoint and its client.
type member struct {
	*Endpoint
	recorded
	t      *testing.T
	client *testClient
}

var everything = [NumMedia]bool{true, true, true}

// join makes an endpoint and a client for it; the client is not connected yet.
func join(t *testing.T, m *Meeting, id EndpointID, slots int) *member {
	t.Helper()
	mb := &member{t: t}
	e, err := m.Join(EndpointConfig{ID: id, Send: everything, VideoSlots: slots, Notify: mb.notify})
	if err != nil {
		t.Fatal(err)
	}
	mb.Endpoint = e
	return mb
}

// connect lets a client answer the endpoint's offer and waits until all media are connected.
func (mb *member) connect(set func(*webrtc.SettingEngine)) {
	mb.t.Helper()
	mb.client = newTestClient(mb.t, set)
	mb.exchange(mb.client, false)
	mb.waitState(TransportConnected)
}

// exchange carries one offer and its answer.
func (mb *member) exchange(c *testClient, fresh bool) {
	mb.t.Helper()
	offer, err := mb.Offer(context.Background(), fresh)
	if err != nil {
		mb.t.Fatal(err)
	}
	answer, err := c.answer(offer)
	if err != nil {
		mb.t.Fatal(err)
	}
	if err := mb.Answer(context.Background(), answer); err != nil {
		mb.t.Fatal(err)
	}
}

func (mb *member) transportStates() []Transport {
	s, err := mb.Stats(context.Background())
	if err != nil {
		mb.t.Fatal(err)
	}
	return s.Transports
}

func (mb *member) waitState(want TransportState) {
	mb.t.Helper()
	waitFor(mb.t, "transports "+want.String(), func() bool {
		ts := mb.transportStates()
		return len(ts) == NumMedia && !slices.ContainsFunc(ts, func(t Transport) bool { return t.State != want })
	})
}

// testClient is three PeerConnections.
type testClient struct {
	t   *testing.T
	set func(*webrtc.SettingEngine)
	// feedback has transport-wide feedback sent about what comes.
	feedback bool
	mu       sync.Mutex // guards got, which pion's goroutines write
	got      map[string]int
	pcs      []*webrtc.PeerConnection
	ups      []*webrtc.TrackLocalStaticRTP
	seqs     [NumMedia]uint16
}

func newTestClient(t *testing.T, set func(*webrtc.SettingEngine)) *testClient {
	c := &testClient{t: t, set: set, got: map[string]int{}}
	t.Cleanup(c.close)
	return c
}

func (c *testClient) close() {
	for _, pc := range c.pcs {
		if err := pc.GracefulClose(); err != nil {
			c.t.Errorf("close client: %v", err)
		}
	}
	c.pcs = nil
}

// answer answers an offer, each of its groups by one PeerConnection.
func (c *testClient) answer(offer string) (string, error) {
	head, groups := splitOffer(offer)
	var sections []string
	for i, g := range groups {
		if i == len(c.pcs) {
			if err := c.add(Medium(i)); err != nil {
				return "", err
			}
		}
		answer, err := c.answerOne(c.pcs[i], head+g)
		if err != nil {
			return "", fmt.Errorf("group %d: %w", i, err)
		}
		at := strings.Index(answer, "m=")
		sections = append(sections, answer[at:])
	}
	return "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + strings.Join(sections, ""), nil
}

// splitOffer returns the session part without groups, and the sections of each group with its group line before.
func splitOffer(offer string) (head string, groups []string) {
	at := strings.Index(offer, "m=")
	var mids []string
	for line := range strings.Lines(offer[:at]) {
		if group, ok := strings.CutPrefix(line, "a=group:BUNDLE "); ok {
			mids = append(mids, group)
		} else {
			head += line
		}
	}
	sections := strings.Split(offer[at:], "m=")[1:]
	for _, group := range mids {
		g := "a=group:BUNDLE " + group
		for _, mid := range strings.Fields(group) {
			i := slices.IndexFunc(sections, func(s string) bool { return strings.Contains(s, "a=mid:"+mid+"\r\n") })
			g += "m=" + sections[i]
		}
		groups = append(groups, g)
	}
	return head, groups
}

// add makes the PeerConnection of a medium, with a track to send.
func (c *testClient) add(m Medium) error {
	engine := &webrtc.MediaEngine{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		return err
	}
	var setting webrtc.SettingEngine
	setting.SetIncludeLoopbackCandidate(true)
	setting.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	setting.SetSDPMediaLevelFingerprints(true)
	setting.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	setting.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	if err := setting.SetAnsweringDTLSRole(webrtc.DTLSRoleClient); err != nil {
		return err
	}
	if c.set != nil {
		c.set(&setting)
	}
	registry := &interceptor.Registry{}
	if c.feedback {
		if err := webrtc.ConfigureTWCCSender(engine, registry); err != nil {
			return err
		}
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(setting), webrtc.WithInterceptorRegistry(registry))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	mime := webrtc.MimeTypeVP8
	if m == Audio {
		mime = webrtc.MimeTypeOpus
	}
	up, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, m.String(), m.String())
	if err != nil {
		return err
	}
	if _, err := pc.AddTransceiverFromTrack(up, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		return err
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
			c.mu.Lock()
			c.got[track.ID()]++
			c.mu.Unlock()
		}
	})
	c.pcs, c.ups = append(c.pcs, pc), append(c.ups, up)
	return nil
}

func (c *testClient) answerOne(pc *webrtc.PeerConnection, offer string) (string, error) {
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	return answer.SDP, pc.SetLocalDescription(answer)
}

// speak sends a packet of a medium.
func (c *testClient) speak(m Medium) {
	payload := append([]byte{0x78}, make([]byte, 99)...) // large enough to be a voice
	if m != Audio {
		payload = []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0} // VP8, a keyframe of 64 by 64
	}
	c.seqs[m]++
	p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: c.seqs[m], Timestamp: uint32(c.seqs[m]) * 960}, Payload: payload}
	if err := c.ups[m].WriteRTP(&p); err != nil {
		c.t.Errorf("send %s: %v", m, err)
	}
}

func (c *testClient) received(stream string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[stream]
}

// upPackets is how many packets of a medium the router took from a member.
func (mb *member) upPackets(m Medium) uint64 {
	s, err := mb.Stats(context.Background())
	if err != nil {
		mb.t.Fatal(err)
	}
	return s.Media[m].Up.Packets
}

// flows sends until the router has taken another packet of every medium.
func (mb *member) flows(what string) {
	mb.t.Helper()
	for m := Medium(0); int(m) < NumMedia; m++ {
		before := mb.upPackets(m)
		waitFor(mb.t, what+": "+m.String(), func() bool {
			mb.client.speak(m)
			return mb.upPackets(m) > before
		})
	}
}

// TestJoin connects clients over both families, with one worker and with several, and looks at what the router says of them.
func TestJoin(t *testing.T) {
	for _, c := range []struct {
		name    string
		workers int
		listen  string
		set     func(*testing.T, *webrtc.SettingEngine)
	}{
		{"IPv4", 1, "127.0.0.1:0", nil},
		{"IPv6", 1, "[::1]:0", func(t *testing.T, s *webrtc.SettingEngine) { s.SetICEUDPMux(muxOn(t, "[::1]:0")) }},
		{"hand-over", 4, "127.0.0.1:0", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			tr := startRouter(t, c.workers, c.listen)
			m := tr.open(t)
			mb := join(t, m, "alice", 2)
			mb.connect(func(s *webrtc.SettingEngine) {
				if c.set != nil {
					c.set(t, s)
				}
			})
			mb.flows("media")
			remotes := map[netip.AddrPort]bool{}
			for _, tp := range mb.transportStates() {
				if tp.Cipher != "SRTP_AEAD_AES_128_GCM" || tp.Rung != dataplane.UDP || tp.Local != tr.plane.Addrs()[0] || tp.DSCP != 0 {
					t.Errorf("transport %+v", tp)
				}
				remotes[tp.Remote] = true
			}
			if len(remotes) != NumMedia {
				t.Errorf("remote ends %v, want one for each medium", remotes)
			}
			s := tr.Stats()
			if s.Meetings != 1 || s.Endpoints != 1 || s.Transports != NumMedia || s.Handshakes != uint64(NumMedia) || s.HandshakesFailed != 0 {
				t.Errorf("stats %+v", s)
			}
			mb.client.close()
			waitFor(t, "Gone", func() bool { return mb.has(func(e Event) bool { _, ok := e.(Gone); return ok }) })
			mb.waitState(TransportLost)
			if err := mb.Close(); err != nil {
				t.Error(err)
			}
			if c.workers > 1 {
				handedOver(t, tr, m)
			}
			if s := tr.Stats(); s.Endpoints != 0 || s.Transports != 0 {
				t.Errorf("stats after close %+v", s)
			}
		})
	}
}

// handedOver joins until a path is found whose datagrams arrive at another worker than its transport's. With four workers each path is
// such a one with a chance of three in four.
func handedOver(t *testing.T, tr *testRouter, m *Meeting) {
	t.Helper()
	for i := range 4 {
		mb := join(t, m, EndpointID(fmt.Sprint("guest ", i)), 1)
		mb.connect(nil)
		mb.flows("handed over")
		foreign := 0
		err := mb.do(context.Background(), func(dataplane.Instant) error {
			for _, tp := range mb.e.live() {
				for i := range tp.paths {
					if tp.foreign(&tp.paths[i]) {
						foreign++
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := mb.Close(); err != nil {
			t.Error(err)
		}
		if foreign > 0 {
			waitFor(t, "routes to be forgotten", func() bool { return countRoutes(t, tr) == 0 })
			return
		}
	}
	t.Error("every path came to its home worker")
}

// countRoutes counts the paths that the workers know.
func countRoutes(t *testing.T, tr *testRouter) (n int) {
	t.Helper()
	for _, h := range tr.all() {
		if err := h.w.Do(context.Background(), func(dataplane.Instant) { n += len(h.routes) }); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// muxOn lets a PeerConnection use a socket on the given address: pion leaves ::1 out when it gathers by itself.
func muxOn(t *testing.T, address string) ice.UDPMux {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		t.Fatal(err)
	}
	mux := webrtc.NewICEUDPMux(nil, conn)
	t.Cleanup(func() { _ = mux.Close() }) // the PeerConnection may have closed it
	return mux
}

// TestSHA1Fallback connects a client that has no AES-GCM for SRTP.
func TestSHA1Fallback(t *testing.T) {
	noLeaks(t)
	mb := join(t, startRouter(t, 1).open(t), "old", 1)
	mb.connect(func(s *webrtc.SettingEngine) { s.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80) })
	mb.flows("media")
	if got := mb.transportStates()[0].Cipher; got != "SRTP_AES128_CM_HMAC_SHA1_80" {
		t.Errorf("cipher %s", got)
	}
}

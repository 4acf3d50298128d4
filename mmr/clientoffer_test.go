package mmr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
)

// The client of these tests is one PeerConnection of pion that offers, with payload types of its own.

// gear is a client that offers.
type gear struct {
	t          *testing.T
	pc         *webrtc.PeerConnection
	voice, eye *webrtc.TrackLocalStaticRTP
	seqs       [2]uint16

	mu  sync.Mutex // guards got, which pion's goroutines write
	got map[string]int
}

// The payload types of gear are not those of the box's offers.
const (
	gearOpus   = 109
	gearVP8    = 120
	gearVP8RTX = 124
	gearH264   = 126
)

func gearEngine(t *testing.T, video ...webrtc.RTPCodecParameters) *webrtc.MediaEngine {
	t.Helper()
	engine := &webrtc.MediaEngine{}
	opus := webrtc.RTPCodecParameters{PayloadType: gearOpus, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}}
	if err := engine.RegisterCodec(opus, webrtc.RTPCodecTypeAudio); err != nil {
		t.Fatal(err)
	}
	for _, c := range video {
		if err := engine.RegisterCodec(c, webrtc.RTPCodecTypeVideo); err != nil {
			t.Fatal(err)
		}
	}
	for _, uri := range []string{"urn:ietf:params:rtp-hdrext:sdes:mid", "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"} {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
			if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
				t.Fatal(err)
			}
		}
	}
	return engine
}

func vp8Codecs() []webrtc.RTPCodecParameters {
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "transport-cc"}}
	return []webrtc.RTPCodecParameters{
		{PayloadType: gearVP8, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback}},
		{PayloadType: gearVP8RTX, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=120"}},
	}
}

func h264Codec() webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{PayloadType: gearH264, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"}}
}

func newGear(t *testing.T, engine *webrtc.MediaEngine) *gear {
	t.Helper()
	var setting webrtc.SettingEngine
	setting.SetIncludeLoopbackCandidate(true)
	setting.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	setting.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	setting.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(setting), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	pc, err := api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		t.Fatal(err)
	}
	g := &gear{t: t, pc: pc, got: map[string]int{}}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Errorf("close gear: %v", err)
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.got[track.Kind().String()]++
			if pt := p.PayloadType; pt != gearOpus && pt != gearVP8 {
				g.got["strange"]++
			}
			g.mu.Unlock()
		}
	})
	return g
}

func (g *gear) received(kind string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got[kind]
}

// publishes adds what gear sends.
func (g *gear) publishes(kinds ...string) {
	g.t.Helper()
	for _, kind := range kinds {
		mime := webrtc.MimeTypeVP8
		if kind == "audio" {
			mime = webrtc.MimeTypeOpus
		}
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, kind, "gear")
		if err != nil {
			g.t.Fatal(err)
		}
		direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
		if _, err := g.pc.AddTransceiverFromTrack(track, direction); err != nil {
			g.t.Fatal(err)
		}
		if kind == "audio" {
			g.voice = track
		} else {
			g.eye = track
		}
	}
}

// watches adds what gear wants to be sent.
func (g *gear) watches() {
	g.t.Helper()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		direction := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
		if _, err := g.pc.AddTransceiverFromKind(kind, direction); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *gear) offer() string {
	g.t.Helper()
	offer, err := g.pc.CreateOffer(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.pc.SetLocalDescription(offer); err != nil {
		g.t.Fatal(err)
	}
	return offer.SDP
}

// connect joins a meeting with the gear's offer and returns its endpoint.
func (g *gear) connect(m *Meeting, id EndpointID, publishes bool) *Endpoint {
	g.t.Helper()
	offer, err := ReadOffer(g.offer(), publishes)
	if err != nil {
		g.t.Fatal(err)
	}
	cfg := EndpointConfig{ID: id, ClientOffers: true}
	if publishes {
		cfg.Send = offer.Media()
	} else {
		cfg.VideoSlots = 1
	}
	e, err := m.Join(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	answer, err := e.Accept(context.Background(), offer)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		g.t.Fatalf("%v\n%s", err, answer)
	}
	waitFor(g.t, "gear connected", func() bool { return g.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
	return e
}

// speak sends a packet of each medium.
func (g *gear) speak() {
	for i, track := range []*webrtc.TrackLocalStaticRTP{g.voice, g.eye} {
		if track == nil {
			continue
		}
		payload := append([]byte{0x78}, make([]byte, 99)...)
		if i == 1 {
			payload = []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0}
		}
		g.seqs[i]++
		p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: g.seqs[i], Timestamp: uint32(g.seqs[i]) * 960}, Payload: payload}
		if err := track.WriteRTP(&p); err != nil {
			g.t.Errorf("send: %v", err)
		}
	}
}

// TestGearPublishes: what gear sends on one transport, under its own payload types, is seen and heard by a client of the three transports.
func TestGearPublishes(t *testing.T) {
	noLeaks(t)
	m := startRouter(t, 1).open(t)
	viewer := join(t, m, "viewer", 1)
	viewer.connect(nil)
	g := newGear(t, gearEngine(t, vp8Codecs()...))
	g.publishes("audio", "video")
	e := g.connect(m, "gear", true)
	waitFor(t, "voice and picture", func() bool {
		g.speak()
		return viewer.client.received("audio0") > 3 && viewer.client.received("video0") > 3
	})
	s, err := e.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Transports) != 2 || s.Transports[0].Remote != s.Transports[1].Remote || s.Transports[0].State != TransportConnected {
		t.Errorf("transports %+v, want audio and video on one", s.Transports)
	}
	if len(s.Slots) != 0 {
		t.Errorf("slots %+v of a publisher", s.Slots)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	waitFor(t, "gear told", func() bool { return g.pc.ConnectionState() != webrtc.PeerConnectionStateConnected })
}

// TestGearWatches: gear is sent the speaker's voice and picture under its own payload types, and another speaker's when that changes.
func TestGearWatches(t *testing.T) {
	noLeaks(t)
	m := startRouter(t, 1).open(t)
	mb := join(t, m, "alice", 1)
	mb.connect(nil)
	mb.publish()
	g := newGear(t, gearEngine(t, vp8Codecs()...))
	g.watches()
	e := g.connect(m, "screen", false)
	waitFor(t, "voice and picture", func() bool { return g.received("audio") > 3 && g.received("video") > 3 })
	if n := g.received("strange"); n != 0 {
		t.Errorf("%d packets of payload types that gear did not offer", n)
	}
	if _, err := e.Offer(context.Background(), false); !errors.Is(err, ErrClientOffers) {
		t.Errorf("offer to gear: %v", err)
	}
}

// TestReadOffer refuses what the box does not do, and says why.
func TestReadOffer(t *testing.T) {
	noLeaks(t)
	h264 := newGear(t, gearEngine(t, h264Codec()))
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "video", "gear")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h264.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	g := newGear(t, gearEngine(t, vp8Codecs()...))
	g.publishes("audio", "video")
	good := g.offer()
	for name, c := range map[string]struct {
		offer     string
		publishes bool
		want      error
		says      string
	}{
		"no SDP":          {"hello", true, ErrOffer, ""},
		"codec":           {strings.ReplaceAll(h264.offer(), "packetization-mode=1", "packetization-mode=0"), true, ErrUnacceptable, "H264"},
		"direction":       {good, false, ErrUnacceptable, "recvonly"},
		"setup":           {strings.ReplaceAll(good, "actpass", "passive"), true, ErrUnacceptable, "setup"},
		"SHA-1":           {strings.ReplaceAll(good, "sha-256", "sha-1"), true, ErrUnacceptable, "fingerprint"},
		"not bundled":     {strings.ReplaceAll(good, "a=group:BUNDLE 0 1", "a=group:BUNDLE 0"), true, ErrOffer, "BUNDLE"},
		"no ICE":          {strings.ReplaceAll(good, "a=ice-pwd", "a=x-pwd"), true, ErrOffer, "ice-pwd"},
		"two pictures":    {strings.ReplaceAll(good, "m=audio", "m=video"), true, ErrUnacceptable, ""},
		"something other": {strings.ReplaceAll(good, "m=audio", "m=application"), true, ErrUnacceptable, "application"},
	} {
		_, err := ReadOffer(c.offer, c.publishes)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if o, err := ReadOffer(good, true); err != nil || o.Media() != [NumMedia]bool{Audio: true, Video: true} || o.ICE().Ufrag == "" {
		t.Errorf("%+v %v", o, err)
	}
}

// FuzzReadOffer: whatever is accepted can be answered, and its sections are those of the offer.
func FuzzReadOffer(f *testing.F) {
	for _, name := range []string{"publisher", "watcher"} {
		text, err := os.ReadFile("internal/description/testdata/" + name + ".sdp")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), name == "publisher")
	}
	f.Fuzz(func(t *testing.T, text string, publishes bool) {
		o, err := ReadOffer(text, publishes)
		if err != nil {
			if !errors.Is(err, ErrOffer) && !errors.Is(err, ErrUnacceptable) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if len(o.sections) == 0 || len(o.sections) > 2 || o.ICE() == (ICE{}) {
			t.Errorf("%+v", o)
		}
		for _, s := range o.sections {
			if len(s.codecs) == 0 {
				t.Errorf("%s without codec", s.medium)
			}
		}
	})
}

// talker sends voice on a clock of its own.
type talker struct {
	e   *endpoint
	tt  transportTracks
	seq uint16
}

func newTalker(t *testing.T, sh *shard, id EndpointID, ssrc uint32) *talker {
	t.Helper()
	e, _ := bareEndpoint(t, sh, id, 0)
	k := &talker{e: e, tt: transportTracks{ids: offeredIDs}}
	e.up[Audio].bindTo(0, &k.tt, &answered{SSRC: ssrc, Formats: formatsFor(Audio)})
	return k
}

// packet sends speech, or what Opus sends in silence.
func (k *talker) packet(now dataplane.Instant, loud bool) {
	size := 3
	if loud {
		size = 100
	}
	k.seq++
	h := rtp.Header{Version: 2, PayloadType: offeredFormats[codec.Opus].pt, SequenceNumber: k.seq, Timestamp: uint32(k.seq) * 960, SSRC: k.e.up[Audio].streams[0].ssrc}
	b, err := (&rtp.Packet{Header: h, Payload: make([]byte, size)}).Marshal()
	if err != nil {
		panic(err)
	}
	k.e.sh.arrived(now, k.e, &k.tt, []Medium{Audio}, b)
}

// TestOneVoice: an endpoint with one audio slot hears whoever speaks; while that changes, or when the speaker leaves, it is never without a
// voice that is there.
func TestOneVoice(t *testing.T) {
	sh := newShard()
	var talkers []*talker
	for i := range 5 {
		talkers = append(talkers, newTalker(t, sh, EndpointID(fmt.Sprint("t", i)), uint32(100+i)))
	}
	cfg := EndpointConfig{ID: "screen", ClientOffers: true, VideoSlots: 1, Notify: func(Event) {}}
	screen := &endpoint{tracks: newEndpointTracks(cfg), id: cfg.ID, sh: sh, cfg: cfg}
	sh.addEndpoint(0, screen)
	if len(screen.slots[Audio]) != 1 || len(screen.slots[Video]) != 1 || len(screen.slots[Content]) != 0 {
		t.Fatalf("slots %v", screen.slots)
	}
	screen.applyAnswer(0, []answered{{Medium: Audio, Formats: formatsFor(Audio)}, {Medium: Video, Formats: formatsFor(Video)}})
	out := newOutlet(t)
	sh.senderReady(0, screen, []Medium{Audio, Video}, out)
	now, heard := dataplane.Instant(0), func() EndpointID { return screen.slots[Audio][0].slot().Source }
	const step = dataplane.Instant(20 * time.Millisecond)
	speak := func(who int, length time.Duration) {
		t.Helper()
		before := heard()
		for end := now + dataplane.Instant(length); now < end; now += step {
			for i, k := range talkers {
				if k.e.sh.byID[k.e.id] == k.e {
					k.packet(now, i == who)
				}
			}
			sh.flush(now)
			sh.advance(now)
			if before != "" && heard() == "" {
				t.Fatalf("nobody is heard while t%d begins to speak", who)
			}
		}
	}
	for _, who := range []int{0, 4, 2, 0, 3} {
		speak(who, 3*time.Second)
		if got := heard(); got != talkers[who].e.id {
			t.Errorf("t%d speaks, and %q is heard", who, got)
		}
		if got := heard(); len(out.rtp[screen.slots[Audio][0].ssrc]) == 0 {
			t.Errorf("nothing is sent of %q", got)
		}
	}
	sh.removeEndpoint(now, talkers[3].e)
	speak(-1, 100*time.Millisecond)
	if got := heard(); got == "" || got == "t3" {
		t.Errorf("after the speaker has left, %q is heard", got)
	}
}

// TestGearSimulcast: encodings that gear offers are taken as they are named, and are told apart by their RIDs; without the extension for that, one
// picture is taken by its SSRC.
func TestGearSimulcast(t *testing.T) {
	text, err := os.ReadFile("internal/description/testdata/publisher.sdp")
	if err != nil {
		t.Fatal(err)
	}
	const rid = "a=extmap:5 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
	simulcast := string(text) + "a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n"
	m := startRouter(t, 1).open(t)
	accept := func(id EndpointID, offer string) (string, *endpoint) {
		t.Helper()
		o, err := ReadOffer(offer, true)
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.Join(EndpointConfig{ID: id, Send: o.Media(), ClientOffers: true})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := e.Accept(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		return answer, e.e
	}
	answer, e := accept("three", simulcast+rid)
	if !strings.Contains(answer, "a=simulcast:recv q;h;f\r\n") || !strings.Contains(answer, "a=rid:q recv\r\n") || len(e.up[Video].rids) != 3 || e.transports[Video].ids.rid != 5 {
		t.Errorf("rids %v in\n%s", e.up[Video].rids, answer)
	}
	answer, e = accept("one", simulcast)
	if strings.Contains(answer, "simulcast") || e.up[Video].rids != nil || e.up[Video].streams[0].ssrc != 1660187060 {
		t.Errorf("rids %v in\n%s", e.up[Video].rids, answer)
	}
}

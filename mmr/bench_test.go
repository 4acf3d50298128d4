package mmr

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"golang.org/x/sys/unix"

	"meetzone/dataplane"
	"meetzone/mmr/internal/packet"
	"meetzone/mmr/internal/srtp"
	"meetzone/mmr/internal/twcc"
)

// What forwarding costs: the router's own way from the datagram that arrives to the datagrams handed to the kernel, and pion/webrtc doing
// the same in the same run.

const (
	benchReceivers = 20
	benchBurst     = 5 // packets of a picture
	benchSize      = 1100
	benchVoice     = 100
	benchRound     = 20 // offset of the round's number in each payload
)

// rig is a router whose worker is driven by the test itself, with one endpoint that sends and others that receive on real sockets.
type rig struct {
	plane     *dataplane.Plane
	h         *handler
	sh        *shard
	now       dataplane.Instant
	take      func(id EndpointID, m Medium, o *srtp.Opener, b []byte) // what was sent to an endpoint, if anybody wants to know
	sealers   [NumMedia]*srtp.Sealer
	paths     [NumMedia]dataplane.Path
	seqs      [NumMedia]uint16
	keyframes bool   // every picture is one
	adapts    bool   // receivers give transport-wide feedback
	ears      []*ear // of these
	whole     bool   // one sequence of transport-wide numbers for all transports, as browsers have it
	number    uint16 // the last one of it
	round     uint32 // of 20 ms
	pages     [][]byte
	header    [packet.FixedLen + 8]byte
	payload   []byte
	batch     []dataplane.Datagram
}

// sink reads and forgets what comes to a socket of its own, or gives it to take.
func sink(tb testing.TB, take func([]byte)) netip.AddrPort {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if take == nil {
			_, _ = io.Copy(io.Discard, conn) // ends with the socket
			return
		}
		b := make([]byte, dataplane.MaxDatagram)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			take(b[:n])
		}
	}()
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
		<-done
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func newRig(tb testing.TB, receivers int, take func(EndpointID, Medium, *srtp.Opener, []byte)) *rig {
	return setUp(tb, receivers, &rig{take: take})
}

// setUp makes a rig of what is set in it.
func setUp(tb testing.TB, receivers int, g *rig) *rig {
	quiet := slog.New(slog.DiscardHandler)
	r, err := New(Config{Candidates: func() []netip.AddrPort { return nil }, Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	listen := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	plane, err := dataplane.Open(dataplane.Config{Listen: listen, Workers: 1, Logger: quiet}, r.NewHandler)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := plane.Close(); err != nil {
			tb.Error(err)
		}
	})
	g.plane, g.h, g.payload, g.now = plane, r.handler(0), make([]byte, benchSize), 1
	m := &Meeting{r: r, h: g.h, sh: newShard()}
	g.sh = m.sh
	g.h.addShard(g.sh)
	for i := range benchBurst + 1 {
		g.pages = append(g.pages, make([]byte, dataplane.MaxDatagram))
		g.batch = append(g.batch, dataplane.Datagram{Data: g.pages[i]})
	}
	g.join(tb, m, "sender", true)
	for i := range receivers {
		g.join(tb, m, EndpointID(fmt.Sprint(i)), false)
	}
	for range 50 { // until the voice is heard and the picture shown
		g.load()
		g.forward()
	}
	return g
}

// join makes an endpoint whose transports are connected, with keys and paths that the test knows.
func (g *rig) join(tb testing.TB, m *Meeting, id EndpointID, sends bool) {
	e := newEndpoint(m, EndpointConfig{ID: id, Send: [NumMedia]bool{Audio: sends, Video: sends}, VideoSlots: 1})
	if err := e.enter(g.now); err != nil {
		tb.Fatal(err)
	}
	sections := []answered{{Medium: Audio, Formats: formatsFor(Audio)}, {Medium: Video, Formats: formatsFor(Video)}}
	if g.adapts {
		for i := range sections {
			sections[i].Numbering = extTransportSequence
		}
	}
	if sends {
		sections = []answered{
			{Medium: Audio, Up: true, Formats: formatsFor(Audio), SSRC: 1}, {Medium: Video, Up: true, Formats: formatsFor(Video), SSRC: 2},
		}
	}
	e.applyAnswer(g.now, sections)
	for _, medium := range []Medium{Audio, Video} {
		t := e.transports[medium]
		material := make([]byte, srtp.AEADAES128GCM.KeyingMaterialLen())
		for i := range material {
			material[i] = byte(i) ^ byte(medium) ^ byte(len(g.sh.endpoints))
		}
		sealer, opener, err := srtp.NewPair(srtp.AEADAES128GCM, material, false)
		if err != nil {
			tb.Fatal(err)
		}
		farSealer, farOpener, err := srtp.NewPair(srtp.AEADAES128GCM, material, true)
		if err != nil {
			tb.Fatal(err)
		}
		var take func([]byte)
		if g.take != nil {
			take = func(b []byte) { g.take(id, medium, farOpener, b) }
		}
		t.path, t.selected = dataplane.UDPPath(sink(tb, take), netip.MustParseAddr("127.0.0.1"), 0), true
		g.h.setRoute(t.path, route{t: t})
		t.keyed(g.now, srtp.AEADAES128GCM, sealer, opener)
		if sends {
			g.sealers[medium], g.paths[medium] = farSealer, t.path
		} else if g.adapts && medium == Video {
			g.ears = append(g.ears, &ear{e: e, sealer: farSealer, recorder: twcc.New(), path: t.path, page: make([]byte, dataplane.MaxDatagram)})
		}
	}
}

// load seals one picture and one piece of voice, as they would arrive.
func (g *rig) load() {
	g.now += dataplane.Instant(20 * time.Millisecond)
	g.round++
	for i := range benchBurst {
		payload := g.payload[:benchSize]
		payload[0], payload[1] = 0, 1
		if i == 0 {
			payload[0] = 0x10
			if g.seqs[Video] < 60 || g.keyframes {
				payload[1] = 0 // a keyframe
			}
		}
		g.seal(i, Video, payload, i == benchBurst-1)
	}
	g.seal(benchBurst, Audio, g.payload[:benchVoice], false)
}

// timestamp is that of a medium in this round.
func (g *rig) timestamp(m Medium) uint32 { return g.round * [...]uint32{960, 1800}[m] }

func (g *rig) seal(i int, m Medium, payload []byte, marker bool) {
	g.seqs[m]++
	binary.BigEndian.PutUint32(payload[benchRound:], g.round)
	h := packet.Header{
		Marker: marker, PayloadType: [...]uint8{ptOpus, ptVP8}[m], SequenceNumber: g.seqs[m], Timestamp: g.timestamp(m), SSRC: uint32(m) + 1,
	}
	packet.PutHeader(g.header[:], &h)
	number := g.seqs[m]
	if g.whole {
		g.number++
		number = g.number
	}
	packet.PutTransportSequence(g.header[:], extTransportSequence, number)
	d := &g.batch[i]
	n, err := g.sealers[m].SealRTP(g.pages[i], g.header[:], payload)
	if err != nil {
		panic(err)
	}
	d.Data, d.Path = g.pages[i][:n], g.paths[m]
}

// forward is what a worker does in a round: the router's part, then the kernel's.
func (g *rig) forward() {
	g.route()
	g.h.w.Flush()
}

func (g *rig) route() {
	g.h.HandleBatch(g.now, g.batch)
	g.h.Advance(g.now)
}

// TestForwardWithoutAllocation takes the real way from sealed datagram to sealed datagrams.
func TestForwardWithoutAllocation(t *testing.T) {
	g := newRig(t, 4, nil)
	before := g.sh.stats.forwarded
	allocs := testing.AllocsPerRun(200, func() {
		g.load()
		g.forward()
	})
	if n := g.sh.stats.forwarded - before; n != 201*4*(benchBurst+1) {
		t.Errorf("%d packets were forwarded, want %d", n, 201*4*(benchBurst+1))
	}
	if allocs != 0 {
		t.Errorf("%v allocations for each round of %d packets", allocs, 4*(benchBurst+1))
	}
}

// pionFan sends one picture track and one voice track to many PeerConnections.
type pionFan struct {
	video, audio *webrtc.TrackLocalStaticRTP
	seqs         [NumMedia]uint16
	ts           uint32
	payload      []byte
}

func pionAPI(tb testing.TB) *webrtc.API {
	engine := &webrtc.MediaEngine{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		tb.Fatal(err)
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM)
	return webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(s), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
}

func newPionFan(tb testing.TB, receivers int) *pionFan {
	f := &pionFan{payload: make([]byte, benchSize)}
	var err error
	if f.video, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "v", "s"); err != nil {
		tb.Fatal(err)
	}
	if f.audio, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "s"); err != nil {
		tb.Fatal(err)
	}
	api := pionAPI(tb)
	var connected sync.WaitGroup
	for range receivers {
		connected.Add(1)
		f.connect(tb, api, connected.Done)
	}
	connected.Wait()
	return f
}

// connect adds a receiver.
func (f *pionFan) connect(tb testing.TB, api *webrtc.API, connected func()) {
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	from, err := api.NewPeerConnection(webrtc.Configuration{})
	check(err)
	to, err := api.NewPeerConnection(webrtc.Configuration{})
	check(err)
	tb.Cleanup(func() { _, _ = from.GracefulClose(), to.GracefulClose() })
	to.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		b := make([]byte, dataplane.MaxDatagram)
		for {
			if _, _, err := track.Read(b); err != nil {
				return
			}
		}
	})
	once := sync.OnceFunc(connected)
	from.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once()
		}
	})
	_, err = from.AddTrack(f.video)
	check(err)
	_, err = from.AddTrack(f.audio)
	check(err)
	exchange := func(a, b *webrtc.PeerConnection, make func() (webrtc.SessionDescription, error)) {
		sdp, err := make()
		check(err)
		gathered := webrtc.GatheringCompletePromise(a)
		check(a.SetLocalDescription(sdp))
		<-gathered
		check(b.SetRemoteDescription(*a.LocalDescription()))
	}
	exchange(from, to, func() (webrtc.SessionDescription, error) { return from.CreateOffer(nil) })
	exchange(to, from, func() (webrtc.SessionDescription, error) { return to.CreateAnswer(nil) })
}

// forward sends one picture and one piece of voice to everybody.
func (f *pionFan) forward(tb testing.TB) {
	f.ts += 1800
	write := func(m Medium, track *webrtc.TrackLocalStaticRTP, payload []byte) {
		f.seqs[m]++
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: f.seqs[m], Timestamp: f.ts}, Payload: payload}
		if err := track.WriteRTP(&p); err != nil {
			tb.Error(err)
		}
	}
	for range benchBurst {
		write(Video, f.video, f.payload)
	}
	write(Audio, f.audio, f.payload[:benchVoice])
}

// threadTime returns the CPU time of the calling thread.
func threadTime(tb testing.TB) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkForward forwards a picture of five packets and one of voice from one sender to twenty receivers, turn by turn with pion. Counted
// is the CPU time of the thread that forwards, kernel included; for the router that contains receiving's decryption, for pion only sending.
func BenchmarkForward(b *testing.B) {
	const perRound = benchReceivers * (benchBurst + 1)
	g := newRig(b, benchReceivers, nil)
	allocs := testing.AllocsPerRun(100, func() {
		g.load()
		g.forward()
	})
	fan := newPionFan(b, benchReceivers)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var routing, ours, theirs time.Duration
	rounds := 0
	before := g.sh.stats.forwarded
	for b.Loop() {
		g.load()
		t0 := threadTime(b)
		g.route()
		routing += threadTime(b) - t0
		g.h.w.Flush()
		t1 := threadTime(b)
		fan.forward(b)
		ours, theirs = ours+t1-t0, theirs+threadTime(b)-t1
		rounds++
	}
	if n := g.sh.stats.forwarded - before; n != uint64(rounds*perRound) {
		b.Fatalf("%d packets were forwarded, want %d", n, rounds*perRound)
	}
	micros := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(rounds*perRound) }
	b.ReportMetric(micros(ours), "µs/packet")
	b.ReportMetric(micros(routing), "without-kernel-µs/packet")
	b.ReportMetric(micros(theirs), "pion-µs/packet")
	b.ReportMetric(float64(theirs)/float64(ours), "×pion")
	b.ReportMetric(allocs/perRound, "allocs/packet")
	b.ReportMetric(0, "ns/op")
}

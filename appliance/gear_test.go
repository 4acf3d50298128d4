package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
	"meetzone/dscp"
	clips "meetzone/zonectl/client/media"
)

// Equipment that nobody here wrote publishes and watches by WHIP and WHEP: pion in this process, aiortc and GStreamer as programs
// (appliancetest/gear), Chromium as a page of another origin.

// gear is any of them.
type gear interface {
	// sees is how many pictures and how much sound a watcher has decoded, and how wide the last picture is.
	sees() sight
	leave()
}

// sight is what a watcher sees.
type sight struct {
	State    string
	Frames   int
	Width    int
	Loud     int
	Trickled int  // candidates that the box took, of a page
	Relayed  bool // through the HTTPS port, of a page
}

// ---- pion

// nsNet makes pion's sockets in a namespace.
type nsNet struct {
	*stdnet.Net
	t  *testing.T
	ns *nstest.NS
}

func newNSNet(t *testing.T, ns *nstest.NS) *nsNet {
	t.Helper()
	n := &nsNet{t: t, ns: ns}
	var err error
	ns.Do(t, func() { n.Net, err = stdnet.NewNet() })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *nsNet) ListenUDP(network string, local *net.UDPAddr) (conn transport.UDPConn, err error) {
	n.ns.Do(n.t, func() { conn, err = n.Net.ListenUDP(network, local) })
	return conn, err
}

func (n *nsNet) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	n.ns.Do(n.t, func() { conn, err = n.Net.ListenPacket(network, address) })
	return conn, err
}

// client makes HTTPS requests from a namespace.
func client(t *testing.T, ns *nstest.NS) *http.Client {
	dial := func(_ context.Context, network, address string) (conn net.Conn, err error) {
		ns.Do(t, func() { conn, err = net.Dial(network, address) })
		return conn, err
	}
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// pionGear is one PeerConnection.
type pionGear struct {
	t       *testing.T
	http    *http.Client
	session string
	pc      *webrtc.PeerConnection
	talks   atomic.Bool
	key     atomic.Bool // asked for
	stop    context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex // guards seen
	seen sight
}

func newPionGear(t *testing.T, ns *nstest.NS) *pionGear {
	t.Helper()
	var setting webrtc.SettingEngine
	setting.SetNet(newNSNet(t, ns))
	setting.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	setting.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	engine := &webrtc.MediaEngine{}
	registry := &interceptor.Registry{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.RegisterDefaultInterceptors(engine, registry); err != nil {
		t.Fatal(err)
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(setting), webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry))
	pc, err := api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		t.Fatal(err)
	}
	g := &pionGear{t: t, http: client(t, ns), pc: pc, stop: func() {}}
	t.Cleanup(func() {
		g.stop()
		g.running.Wait()
		_ = pc.GracefulClose()
	})
	return g
}

// publish sends a clip's pictures, and a tone while the gear talks.
func (g *pionGear) publish(url string, pictures *clips.Clip) *pionGear {
	g.t.Helper()
	tone, err := clips.Tone()
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	voice := g.track(webrtc.MimeTypeOpus, "audio")
	picture := g.track(webrtc.MimeTypeVP8, "video")
	g.post(url)
	silence := []byte{0xf8, 0xff, 0xfe}
	g.running.Go(func() {
		g.play(ctx, tone, func(f clips.Frame, length time.Duration) error {
			data := f.Data
			if !g.talks.Load() {
				data = silence
			}
			return voice.WriteSample(media.Sample{Data: data, Duration: length})
		})
	})
	g.running.Go(func() {
		g.play(ctx, pictures, func(f clips.Frame, length time.Duration) error {
			return picture.WriteSample(media.Sample{Data: f.Data, Duration: length})
		})
	})
	return g
}

func (g *pionGear) track(mime, id string) *webrtc.TrackLocalStaticSample {
	g.t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, id, "gear")
	if err != nil {
		g.t.Fatal(err)
	}
	transceiver, err := g.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		g.t.Fatal(err)
	}
	go func() { // ends with the PeerConnection
		for {
			packets, _, err := transceiver.Sender().ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				if _, ok := p.(*rtcp.PictureLossIndication); ok {
					g.key.Store(true)
				}
			}
		}
	}()
	return track
}

// play sends a clip over and over. Who has asked for a keyframe gets the clip from its beginning.
func (g *pionGear) play(ctx context.Context, clip *clips.Clip, send func(clips.Frame, time.Duration) error) {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for i, f := range clip.Frames {
			if clip.Codec == clips.VP8 && i > 0 && g.key.Swap(false) {
				start = start.Add(f.At)
				break
			}
			timer.Reset(time.Until(start.Add(f.At)))
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			end := clip.Length
			if i+1 < len(clip.Frames) {
				end = clip.Frames[i+1].At
			}
			if send(f, end-f.At) != nil {
				return
			}
			if i+1 == len(clip.Frames) {
				start = start.Add(clip.Length)
			}
		}
	}
}

// watch takes what comes.
func (g *pionGear) watch(url string) *pionGear {
	g.t.Helper()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := g.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			g.t.Fatal(err)
		}
	}
	g.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			g.mu.Lock()
			var vp8 codecs.VP8Packet
			if track.Kind() == webrtc.RTPCodecTypeAudio && len(p.Payload) > 10 {
				g.seen.Loud++
			} else if frame, err := vp8.Unmarshal(p.Payload); track.Kind() == webrtc.RTPCodecTypeVideo && err == nil {
				if width, _, ok := clips.VP8Size(frame); ok && vp8.S == 1 && vp8.PID == 0 && clips.IsVP8Keyframe(frame) {
					g.seen.Width = width
				}
				if p.Marker {
					g.seen.Frames++
				}
			}
			g.mu.Unlock()
		}
	})
	g.post(url)
	return g
}

// post makes the session.
func (g *pionGear) post(url string) {
	g.t.Helper()
	offer, err := g.pc.CreateOffer(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.pc.SetLocalDescription(offer); err != nil {
		g.t.Fatal(err)
	}
	answer, err := g.http.Post(url, "application/sdp", strings.NewReader(offer.SDP))
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusCreated {
		g.t.Fatalf("POST %s: %s %s %v", url, answer.Status, text, err)
	}
	g.session = answer.Header.Get("Location")
	if err := g.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(text)}); err != nil {
		g.t.Fatalf("%v\n%s", err, text)
	}
}

func (g *pionGear) sees() sight {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.seen
	s.State = g.pc.ConnectionState().String()
	return s
}

func (g *pionGear) leave() {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, g.session, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	answer, err := g.http.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		g.t.Errorf("DELETE: %s", answer.Status)
	}
}

// ---- programs

// programGear is a program of appliancetest/gear.
type programGear struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}

	mu   sync.Mutex // guards seen
	seen sight
}

func startGear(t *testing.T, ns *nstest.NS, name, what, url string) *programGear {
	t.Helper()
	g := &programGear{t: t, name: name, ended: make(chan struct{})}
	g.cmd = ns.Command(context.Background(), "/usr/bin/python3", filepath.Join("appliancetest", "gear", name+"_gear.py"), what, url)
	var complaints bytes.Buffer
	g.cmd.Stderr = &complaints
	stdin, err := g.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	g.stdin = stdin
	stdout, err := g.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(g.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			g.mu.Lock()
			_ = json.Unmarshal(lines.Bytes(), &g.seen) // what is no report changes nothing
			g.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.ended
		_ = g.cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", name, complaints.String())
		}
	})
	return g
}

func (g *programGear) sees() sight {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}

func (g *programGear) leave() {
	g.stdin.Close()
	select {
	case <-g.ended:
	case <-time.After(20 * time.Second):
		g.t.Errorf("%s does not leave", g.name)
	}
}

// ---- a page

//go:embed appliancetest/gear/page.html
var gearPage []byte

// pageGear is a page in Chromium.
type pageGear struct {
	t *testing.T
	b appliancetest.Browser
}

// openGearPage has a browser load the page from a server of its own in the browser's namespace: to the box it is of another origin.
func openGearPage(t *testing.T, ns *nstest.NS) *pageGear {
	t.Helper()
	var l net.Listener
	var err error
	ns.Do(t, func() { l, err = net.Listen("tcp", "127.0.0.1:0") })
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(gearPage)
	}))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	g := &pageGear{t: t, b: appliancetest.Chromium(t, ns)}
	if err := g.b.Open(server.URL); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *pageGear) call(format string, args ...any) {
	g.t.Helper()
	if err := g.b.Eval(fmt.Sprintf(format, args...), nil); err != nil {
		g.t.Fatalf("page: %v", err)
	}
}

func (g *pageGear) sees() (s sight) {
	g.t.Helper()
	if err := g.b.Eval("sees()", &s); err != nil {
		g.t.Fatalf("page: %v", err)
	}
	return s
}

func (g *pageGear) leave() { g.call("leave()") }

// ---- the tests

// until waits for what a watcher sees.
func until(t *testing.T, g gear, what string, ok func(sight) bool) sight {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-ticker.C {
		s := g.sees()
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("%s: never; the last was %+v", what, s)
		}
	}
}

// tokenFor looks the meeting up and returns a join token.
func tokenFor(t *testing.T, c *http.Client, base, number, role string) string {
	t.Helper()
	answer, err := c.Post(base+"/v1/lookup", "application/json", strings.NewReader(fmt.Sprintf(`{"meeting":%q,"role":%q}`, number, role)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var found struct{ Token string }
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil || found.Token == "" {
		t.Fatalf("lookup: %s %v", answer.Status, err)
	}
	return found.Token
}

// needGear ends the test with the reason where the programs' libraries are missing.
func needGear(t *testing.T) {
	t.Helper()
	const look = "import aiortc, numpy, gi; [gi.require_version(n, '1.0') for n in ('Gst', 'GstSdp', 'GstWebRTC')]"
	out, err := exec.Command("/usr/bin/python3", "-c", look).CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("aiortc or GStreamer is missing; make test installs them: %v\n%s", err, out)
	}
	t.Skipf("aiortc or GStreamer is missing: %v", err)
}

// smallClip is a moving picture of another size than the built-in one.
func smallClip(t *testing.T) *clips.Clip {
	t.Helper()
	file := filepath.Join(t.TempDir(), "small.ivf")
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=15:duration=2",
		"-c:v", "libvpx", "-b:v", "200k", "-g", "15", "-lag-in-frames", "0", "-auto-alt-ref", "0", "-deadline", "realtime", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	clip, err := clips.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

// TestBrowserSeesGear: what each kind of equipment publishes is seen and heard in a browser.
func TestBrowserSeesGear(t *testing.T) {
	needGear(t)
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	ns, base := lab.Clients[1].NS, "https://"+lab.Clients[1].Box.String()
	ada := appliancetest.Chromium(t, lab.Clients[0].NS)
	join(t, ada, fmt.Sprintf("https://%s/j/%s", lab.Clients[0].Box, meeting.Number), "Ada")
	pattern, err := clips.Pattern()
	if err != nil {
		t.Fatal(err)
	}
	url := base + "/whip/" + meeting.Number + "?name="
	page := sync.OnceValue(func() *pageGear { return openGearPage(t, ns) })
	for _, c := range []struct {
		name  string
		start func(name string) gear
	}{
		{"Pion", func(name string) gear {
			g := newPionGear(t, ns).publish(url+name, pattern)
			g.talks.Store(true)
			return g
		}},
		{"Aiortc", func(name string) gear { return startGear(t, ns, "aiortc", "publish", url+name) }},
		{"GStreamer", func(name string) gear { return startGear(t, ns, "gst", "publish", url+name) }},
		{"Page", func(name string) gear {
			g := page()
			g.call("publish(%q, %q)", url+name, tokenFor(t, client(t, ns), base, meeting.Number, "publisher"))
			return g
		}},
		{"Encoder", func(name string) gear { // has H.264 only, as the usual studio software
			g := page()
			g.call("publish(%q, %q, 'video/H264')", url+name, tokenFor(t, client(t, ns), base, meeting.Number, "publisher"))
			return g
		}},
	} {
		before := figuresOf(t, ada)
		g := c.start(c.name)
		const report = "figures()"
		appliancetest.Until(t, ada, "a tile with the name of "+c.name, fmt.Sprintf("document.body.innerText.includes(%q)", c.name), "document.body.innerText", 30*time.Second)
		appliancetest.Until(t, ada, c.name+" is seen", fmt.Sprintf("(await figures()).frames > %d", before.Frames+20), report, 30*time.Second)
		appliancetest.Until(t, ada, c.name+" is heard", fmt.Sprintf("(await figures()).energy > %g", before.Energy+0.001), report, 30*time.Second)
		picture(t, ada, "gear-"+c.name)
		if page, ok := g.(*pageGear); ok && c.name == "Page" { // an ICE restart in the middle: pictures go on
			page.call("restart()")
			after := figuresOf(t, ada)
			appliancetest.Until(t, ada, "pictures after an ICE restart", fmt.Sprintf("(await figures()).frames > %d", after.Frames+20), report, 30*time.Second)
			if s := page.sees(); s.State != "connected" || s.Trickled == 0 {
				t.Errorf("the page after the restart: %+v", s)
			}
		}
		g.leave()
		appliancetest.Until(t, ada, c.name+" has left", fmt.Sprintf("!document.querySelector('.stage')?.innerText.includes(%q)", c.name), "document.body.innerText", 30*time.Second)
	}
}

// TestBrowserGearWatches: each kind of equipment sees and hears who speaks, and the next speaker when that changes.
func TestBrowserGearWatches(t *testing.T) {
	needGear(t)
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	ns, base := lab.Clients[1].NS, "https://"+lab.Clients[1].Box.String()
	pattern, err := clips.Pattern()
	if err != nil {
		t.Fatal(err)
	}
	whip := "https://" + lab.Clients[0].Box.String() + "/whip/" + meeting.Number
	wide := newPionGear(t, lab.Clients[0].NS).publish(whip+"?name=Wide", pattern)
	small := newPionGear(t, lab.Clients[0].NS).publish(whip+"?name=Small", smallClip(t))
	wide.talks.Store(true)
	capture := mediaPackets(t, lab.Clients[1])
	url := base + "/whep/" + meeting.Number
	page := openGearPage(t, ns)
	page.call("watch(%q, %q)", url, tokenFor(t, client(t, ns), base, meeting.Number, "viewer"))
	watchers := map[string]gear{
		"pion":      newPionGear(t, ns).watch(url),
		"aiortc":    startGear(t, ns, "aiortc", "watch", url),
		"GStreamer": startGear(t, ns, "gst", "watch", url),
		"page":      page,
	}
	sees := func(width int) {
		t.Helper()
		for name, g := range watchers {
			s := until(t, g, fmt.Sprintf("%s sees %d", name, width), func(s sight) bool { return s.Width == width })
			until(t, g, name+" goes on seeing and hearing", func(later sight) bool {
				return later.Frames > s.Frames+10 && later.Loud > s.Loud+5 && later.Width == width
			})
		}
	}
	sees(pattern.Width)
	wide.talks.Store(false)
	small.talks.Store(true)
	sees(320)
	small.talks.Store(false)
	wide.talks.Store(true)
	sees(pattern.Width)
	var shown struct{ Count, Watchers int }
	if err := json.Unmarshal(daemon.Admin(t, "meeting", "show", meeting.Number, "--json"), &shown); err != nil || shown.Count != 2 {
		t.Errorf("meeting show: %+v %v; watchers are no participants", shown, err)
	}
	checkBundledMarks(t, capture.Packets())
	watchers["GStreamer"].leave()
	delete(watchers, "GStreamer") // webrtcbin does not tell that DTLS was closed
	daemon.Admin(t, "meeting", "end", meeting.Number)
	for name, g := range watchers {
		until(t, g, name+" is told of the end", func(s sight) bool { return s.State != "connected" })
	}
	until(t, wide, "a publisher is told of the end", func(s sight) bool { return s.State != "connected" })
}

// checkBundledMarks wants voice and pictures on one 5-tuple, each packet with the mark of its class. It looks at those of the watchers whose payload
// types are like ours.
func checkBundledMarks(t *testing.T, packets []nstest.Packet) {
	t.Helper()
	want, bundled := shipped(t, "rfc4594"), 0
	found := flows(packets, true, time.Time{})
	for client, f := range found {
		if f.kinds[opus] == 0 || f.kinds[vp8] == 0 {
			continue
		}
		bundled++
		for _, p := range packets {
			kind, class := payloadType(p), dscp.Audio
			if kind == vp8 {
				class = dscp.Video
			}
			if p.Dst == client && (kind == opus || kind == vp8) && p.DSCP() != uint8(want[class]) {
				t.Fatalf("payload type %d to %s has the mark %d, want %s", kind, client, p.DSCP(), want[class])
			}
		}
	}
	if bundled < 2 {
		t.Errorf("%d of %d flows carry voice and pictures under our payload types; want those of pion and the page", bundled, len(found))
	}
}

// TestBrowserGearBehindFirewall: where nothing but 443 is open, a page publishes and watches through the relay that the Link header names.
func TestBrowserGearBehindFirewall(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	base := "https://" + lab.Clients[1].Box.String()
	firewall.Set(t, appliancetest.Only443, lab.Clients[0])
	ns := lab.Clients[0].NS
	page := openGearPage(t, ns)
	page.call("publish(%q, %q)", base+"/whip/"+meeting.Number, tokenFor(t, client(t, ns), base, meeting.Number, "publisher"))
	outside := newPionGear(t, lab.Clients[1].NS).watch(base + "/whep/" + meeting.Number)
	until(t, outside, "the page is seen", func(s sight) bool { return s.Frames > 10 && s.Loud > 10 })
	if s := page.sees(); !s.Relayed {
		t.Errorf("the page publishes past the relay: %+v", s)
	}
}

// TestNetnsGearGone: gear whose path has died is taken out of the meeting: after the 20 s of silence in which its transport may recover, and the time
// in which sessions may resume.
func TestNetnsGearGone(t *testing.T) {
	if !long() {
		t.Skip("takes half a minute; set MEETZONE_LONG")
	}
	lab, firewall := appliancetest.NewBehind(t, 2)
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "zone.limits.resume_within", "5s", "--commit")
	meeting := daemon.CreateMeeting(t)
	pattern, err := clips.Pattern()
	if err != nil {
		t.Fatal(err)
	}
	base := "https://" + lab.Clients[0].Box.String()
	dead := newPionGear(t, lab.Clients[0].NS).publish(base+"/whip/"+meeting.Number, pattern)
	alive := newPionGear(t, lab.Clients[1].NS).publish(base+"/whip/"+meeting.Number, pattern)
	for _, g := range []gear{dead, alive} {
		until(t, g, "connected", func(s sight) bool { return s.State == "connected" })
	}
	count := func() (n int) {
		var shown struct{ Count int }
		if err := json.Unmarshal(daemon.Admin(t, "meeting", "show", meeting.Number, "--json"), &shown); err != nil {
			t.Fatal(err)
		}
		return shown.Count
	}
	if n := count(); n != 2 {
		t.Fatalf("%d participants", n)
	}
	firewall.Set(t, appliancetest.Nothing, lab.Clients[0])
	began := time.Now()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for count() == 2 {
		if time.Since(began) > time.Minute {
			t.Fatal("gear that is gone stays in the meeting")
		}
		<-ticker.C
	}
	t.Logf("taken out after %.1f s", time.Since(began).Seconds())
	if n, s := count(), alive.sees(); n != 1 || s.State != "connected" {
		t.Errorf("%d participants, the other is %s", n, s.State)
	}
}

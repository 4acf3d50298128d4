package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

func TestMain(m *testing.M) {
	code := m.Run()
	appliancetest.RemoveBinaries()
	os.Exit(code)
}

// watchPeers keeps hold of the page's PeerConnections and gives their statistics in a form that both browsers have.
const watchPeers = `(() => {
  window.peers = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native { constructor(...a) { super(...a); window.peers.push(this); } };
  window.figures = async () => {
    const pc = window.peers.filter((p) => p.connectionState !== 'closed').at(-1);
    if (!pc) return {};
    const all = [...(await pc.getStats()).values()];
    const inbound = all.filter((s) => s.type === 'inbound-rtp');
    const sum = (kind, key) => inbound.filter((s) => s.kind === kind).reduce((n, s) => n + (s[key] ?? 0), 0);
    const playing = (kind) => inbound.filter((s) => s.kind === kind && s.estimatedPlayoutTimestamp && s.packetsReceived > 50)
      .sort((a, b) => b.packetsReceived - a.packetsReceived)[0];
    const a = playing('audio'), v = playing('video');
    return {
      frames: sum('video', 'framesDecoded'), energy: sum('audio', 'totalAudioEnergy'), audioPackets: sum('audio', 'packetsReceived'),
      skew: a && v ? v.estimatedPlayoutTimestamp - a.estimatedPlayoutTimestamp : null,
      frozen: sum('video', 'totalFreezesDuration'), keyframes: sum('video', 'keyFramesDecoded'),
      sent: all.filter((s) => s.type === 'outbound-rtp').map((s) => [s.kind, s.rid, s.packetsSent]),
      spoken: all.filter((s) => s.type === 'media-source' && s.kind === 'audio').map((s) => [s.totalSamplesDuration, s.totalAudioEnergy]),
      tracks: pc.getSenders().map((s) => s.track && [s.track.kind, s.track.readyState, s.track.enabled, s.track.muted]),
      transports: all.filter((s) => s.type === 'transport').map((s) => [s.dtlsState, s.packetsReceived]),
      ciphers: [...new Set(all.filter((s) => s.type === 'transport').map((s) => s.srtpCipher))],
    };
  };
})()`

// figures is what watchPeers' function returns.
type figures struct {
	Frames       int
	Energy       float64
	AudioPackets int
	Skew         *float64 // ms by which video is ahead of audio
	Frozen       float64  // s
	Ciphers      []string
}

func join(t *testing.T, b appliancetest.Browser, url, name string, scripts ...string) {
	t.Helper()
	if err := b.Open(url); err != nil {
		t.Fatal(err)
	}
	appliancetest.Until(t, b, "lobby", "document.querySelector('input[autocomplete=name]')", "document.body.innerText", 20*time.Second)
	t.Cleanup(func() {
		var f json.RawMessage
		if t.Failed() && b.Eval("figures()", &f) == nil {
			t.Logf("%s's page at the end: %s", name, f)
		}
	})
	for _, script := range append([]string{watchPeers}, scripts...) {
		if err := b.Eval(script, nil); err != nil {
			t.Fatal(err)
		}
	}
	appliancetest.Until(t, b, "preview", "document.querySelector('.preview video')?.videoWidth > 0", "document.body.innerText", 20*time.Second)
	enter(t, b, name)
}

// enter goes from the lobby into the meeting.
func enter(t *testing.T, b appliancetest.Browser, name string) {
	t.Helper()
	enter := fmt.Sprintf(`(() => {
	  const field = document.querySelector('input[autocomplete=name]');
	  field.value = %q; field.dispatchEvent(new Event('input', {bubbles: true}));
	  [...document.querySelectorAll('button')].find((b) => b.textContent.includes('Join now')).click();
	})()`, name)
	if err := b.Eval(enter, nil); err != nil {
		t.Fatal(err)
	}
	appliancetest.Until(t, b, "meeting", "document.querySelector('.meeting')", "document.body.innerText", 30*time.Second)
}

func figuresOf(t *testing.T, b appliancetest.Browser) figures {
	t.Helper()
	var f figures
	if err := b.Eval("figures()", &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// seesAndHears waits until a browser decodes somebody's pictures and voice, and goes on doing so.
func seesAndHears(t *testing.T, b appliancetest.Browser, who string) {
	t.Helper()
	const report = "figures()"
	appliancetest.Until(t, b, who+" sees", "(await figures()).frames > 10", report, 30*time.Second)
	appliancetest.Until(t, b, who+" hears", "(await figures()).energy > 0.001", report, 30*time.Second)
	before := figuresOf(t, b)
	appliancetest.Until(t, b, who+" goes on seeing", fmt.Sprintf("(await figures()).frames > %d", before.Frames+20), report, 20*time.Second)
}

// picture keeps a screenshot where MEETZONE_PICTURES names a folder.
func picture(t *testing.T, b appliancetest.Browser, name string) {
	t.Helper()
	folder := os.Getenv("MEETZONE_PICTURES")
	if folder == "" {
		return
	}
	png, err := b.Screenshot()
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644)
	}
	if err != nil {
		t.Errorf("picture %s: %v", name, err)
	}
}

// mediaPackets captures what goes over the media port at a client.
func mediaPackets(t *testing.T, c appliancetest.Client) *nstest.Capture {
	return c.NS.Capture(t, c.Iface, func(p nstest.Packet) bool {
		return p.Proto == 17 && (p.Src.Port() == 8801 || p.Dst.Port() == 8801)
	})
}

// Payload types of the box's offer.
const (
	red  = 63 // Opus with redundancy
	opus = 111
	vp8  = 96
)

// payloadType tells what a packet carries: opus also for redundant speech, -1 no media.
func payloadType(p nstest.Packet) int {
	if len(p.Payload) < 12 || p.Payload[0]>>6 != 2 {
		return -1
	}
	if pt := int(p.Payload[1] & 0x7f); pt != red {
		return pt
	}
	return opus
}

// redundant counts the packets of redundant speech from the box.
func redundant(packets []nstest.Packet) (n int) {
	for _, p := range packets {
		if payloadType(p) == opus && p.Payload[1]&0x7f == red && p.Src.Port() == 8801 {
			n++
		}
	}
	return n
}

// flow is what a capture shows of one 5-tuple.
type flow struct {
	marks map[uint8]int // code point → packets
	kinds map[int]int   // payload type → packets
}

// flows sorts packets by the client's address: one transport each. from and to choose the direction and the time.
func flows(packets []nstest.Packet, fromBox bool, since time.Time) map[netip.AddrPort]flow {
	out := map[netip.AddrPort]flow{}
	for _, p := range packets {
		client, box := p.Dst, p.Src
		if !fromBox {
			client, box = p.Src, p.Dst
		}
		if box.Port() != 8801 || p.Time.Before(since) {
			continue
		}
		f, ok := out[client]
		if !ok {
			f = flow{marks: map[uint8]int{}, kinds: map[int]int{}}
		}
		f.marks[p.DSCP()]++
		f.kinds[payloadType(p)]++
		out[client] = f
	}
	return out
}

// medium tells by its payload types what a flow carries; known is false where there is neither speech nor pictures, as on the transport of
// content, and on paths that were tried and not taken.
func (f flow) medium() (class dscp.Class, known bool) {
	switch {
	case f.kinds[opus] > 0:
		return dscp.Audio, true
	case f.kinds[vp8] > 0:
		return dscp.Video, true
	}
	return dscp.Content, false
}

// checkMarks wants one 5-tuple for each medium and nothing but one mark of the profile in each: that of its medium where its packets tell.
func checkMarks(t *testing.T, what string, found map[netip.AddrPort]flow, want dscp.Marks) {
	t.Helper()
	var count [dscp.NumClasses]int
	for client, f := range found {
		medium, known := f.medium()
		if !known {
			for point := range f.marks {
				medium = mediumMarked(dscp.CodePoint(point), want)
			}
		}
		if len(f.marks) != 1 || f.marks[uint8(want[medium])] == 0 {
			t.Errorf("%s, %s at %s: marks %v, want only %s", what, medium, client, f.marks, want[medium])
		}
		if known || medium == dscp.Content {
			count[medium]++
		}
	}
	if count[dscp.Audio] != 1 || count[dscp.Video] != 1 || count[dscp.Content] == 0 {
		t.Errorf("%s: %d flows of audio, %d of video, %d of content; want a 5-tuple for each medium", what, count[dscp.Audio], count[dscp.Video], count[dscp.Content])
	}
}

// mediumMarked returns the medium that has a mark, content where none has it.
func mediumMarked(point dscp.CodePoint, marks dscp.Marks) dscp.Class {
	for _, medium := range []dscp.Class{dscp.Audio, dscp.Video} {
		if marks[medium] == point && point != marks[dscp.Content] {
			return medium
		}
	}
	return dscp.Content
}

func shipped(t *testing.T, name string) dscp.Marks {
	t.Helper()
	p, err := dscp.ShippedProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p.Points()
}

// TestNetnsChromiumsMeet: two people open the link and see and hear each other through the router; every medium has a 5-tuple of its own,
// encrypted and marked by its class, and another profile changes the marks of the running meeting within a second.
func TestNetnsChromiumsMeet(t *testing.T) {
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t, "--title", "Weekly")
	captures := []*nstest.Capture{mediaPackets(t, lab.Clients[0]), mediaPackets(t, lab.Clients[1])}
	browsers := []appliancetest.Browser{appliancetest.Chromium(t, lab.Clients[0].NS), appliancetest.Chromium(t, lab.Clients[1].NS)}
	for i, b := range browsers {
		join(t, b, fmt.Sprintf("https://%s/j/%s", lab.Clients[i].Box, meeting.Number), []string{"Ada", "Bob"}[i])
	}
	for i, b := range browsers {
		seesAndHears(t, b, []string{"Ada", "Bob"}[i])
		appliancetest.Until(t, b, "lip sync", "Math.abs((await figures()).skew ?? 1e9) < 80", "figures()", 20*time.Second)
		if got := figuresOf(t, b).Ciphers; !slices.Equal(got, []string{"SRTP_AEAD_AES_128_GCM"}) {
			t.Errorf("ciphers %q, want AES-128-GCM on every transport", got)
		}
		picture(t, b, fmt.Sprintf("chromium-%d", i))
	}
	want := shipped(t, dscp.ProfileRFC4594)
	for i, c := range captures {
		packets := c.WaitFor(t, 20*time.Second, func(all []nstest.Packet) bool { return redundant(all) > 50 }) // speech comes with redundancy
		checkMarks(t, fmt.Sprintf("box to client %d", i), flows(packets, true, time.Time{}), want)
		checkUplink(t, packets)
	}

	daemon.Admin(t, "config", "set", "dscp.profile", dscp.ProfileZoom, "--commit")
	since := time.Now().Add(time.Second)
	for i, c := range captures {
		packets := c.WaitFor(t, 20*time.Second, func(all []nstest.Packet) bool {
			return len(flows(all, true, since)) >= 3
		})
		checkChanged(t, fmt.Sprintf("box to client %d", i), flows(packets, true, time.Time{}), flows(packets, true, since), shipped(t, dscp.ProfileZoom))
	}
}

// checkChanged wants the transports of before with nothing but the new marks after.
func checkChanged(t *testing.T, what string, before, after map[netip.AddrPort]flow, want dscp.Marks) {
	t.Helper()
	for client, f := range after {
		medium, known := before[client].medium()
		if known && (len(f.marks) != 1 || f.marks[uint8(want[medium])] == 0) {
			t.Errorf("%s, %s at %s: marks %v a second after the commit, want only %s", what, medium, client, f.marks, want[medium])
		}
	}
}

// checkUplink wants Chromium's own marks on what it sends: RTP packets of audio with EF and of video with AF41.
func checkUplink(t *testing.T, packets []nstest.Packet) {
	t.Helper()
	marks := map[int]map[uint8]int{opus: {}, vp8: {}}
	for _, p := range packets {
		if m := marks[payloadType(p)]; m != nil && p.Dst.Port() == 8801 {
			m[p.DSCP()]++
		}
	}
	for kind, want := range map[int]dscp.CodePoint{opus: dscp.EF, vp8: dscp.AF41} {
		all := 0
		for _, n := range marks[kind] {
			all += n
		}
		if all == 0 || marks[kind][uint8(want)] < all*9/10 {
			t.Errorf("uplink of payload type %d: marks %v, want %s", kind, marks[kind], want)
		}
	}
}

// clientReport is the part of zoneclient's JSON object that the tests look at.
type clientReport struct {
	Stages map[string]float64
	First  float64 `json:"first_media_ms"`
	Media  map[string]struct {
		Rung, Cipher, Local  string
		Sent, Received, Lost int
		DSCPReceived         int `json:"dscp_received"`
		Attempts             []struct {
			Rung, Result, Detail string
			Taken                bool
		}
	}
}

// runZoneClient runs `zoneclient join` and returns what it printed.
func runZoneClient(ctx context.Context, lab *appliancetest.Lab, c appliancetest.Client, url, meeting, name string, more ...string) (clientReport, error) {
	args := append([]string{"join", "--url", url, "--meeting", meeting, "--name", name, "--insecure", "--json"}, more...)
	cmd := lab.ZoneClient(ctx, c, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return clientReport{}, fmt.Errorf("%s: %w\n%s", name, err, said.String())
	}
	var report clientReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return report, fmt.Errorf("%s printed %s: %w", name, out.String(), err)
	}
	return report, nil
}

// attends has somebody join with `zoneclient join` and stay until the test ends, or for as long as a flag says.
func attends(t testing.TB, lab *appliancetest.Lab, c appliancetest.Client, url, meeting, name string, more ...string) {
	t.Helper()
	starts(t, lab, c, append([]string{"join", "--url", url, "--meeting", meeting, "--name", name, "--insecure", "--for", "0"}, more...)...)
}

// starts starts a zoneclient, which is killed when the test ends; when it has failed, the last that it said is logged.
func starts(t testing.TB, lab *appliancetest.Lab, c appliancetest.Client, args ...string) {
	t.Helper()
	cmd := lab.ZoneClient(context.Background(), c, args...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			lines := slices.DeleteFunc(strings.Split(said.String(), "\n"), func(l string) bool { return strings.Contains(l, "pion=") })
			t.Logf("zoneclient %s said:\n%s", strings.Join(args, " "), strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
}

// TestNetnsClientsMeet: two native clients, one over IPv4 and one over IPv6, see and hear each other; everything that they and the box send is
// marked, and they can tell.
func TestNetnsClientsMeet(t *testing.T) {
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	urls := []string{"https://" + lab.Clients[0].Box.String(), "https://[" + lab.Clients[1].Box6.String() + "]"}
	captures := []*nstest.Capture{mediaPackets(t, lab.Clients[0]), mediaPackets(t, lab.Clients[1])}
	reports := make([]clientReport, 2)
	failures := make(chan error, 2)
	for i := range reports {
		go func() {
			var err error
			reports[i], err = runZoneClient(ctx, lab, lab.Clients[i], urls[i], meeting.Number, fmt.Sprintf("c%d", i), "--for", "5s")
			failures <- err
		}()
	}
	for range reports {
		if err := <-failures; err != nil {
			t.Fatal(err)
		}
	}
	want := shipped(t, dscp.ProfileRFC4594)
	for i, r := range reports {
		for class, name := range map[dscp.Class]string{dscp.Audio: "audio", dscp.Video: "video", dscp.Content: "content"} {
			m := r.Media[name]
			if m.Rung != "udp" || m.Cipher != "SRTP_AEAD_AES_128_GCM" || m.DSCPReceived != int(want[class]) {
				t.Errorf("client %d, %s: rung %s, cipher %s, code point %d; want udp, AES-128-GCM, %s", i, name, m.Rung, m.Cipher, m.DSCPReceived, want[class])
			}
			if class != dscp.Content && (m.Received < 100 || m.Sent < 100 || m.Lost > 0) {
				t.Errorf("client %d, %s: sent %d, received %d, lost %d", i, name, m.Sent, m.Received, m.Lost)
			}
		}
		checkMarks(t, fmt.Sprintf("box to client %d", i), flows(captures[i].Packets(), true, time.Time{}), want)
		checkMarks(t, fmt.Sprintf("client %d to box", i), flows(captures[i].Packets(), false, time.Time{}), want)
	}
}

// TestNetnsFirefoxAndChromiumMeet: the two browsers together, and a native client that both see and hear.
func TestNetnsFirefoxAndChromiumMeet(t *testing.T) {
	lab := appliancetest.New(t, 3)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	fox := appliancetest.Firefox(t, lab.Clients[0].NS)
	chromium := appliancetest.Chromium(t, lab.Clients[1].NS)
	url := func(i int) string { return "https://" + lab.Clients[i].Box.String() }
	join(t, fox, url(0)+"/j/"+meeting.Number, "Fox")
	join(t, chromium, url(1)+"/j/"+meeting.Number, "Chris")
	seesAndHears(t, fox, "Fox")
	seesAndHears(t, chromium, "Chris")
	picture(t, fox, "firefox")

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	report, err := runZoneClient(ctx, lab, lab.Clients[2], url(2), meeting.Number, "Native", "--for", "6s", "--receive-video", "2")
	if err != nil {
		t.Fatal(err)
	}
	if a, v := report.Media["audio"], report.Media["video"]; a.Received < 200 || v.Received < 200 {
		t.Errorf("the native client received %d packets of audio and %d of video", a.Received, v.Received)
	}
}

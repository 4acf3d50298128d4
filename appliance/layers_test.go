package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"meetzone/appliance/appliancetest"
)

// watchLayers adds to watchPeers what a page sends of each encoding, how large the pictures are that it gets, and what it has sent in all.
const watchLayers = `(() => {
  window.layers = async () => {
    const pc = window.peers.filter((p) => p.connectionState !== 'closed').at(-1);
    if (!pc) return {};
    const all = [...(await pc.getStats()).values()];
    const out = all.filter((s) => s.type === 'outbound-rtp' && s.kind === 'video');
    const frames = Object.fromEntries(out.filter((s) => s.rid).map((s) => [s.rid, s.framesSent ?? s.framesEncoded ?? 0]));
    const heights = all.filter((s) => s.type === 'inbound-rtp' && s.kind === 'video' && s.framesDecoded > 0).map((s) => s.frameHeight ?? 0);
    const sender = pc.getTransceivers().find((one) => one.mid === 'video-up')?.sender;
    const active = (sender?.getParameters().encodings ?? []).filter((e) => e.active).map((e) => e.rid);
    return {frames, active, height: Math.max(0, ...heights), up: out.reduce((n, s) => n + s.bytesSent, 0)};
  };
})()`

// layers is what watchLayers' function returns.
type layers struct {
	Frames map[string]int // sent, by RID
	Active []string       // RIDs of what it may send
	Height int            // of the largest picture that it gets
	Up     int            // bytes of video sent
}

func layersOf(t *testing.T, b appliancetest.Browser) (l layers) {
	t.Helper()
	if err := b.Eval("layers()", &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// waitLayers waits until what a page sends and gets is as it should be, and returns how long that took.
func waitLayers(t *testing.T, b appliancetest.Browser, what string, patience time.Duration, ok func(layers) bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		l := layersOf(t, b)
		if ok(l) {
			return time.Since(begun)
		}
		if time.Since(begun) > patience {
			t.Fatalf("%s: not within %v: %+v", what, patience, l)
		}
	}
}

// uplink returns what a page sends of pictures, in bit/s, over some seconds.
func uplink(t *testing.T, b appliancetest.Browser) float64 {
	t.Helper()
	const span = 4 * time.Second
	before, begun := layersOf(t, b).Up, time.Now()
	<-time.After(span)
	return float64(layersOf(t, b).Up-before) * 8 / time.Since(begun).Seconds()
}

// press clicks the button of a label.
func press(t *testing.T, b appliancetest.Browser, label string) {
	t.Helper()
	if err := b.Eval(fmt.Sprintf(`document.querySelector('button[aria-label=%q]').click()`, label), nil); err != nil {
		t.Fatalf("press %s: %v", label, err)
	}
}

// TestNetnsChromiumLayers: whoever shows somebody small gets the small encoding, who shows them large the large one. What nobody looks at is
// not sent, which the uplink shows, and comes back within a second.
func TestNetnsChromiumLayers(t *testing.T) {
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	small := appliancetest.Chromium(t, lab.Clients[0].NS, chromedp.WindowSize(420, 320))
	large := appliancetest.Chromium(t, lab.Clients[1].NS)
	for i, b := range []appliancetest.Browser{small, large} {
		join(t, b, fmt.Sprintf("https://%s/j/%s", lab.Clients[i].Box, meeting.Number), []string{"Ada", "Bob"}[i])
		if err := b.Eval(watchLayers, nil); err != nil {
			t.Fatal(err)
		}
	}
	waitLayers(t, small, "the small window gets a small picture", 30*time.Second, func(l layers) bool { return l.Height > 0 && l.Height <= 180 })
	waitLayers(t, large, "whom only the small window shows sends one encoding", 30*time.Second, func(l layers) bool {
		return slices.Equal(l.Active, []string{"l"})
	})
	waitLayers(t, large, "the large window gets a larger picture", 30*time.Second, func(l layers) bool { return l.Height >= 270 })

	quickest := time.Hour
	var few, many float64
	for range 3 {
		waitLayers(t, small, "the largest encoding is not sent", 30*time.Second, func(l layers) bool { return !slices.Contains(l.Active, "h") })
		few = uplink(t, small)
		press(t, large, "Speaker view")
		took := waitLayers(t, large, "the largest picture", 20*time.Second, func(l layers) bool { return l.Height >= 540 })
		t.Logf("the largest picture was back after %v", took)
		quickest = min(quickest, took)
		many = uplink(t, small)
		press(t, large, "Grid view")
		if quickest < time.Second {
			break
		}
	}
	if quickest > time.Second {
		t.Errorf("the largest encoding took %v to come back, want a second", quickest)
	}
	t.Logf("uplink with the largest encoding %.0f kbit/s, without %.0f", many/1000, few/1000)
	waitLayers(t, small, "the largest encoding stops again", 30*time.Second, func(l layers) bool { return !slices.Contains(l.Active, "h") })
	frames := layersOf(t, small).Frames["h"]
	few = uplink(t, small)
	if many < 1.3*few {
		t.Errorf("uplink %.0f kbit/s with the largest encoding, %.0f without", many/1000, few/1000)
	}
	if more := layersOf(t, small).Frames["h"] - frames; more > 2 {
		t.Errorf("%d pictures of the largest encoding were sent after it was stopped", more)
	}
}

// TestNetnsFirefoxLayers: Firefox sends three encodings too, stops those that nobody looks at, and takes them up again.
func TestNetnsFirefoxLayers(t *testing.T) {
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	fox := appliancetest.Firefox(t, lab.Clients[0].NS)
	join(t, fox, "https://"+lab.Clients[0].Box.String()+"/j/"+meeting.Number, "Fox")
	if err := fox.Eval(watchLayers, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var rates []float64
	for _, height := range []int{720, 180} {
		dir := t.TempDir()
		watched := make(chan error, 1)
		go func() {
			_, err := runZoneClient(ctx, lab, lab.Clients[1], "https://"+lab.Clients[1].Box.String(), meeting.Number, "Watcher", "--for", "14s", "--video", "none",
				"--audio", "none", "--receive-video", "1", "--switch-every", "1s", "--switch-heights", strconv.Itoa(height), "--record", dir)
			watched <- err
		}()
		want := map[int]string{720: "h", 180: "l"}[height]
		waitLayers(t, fox, fmt.Sprintf("nothing but %s for somebody who asks for %d lines", want, height), 20*time.Second, func(l layers) bool {
			return slices.Equal(l.Active, []string{want})
		})
		rates = append(rates, uplink(t, fox))
		if err := <-watched; err != nil {
			t.Fatal(err)
		}
		heights := heightsOf(t, filepath.Join(dir, "video0.ivf"))
		largest := slices.Max(slices.Collect(maps.Keys(heights)))
		t.Logf("asked for %d lines: keyframes by height %v, uplink %.0f kbit/s", height, heights, rates[len(rates)-1]/1000)
		if height == 720 && largest < 400 || height == 180 && heights[180] == 0 {
			t.Errorf("asked for %d lines, keyframes by height %v", height, heights)
		}
	}
	if rates[0] < 1.3*rates[1] {
		t.Errorf("uplink %.0f kbit/s with the largest encoding, %.0f with the smallest", rates[0]/1000, rates[1]/1000)
	}
	waitLayers(t, fox, "nothing for nobody", 20*time.Second, func(l layers) bool { return len(l.Active) == 0 })
}

// TestNetnsSwitchingSizes: somebody looks from one person to another, and asks for other sizes, all the time, over a path that loses 2 % of the
// media and reorders 5 %; senders stop and begin sizes as they are needed. What arrives is decoded by ffmpeg without one error. MEETZONE_LONG
// makes it a thousand switches.
func TestNetnsSwitchingSizes(t *testing.T) {
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	length, wanted, keyframes := "20s", 20, 25
	if os.Getenv("MEETZONE_LONG") != "" {
		length, wanted, keyframes = "270s", 500, 1000
	}
	receiver, senders := lab.Clients[0], lab.Clients[1]
	daemon.Admin(t, "config", "set", "box.advertise", "["+receiver.Addr.String()+", "+senders.Box.String()+"]", "--commit")
	daemon = lab.Restart(t, daemon)
	newBadPath(t, receiver)
	meeting := daemon.CreateMeeting(t)

	ctx, cancel := context.WithTimeout(context.Background(), 7*time.Minute)
	defer cancel()
	starts(t, lab, senders, "load", "--url", "https://"+senders.Box.String(), "--insecure", "--meeting", meeting.Number, "--meetings", "1",
		"--participants", "3", "--video", "sizes", "--senders-audio", "0", "--receive-video", "0", "--for", "10m")

	dir := t.TempDir()
	report, err := runZoneClient(ctx, lab, receiver, "https://"+receiver.Box.String(), meeting.Number, "Restless", "--for", length,
		"--video", "none", "--audio", "none", "--receive-video", "1", "--switch-every", "250ms", "--switch-heights", "180,360,720", "--record", dir)
	if err != nil {
		t.Fatal(err)
	}
	switches, end := readRecording(t, dir)
	t.Logf("%d switches between people, %d frames, %d keyframes, %d unrepaired gaps, longest pause %.0f ms; %d packets of video, %d lost",
		switches, end.Frames, end.Keyframes, end.Gaps, end.LongestMS, report.Media["video"].Received, report.Media["video"].Lost)
	if switches < wanted || end.Keyframes < keyframes {
		t.Errorf("%d switches between people and %d keyframes, want %d and %d", switches, end.Keyframes, wanted, keyframes)
	}
	if end.LongestMS > 1000 {
		t.Errorf("a picture stood still for %.0f ms", end.LongestMS)
	}
	heights := heightsOf(t, filepath.Join(dir, "video0.ivf"))
	for _, want := range []int{180, 360, 720} {
		if heights[want] == 0 {
			t.Errorf("no picture of %d lines came: %v", want, heights)
		}
	}
	decode(t, filepath.Join(dir, "video0.ivf"), end.Frames)
}

// heightsOf counts the keyframes of a recording of VP8 by their height.
func heightsOf(t *testing.T, file string) map[int]int {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	heights := map[int]int{}
	for b = b[32:]; len(b) > 12; {
		size := int(binary.LittleEndian.Uint32(b))
		frame := b[12 : 12+size]
		if frame[0]&1 == 0 {
			heights[int(binary.LittleEndian.Uint16(frame[8:])&0x3fff)]++
		}
		b = b[12+size:]
	}
	return heights
}

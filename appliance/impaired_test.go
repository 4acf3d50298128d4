package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
)

// What a receiver behind a bad link gets, while others have good ones. The sender is Chromium with simulcast; a receiver is Chromium or zoneclient.
// The link is emulated in both directions where it delays, and towards the receiver where it loses and limits.

// impairment is one row of the table.
type impairment struct {
	name  string
	down  nstest.Path   // towards the receiver
	up    nstest.Path   // from it
	steps []nstest.Step // in place of down
	rival bool          // a TCP stream fills the link as well
}

const (
	delay200 = 100 * time.Millisecond // each way
	settle   = 8 * time.Second
	measured = 10 * time.Second
)

var impairments = []impairment{
	{name: "clean"},
	{name: "2 % loss", down: nstest.Path{Loss: 0.02}},
	{name: "10 % bursty loss", down: nstest.Path{Loss: 0.1, BurstLength: 3}},
	{name: "200 ms", down: nstest.Path{Delay: delay200}, up: nstest.Path{Delay: delay200}},
	{name: "30 ms jitter", down: nstest.Path{Delay: 60 * time.Millisecond, Jitter: 30 * time.Millisecond}, up: nstest.Path{Delay: 20 * time.Millisecond}},
	{name: "500 kbit/s", down: limited(500_000), up: nstest.Path{Delay: 10 * time.Millisecond}},
	{name: "250 kbit/s", down: limited(250_000), up: nstest.Path{Delay: 10 * time.Millisecond}},
	{name: "3 M → 500 k → 3 M", steps: []nstest.Step{
		{After: 0, Path: limited(3_000_000)}, {After: 12 * time.Second, Path: limited(500_000)}, {After: 27 * time.Second, Path: limited(3_000_000)},
	}, up: nstest.Path{Delay: 10 * time.Millisecond}},
	{name: "competing TCP, 3 Mbit/s", down: limited(3_000_000), up: nstest.Path{Delay: 10 * time.Millisecond}, rival: true},
}

func limited(rate int) nstest.Path {
	return nstest.Path{Rate: rate, Delay: 10 * time.Millisecond, QueueTime: 300 * time.Millisecond}
}

// reception is what a receiver has got so far, or in some time.
type reception struct {
	Packets, Lost float64 // of speech
	Samples, Made float64 // of sound, and of these made up in place of speech that is missing
	Frames        float64
	Freezes       float64
	Frozen        float64 // s
	Height        float64
	Resent        float64
	At            time.Time
}

func (r reception) since(before reception) reception {
	return reception{Packets: r.Packets - before.Packets, Lost: r.Lost - before.Lost, Samples: r.Samples - before.Samples, Made: r.Made - before.Made,
		Frames: r.Frames - before.Frames, Freezes: r.Freezes - before.Freezes, Frozen: r.Frozen - before.Frozen, Height: r.Height, Resent: r.Resent - before.Resent}
}

const watchReception = `(() => { window.reception = async () => {
  const pc = window.peers.filter((p) => p.connectionState !== 'closed').at(-1);
  if (!pc) return {};
  const inbound = [...(await pc.getStats()).values()].filter((s) => s.type === 'inbound-rtp');
  const sum = (kind, key) => inbound.filter((s) => s.kind === kind).reduce((n, s) => n + (s[key] ?? 0), 0);
  return {
    Packets: sum('audio', 'packetsReceived'), Lost: sum('audio', 'packetsLost'), Samples: sum('audio', 'totalSamplesReceived'),
    Made: sum('audio', 'concealedSamples') - sum('audio', 'silentConcealedSamples'),
    Frames: sum('video', 'framesDecoded'), Freezes: sum('video', 'freezeCount'), Frozen: sum('video', 'totalFreezesDuration'),
    Height: Math.max(0, ...inbound.filter((s) => s.kind === 'video').map((s) => s.frameHeight ?? 0)), Resent: sum('video', 'retransmittedPacketsReceived'),
  };
}; })()`

func receptionOf(t *testing.T, b appliancetest.Browser) (r reception) {
	t.Helper()
	if err := b.Eval("reception()", &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// figure is what a row of the table says.
type figure struct {
	row, receiver    string
	audioLost, made  float64 // shares
	fps, height      float64
	freezes, longest float64 // longest pause, s
	used, could      float64 // bit/s of UDP towards the receiver, and what the link carries or the receiver could use
	queue            time.Duration
	estimate         float64       // bit/s, mean
	backAfter        time.Duration // 90 % of the rate after the step up; 0 where there is none
	settledIn        time.Duration // the queue below 100 ms after the step down
	probes           uint64
}

func (f figure) String() string {
	made, freezes, back := "–", "–", "–"
	if f.made >= 0 {
		made = fmt.Sprintf("%.1f %%", 100*f.made)
	}
	if f.freezes >= 0 {
		freezes = fmt.Sprintf("%.0f", f.freezes)
	}
	if f.backAfter > 0 {
		back = fmt.Sprintf("%.1f s; queue %.1f s", f.backAfter.Seconds(), f.settledIn.Seconds())
	}
	return fmt.Sprintf("| %s | %s | %.1f %% | %s | %.1f | %.0f | %s | %.1f s | %.0f of %.0f (%.0f %%) | %.0f | %.0f ms | %s |", f.row, f.receiver, 100*f.audioLost, made,
		f.fps, f.height, freezes, f.longest, f.used/1e3, f.could/1e3, 100*f.used/f.could, f.estimate/1e3, f.queue.Seconds()*1000, back)
}

// theatre is a meeting with one sender, one receiver behind a bad link, and others.
type theatre struct {
	t       *testing.T
	lab     *appliancetest.Lab
	daemon  *appliancetest.Daemon
	meeting appliancetest.Meeting
	full    float64 // bit/s that a receiver gets over a clean link
}

// busyPicture makes a film that takes an encoder's whole bit rate.
func busyPicture(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ffmpeg is missing; make test installs it")
		}
		t.Skip("ffmpeg is missing")
	}
	file := filepath.Join(t.TempDir(), "busy.mjpeg")
	out, err := exec.Command(program, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=20,noise=alls=12:allf=t", "-t", "6", "-c:v", "mjpeg",
		"-q:v", "6", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return file
}

// newTheatre raises the curtain: the sender sends.
func newTheatre(t *testing.T) *theatre {
	th := &theatre{t: t, lab: appliancetest.New(t, 3, 1)}
	th.daemon = th.lab.Start(t)
	th.meeting = th.daemon.CreateMeeting(t)
	sender := appliancetest.Chromium(t, th.lab.Clients[0].NS, chromedp.Flag("use-file-for-fake-video-capture", busyPicture(t)))
	join(t, sender, th.link(0), "Ada")
	return th
}

func (th *theatre) link(client int) string {
	return fmt.Sprintf("https://%s/j/%s", th.lab.Clients[client].Box, th.meeting.Number)
}

// impair makes the receiver's link as the row has it.
func (th *theatre) impair(row impairment) {
	link, steps := th.lab.Clients[1].Link, row.steps
	if steps == nil {
		steps = []nstest.Step{{Path: row.down}}
	}
	link.Set(th.t, nstest.AToB, row.up)
	link.Play(th.t, nstest.BToA, steps...)
}

// shown is what the box says of the path to a participant.
func (th *theatre) shown(name string) (path struct {
	Available, Sending, Probes, Abandoned uint64
	Waiting                               int
	Loss                                  float64
}) {
	th.t.Helper()
	var m struct {
		Participants []struct {
			Name string
			Path json.RawMessage
		}
	}
	if err := json.Unmarshal(th.daemon.Admin(th.t, "meeting", "show", th.meeting.Number, "--json"), &m); err != nil {
		th.t.Fatal(err)
	}
	for _, p := range m.Participants {
		if p.Name == name && p.Path != nil {
			if err := json.Unmarshal(p.Path, &path); err != nil {
				th.t.Fatal(err)
			}
		}
	}
	return path
}

// rival sends a TCP stream over the link until the test says so.
func (th *theatre) rival() (stop func()) {
	t, c := th.t, th.lab.Clients[1]
	var listener net.Listener
	var conn net.Conn
	var err error
	c.NS.Do(t, func() { listener, err = net.Listen("tcp", net.JoinHostPort(c.Addr.String(), "5001")) })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if in, err := listener.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, in) // ends with the connection
			in.Close()
		}
	}()
	th.lab.Box.Do(t, func() { conn, err = net.Dial("tcp", net.JoinHostPort(c.Addr.String(), "5001")) })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		block := make([]byte, 1<<16)
		for {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}()
	return func() {
		conn.Close()
		listener.Close()
		<-done
	}
}

// linkFigures fills in what the emulator saw, from a time on.
func (th *theatre) linkFigures(f *figure, row impairment, began, from time.Time) {
	var bits, seconds float64
	th.logLink(began)
	for _, s := range th.lab.Clients[1].Link.Samples(nstest.BToA) {
		if s.Start.Before(from) {
			continue
		}
		bits += float64(s.UDP) * 8
		seconds += nstest.SampleTime.Seconds()
		f.queue = max(f.queue, s.MaxWait)
	}
	f.used = bits / seconds
	f.could = th.full
	if row.down.Rate > 0 && (f.could == 0 || float64(row.down.Rate) < f.could) {
		f.could = float64(row.down.Rate)
	}
	if f.could == 0 {
		f.could = f.used
	}
}

// logLink writes what the link did, second by second.
func (th *theatre) logLink(began time.Time) {
	var line strings.Builder
	second, bits, dropped, wait := 0, 0, 0, time.Duration(0)
	for _, s := range th.lab.Clients[1].Link.Samples(nstest.BToA) {
		if s.Start.Before(began) {
			continue
		}
		bits, dropped, wait = bits+s.UDP*8, dropped+s.Dropped, max(wait, s.MaxWait)
		if n := int(s.Start.Sub(began).Seconds()); n > second {
			fmt.Fprintf(&line, " %d/%d", bits/1000, wait.Milliseconds())
			if dropped > 0 {
				fmt.Fprintf(&line, "(-%d)", dropped)
			}
			second, bits, dropped, wait = n, 0, 0, 0
		}
	}
	th.t.Logf("kbit/s / longest wait in ms (packets that found the queue full), each second:%s", line.String())
}

// stepFigures says how fast the steps of a row were followed.
func (th *theatre) stepFigures(f *figure, row impairment, began time.Time) {
	if len(row.steps) < 3 {
		return
	}
	down, up := began.Add(row.steps[1].After), began.Add(row.steps[2].After)
	samples := th.lab.Clients[1].Link.Samples(nstest.BToA)
	f.settledIn = -1
	goal := 0.9 * min(th.full, float64(row.steps[2].Path.Rate))
	window := make([]int, 0, len(samples))
	for _, s := range samples {
		if s.Start.After(down) && s.Start.Before(up) && s.MaxWait > 100*time.Millisecond {
			f.settledIn = s.Start.Sub(down) + nstest.SampleTime
		}
		window = append(window, s.UDP*8)
		const second = 10
		if n := len(window); s.Start.After(up.Add(time.Second)) && f.backAfter == 0 && n >= second {
			sum := 0
			for _, bits := range window[n-second:] {
				sum += bits
			}
			if float64(sum) >= goal {
				f.backAfter = s.Start.Sub(up) + nstest.SampleTime
			}
		}
	}
	f.settledIn = max(f.settledIn, 0)
}

// lasts is how long a row takes, and how much of it is measured.
func (row impairment) lasts() (all, measure time.Duration) {
	if row.steps != nil {
		all = row.steps[len(row.steps)-1].After + 12*time.Second
		return all, all
	}
	return settle + measured, measured
}

// follow lets time pass and writes what the box makes of it, every second.
func (th *theatre) follow(t *testing.T, long time.Duration) (available float64) {
	n := 0
	var line strings.Builder
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(long); time.Now().Before(end); <-tick.C {
		p := th.shown("Bob")
		fmt.Fprintf(&line, " %d/%d/%d", p.Available/1000, p.Sending/1000, p.Waiting)
		available += float64(p.Available)
		n++
	}
	t.Logf("kbit/s available / sent / packets waiting, each second:%s", line.String())
	return available / float64(max(n, 1))
}

// seenByChromium plays a row to a browser.
func (th *theatre) seenByChromium(t *testing.T, row impairment) figure {
	th.impair(impairment{})
	b := appliancetest.Chromium(t, th.lab.Clients[1].NS)
	for _, then := range []string{"localStorage.setItem('meetzone.camera', 'false')", watchPeers} { // a camera would only take processor time
		if err := b.Open(th.link(1)); err != nil {
			t.Fatal(err)
		}
		appliancetest.Until(t, b, "lobby", "document.querySelector('input[autocomplete=name]')", "document.body.innerText", 20*time.Second)
		if err := b.Eval(then, nil); err != nil {
			t.Fatal(err)
		}
	}
	enter(t, b, "Bob")
	if err := b.Eval(watchReception, nil); err != nil {
		t.Fatal(err)
	}
	seesAndHears(t, b, "Bob")
	th.impair(row)
	if row.rival {
		defer th.rival()()
	}
	began := time.Now()
	all, measure := row.lasts()
	th.follow(t, all-measure)
	from, before := time.Now(), receptionOf(t, b)
	available := th.follow(t, measure)
	got := receptionOf(t, b).since(before)
	f := figure{row: row.name, receiver: "Chromium", audioLost: got.Lost / max(got.Packets+got.Lost, 1), made: got.Made / max(got.Samples, 1),
		fps: got.Frames / time.Since(from).Seconds(), height: got.Height, freezes: got.Freezes, longest: got.Frozen / max(got.Freezes, 1)}
	f.estimate = available
	path := th.shown("Bob")
	f.probes = path.Probes
	t.Logf("at the end: %+v, %.0f packets came again", path, got.Resent)
	th.linkFigures(&f, row, began, from)
	th.stepFigures(&f, row, began)
	if err := b.Open("about:blank"); err != nil { // leaves, so that what was sent to this one does not meet the next
		t.Fatal(err)
	}
	return f
}

// seenByZoneClient plays a row to the native client.
func (th *theatre) seenByZoneClient(t *testing.T, row impairment) figure {
	dir := t.TempDir()
	all, measure := row.lasts()
	th.impair(row)
	if row.rival {
		defer th.rival()()
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), all+60*time.Second)
	defer cancel()
	type outcome struct {
		report clientReport
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		report, err := runZoneClient(ctx, th.lab, th.lab.Clients[1], "https://"+th.lab.Clients[1].Box.String(), th.meeting.Number, "Bob", "--for", all.String(),
			"--video", "none", "--audio", "none", "--receive-video", "1", "--record", dir)
		done <- outcome{report, err}
	}()
	th.follow(t, all-measure)
	available := th.follow(t, measure)
	came := <-done
	if came.err != nil {
		t.Fatal(came.err)
	}
	_, end := readRecording(t, dir)
	audio := came.report.Media["audio"]
	f := figure{row: row.name, receiver: "zoneclient", audioLost: float64(audio.Lost) / float64(max(audio.Received+audio.Lost, 1)), made: -1, freezes: -1,
		fps: float64(end.Frames) / all.Seconds(), longest: end.LongestMS / 1000, estimate: available}
	th.linkFigures(&f, row, began, time.Now().Add(-measure))
	th.stepFigures(&f, row, began)
	return f
}

// TestNetnsImpaired plays the table to both receivers. MEETZONE_ROW and MEETZONE_RECEIVER choose a part of it.
func TestNetnsImpaired(t *testing.T) {
	if os.Getenv("MEETZONE_LONG") == "" {
		t.Skip("the table takes nine minutes: make test-long plays it")
	}
	th := newTheatre(t)
	var table []figure
	for _, row := range impairments {
		if only := os.Getenv("MEETZONE_ROW"); only != "" && !strings.Contains(row.name, only) {
			continue
		}
		for receiver, play := range map[string]func(*testing.T, impairment) figure{"Chromium": th.seenByChromium, "zoneclient": th.seenByZoneClient} {
			if only := os.Getenv("MEETZONE_RECEIVER"); only != "" && only != receiver {
				continue
			}
			t.Run(row.name+", "+receiver, func(t *testing.T) {
				f := play(t, row)
				if row.name == "clean" {
					th.full = max(th.full, f.used)
				}
				t.Log(f)
				row.judge(t, f)
				table = append(table, f)
			})
		}
	}
	t.Log("\n" + tableOf(table))
}

// judge holds a row against what must be so.
func (row impairment) judge(t *testing.T, f figure) {
	if limit := row.down.Loss + 0.02; f.audioLost > limit*1.5 {
		t.Errorf("%.1f %% of speech was lost", 100*f.audioLost)
	}
	if rate := float64(row.down.Rate); rate > 0 && f.estimate > 1.15*rate {
		t.Errorf("the estimate is %.0f of a link of %.0f kbit/s", f.estimate/1e3, rate/1e3)
	}
	if paused := row.down.Rate > 0 && row.down.Rate < 400_000; f.fps < 1 && !paused { // the smallest encoding of this film takes about 200 kbit/s
		t.Errorf("%.1f pictures a second", f.fps)
	}
}

func tableOf(list []figure) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

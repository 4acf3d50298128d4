package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

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
	short bool          // of the short form
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
  const reports = await Promise.all(window.peers.filter((p) => p.connectionState !== 'closed').map((p) => p.getStats()));
  const inbound = reports.flatMap((r) => [...r.values()]).filter((s) => s.type === 'inbound-rtp');
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
	Row, Receiver    string
	AudioLost, Made  float64 // shares; Made is negative where nobody tells
	FPS, Height      float64
	Freezes, Longest float64 // longest pause, s
	Used, Could      float64 // bit/s of UDP towards the receiver, and what the link carries or the receiver could use
	Queue            time.Duration
	Estimate         float64       // bit/s, mean; 0 not known
	BackAfter        time.Duration // 90 % of the rate after the step up; 0 where there is none
	SettledIn        time.Duration // the queue below 100 ms after the step down
	Course           []moment
}

// figureHead heads the table of figures.
const figureHead = `| link towards the receiver | receiver | speech lost | made up | pictures/s | height | freezes | longest pause | sent, kbit/s, of what could be | estimate | longest queue | steps |
|---|---|---|---|---|---|---|---|---|---|---|---|
`

func (f figure) String() string {
	made, freezes, back, estimate, height := "–", "–", "–", "–", "–"
	if f.Made >= 0 {
		made = fmt.Sprintf("%.1f %%", 100*f.Made)
	}
	if f.Freezes >= 0 {
		freezes = fmt.Sprintf("%.0f", f.Freezes)
	}
	if f.BackAfter > 0 {
		back = fmt.Sprintf("queue below 100 ms %.1f s after the step down; 90 %% again %.1f s after the step up", f.SettledIn.Seconds(), f.BackAfter.Seconds())
	}
	if f.Estimate > 0 {
		estimate = fmt.Sprintf("%.0f", f.Estimate/1e3)
	}
	if f.Height > 0 {
		height = fmt.Sprintf("%.0f", f.Height)
	}
	return fmt.Sprintf("| %s | %s | %.1f %% | %s | %.1f | %s | %s | %.1f s | %.0f of %.0f (%.0f %%) | %s | %.0f ms | %s |", f.Row, f.Receiver, 100*f.AudioLost, made,
		f.FPS, height, freezes, f.Longest, f.Used/1e3, f.Could/1e3, 100*f.Used/f.Could, estimate, f.Queue.Seconds()*1000, back)
}

// measure fills in what the emulator saw: of a row that began at a time, the last so many seconds, and how fast its steps were followed.
func (f *figure) measure(t *testing.T, row impairment, full float64, last int) {
	steady := f.Course[max(0, len(f.Course)-last):]
	for _, m := range steady {
		f.Used += m.Sent / float64(len(steady))
		f.Estimate += m.Estimate / float64(len(steady))
		f.Queue = max(f.Queue, m.Wait)
	}
	f.Could = full
	if rate := float64(row.down.Rate); rate > 0 && (full == 0 || rate < full) {
		f.Could = rate
	}
	if f.Could == 0 {
		f.Could = f.Used
	}
	var line strings.Builder
	for _, m := range f.Course {
		fmt.Fprintf(&line, " %.0f/%.0f/%d", m.Estimate/1e3, m.Sent/1e3, m.Wait.Milliseconds())
		if m.Dropped > 0 {
			fmt.Fprintf(&line, "(-%d)", m.Dropped)
		}
	}
	t.Logf("%s, %s: estimate / sent in kbit/s / longest wait in ms (packets that found the queue full), each second:%s", f.Row, f.Receiver, line.String())
	if len(row.steps) < 3 {
		return
	}
	down, up := int(row.steps[1].After.Seconds()), int(row.steps[2].After.Seconds())
	goal := 0.9 * min(full, float64(row.steps[2].Path.Rate))
	for n, m := range f.Course {
		if n >= down && n < up && m.Wait > 100*time.Millisecond {
			f.SettledIn = time.Duration(n-down+1) * time.Second
		}
		if n >= up && f.BackAfter == 0 && m.Sent >= goal {
			f.BackAfter = time.Duration(n-up+1) * time.Second
		}
	}
}

// lasts is how long a row takes, and how much of it is measured.
func (row impairment) lasts() (all, measure time.Duration) {
	if row.short {
		return 10 * time.Second, 6 * time.Second
	}
	if row.steps != nil {
		all = row.steps[len(row.steps)-1].After + 12*time.Second
		return all, all
	}
	return settle + measured, measured
}

// watcher is somebody behind the bad link.
type watcher interface {
	// play makes the link as a row has it and says what came of it.
	play(t *testing.T, row impairment) figure
	leave(t *testing.T)
}

// chromium watches with a page.
type chromium struct {
	th   *theatre
	b    appliancetest.Browser
	name string
}

// chromium joins over a clean link.
func (th *theatre) chromium(t *testing.T) watcher {
	th.impair(t, impairment{})
	b := appliancetest.Chromium(t, th.lab.Clients[1].NS)
	if th.peer != nil {
		th.peer.enter(t, b, "Bob", false)
	} else {
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
	}
	if err := b.Eval(watchReception, nil); err != nil {
		t.Fatal(err)
	}
	const report = "reception()"
	appliancetest.Until(t, b, "Bob sees", "(await reception()).Frames > 10", report, 30*time.Second)
	appliancetest.Until(t, b, "Bob hears", "(await reception()).Packets > 50", report, 30*time.Second)
	w := &chromium{th: th, b: b, name: "Chromium"}
	if th.peer != nil {
		w.name += ", " + th.peer.name
	}
	return w
}

func (w *chromium) play(t *testing.T, row impairment) figure {
	w.th.impair(t, row)
	if row.rival {
		defer w.th.rival(t)()
	}
	began := time.Now()
	all, measure := row.lasts()
	estimates := w.th.follow(all - measure)
	from, before := time.Now(), receptionOf(t, w.b)
	estimates = append(estimates, w.th.follow(measure)...)
	got := receptionOf(t, w.b).since(before)
	f := figure{Row: row.name, Receiver: w.name, AudioLost: got.Lost / max(got.Packets+got.Lost, 1), Made: got.Made / max(got.Samples, 1),
		FPS: got.Frames / time.Since(from).Seconds(), Height: got.Height, Freezes: got.Freezes, Longest: got.Frozen / max(got.Freezes, 1),
		Course: w.th.course(began, estimates)}
	f.measure(t, row, w.th.full, int(measure.Seconds()))
	return f
}

func (w *chromium) leave(t *testing.T) {
	if err := w.b.Open("about:blank"); err != nil { // so that what was sent to this one does not meet the next
		t.Fatal(err)
	}
}

// native watches with zoneclient, which joins over the link as it is.
type native struct{ th *theatre }

func (th *theatre) native(*testing.T) watcher { return &native{th} }

func (w *native) play(t *testing.T, row impairment) figure {
	dir := t.TempDir()
	all, measure := row.lasts()
	w.th.impair(t, row)
	if row.rival {
		defer w.th.rival(t)()
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), all+60*time.Second)
	defer cancel()
	type outcome struct {
		report clientReport
		err    error
	}
	done := make(chan outcome, 1)
	c := w.th.lab.Clients[1]
	go func() {
		report, err := runZoneClient(ctx, w.th.lab, c, "https://"+c.Box.String(), w.th.meeting.Number, "Bob", "--for", all.String(),
			"--video", "none", "--audio", "none", "--receive-video", "1", "--record", dir)
		done <- outcome{report, err}
	}()
	estimates := w.th.follow(all)
	came := <-done
	if came.err != nil {
		t.Fatal(came.err)
	}
	_, end := readRecording(t, dir)
	audio := came.report.Media["audio"]
	f := figure{Row: row.name, Receiver: "zoneclient", AudioLost: float64(audio.Lost) / float64(max(audio.Received+audio.Lost, 1)), Made: -1, Freezes: -1,
		FPS: float64(end.Frames) / all.Seconds(), Longest: end.LongestMS / 1000, Course: w.th.course(began, estimates)}
	f.measure(t, row, w.th.full, int(measure.Seconds()))
	return f
}

func (w *native) leave(*testing.T) {}

// TestNetnsImpairedShort plays two rows to Chromium: with 2 % loss, speech comes without gaps, since it is sent twice; at 500 kbit/s, between two
// encodings, the path is filled, and when nine others come, they lose nothing.
func TestNetnsImpairedShort(t *testing.T) {
	th := newTheatre(t)
	bob := th.chromium(t)
	for _, row := range impairments {
		row.short = true
		switch row.name {
		case "2 % loss":
			f := bob.play(t, row)
			t.Log(f)
			row.judge(t, f)
			if f.Made > max(f.AudioLost, 0.01) {
				t.Errorf("%.1f %% of speech is made up, %.1f %% was lost", 100*f.Made, 100*f.AudioLost)
			}
		case "500 kbit/s":
			f := bob.play(t, row)
			t.Log(f)
			row.judge(t, f)
			if f.Used < 0.62*f.Estimate || f.Estimate < 0.4*f.Could { // without ceilings it is 0.57; a busy machine encodes less and estimates lower
				t.Errorf("%.0f of %.0f kbit/s are used where %.0f are thought to fit", f.Used/1e3, f.Could/1e3, f.Estimate/1e3)
			}
			saw := th.attended(t, 5*time.Second)()
			saw.judge(t)
			if p := th.shown("Bob"); p.Available > 650_000 {
				t.Errorf("the estimate is %d while others are there", p.Available)
			}
		}
	}
}

// chosen tells whether a part of the table is to be played: MEETZONE_ROW and MEETZONE_RECEIVER, where they are set, name a part of a name.
func chosen(variable, name string) bool {
	only := os.Getenv(variable)
	return only == "" || strings.Contains(name, only)
}

// TestNetnsImpaired plays the table to both receivers, then to zoneclient with nine others, then the rows to Chromium again over another router. What
// came of it is written to the folder that MEETZONE_FIGURES names, as a table and as plots.
func TestNetnsImpaired(t *testing.T) {
	if os.Getenv("MEETZONE_LONG") == "" {
		t.Skip("the table takes fifteen minutes: make test-long plays it")
	}
	th := newTheatre(t)
	var table []figure
	t.Run("alone", func(t *testing.T) {
		for _, row := range impairments {
			for i, join := range []func(*testing.T) watcher{th.chromium, th.native} {
				receiver := []string{"Chromium", "zoneclient"}[i]
				if !chosen("MEETZONE_ROW", row.name) || !chosen("MEETZONE_RECEIVER", receiver) {
					continue
				}
				t.Run(row.name+", "+receiver, func(t *testing.T) {
					table = append(table, th.playTo(t, join, row))
				})
			}
		}
	})
	t.Run("with nine others", func(t *testing.T) {
		for _, row := range impairments {
			if !chosen("MEETZONE_ROW", row.name) || !chosen("MEETZONE_RECEIVER", "others") {
				continue
			}
			t.Run(row.name, func(t *testing.T) {
				all, _ := row.lasts()
				saw := th.attended(t, all)
				f := th.playTo(t, th.native, row)
				f.Receiver += " and nine others"
				table = append(table, f)
				a := saw()
				a.judge(t)
			})
		}
	})
	if chosen("MEETZONE_RECEIVER", "peer") {
		table = append(table, playPeer(t)...)
	}
	t.Log("\n" + tableOf(table))
	if folder := os.Getenv("MEETZONE_FIGURES"); folder != "" {
		writeFigures(t, folder, table)
	}
}

// playTo plays a row to somebody who joins for it.
func (th *theatre) playTo(t *testing.T, join func(*testing.T) watcher, row impairment) figure {
	w := join(t)
	f := w.play(t, row)
	w.leave(t)
	if row.name == "clean" {
		th.full = max(th.full, f.Used)
		f.Could = th.full
	}
	t.Log(f)
	row.judge(t, f)
	return f
}

// judge holds a row against what must be so.
func (row impairment) judge(t *testing.T, f figure) {
	if limit := row.down.Loss + 0.02; f.AudioLost > limit*1.5 {
		t.Errorf("%.1f %% of speech was lost", 100*f.AudioLost)
	}
	if rate := float64(row.down.Rate); rate > 0 && f.Estimate > 1.15*rate {
		t.Errorf("the estimate is %.0f of a link of %.0f kbit/s", f.Estimate/1e3, rate/1e3)
	}
	if f.FPS < 1 {
		t.Errorf("%.1f pictures a second", f.FPS)
	}
}

func tableOf(list []figure) string {
	var b strings.Builder
	b.WriteString(figureHead)
	for _, f := range list {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

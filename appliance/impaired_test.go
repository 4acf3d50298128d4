package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
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
}

const (
	delay200 = 100 * time.Millisecond // each way
	settle   = 10 * time.Second
	measured = 12 * time.Second
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

// TestNetnsImpairedProbe is for trying out.
func TestNetnsImpairedProbe(t *testing.T) {
	lab := appliancetest.New(t, 2, 1)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	link := func(i int) string { return fmt.Sprintf("https://%s/j/%s", lab.Clients[i].Box, meeting.Number) }
	sender := appliancetest.Chromium(t, lab.Clients[0].NS)
	join(t, sender, link(0), "Ada")
	receiver := appliancetest.Chromium(t, lab.Clients[1].NS)
	if err := receiver.Open(link(1)); err != nil {
		t.Fatal(err)
	}
	join(t, receiver, link(1), "Bob")
	if err := receiver.Eval(watchReception, nil); err != nil {
		t.Fatal(err)
	}
	const outgoing = `(async () => { const pc = window.peers.at(-1); const all = [...(await pc.getStats()).values()];
	  return all.filter((s) => s.type === 'candidate-pair' && s.availableOutgoingBitrate).map((s) => s.availableOutgoingBitrate).join(' ') + ' ' +
	   all.filter((s) => s.type === 'outbound-rtp' && s.kind === 'video').map((s) => (s.rid ?? '') + ' ' + s.frameHeight + ' ' + s.targetBitrate + ' ' + s.qualityLimitationReason).join('; ') })()`
	seesAndHears(t, receiver, "Bob")
	emulator := lab.Clients[1].Link
	for _, row := range impairments {
		if only := os.Getenv("MEETZONE_ROW"); only != "" && !strings.Contains(row.name, only) {
			continue
		}
		emulator.Set(t, nstest.AToB, row.up)
		steps := row.steps
		if steps == nil {
			steps = []nstest.Step{{Path: row.down}}
		}
		emulator.Play(t, nstest.BToA, steps...)
		began := len(emulator.Samples(nstest.BToA))
		before := receptionOf(t, receiver)
		for i := range 40 {
			time.Sleep(time.Second)
			now := receptionOf(t, receiver)
			d := now.since(before)
			before = now
			var bits, rate, wait, lost float64
			samples := emulator.Samples(nstest.BToA)[began:]
			began += len(samples)
			for _, s := range samples {
				bits += float64(s.UDP) * 8
				rate += float64(s.Rate) / float64(len(samples))
				wait = max(wait, s.MaxWait.Seconds()*1000)
				lost += float64(s.Lost + s.Dropped)
			}
			var up string
			if i%5 == 0 {
				if err := sender.Eval(outgoing, &up); err != nil {
					t.Fatal(err)
				}
			}
			out := daemon.Admin(t, "meeting", "show", meeting.Number, "--json")
			var show struct {
				Participants []struct {
					Name string
					Path json.RawMessage
				}
			}
			_ = json.Unmarshal(out, &show)
			t.Logf("%s %2d: %5.0f of %5.0f kbit/s, wait %4.0f ms, lost %3.0f; audio %.0f lost %.0f made %.1f %%; %3.0f frames of %.0f, froze %.0f (%.2f s), resent %.0f | %s", row.name, i, bits*10/float64(len(samples))/1e3, rate/1e3, wait, lost,
				d.Packets, d.Lost, 100*d.Made/max(d.Samples, 1), d.Frames, d.Height, d.Freezes, d.Frozen, d.Resent, up)
			for _, p := range show.Participants {
				if p.Name == "Bob" {
					t.Logf("     %s", p.Path)
				}
			}
		}
	}
	_ = context.Background
	_ = io.EOF
	_ = net.ErrClosed
	_ = filepath.Join
}

package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane"
	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

// streamPackets captures what goes over TCP between a client and a port of the box, data only.
func streamPackets(t *testing.T, c appliancetest.Client, port uint16) *nstest.Capture {
	return c.NS.Capture(t, c.Iface, func(p nstest.Packet) bool {
		return p.Proto == 6 && len(p.Payload) > 0 && (p.Src.Port() == port || p.Dst.Port() == port)
	})
}

// lastMarks is the mark of the last packet that the box sent on each connection.
func lastMarks(packets []nstest.Packet, port uint16) map[netip.AddrPort]uint8 {
	last := map[netip.AddrPort]uint8{}
	for _, p := range packets {
		if p.Src.Port() == port {
			last[p.Dst] = p.DSCP()
		}
	}
	return last
}

// unmarked returns the media for which no connection has the mark.
func unmarked(last map[netip.AddrPort]uint8, want dscp.Marks) (missing []dscp.Class) {
	for _, class := range []dscp.Class{dscp.Audio, dscp.Video, dscp.Content} {
		if !slices.Contains(slices.Collect(maps.Values(last)), uint8(want[class])) {
			missing = append(missing, class)
		}
	}
	return missing
}

// checkStreamMarks wants a connection with the mark of each medium among what the box sent lately.
func checkStreamMarks(t *testing.T, what string, packets []nstest.Packet, port uint16, want dscp.Marks) {
	t.Helper()
	last := lastMarks(packets, port)
	for _, class := range unmarked(last, want) {
		t.Errorf("%s: no connection with the mark of %s (%s): %v", what, class, want[class], last)
	}
}

// awaitStreamMarks is checkStreamMarks for a meeting that goes on: what was captured may still be on its way to the test.
func awaitStreamMarks(t *testing.T, what string, capture *nstest.Capture, port uint16, want dscp.Marks) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && len(unmarked(lastMarks(capture.Packets(), port), want)) > 0; {
		time.Sleep(50 * time.Millisecond)
	}
	checkStreamMarks(t, what, capture.Packets(), port, want)
}

// watchRungs adds the page's own view of the rung of every transport: by the selected pair's local candidate.
const watchRungs = `window.rungs = async () => {
  const pc = window.peers.filter((p) => p.connectionState !== 'closed').at(-1);
  if (!pc) return [];
  const all = [...(await pc.getStats()).values()], byId = new Map(all.map((s) => [s.id, s]));
  const named = all.filter((s) => s.type === 'transport').map((s) => byId.get(s.selectedCandidatePairId));
  const pairs = named.length ? named : all.filter((s) => s.type === 'candidate-pair' && s.selected);
  return pairs.map((pair) => byId.get(pair?.localCandidateId)).map((c) => !c ? '' : c.candidateType === 'relay' ? c.relayProtocol ?? 'tls' : c.protocol);
}`

// onRung waits until the page says that every medium stands on a rung.
func onRung(t *testing.T, b appliancetest.Browser, rung string, patience time.Duration) {
	t.Helper()
	if err := b.Eval(watchRungs, nil); err != nil {
		t.Fatal(err)
	}
	appliancetest.Until(t, b, "every medium on "+rung, fmt.Sprintf("(async () => { const r = await rungs(); return r.length === 3 && r.every((x) => x === %q) })()", rung),
		"rungs()", patience)
}

// way is a row of the table: what a firewall does, and where that leaves the media.
type way struct {
	name, rules string
	rung        dataplane.Rung
}

var ways = []way{
	{"open", appliancetest.Open, dataplane.UDP},
	{"UDP dropped", appliancetest.UDPDropped, dataplane.TCP},
	{"UDP rejected", appliancetest.UDPRejected, dataplane.TCP},
	{"UDP and TCP 8801 dropped", appliancetest.MediaPortDropped, dataplane.TLS},
	{"only 443", appliancetest.Only443, dataplane.TLS},
}

// portOf is the box's port of a rung.
func portOf(r dataplane.Rung) uint16 {
	if r == dataplane.TLS {
		return 443
	}
	return 8801
}

// TestNetnsChromiumWays: whatever the firewall does, the browser meets on the best rung that is left, and every medium has its mark. MEETZONE_LONG
// has all rows of the table.
func TestNetnsChromiumWays(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	bob := appliancetest.Chromium(t, lab.Clients[1].NS)
	join(t, bob, fmt.Sprintf("https://%s/j/%s", lab.Clients[1].Box, meeting.Number), "Bob")
	ada := appliancetest.Chromium(t, lab.Clients[0].NS)
	rows := []way{ways[1], ways[4]}
	if long() {
		rows = ways
	}
	for _, w := range rows {
		t.Run(w.name, func(t *testing.T) {
			firewall.Set(t, w.rules, lab.Clients[0])
			capture := streamPackets(t, lab.Clients[0], portOf(w.rung))
			join(t, ada, fmt.Sprintf("https://%s/j/%s", lab.Clients[0].Box, meeting.Number), "Ada")
			seesAndHears(t, ada, "Ada")
			onRung(t, ada, w.rung.String(), 10*time.Second)
			panelTells(t, ada, w)
			if w.rung != dataplane.UDP {
				awaitStreamMarks(t, w.name, capture, portOf(w.rung), shipped(t, dscp.ProfileRFC4594))
			}
		})
	}
	seesAndHears(t, bob, "Bob")
}

// panelTells opens the connection panel, which names the rung of each medium and what came of those above it.
func panelTells(t *testing.T, b appliancetest.Browser, w way) {
	t.Helper()
	open := `(() => { if (!document.querySelector('section.medium')) [...document.querySelectorAll('button')].find((b) => b.getAttribute('aria-label') === 'Connection' || b.textContent.trim() === 'Connection')?.click(); })()`
	if err := b.Eval(open, nil); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s: answers after", strings.ToUpper(w.rung.String()))
	if w.rung != dataplane.UDP {
		want = "UDP: silent"
	}
	appliancetest.Until(t, b, "the panel tells "+want, fmt.Sprintf("[...document.querySelectorAll('section.medium')].filter((s) => s.innerText.includes(%q)).length === 3", want),
		"[...document.querySelectorAll('section.medium')].map((s) => s.innerText)", 15*time.Second)
	picture(t, b, "ways-"+strings.ReplaceAll(w.name, " ", "-"))
}

// TestNetnsClientWays: the same for the native client, which also says what came of each rung.
func TestNetnsClientWays(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	url := "https://" + lab.Clients[0].Box.String()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	attends(t, lab, lab.Clients[1], url, meeting.Number, "Bob")
	results := map[string][]string{ // what comes back on UDP, TCP and TLS
		"open": {"answers", "not tried", "not tried"}, "UDP dropped": {"silent", "answers", "not tried"}, "UDP rejected": {"refused", "answers", "not tried"},
		"UDP and TCP 8801 dropped": {"silent", "silent", "answers"}, "UDP and TCP 8801 rejected": {"refused", "refused", "answers"},
		"only 443": {"silent", "silent", "answers"},
	}
	want := shipped(t, dscp.ProfileRFC4594)
	for _, w := range slices.Concat(ways, []way{{"UDP and TCP 8801 rejected", appliancetest.MediaPortRejected, dataplane.TLS}}) {
		t.Run(w.name, func(t *testing.T) {
			firewall.Set(t, w.rules, lab.Clients[0])
			capture := streamPackets(t, lab.Clients[0], portOf(w.rung))
			report, err := runZoneClient(ctx, lab, lab.Clients[0], url, meeting.Number, "Ada", "--for", "2s")
			if err != nil {
				t.Fatal(err)
			}
			first := []float64{report.First}
			for long() && len(first) < 9 {
				again, err := runZoneClient(ctx, lab, lab.Clients[0], url, meeting.Number, "Ada", "--for", "300ms")
				if err != nil {
					t.Fatal(err)
				}
				first = append(first, again.First)
			}
			slices.Sort(first)
			t.Logf("first media after %.0f ms (p50 of %d joins)", first[len(first)/2], len(first))
			if w.rung != dataplane.UDP {
				checkStreamMarks(t, w.name+", box to client", capture.Packets(), portOf(w.rung), want)
				checkSentMarks(t, w.name+", client to box", capture.Packets(), portOf(w.rung), want)
			}
			for name, m := range report.Media {
				if m.Rung != w.rung.String() {
					t.Errorf("%s travels over %s, want %s", name, m.Rung, w.rung)
				}
				if name != "content" && (m.Received < 50 || m.Sent < 50 || m.Lost > m.Received/20) {
					t.Errorf("%s: sent %d, received %d, lost %d", name, m.Sent, m.Received, m.Lost)
				}
				for i, a := range m.Attempts {
					if a.Result != results[w.name][i] || a.Taken != (a.Rung == w.rung.String()) {
						t.Errorf("%s, %s: %q, taken %v; want %q", name, a.Rung, a.Result, a.Taken, results[w.name][i])
					}
				}
			}
		})
	}
	t.Run("nothing but HTTPS's first stages", func(t *testing.T) {
		firewall.Set(t, appliancetest.Nothing, lab.Clients[0])
		j := joinBy(t, lab, lab.Clients[0], "--url", url, "--meeting", meeting.Number)
		if j.Error == nil || j.Error.Stage != "lookup" || !strings.Contains(j.Error.Text, "does not answer") || j.Error.Link != url+"/j/"+meeting.Number {
			t.Errorf("through a firewall that lets nothing pass:\n%s", j.all)
		}
		j.tried(t, "lookup", "direct", "silent")
	})
}

// checkSentMarks wants a connection with the mark of each medium among those of the client.
func checkSentMarks(t *testing.T, what string, packets []nstest.Packet, port uint16, want dscp.Marks) {
	t.Helper()
	for i := range packets {
		packets[i].Src, packets[i].Dst = packets[i].Dst, packets[i].Src
	}
	checkStreamMarks(t, what, packets, port, want)
}

// TestNetnsFirefoxWays: Firefox takes the same ladder. It wants a host name in the relay's URL.
func TestNetnsFirefoxWays(t *testing.T) {
	if !long() {
		t.Skip("MEETZONE_LONG is not set")
	}
	lab, firewall := appliancetest.NewBehind(t, 2)
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "zone.hosts", "meet.lab", "--commit")
	meeting := daemon.CreateMeeting(t)
	attends(t, lab, lab.Clients[1], "https://"+lab.Clients[1].Box.String(), meeting.Number, "Bob")
	fox := appliancetest.FirefoxKnowing(t, lab.Clients[0].NS, lab.Clients[0].Box.String()+" meet.lab")
	for _, w := range []way{ways[1], ways[4]} {
		t.Run(w.name, func(t *testing.T) {
			firewall.Set(t, w.rules, lab.Clients[0])
			capture := streamPackets(t, lab.Clients[0], portOf(w.rung))
			join(t, fox, "https://meet.lab/j/"+meeting.Number, "Fox")
			appliancetest.Until(t, fox, "Fox sees", "(await figures()).frames > 10", "figures()", 30*time.Second)
			appliancetest.Until(t, fox, "Fox hears", "(await figures()).audioPackets > 50", "figures()", 30*time.Second)
			onRung(t, fox, w.rung.String(), 10*time.Second)
			awaitStreamMarks(t, w.name, capture, portOf(w.rung), shipped(t, dscp.ProfileRFC4594))
		})
	}
}

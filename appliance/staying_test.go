package main

import (
	"fmt"
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

// heardOver counts what the box sends of audio over a rung after a time, and tells when the nth of it came.
func heardOver(packets []nstest.Packet, r dataplane.Rung, after time.Time, n int) (at time.Time, ok bool) {
	proto := uint8(6)
	if r == dataplane.UDP {
		proto = 17
	}
	for _, p := range packets {
		if p.Proto != proto || p.Src.Port() != portOf(r) || p.Time.Before(after) || p.DSCP() != uint8(dscp.EF) || len(p.Payload) == 0 {
			continue
		}
		if n--; n == 0 {
			return p.Time, true
		}
	}
	return time.Time{}, false
}

// voices is how many packets of audio make a test believe that media flow: a fifth of a second of it.
const voices = 10

// wire captures everything between a client and the box.
func wireOf(t *testing.T, c appliancetest.Client) *nstest.Capture {
	return c.NS.Capture(t, c.Iface, func(p nstest.Packet) bool { return p.Src.Addr() == c.Box && len(p.Payload) > 0 })
}

// flowsOver are the client's ends of a rung's flows of audio after a time.
func flowsOver(packets []nstest.Packet, r dataplane.Rung, after time.Time) (ends []netip.AddrPort) {
	for _, p := range packets {
		if p.Src.Port() == portOf(r) && (p.Proto == 17) == (r == dataplane.UDP) && p.DSCP() == uint8(dscp.EF) && p.Time.After(after) && !slices.Contains(ends, p.Dst) {
			ends = append(ends, p.Dst)
		}
	}
	return ends
}

// within waits until media flow over a rung and tells how long that took since a time.
func within(t *testing.T, who string, c *nstest.Capture, r dataplane.Rung, since time.Time, limit time.Duration) {
	t.Helper()
	packets := c.WaitFor(t, 30*time.Second, func(all []nstest.Packet) bool {
		_, ok := heardOver(all, r, since, voices)
		return ok
	})
	at, _ := heardOver(packets, r, since, voices)
	took := at.Sub(since)
	t.Logf("%s: media over %s after %.2f s", who, r, took.Seconds())
	if took > limit {
		t.Errorf("%s: media over %s after %v, want %v", who, r, took, limit)
	}
}

// TestNetnsStaying: a path is cut in mid-meeting, rung by rung, and given back. The native client and the browser go down and up again by
// themselves; an outage shorter than a second changes nothing; and for everybody else nobody has left.
func TestNetnsStaying(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 3)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	url := "https://" + lab.Clients[0].Box.String()
	for i, name := range []string{"Ada", "", "Bob"} {
		if name == "" {
			continue
		}
		attends(t, lab, lab.Clients[i], url, meeting.Number, name, "--verbose")
	}
	cat := appliancetest.Chromium(t, lab.Clients[1].NS)
	join(t, cat, fmt.Sprintf("%s/j/%s", url, meeting.Number), "Cat")
	seesAndHears(t, cat, "Cat")

	cut := lab.Clients[:2]
	names := []string{"zoneclient", "Chromium"}
	wires := []*nstest.Capture{wireOf(t, cut[0]), wireOf(t, cut[1])}
	start := time.Now()
	for i, c := range wires {
		within(t, names[i], c, dataplane.UDP, start, 5*time.Second)
	}
	before := [][]netip.AddrPort{flowsOver(wires[0].Packets(), dataplane.UDP, start), flowsOver(wires[1].Packets(), dataplane.UDP, start)}

	firewall.Set(t, appliancetest.UDPDropped, cut...)
	time.Sleep(800 * time.Millisecond) // the outage itself, not a wait for something
	firewall.Set(t, appliancetest.Open)
	back := time.Now()
	time.Sleep(3 * time.Second) // long enough for a change that must not come
	for i, c := range wires {
		after := flowsOver(c.Packets(), dataplane.UDP, back)
		if !slices.Equal(after, before[i]) || len(flowsOver(c.Packets(), dataplane.TCP, start)) > 0 {
			t.Errorf("%s: flows %v before an outage of 0.8 s, %v and %v after it", names[i], before[i], after, flowsOver(c.Packets(), dataplane.TCP, start))
		}
	}

	step := func(rules string, rung dataplane.Rung, limit time.Duration) {
		firewall.Set(t, rules, cut...)
		since := time.Now()
		for i, c := range wires {
			within(t, names[i], c, rung, since, limit)
		}
		appliancetest.Until(t, cat, "Cat goes on seeing", fmt.Sprintf("(await figures()).frames > %d", 10), "figures()", 20*time.Second)
	}
	step(appliancetest.UDPDropped, dataplane.TCP, 3*time.Second)
	step(appliancetest.MediaPortDropped, dataplane.TLS, 3*time.Second)
	if long() {
		firewall.Set(t, appliancetest.Nothing, cut...)
		time.Sleep(4 * time.Second) // the outage itself, not a wait for something
		step(appliancetest.Only443, dataplane.TLS, 5*time.Second)
	}
	step(appliancetest.Open, dataplane.UDP, 25*time.Second)
	if joins := metric(t, daemon, "meetzone_joins_total"); joins != "3" {
		t.Errorf("%s joins of three people", joins)
	}
}

// TestNetnsFirefoxStays: the same for Firefox, which leaves a dead path by itself later than anybody.
func TestNetnsFirefoxStays(t *testing.T) {
	if !long() {
		t.Skip("MEETZONE_LONG is not set")
	}
	lab, firewall := appliancetest.NewBehind(t, 2)
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "zone.hosts", "meet.lab", "--commit")
	meeting := daemon.CreateMeeting(t)
	going(t, lab, lab.Clients[1], meeting.Number, "Bob")
	client := lab.Clients[0]
	fox := appliancetest.FirefoxKnowing(t, client.NS, client.Box.String()+" meet.lab")
	wire, start := wireOf(t, client), time.Now()
	join(t, fox, "https://meet.lab/j/"+meeting.Number, "Fox")
	within(t, "Firefox", wire, dataplane.UDP, start, 30*time.Second)
	for _, cut := range []struct {
		rules string
		rung  dataplane.Rung
		limit time.Duration
	}{
		{appliancetest.UDPDropped, dataplane.TCP, 3 * time.Second}, {appliancetest.MediaPortDropped, dataplane.TLS, 3 * time.Second}, {appliancetest.Open, dataplane.UDP, 25 * time.Second},
		{appliancetest.UDPUpDropped, dataplane.TCP, 3 * time.Second},
	} {
		firewall.Set(t, cut.rules, client)
		within(t, "Firefox", wire, cut.rung, time.Now(), cut.limit)
		before := figuresOf(t, fox)
		appliancetest.Until(t, fox, "Fox goes on hearing", fmt.Sprintf("(await figures()).audioPackets > %d", before.AudioPackets+50), "figures()", 20*time.Second)
	}
	if joins := metric(t, daemon, "meetzone_joins_total"); joins != "2" {
		t.Errorf("%s joins of two people", joins)
	}
}

// metric returns the value of a metric without labels.
func metric(t *testing.T, d *appliancetest.Daemon, name string) string {
	t.Helper()
	for line := range strings.Lines(d.Metrics(t)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no metric %s", name)
	return ""
}

// TestNetnsRestart: the daemon is killed and started again, and everybody is back in the same meeting by themselves, native client and browser
// alike, as who they were. MEETZONE_LONG stops it in good order too.
func TestNetnsRestart(t *testing.T) {
	lab, _ := appliancetest.NewBehind(t, 3)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	url := "https://" + lab.Clients[0].Box.String()
	for i, name := range map[int]string{0: "Ada", 2: "Bob"} {
		attends(t, lab, lab.Clients[i], url, meeting.Number, name)
	}
	cat := appliancetest.Chromium(t, lab.Clients[1].NS)
	join(t, cat, fmt.Sprintf("%s/j/%s", url, meeting.Number), "Cat")
	seesAndHears(t, cat, "Cat")
	wires := []*nstest.Capture{wireOf(t, lab.Clients[0]), wireOf(t, lab.Clients[1])}
	for _, how := range []string{"killed", "stopped"} {
		if how == "stopped" && !long() {
			break
		}
		if how == "killed" {
			daemon.Kill(t)
		} else {
			daemon.Stop(t)
		}
		daemon = lab.StartIn(t, daemon.State)
		since := time.Now()
		for i, c := range wires {
			within(t, []string{"zoneclient", "Chromium"}[i]+", daemon "+how, c, dataplane.UDP, since, 5*time.Second)
		}
		seesAndHears(t, cat, "Cat")
	}
	if joins := metric(t, daemon, "meetzone_joins_total"); joins != "3" {
		t.Errorf("%s joins of three people after the restart", joins)
	}
}

// TestNetnsMoved: a client's address changes, as from Wi-Fi to cable, and media are back within a second of the new network; nobody has left.
func TestNetnsMoved(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	url := "https://" + lab.Clients[0].Box.String()
	for i, name := range []string{"Ada", "Bob"} {
		attends(t, lab, lab.Clients[i], url, meeting.Number, name)
	}
	c := lab.Clients[0]
	wire := wireOf(t, c)
	within(t, "at first", wire, dataplane.UDP, time.Now(), 30*time.Second)
	other, gateway := nstest.Link(t, c.NS, firewall.NS, "10.89.0.2/24", "10.89.0.1/24")
	moved := c.NS.Capture(t, other, func(p nstest.Packet) bool { return p.Src.Addr() == c.Box && len(p.Payload) > 0 })
	_ = gateway
	c.NS.SetUp(t, c.Iface, false)
	c.NS.Route(t, "default", "10.89.0.1")
	within(t, "moved", moved, dataplane.UDP, time.Now(), 1500*time.Millisecond)
	if joins := metric(t, daemon, "meetzone_joins_total"); joins != "2" {
		t.Errorf("%s joins of two people", joins)
	}
}

package main

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane"
	"meetzone/dataplane/nstest"
)

// person is somebody in a meeting whose network changes.
type person struct {
	name   string
	client appliancetest.Client
	wire   *nstest.Capture
}

// going starts a zoneclient that stays until the test ends.
func going(t *testing.T, lab *appliancetest.Lab, c appliancetest.Client, number, name string) (process interface {
	Signal(sig syscall.Signal) error
}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := lab.ZoneClient(ctx, c, "join", "--url", "https://"+c.Box.String(), "--meeting", number, "--name", name, "--insecure", "--for", "0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return signaller{cmd.Process.Pid}
}

type signaller struct{ pid int }

func (s signaller) Signal(sig syscall.Signal) error { return syscall.Kill(s.pid, sig) }

// isMedia tells RTP and RTCP (version 2) from checks and handshakes; over TCP a frame's length comes first (RFC 4571).
func isMedia(p nstest.Packet) bool {
	at := 0
	if p.Proto == 6 {
		at = 2
	}
	return len(p.Payload) > 40 && p.Payload[at]>>6 == 2
}

// sentOver waits until a client's media go out over a rung, and tells how long that took since a time.
func (p person) sentOver(t *testing.T, r dataplane.Rung, since time.Time, limit time.Duration) {
	t.Helper()
	nth := func(all []nstest.Packet) (at time.Time, ok bool) {
		n := voices
		for _, one := range all {
			if (one.Proto == 17) == (r == dataplane.UDP) && one.Dst.Port() == portOf(r) && one.Time.After(since) && isMedia(one) {
				if n--; n == 0 {
					return one.Time, true
				}
			}
		}
		return at, false
	}
	at, _ := nth(p.wire.WaitFor(t, 30*time.Second, func(all []nstest.Packet) bool { _, ok := nth(all); return ok }))
	took := at.Sub(since)
	t.Logf("%s: its media over %s after %.2f s", p.name, r, took.Seconds())
	if took > limit {
		t.Errorf("%s: its media over %s after %v, want %v", p.name, r, took, limit)
	}
}

// TestNetnsOneWay: what a client sends over UDP no longer arrives, while everything still comes to it. The box says that it hears nothing, and native client and browser
// take the next rung.
func TestNetnsOneWay(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 3)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	going(t, lab, lab.Clients[0], meeting.Number, "Ada")
	going(t, lab, lab.Clients[2], meeting.Number, "Bob")
	cat := appliancetest.Chromium(t, lab.Clients[1].NS)
	join(t, cat, fmt.Sprintf("https://%s/j/%s", lab.Clients[1].Box, meeting.Number), "Cat")
	seesAndHears(t, cat, "Cat")
	people := []person{{name: "zoneclient", client: lab.Clients[0]}, {name: "Chromium", client: lab.Clients[1]}}
	for i := range people {
		c := people[i].client
		people[i].wire = c.NS.Capture(t, c.Iface, func(p nstest.Packet) bool { return p.Dst.Addr() == c.Box && len(p.Payload) > 0 })
		people[i].sentOver(t, dataplane.UDP, time.Now(), 10*time.Second)
	}
	firewall.Set(t, appliancetest.UDPUpDropped, lab.Clients[:2]...)
	since := time.Now()
	for _, p := range people {
		p.sentOver(t, dataplane.TCP, since, 3*time.Second)
	}
	seesAndHears(t, cat, "Cat")
	if joins := metric(t, daemon, "meetzone_joins_total"); joins != "3" {
		t.Errorf("%s joins of three people", joins)
	}
}

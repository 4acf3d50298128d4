package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane"
	"meetzone/dataplane/nstest"
)

// TestNetnsSuspended: a computer is suspended in a meeting, all its programs and its network, and wakes up. Its media are back soon after its network, both ways,
// and nobody has left. MEETZONE_LONG suspends it for longer than the box keeps a transport.
func TestNetnsSuspended(t *testing.T) {
	lab, _ := appliancetest.NewBehind(t, 3)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	going(t, lab, lab.Clients[0], meeting.Number, "Ada")
	going(t, lab, lab.Clients[2], meeting.Number, "Bob")
	cat := appliancetest.Chromium(t, lab.Clients[1].NS)
	join(t, cat, fmt.Sprintf("https://%s/j/%s", lab.Clients[1].Box, meeting.Number), "Cat")
	seesAndHears(t, cat, "Cat")
	people := []person{{name: "zoneclient", client: lab.Clients[0]}, {name: "Chromium", client: lab.Clients[1]}}
	for i := range people {
		addr := people[i].client.Addr
		people[i].wire = lab.Box.Capture(t, people[i].client.BoxIface, func(p nstest.Packet) bool { return p.Src.Addr() == addr && len(p.Payload) > 0 })
		people[i].sentOver(t, dataplane.UDP, time.Now(), 10*time.Second)
	}
	const limit = 1500 * time.Millisecond
	lengths := []time.Duration{6 * time.Second}
	if long() {
		lengths = append(lengths, 26*time.Second)
	}
	for _, length := range lengths {
		for _, p := range people {
			t.Logf("%s is suspended for %v", p.name, length)
			suspend(t, p.client, length)
			p.wire.Reset()
			since := time.Now()
			heard := wireOf(t, p.client)
			p.sentOver(t, dataplane.UDP, since, limit)
			within(t, p.name+" hears", heard, dataplane.UDP, since, limit)
		}
	}
	seesAndHears(t, cat, "Cat")
	if joins := metric(t, daemon, "meetzone_joins_total"); joins != "3" {
		t.Errorf("%s joins of three people", joins)
	}
}

// suspend stops a computer's programs and takes its network away for a time, and gives them back, the network last.
func suspend(t *testing.T, c appliancetest.Client, length time.Duration) {
	t.Helper()
	c.NS.SetUp(t, c.Iface, false)
	if n := c.NS.Signal(t, syscall.SIGSTOP); n == 0 {
		t.Fatal("nothing runs there")
	}
	time.Sleep(length) // the suspension itself, not a wait for something
	c.NS.Signal(t, syscall.SIGCONT)
	c.NS.SetUp(t, c.Iface, true)
	gateway := c.Addr.As4()
	gateway[3] = 1
	c.NS.Route(t, "default", fmt.Sprintf("%d.%d.%d.%d", gateway[0], gateway[1], gateway[2], gateway[3]))
}

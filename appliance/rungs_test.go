package main

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

// streamPackets captures what goes over TCP between a client and a port of the box, data only.
func streamPackets(t *testing.T, c appliancetest.Client, port uint16) *nstest.Capture {
	return c.NS.Capture(t, c.Iface, func(p nstest.Packet) bool {
		return p.Proto == 6 && len(p.Payload) > 0 && (p.Src.Port() == port || p.Dst.Port() == port)
	})
}

// checkStreamMarks wants a connection with the mark of each medium among what the box sent lately.
func checkStreamMarks(t *testing.T, what string, packets []nstest.Packet, port uint16, want dscp.Marks) {
	t.Helper()
	last := map[netip.AddrPort]uint8{}
	for _, p := range packets {
		if p.Src.Port() == port {
			last[p.Dst] = p.DSCP()
		}
	}
	seen := map[uint8]int{}
	for _, mark := range last {
		seen[mark]++
	}
	for _, class := range []dscp.Class{dscp.Audio, dscp.Video, dscp.Content} {
		if seen[uint8(want[class])] == 0 {
			t.Errorf("%s: no connection with the mark of %s (%s): %v", what, class, want[class], last)
		}
	}
}

// rungOf waits until the page says that every medium stands on a rung.
func onRung(t *testing.T, b appliancetest.Browser, rung string, patience time.Duration) {
	t.Helper()
	const rungs = "[...document.querySelectorAll('section.medium .badge')].map((b) => b.textContent.toLowerCase())"
	appliancetest.Until(t, b, "every medium on "+rung, fmt.Sprintf("(() => { const r = %s; return r.length === 3 && r.every((x) => x === %q) })()", rungs, rung),
		rungs, patience)
}

// TestNetnsChromiumOverTCP: where a firewall drops UDP, the browser meets over TCP 8801, and the connections are marked by medium.
func TestNetnsChromiumOverTCP(t *testing.T) {
	lab, firewall := appliancetest.NewBehind(t, 2)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	firewall.Set(t, appliancetest.UDPDropped, lab.Clients[0])
	capture := streamPackets(t, lab.Clients[0], 8801)
	browsers := []appliancetest.Browser{appliancetest.Chromium(t, lab.Clients[0].NS), appliancetest.Chromium(t, lab.Clients[1].NS)}
	for i, b := range browsers {
		join(t, b, fmt.Sprintf("https://%s/j/%s", lab.Clients[i].Box, meeting.Number), []string{"Ada", "Bob"}[i])
	}
	for i, b := range browsers {
		seesAndHears(t, b, []string{"Ada", "Bob"}[i])
	}
	checkStreamMarks(t, "box to client", capture.Packets(), 8801, shipped(t, dscp.ProfileRFC4594))
}

package zonectl

import (
	"net/netip"
	"time"

	"meetzone/dscp"
	"meetzone/mmr"
	"meetzone/zonectl/internal/pathmarks"
	"meetzone/zonectl/wire"
)

// Where marks die: with every look at a session (monitor.go) one sample of each medium that travels over UDP is taken: the mark with which media arrived last
// here, and, from clients that can read it, the one with which media arrived there. Browsers cannot: for them only the uplink is known.

// noteMarks takes the samples of one session.
func (c *Controller) noteMarks(now time.Time, transports []mmr.Transport, r *reports) {
	for _, t := range transports {
		if t.State != mmr.TransportConnected || t.Rung.String() != "udp" || !t.Remote.IsValid() {
			continue
		}
		c.paths.Note(now, t.Remote.Addr(), int(t.Medium), pathmarks.Up, t.DSCP)
		if now.Sub(r.at) > reportFresh {
			continue
		}
		if report := find(r.media, nameOf(t.Medium)); report != nil {
			c.paths.Note(now, t.Remote.Addr(), int(t.Medium), pathmarks.Down, report.DSCP)
		}
	}
}

// PathMarks is what arrived of one medium in one direction, in samples.
type PathMarks struct {
	Subnet netip.Prefix // of the clients
	Medium wire.Medium
	Down   bool // from the box; else to it
	Policy dscp.CodePoint
	Counts map[dscp.CodePoint]uint32
	Latest dscp.CodePoint
	Last   time.Time // of anything from the subnet
}

// PathMarks returns what is known of the marks on the way to and from the clients, by subnet. The policy is that of the box: what it sends with, and
// what clients should send with.
func (c *Controller) PathMarks() (out []PathMarks) {
	marks := c.config().Marks
	for _, p := range c.paths.All() {
		for medium := range mmr.Medium(mmr.NumMedia) {
			for _, d := range []pathmarks.Direction{pathmarks.Up, pathmarks.Down} {
				latest := p.Latest[medium][d]
				if latest < 0 {
					continue
				}
				one := PathMarks{Subnet: p.Subnet, Medium: nameOf(medium), Down: d == pathmarks.Down, Policy: marks[medium.Class()],
					Counts: map[dscp.CodePoint]uint32{}, Latest: dscp.CodePoint(latest), Last: p.Last}
				for point, n := range p.Counts[medium][d] {
					if n > 0 {
						one.Counts[dscp.CodePoint(point)] = n
					}
				}
				out = append(out, one)
			}
		}
	}
	return out
}

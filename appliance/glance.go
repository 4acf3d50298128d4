package main

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
)

// glance is what a person who looks for a second wants to know of the box.
func (d *daemon) glance(doc config.Document) adminapi.Glance {
	load := d.meter.latest()
	marks := d.enforcer.Observe()
	return adminapi.Glance{
		ZoneName:  doc.Zone.Name,
		Addresses: linkAddresses(),
		Load: adminapi.Load{Busy: load.Busy, Workers: len(d.plane.Workers()), Packets: load.Packets, EgressBits: load.EgressBits,
			MaxMeetings: doc.Zone.Limits.Meetings, MaxSessions: doc.Zone.Limits.Sessions, Drops: d.meter.dropped()},
		Rungs: d.rungStates(),
		Marking: adminapi.Marking{Profile: doc.DSCP.Profile, Wanted: doc.DSCP.Enforce && d.flags.ownHost, Enforced: marks.Enforced && marks.Agrees(),
			Differs: len(marks.Missing), Drifted: marks.Drifted},
		Certificate: d.tls.life(time.Now()),
		Clock:       kernelClock(),
	}
}

// rungStates tells where each rung is open, and how many transports stand on it now.
func (d *daemon) rungStates() []adminapi.RungState {
	rungs := []adminapi.RungState{{Rung: "udp"}, {Rung: "tcp"}, {Rung: "tls", Listen: d.https.Addr().String()}}
	if addrs := d.plane.Addrs(); len(addrs) > 0 {
		rungs[0].Listen, rungs[1].Listen = addrs[0].String(), addrs[0].String()
	}
	for _, n := range d.zone.Ways() {
		for i := range rungs {
			rungs[i].Now += uint64(n.Now[i])
		}
	}
	return rungs
}

// linkAddresses is the machine's own addresses by interface, without those that every machine has.
func linkAddresses() (list []adminapi.LinkAddress) {
	links, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, ok := a.(*net.IPNet); ok && p.IP.IsGlobalUnicast() {
				list = append(list, adminapi.LinkAddress{Interface: l.Name, Address: p.String()})
			}
		}
	}
	return list
}

// life says until when the certificate that is shown is good.
func (c *certificates) life(now time.Time) adminapi.CertificateLife {
	out := adminapi.CertificateLife{Name: c.using()}
	if pair := c.current.Load(); pair != nil && pair.Leaf != nil {
		out.NotAfter = pair.Leaf.NotAfter
		out.DaysLeft = int(out.NotAfter.Sub(now) / day)
	}
	return out
}

// kernelClock reads what the kernel knows of its clock. adjtimex(2).
func kernelClock() adminapi.Clock {
	out := adminapi.Clock{Time: time.Now()}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return out
	}
	out.Synchronised = state != unix.TIME_ERROR
	out.OffsetMS, out.ErrorMS = float64(t.Offset)/1e3, float64(t.Maxerror)/1e3
	if t.Status&unix.STA_NANO != 0 {
		out.OffsetMS = float64(t.Offset) / 1e6
	}
	return out
}

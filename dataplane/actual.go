package dataplane

import (
	"net/netip"
)

// Feature is something the kernel may or may not give.
type Feature struct {
	Name   string
	Wanted bool
	Actual bool
	// Lost says what the plane does without, when it was wanted and is not there; else empty.
	Lost string
}

// Actual is what the kernel granted. Buffers are per socket, the smallest of all sockets, and in the unit of the wish: the kernel's own
// figure is twice that.
type Actual struct {
	Addrs               []netip.AddrPort
	Workers             int
	ReceiveBufferWanted int
	ReceiveBuffer       int
	SendBufferWanted    int
	SendBuffer          int
	Features            []Feature
	// CPUs has the CPU each worker is pinned to, -1 where it is not (yet, before Run).
	CPUs []int
	// WithoutGSO are the local addresses whose egress refused segmentation, so that nothing is coalesced there any more.
	WithoutGSO []netip.Addr
}

// Feature returns the feature of the given name, and false when there is none of that name.
func (a Actual) Feature(name string) (Feature, bool) {
	for _, f := range a.Features {
		if f.Name == name {
			return f, true
		}
	}
	return Feature{}, false
}

// Actual returns what the kernel granted, as of now.
func (p *Plane) Actual() Actual {
	a := Actual{
		Addrs:               p.Addrs(),
		Workers:             len(p.workers),
		ReceiveBufferWanted: p.cfg.ReceiveBuffer,
		ReceiveBuffer:       p.cfg.ReceiveBuffer,
		SendBufferWanted:    p.cfg.SendBuffer,
		SendBuffer:          p.cfg.SendBuffer,
		Features:            p.features.list(p.cfg, p.noOutlet == nil, p.unsteered == nil),
		WithoutGSO:          p.egresses.list(),
	}
	for _, w := range p.workers {
		a.CPUs = append(a.CPUs, int(w.cpu.Load()))
		for _, s := range w.socks {
			a.ReceiveBuffer = min(a.ReceiveBuffer, s.receive)
			a.SendBuffer = min(a.SendBuffer, s.send)
		}
	}
	return a
}

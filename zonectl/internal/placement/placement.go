package placement

import (
	"errors"
	"time"
)

// Load is what a router does, against what it can. A capacity of zero is not counted.
type Load struct {
	Busy         float64 // of its busiest worker's processor, 0 to 1
	Packets      float64 // received and sent, a second
	EgressBits   float64 // a second
	Participants int
	Received     float64 // datagrams a second
	KernelDrops  float64 // of these, a second

	MaxPackets      float64
	MaxEgressBits   float64
	MaxParticipants int
}

// Share is the load as a share of the capacity: 1 is full.
func (l Load) Share() float64 {
	share := l.Busy
	if l.MaxPackets > 0 {
		share = max(share, l.Packets/l.MaxPackets)
	}
	if l.MaxEgressBits > 0 {
		share = max(share, l.EgressBits/l.MaxEgressBits)
	}
	if l.MaxParticipants > 0 {
		share = max(share, float64(l.Participants)/float64(l.MaxParticipants))
	}
	if l.Received > 0 {
		share = max(share, l.KernelDrops/l.Received*1000)
	}
	return share
}

// Router is a router with what it last reported.
type Router struct {
	ID       string
	Base     string // of its control channels, https://host; empty: this box, as the client reached it
	Draining bool
	Load     Load
	Reported time.Time
}

// StaleAfter is the age at which a report counts as none.
const StaleAfter = 15 * time.Second

// Why nobody can be placed.
var (
	ErrFull     = errors.New("placement: every router is full")
	ErrDraining = errors.New("placement: every router drains")
)

// Choose finds the router for a meeting; present is the one that it is on, "" for none.
func Choose(routers []Router, present string, now time.Time) (Router, error) {
	best, found, draining := Router{}, false, false
	for _, r := range routers {
		switch {
		case now.Sub(r.Reported) > StaleAfter:
		case r.Draining:
			draining = true
		case r.Load.Share() >= 1:
		case r.ID == present:
			return r, nil
		case !found || r.Load.Share() < best.Load.Share():
			best, found = r, true
		}
	}
	switch {
	case found:
		return best, nil
	case draining:
		return Router{}, ErrDraining
	}
	return Router{}, ErrFull
}

// Least is the smallest load of the routers that take somebody, 1 where none does.
func Least(routers []Router, now time.Time) float64 {
	r, err := Choose(routers, "", now)
	if err != nil {
		return 1
	}
	return r.Load.Share()
}

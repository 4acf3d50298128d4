package mmr

import (
	"time"

	"meetzone/dataplane"
)

// Which encodings of a picture are needed. A sender of simulcast is told to stop those that no slot of anybody is to show, so that it saves
// its uplink, and to go on as soon as one is. What behind links is needed counts through their taps. Whenever that may have changed,
// shard.demandDue is set; updateDemand looks at the end of the round.

// demand is which encodings of one publication somebody needs. Sets of encodings have a bit for each.
type demand struct {
	needed uint8
	told   uint8                           // as its sender knows
	known  bool                            // told was told
	lapses [maxEncodings]dataplane.Instant // when an encoding that is not needed any more is stopped, 0 when it is needed
	// resting tells that the sender was told to stop everything: it can be seen, although nothing comes.
	resting bool
}

// stopAfter is how long an encoding goes on after the last need, so that looking away and back costs nothing.
const stopAfter = dataplane.Instant(3 * time.Second)

// updateDemand finds out what is needed of all publications, and tells their senders.
func (sh *shard) updateDemand(now dataplane.Instant) {
	if !sh.demandDue && now < sh.demandAt {
		return
	}
	sh.demandDue, sh.demandAt = false, dataplane.Never
	for _, o := range sh.origins {
		for m := range o.sends {
			o.sends[m].countTaken()
		}
	}
	for _, e := range sh.endpoints {
		for m := Video; int(m) < NumMedia; m++ {
			for _, d := range e.slots[m] {
				if d.pub != nil && !d.starved {
					d.pub.demand.needed |= 1 << d.pub.top(d.target.Encoding)
				}
			}
		}
	}
	for _, o := range sh.origins {
		for m := Video; int(m) < NumMedia; m++ {
			o.sends[m].meetDemand(now, sh)
		}
	}
	sh.wake(sh.demandAt)
}

// countTaken begins with what slots show, or wait for, and links carry.
func (p *publication) countTaken() {
	p.demand.needed = 0
	for i, s := range p.encodings {
		if s != nil && (len(s.down) > 0 || s.tapped > 0) {
			p.demand.needed |= 1 << i
		}
	}
}

// meetDemand has the sender told what has changed.
func (p *publication) meetDemand(now dataplane.Instant, sh *shard) {
	if p.origin.local == nil {
		for i, s := range p.encodings {
			if s != nil {
				s.feed.(*farSource).want(p.demand.needed&(1<<i) != 0)
			}
		}
		return
	}
	u := p.origin.local.up[p.medium]
	if u == nil || len(u.rids) < 2 {
		return
	}
	told := p.demand.settle(now, 1<<len(u.rids)-1, sh)
	if p.demand.known && told == p.demand.told {
		return
	}
	p.demand.told, p.demand.known = told, true
	u.tellEncodings(told)
	if resting := told == 0; resting != p.demand.resting {
		p.demand.resting = resting
		sh.touch(p.medium)
		for _, s := range p.encodings {
			for _, l := range sh.links {
				if s != nil {
					l.announce(s)
				}
			}
		}
	}
}

// settle returns what the sender should send of all: what is needed at once, what is not needed any more as long as it has not lapsed.
func (d *demand) settle(now dataplane.Instant, all uint8, sh *shard) (told uint8) {
	for i := range d.lapses {
		bit := uint8(1) << i & all
		switch {
		case bit == 0:
		case d.needed&bit != 0:
			told |= bit
			d.lapses[i] = 0
		case d.known && d.told&bit == 0:
		case d.lapses[i] == 0:
			d.lapses[i] = now + stopAfter
			fallthrough
		case now < d.lapses[i]:
			told |= bit
			sh.demandAt = min(sh.demandAt, d.lapses[i])
		default:
			d.lapses[i] = 0
		}
	}
	return told
}

// tellEncodings names the encodings of a set to the owner of the endpoint.
func (u *upTrack) tellEncodings(set uint8) {
	rids := make([]string, 0, len(u.rids))
	for i, rid := range u.rids {
		if set&(1<<i) != 0 {
			rids = append(rids, rid)
		}
	}
	u.e.cfg.Notify(EncodingsWanted{Medium: u.medium, RIDs: rids})
}

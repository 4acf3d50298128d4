package mmr

import (
	"slices"
	"time"

	"meetzone/dataplane"
)

// How much of an encoding is worth sending. Encodings come in steps, and a path that carries less than one and more than the one before would
// stay half empty. Senders that follow what they are told (EndpointConfig.Adapts) make the encoding fit: as long as nobody is sent an encoding
// whose path carries all of it, the sender is told a ceiling, what those who are sent it have room for. Whoever has room for all of it lifts the
// ceiling, so that nobody sees less because of somebody else's path; for the others the encoding then costs what it is. allocate.go divides
// by that and says what each slot has room for; the shard owns the ceilings, and tells them by RatesWanted.

// RatesWanted says of which encodings there is no use for more than so much; others have no ceiling. Always whole. It holds over ICE restarts and
// fresh offers.
type RatesWanted struct{ Ceilings []Ceiling }

// Ceiling is how much of one encoding there is use for.
type Ceiling struct {
	Medium  Medium
	RID     string // "" without simulcast
	Bitrate uint64 // bit/s of RTP
}

const (
	// nearEnough is how much less room than another receiver one may have so that both are sent the same, in parts of ten: the ceiling is then
	// what the smaller one has room for. It does not hold for the smallest encoding: those that are sent it are all sent the same.
	nearEnough = 7
	// A ceiling stays below what there is room for by one part in so many: encoders go above for a while.
	ceilingMargin = 18
	// Ceilings change when they are off by one part in so many, and rise at most every raiseEvery.
	ceilingStep = 24
	raiseEvery  = dataplane.Instant(250 * time.Millisecond)
	// obeyWithin is how long a sender may take to come below a ceiling, and disobeyed by how much it may be above, in parts of ten. One that is
	// above for longer does not adapt.
	obeyWithin = dataplane.Instant(3 * time.Second)
	disobeyed  = 14
	// comingDown is to what part of what came before a sender must have come down, in parts of ten, to be given the same time once more.
	comingDown = 8
	// A sender that did not follow is tried again after tryAgainAtLeast, since it may only not have heard; then twice as long after, up to tryAgainAtMost.
	tryAgainAtLeast = dataplane.Instant(30 * time.Second)
	tryAgainAtMost  = dataplane.Instant(16 * time.Minute)
	// unlimitedFor is how long an encoding must have had no ceiling until it is taken for what it is without.
	unlimitedFor = dataplane.Instant(3 * time.Second)
)

// ceiling is what the sender of one encoding was told, and what came of it.
type ceiling struct {
	rate     uint64            // bit/s, 0 none
	changed  dataplane.Instant // when it was told
	whole    uint64            // what was sent without a ceiling at last, 0 unknown
	exceeded dataplane.Instant // since when more comes and does not come down, 0 it does not
	above    uint64            // what came then
	defied   bool              // the sender does not follow, as far as is known
	again    dataplane.Instant // when it is tried again
	pause    dataplane.Instant // how long that was the last time
}

// adapts tells whether the sender of the publication follows ceilings. Where one stream has all sizes, receivers share it.
func (p *publication) adapts() bool {
	return p.origin.local != nil && p.origin.local.cfg.Adapts && p.medium != Audio && !p.layered()
}

// leastOf is the least that an encoding of a height is good for, in bit/s. The only one has to do for everybody.
func (p *publication) leastOf(height int) uint64 {
	usual := usualBitrate(height)
	if p.top(maxEncodings-1) == 0 {
		return usual / 15
	}
	return usual / 3
}

// priced returns what the whole of an encoding costs in a slot, at least and at most; equal where its sender does not adapt, or somebody has room
// for all of it.
func (d *downTrack) priced(info *layerInfo) (least, most uint64) {
	p := d.pub
	s := p.encodings[info.Encoding]
	if s == nil || !p.adapts() || s.ceiling.defied || s.tapped > 0 {
		return info.Bitrate, info.Bitrate
	}
	room, unlimited := p.uses[info.Encoding].others(d)
	if unlimited {
		whole := info.Bitrate
		if s.ceiling.rate > 0 {
			whole = max(whole, s.ceiling.whole)
		}
		return whole, whole
	}
	most = max(info.Bitrate, s.ceiling.whole, usualBitrate(info.Height))
	least = p.leastOf(info.Height)
	if s != p.first() {
		least = max(least, room*nearEnough/10)
	}
	return min(least, most), most
}

// use is who is to be sent an encoding, as it was found at the last tick, so that nobody has to go through all of them for each receiver.
type use struct {
	whole [2]*downTrack // two of those that have room for all of it
	most  [2]*downTrack // of the others the two that have the most room
}

// others returns the most room that slots other than one have for the encoding, 0 when there are none, and whether one of them has room for all of it.
func (u *use) others(except *downTrack) (room uint64, unlimited bool) {
	for _, d := range u.whole {
		if d != nil && d != except {
			return 0, true
		}
	}
	for _, d := range u.most {
		if d != nil && d != except {
			return d.share.room, false
		}
	}
	return 0, false
}

// note adds a slot. It may come twice.
func (u *use) note(d *downTrack) {
	switch {
	case d == u.whole[0] || d == u.most[0] || d == u.most[1]:
	case d.share.room == 0 && u.whole[0] == nil:
		u.whole[0] = d
	case d.share.room == 0:
		u.whole[1] = d
	case u.most[0] == nil || d.share.room > u.most[0].share.room:
		u.most[0], u.most[1] = d, u.most[0]
	case u.most[1] == nil || d.share.room > u.most[1].share.room:
		u.most[1] = d
	}
}

// findUses finds out who is to be sent what.
func (p *publication) findUses() {
	p.uses = [maxEncodings]use{}
	for _, s := range p.encodings {
		if s == nil {
			continue
		}
		for _, d := range s.down {
			if d.takes(p) {
				p.uses[p.top(d.target.Encoding)].note(d)
			}
		}
	}
}

// takes tells whether the slot is to be sent something of a publication, and can be.
func (d *downTrack) takes(p *publication) bool {
	return d.pub == p && !d.starved && d.out != nil && d.accepted
}

// updateCeilings finds out how much there is use for of everything that is sent here, and tells senders what has changed.
func (sh *shard) updateCeilings(now dataplane.Instant) {
	for _, o := range sh.origins {
		e := o.local
		if e == nil || !e.cfg.Adapts {
			continue
		}
		changed := e.ratesDue
		e.ratesDue = false
		for m := Video; int(m) < NumMedia; m++ {
			p := &o.sends[m]
			p.findUses()
			for i, s := range p.encodings {
				if s != nil {
					changed = s.ceiling.follow(now, s) || changed
					changed = s.ceiling.set(now, p.ceilingOf(uint8(i))) || changed
				}
			}
		}
		if changed {
			e.tellRates(now)
		}
	}
}

// ceilingOf returns what there is use for of an encoding, 0 for all of it.
func (p *publication) ceilingOf(encoding uint8) (rate uint64) {
	s := p.encodings[encoding]
	if s.ceiling.defied || s.tapped > 0 || !p.adapts() {
		return 0
	}
	room, unlimited := p.uses[encoding].others(nil)
	if unlimited || room == 0 {
		return 0
	}
	least, near := room, room*nearEnough/10
	if s == p.first() {
		near = 1 // who has no room for it is sent nothing at all
	}
	for _, s := range p.encodings {
		if s == nil {
			continue
		}
		for _, d := range s.down {
			if d.takes(p) && p.top(d.target.Encoding) == encoding && d.share.room >= near {
				least = min(least, d.share.room)
			}
		}
	}
	return least - least/ceilingMargin
}

// set changes the ceiling if it has to be, and tells whether it has.
func (c *ceiling) set(now dataplane.Instant, rate uint64) bool {
	switch {
	case rate == c.rate:
		return false
	case rate == 0 || c.rate == 0:
	case rate < c.rate && c.rate-rate < c.rate/ceilingStep:
		return false
	case rate > c.rate && (rate-c.rate < c.rate/ceilingStep || now-c.changed < raiseEvery):
		return false
	}
	if rate == 0 || c.rate == 0 {
		c.exceeded = 0 // one that only changes does not excuse who is above it
	}
	c.rate, c.changed = rate, now
	return true
}

// follow looks at what comes of an encoding, and tells whether its ceiling was lifted, because its sender does not follow.
func (c *ceiling) follow(now dataplane.Instant, s *source) bool {
	if c.defied && now >= c.again {
		c.defied = false
	}
	rate := s.rate.latest()
	switch {
	case !s.live || rate == 0:
		c.exceeded = 0
	case c.rate == 0:
		if now-c.changed > unlimitedFor {
			c.whole = s.rate.sum()
		}
	case rate*10 <= c.rate*disobeyed:
		c.exceeded = 0
	case c.exceeded == 0 || rate*10 < c.above*comingDown:
		c.exceeded, c.above = now, rate
	case now-c.exceeded > obeyWithin:
		c.rate, c.changed, c.exceeded, c.defied = 0, now, 0, true
		c.pause = min(max(2*c.pause, tryAgainAtLeast), tryAgainAtMost)
		c.again = now + c.pause
		return true
	}
	return false
}

// tellRates tells the endpoint's owner the ceilings of all that it sends. Clients that made the offer are told by REMB.
func (e *endpoint) tellRates(now dataplane.Instant) {
	var wanted RatesWanted
	for m := range NumMedia {
		for i, s := range e.sh.byOrigin[e.id].sends[m].encodings {
			if s == nil || s.ceiling.rate == 0 {
				continue
			}
			c := Ceiling{Medium: Medium(m), Bitrate: s.ceiling.rate}
			if u := e.up[m]; u != nil && i < len(u.rids) {
				c.RID = u.rids[i]
			}
			wanted.Ceilings = append(wanted.Ceilings, c)
		}
	}
	if slices.Equal(wanted.Ceilings, e.toldRates) {
		return
	}
	e.toldRates = wanted.Ceilings
	e.cfg.Notify(wanted)
	for _, t := range e.transports {
		if t != nil {
			t.nextREMB = now
		}
	}
}

// uplink is what an endpoint that makes the offer is told by REMB that there is use for, all that it sends together.
func (e *endpoint) uplink() uint64 {
	if !e.cfg.ClientOffers || !e.cfg.Adapts {
		return generousBitrate
	}
	sum, limited := uint64(speechRate), false
	for m := Video; int(m) < NumMedia; m++ {
		for _, s := range e.sh.byOrigin[e.id].sends[m].encodings {
			if s == nil || !s.live {
				continue
			}
			if s.ceiling.rate == 0 {
				return generousBitrate
			}
			sum, limited = sum+s.ceiling.rate+s.ceiling.rate/overhead, true
		}
	}
	if !limited {
		return generousBitrate
	}
	return min(sum, generousBitrate)
}

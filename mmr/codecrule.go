package mmr

import (
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
)

// The codec rule: what somebody sends of a medium everybody else in the meeting can decode who has a slot for it, whether it is in their slot at present
// or not, since it may be a moment later. VP8 is what everybody decodes. Of what is possible the meeting's preference decides. Whenever a
// description is answered or somebody goes, shard.codecsDue is set; updateCodecs looks at the end of the round and tells the senders. When
// somebody cannot decode what is sent, the change is wanted at once; to a better codec only after a while, so that people who come and go do
// not make senders change all the time.

// upgradeAfter is how long a better codec must have been possible.
const upgradeAfter = dataplane.Instant(3 * time.Second)

// CodecsWanted says which codec is to be sent of each medium, "vp8", "vp9", "h264" or "av1"; "" of those that are not pictures or not sent. Always
// whole. Until the first such event it is the first of the answer, as a rule VP8. It holds over ICE restarts and fresh offers. A sender that
// cannot, stays with VP8.
type CodecsWanted struct{ Codecs [NumMedia]string }

// sentCodec is which codec a track is to be sent in.
type sentCodec struct {
	now     codec.Kind // what the sender was told, or Unknown before
	better  codec.Kind // what it will be told at that time, Unknown nothing
	upgrade dataplane.Instant
}

// updateCodecs applies the rule to everybody who sends pictures.
func (sh *shard) updateCodecs(now dataplane.Instant) {
	if !sh.codecsDue && now < sh.codecsAt {
		return
	}
	sh.codecsDue, sh.codecsAt = false, dataplane.Never
	for m := Video; int(m) < NumMedia; m++ {
		all, known := sh.audience(m)
		if !known {
			continue // a far side is about to say
		}
		for _, e := range sh.endpoints {
			u := e.up[m]
			if u == nil || !u.accepted {
				continue
			}
			others := all
			if own, watches := e.decodes(m); watches {
				others.count(own, -1)
			}
			u.choose(now, func(k codec.Kind) bool { return others.decoding[k] == others.watchers })
		}
	}
	for _, e := range sh.endpoints {
		e.tellCodecs()
	}
	sh.wake(sh.codecsAt)
}

// lastMedium is the last of the media that have pictures.
const lastMedium = Content

// audience counts who has slots of a medium, and which codecs they decode.
type audience struct {
	watchers int
	decoding [codec.NumKinds]int
}

// audience counts those here and behind links, and tells links about those here. It is not known while a far side has not said who is there.
func (sh *shard) audience(m Medium) (all audience, known bool) {
	for _, e := range sh.endpoints {
		if set, watches := e.decodes(m); watches {
			all.count(set, 1)
		}
	}
	here := all
	known = true
	for _, l := range sh.links {
		l.setDecodes(m, here)
		known = known && l.heard
		all.watchers += l.audiences[m].watchers
		for k, n := range l.audiences[m].decoding {
			all.decoding[k] += n
		}
	}
	return all, known
}

// count adds somebody who decodes a set, or takes them out.
func (a *audience) count(set codecSet, n int) {
	a.watchers += n
	for k := range a.decoding {
		if set.has(codec.Kind(k)) {
			a.decoding[k] += n
		}
	}
}

// decodes returns the codecs that the endpoint can be sent into all its slots of a medium, and false when it has none that it accepted.
func (e *endpoint) decodes(m Medium) (set codecSet, watches bool) {
	set = allCodecs
	if m == Content && e.cfg.ClientOffers {
		m = Video // content comes into the same slot
	}
	for _, d := range e.slots[m] {
		if d.accepted {
			set &= d.formats.set()
			watches = true
		}
	}
	return set, watches
}

// choose finds the codec that the track is to be sent in. What is told already stays as long as everybody decodes it, unless a better one has
// been possible for some time.
func (u *upTrack) choose(now dataplane.Instant, everybody func(codec.Kind) bool) {
	best := codec.VP8
	for _, k := range u.e.sh.preference {
		if k == codec.VP8 || u.formats[k].pt != 0 && everybody(k) {
			best = k
			break
		}
	}
	s := &u.sends
	if s.now == codec.Unknown {
		s.now = codec.VP8 // what clients begin with
	}
	switch {
	case best == s.now:
		s.better = codec.Unknown
	case s.now != codec.VP8 && !everybody(s.now):
		s.now, s.better = best, codec.Unknown
	case best != s.better:
		s.better, s.upgrade = best, now+upgradeAfter
		fallthrough
	case now < s.upgrade:
		u.e.sh.codecsAt = min(u.e.sh.codecsAt, s.upgrade)
	default:
		s.now, s.better = best, codec.Unknown
	}
}

// tellCodecs tells the owner of the endpoint what has changed.
func (e *endpoint) tellCodecs() {
	var wanted CodecsWanted
	told := e.toldCodecs
	for m, u := range e.up {
		if u != nil && Medium(m) != Audio && u.sends.now != codec.Unknown {
			wanted.Codecs[m] = nameOf(u.sends.now)
			if told.Codecs[m] == "" && u.sends.now == codec.VP8 {
				told.Codecs[m] = wanted.Codecs[m] // what they send without being told
			}
		}
	}
	if wanted != told {
		e.cfg.Notify(wanted)
	}
	e.toldCodecs = wanted
}

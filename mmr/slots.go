package mmr

import (
	"slices"
	"time"

	"meetzone/dataplane"
)

// Who is in which slot. Assigning is done for all endpoints of the shard at once, and only when something has changed: shard.touch notes
// that, settle does it before the round ends, and tells the owners.

// settle assigns the slots that may have changed and sends the events that are due.
func (sh *shard) settle(now dataplane.Instant) {
	if !sh.unsettled {
		return
	}
	for sh.unsettled {
		sh.unsettled = false
		stale := sh.stale
		sh.stale = [NumMedia]bool{}
		for _, e := range sh.endpoints {
			if stale[Video] || stale[Content] && e.cfg.ClientOffers { // whose pictures may be content
				e.assignVideo(now)
			}
			if stale[Audio] || stale[Video] { // voices follow their pictures
				e.assignAudio(now)
			}
			if stale[Content] {
				e.assignContent(now)
			}
			if stale[Video] || stale[Content] {
				e.allocate(now)
			}
		}
	}
	for _, e := range sh.endpoints {
		if e.changed {
			e.changed = false
			e.cfg.Notify(SlotsChanged{Slots: e.slotList()})
		}
	}
}

// slotList returns all slots of the endpoint.
func (e *endpoint) slotList() (list []Slot) {
	for _, slots := range e.slots {
		for _, d := range slots {
			list = append(list, d.slot())
		}
	}
	return list
}

// rank has the voices ranked when it is time.
func (sh *shard) rank(now dataplane.Instant) {
	if dataplane.Instant(sh.voices.NextUpdate()) <= now && len(sh.origins) > 0 {
		ranking, dominant := sh.voices.Update(time.Duration(now))
		if ranking {
			sh.touch(Audio)
			for _, l := range sh.links {
				l.tapVoices()
			}
		}
		if dominant {
			sh.announceSpeaker()
			sh.touch(Audio)
		}
		if foremost := sh.voices.Foremost(); foremost != sh.foremost {
			sh.foremost = foremost
			sh.touch(Audio) // whoever has one slot
		}
	}
	if next := dataplane.Instant(sh.voices.NextUpdate()); next > now && sh.hasVoice() {
		sh.wake(next)
	}
}

// hasVoice tells whether anybody speaks, or could.
func (sh *shard) hasVoice() bool { return sh.busy || len(sh.voices.Ranking()) > 0 }

func (sh *shard) announceSpeaker() {
	var id EndpointID
	if v := sh.voices.Dominant(); v != nil {
		id = v.Owner.origin.id
	}
	for _, e := range sh.endpoints {
		e.cfg.Notify(SpeakerChanged{Speaker: id})
	}
}

// assignAudio gives the loudest three voices but the endpoint's own to its slots. Who is heard stays in their slot.
func (e *endpoint) assignAudio(now dataplane.Instant) {
	if len(e.slots[Audio]) < AudioSlots {
		e.assignSpeaker(now)
		return
	}
	var chosen [AudioSlots]*publication
	n := 0
	for _, v := range e.sh.voices.Ranking() {
		if s := v.Owner; n < len(chosen) && s.live && s.origin.id != e.id {
			chosen[n] = s.pub
			n++
		}
	}
	e.place(now, chosen[:n])
}

// assignSpeaker gives the foremost voice to an endpoint with one audio slot: the speaker's, or at once that of who speaks where nobody else does.
// While there is none, any that is ranked will do: it must not be silent there because the loudest has left.
func (e *endpoint) assignSpeaker(now dataplane.Instant) {
	var loudest *publication
	if v := e.sh.voices.Foremost(); v != nil && v.Owner.live && v.Owner.origin.id != e.id {
		loudest = v.Owner.pub
	}
	for _, v := range e.sh.voices.Ranking() {
		if s := v.Owner; loudest == nil && s.live && s.origin.id != e.id {
			loudest = s.pub
		}
	}
	for i, d := range e.slots[Audio] {
		if i == 0 {
			d.assign(now, loudest)
		}
	}
}

// place keeps those of chosen that are in a slot, empties the other slots and fills them with the rest of chosen. Audio slot n is offered in
// one stream with video slot n, and browsers play a stream in sync: a voice goes to the slot of its picture, also when it has to change
// places with one that has no picture there.
func (e *endpoint) place(now dataplane.Instant, chosen []*publication) {
	slots := e.slots[Audio]
	for _, d := range slots {
		if d.pub != nil && !slices.Contains(chosen, d.pub) {
			d.assign(now, nil)
		}
	}
	for _, p := range chosen {
		if here := slices.IndexFunc(slots, func(d *downTrack) bool { return d.pub == p }); here >= 0 {
			e.rejoin(now, here)
			continue
		}
		if to := e.pictureOf(p); to >= 0 && slots[to].pub == nil {
			slots[to].assign(now, p)
			continue
		}
		free := slices.IndexFunc(slots, func(d *downTrack) bool { return d.pub == nil }) // there are as many slots as voices
		slots[free].assign(now, p)
		e.rejoin(now, free)
	}
}

// pictureOf returns the index of the audio slot that is in sync with the picture of a voice, -1 when there is none.
func (e *endpoint) pictureOf(voice *publication) int {
	pictures := e.slots[Video]
	return slices.IndexFunc(pictures[:min(len(pictures), AudioSlots)], func(d *downTrack) bool {
		return d.pub != nil && d.pub.origin == voice.origin
	})
}

// rejoin moves the voice in an audio slot to its picture's, unless whose that is has their picture there.
func (e *endpoint) rejoin(now dataplane.Instant, here int) {
	slots := e.slots[Audio]
	voice := slots[here].pub
	to := e.pictureOf(voice)
	if to < 0 || to == here {
		return
	}
	other := slots[to].pub
	if other != nil && e.pictureOf(other) == to {
		return
	}
	slots[here].assign(now, nil)
	slots[to].assign(now, voice)
	slots[here].assign(now, other)
}

// setViews takes what the client wants to see, always whole. An empty list is no wish.
func (e *endpoint) setViews(now dataplane.Instant, views []View) {
	e.views = views
	e.sh.touch(Video)
}

// assignVideo gives the slots what the client asked to see, or without a wish what comes.
func (e *endpoint) assignVideo(now dataplane.Instant) {
	if len(e.views) == 0 {
		e.assignDefault(now)
		return
	}
	var chosen [MaxVideoSlots]*publication
	for _, v := range e.views {
		if v.Slot < 0 || v.Slot >= len(e.slots[Video]) {
			continue
		}
		m := Video
		if v.Content {
			m = Content
		}
		if o := e.sh.byOrigin[v.Source]; o != nil && o.sends[m].there() {
			chosen[v.Slot] = &o.sends[m]
		}
	}
	for i, d := range e.slots[Video] {
		d.assign(now, chosen[i])
	}
}

// assignDefault fills the slots with those who send a picture, in the order in which they joined. Who is shown stays, unless the picture
// has ended and somebody else waits.
func (e *endpoint) assignDefault(now dataplane.Instant) {
	slots := e.slots[Video]
	e.sh.round++
	for _, d := range slots {
		if d.pub != nil {
			d.pub.mark = e.sh.round
		}
	}
	for _, o := range e.sh.origins {
		p := &o.sends[Video]
		if !p.live() && !p.demand.resting || o.id == e.id || p.mark == e.sh.round {
			continue
		}
		d := freeSlot(slots)
		if d == nil {
			return
		}
		d.assign(now, p)
	}
}

// freeSlot returns the first empty slot, or else the first in which nothing is shown any more.
func freeSlot(slots []*downTrack) *downTrack {
	for _, d := range slots {
		if d.pub == nil {
			return d
		}
	}
	for _, d := range slots {
		if !d.pub.live() && !d.pub.demand.resting {
			return d
		}
	}
	return nil
}

// assignContent gives the content slot to whoever shares.
func (e *endpoint) assignContent(now dataplane.Instant) {
	var p *publication
	if o := e.sh.byOrigin[e.sh.content]; o != nil && o.id != e.id && o.sends[Content].there() {
		p = &o.sends[Content]
	}
	for _, d := range e.slots[Content] {
		d.assign(now, p)
	}
}

// setContent says who holds the content slot.
func (sh *shard) setContent(id EndpointID) {
	if sh.content != id {
		sh.content = id
		sh.touch(Content)
	}
}

// SetContent gives the content slot of everybody to what an endpoint shares, "" to nobody.
func (m *Meeting) SetContent(id EndpointID) error {
	return m.h.w.Post(dataplane.TaskFunc(func(dataplane.Instant) {
		m.sh.setContent(id)
		for _, l := range m.sh.links {
			l.setContent(id)
		}
	}))
}

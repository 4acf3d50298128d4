package zonectl

import (
	"slices"
	"strconv"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// Who is in which video slot: a client names a participant for a slot, or leaves it to whoever speaks. The slots that are left are
// filled with those who spoke last, each once, then with those who came first. Who is in such a slot stays there while they are among them, so that
// pictures do not jump.

// viewNobody in a View keeps a slot empty.
const viewNobody = "-"

// speakerChanged notes who speaks now.
func (m *meeting) speakerChanged() {
	id := m.speaker.Load()
	if id == nil {
		return
	}
	s := m.people[string(*id)]
	if s == nil || len(m.recent) > 0 && m.recent[0] == s {
		return
	}
	m.recent = slices.Insert(without(m.recent, s), 0, s)
	if s.sends(mmr.Video) {
		m.direct()
	}
}

// candidates are those who can be seen: who spoke last comes first, then who joined first.
func (m *meeting) candidates() []*session {
	list := make([]*session, 0, len(m.order))
	spoken := make(map[*session]bool, len(m.recent))
	for _, s := range m.recent {
		spoken[s] = true
		if s.sends(mmr.Video) {
			list = append(list, s)
		}
	}
	for _, s := range m.order {
		if !spoken[s] && s.sends(mmr.Video) {
			list = append(list, s)
		}
	}
	return list
}

// direct fills everybody's slots anew.
func (m *meeting) direct() {
	list := m.candidates()
	for _, s := range m.order {
		s.show(m.viewsOf(s, list))
	}
	for _, s := range m.watchers {
		s.show(m.viewsOf(s, list))
	}
}

func (m *meeting) directOne(s *session) { s.show(m.viewsOf(s, m.candidates())) }

// viewsOf decides who is in the session's slots.
func (m *meeting) viewsOf(s *session, candidates []*session) []mmr.View {
	if s.videoSlots == 0 {
		return nil
	}
	views := make([]mmr.View, s.videoSlots)
	if s.gear != nil && s.gear.content && m.sharing != nil {
		views[0] = mmr.View{Source: mmr.EndpointID(m.sharing.participant), Content: true}
		return views
	}
	named := map[mmr.EndpointID]bool{mmr.EndpointID(s.participant): true}
	free := 0
	for i, w := range s.wishes {
		views[i] = mmr.View{Slot: i, Height: w.Height, Priority: w.Priority}
		switch source := m.people[w.Participant]; {
		case w.Participant == "":
			free++
		case source != nil && source.send[mmr.Video] && w.Participant != viewNobody:
			views[i].Source = mmr.EndpointID(source.participant)
			named[views[i].Source] = true
		}
	}
	fill(views, s, best(candidates, named, free))
	return views
}

// best are the first so many candidates that are not named already.
func best(candidates []*session, named map[mmr.EndpointID]bool, n int) []mmr.EndpointID {
	var list []mmr.EndpointID
	for _, c := range candidates {
		if len(list) == n {
			break
		}
		if id := mmr.EndpointID(c.participant); !named[id] {
			list = append(list, id)
		}
	}
	return list
}

// fill puts the sources into the slots that nobody was named for: first those who are there already, then the others.
func fill(views []mmr.View, s *session, sources []mmr.EndpointID) {
	waiting := slices.Clone(sources)
	free := func(i int) bool { return s.wishes[i].Participant == "" && views[i].Source == "" }
	for i := range views {
		if i >= len(s.shown) || !free(i) {
			continue
		}
		if at := slices.Index(waiting, s.shown[i].Source); at >= 0 {
			views[i].Source = waiting[at]
			waiting = slices.Delete(waiting, at, at+1)
		}
	}
	for i := range views {
		if len(waiting) > 0 && free(i) {
			views[i].Source, waiting = waiting[0], waiting[1:]
		}
	}
}

// message makes an event of the router one of the wire. What the monitor judged is one already.
func message(e mmr.Event) wire.Message {
	switch e := e.(type) {
	case mmr.SlotsChanged:
		list := make([]wire.Slot, 0, len(e.Slots))
		for _, s := range e.Slots {
			list = append(list, wire.Slot{Mid: midOf(s), Medium: nameOf(s.Medium), Participant: string(s.Source), Paused: s.Paused})
		}
		return wire.Slots{Slots: list}
	case mmr.TransportsChanged:
		list := make([]wire.TransportState, 0, len(e.Transports))
		for _, t := range e.Transports {
			list = append(list, transportOf(t))
		}
		return wire.Transports{Transports: list}
	case mmr.SpeakerChanged:
		return wire.Speaker{Participant: string(e.Speaker)}
	case mmr.CodecsWanted:
		return codecsMessage(e)
	case mmr.EncodingsWanted: // only cameras send more than one
		return wire.SendLayers{Media: []wire.MediumLayers{{Medium: nameOf(e.Medium), RIDs: e.RIDs}}}
	case mmr.RatesWanted:
		return ratesMessage(e)
	case wire.Quality:
		return e
	case forewarning:
		return e.message()
	}
	return nil
}

// codecsMessage names the codecs of the media that are sent.
func codecsMessage(e mmr.CodecsWanted) wire.Message {
	var list []wire.MediumCodec
	for m, name := range e.Codecs {
		if name != "" {
			list = append(list, wire.MediumCodec{Medium: nameOf(mmr.Medium(m)), Codec: name})
		}
	}
	return wire.SendCodecs{Media: list}
}

// ratesMessage names the encodings that have a ceiling.
func ratesMessage(e mmr.RatesWanted) wire.Message {
	list := make([]wire.Ceiling, 0, len(e.Ceilings))
	for _, c := range e.Ceilings {
		list = append(list, wire.Ceiling{Medium: nameOf(c.Medium), RID: c.RID, Bitrate: c.Bitrate})
	}
	return wire.SendRates{Ceilings: list}
}

func midOf(s mmr.Slot) string { return s.Medium.String() + strconv.Itoa(s.Index) }

// transportOf leaves out what is not known yet.
func transportOf(t mmr.Transport) wire.TransportState {
	state := wire.TransportState{Medium: nameOf(t.Medium), State: t.State.String(), Cipher: t.Cipher, DSCP: t.DSCP, Silent: t.Silent}
	if t.Remote.IsValid() {
		state.Rung, state.Local, state.Remote = t.Rung.String(), t.Local.String(), t.Remote.String()
	}
	return state
}

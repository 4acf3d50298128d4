package zonectl

import (
	"net/http"
	"slices"
	"testing"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// TestJoin is the way of two people into a meeting, all four stages.
func TestJoin(t *testing.T) {
	z := openZone(t, Config{Zone: "z1", Name: "Seoul", Member: "m1"})
	var started wire.Started
	answer, told := z.request(http.MethodPost, wire.PathStart, nil, wire.StartRequest{Title: " Stand\u202eup\n ", Passcode: "1234"}, &started)
	if told != nil || answer.StatusCode != http.StatusCreated {
		t.Fatal(told, answer.Status)
	}
	if started.Meeting.Title != "Standup" || len(started.Meeting.Number) != 9 || started.Link != z.web.URL+"/j/"+started.Meeting.Number {
		t.Errorf("started %+v", started)
	}
	number := started.Meeting.Number
	typed := number[:3] + " " + number[3:6] + "-" + number[6:]
	found, told := z.lookUp(wire.LookupRequest{Meeting: typed, Passcode: "1234"})
	if told != nil {
		t.Fatal(told)
	}
	if len(found.Zones) != 1 || found.Zones[0].ID != "z1" || found.Zones[0].Controllers[0] != z.web.URL || found.Meeting.Number != number {
		t.Errorf("lookup %+v", found)
	}
	var probe wire.Probe
	answer, _ = z.request(http.MethodGet, wire.PathProbe, nil, nil, &probe)
	if probe.Zone != "z1" || probe.Media != "127.0.0.1:8801" || answer.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("probe %+v", probe)
	}

	anna := z.join("Anna", wire.LookupRequest{Meeting: number, HostKey: started.HostKey})
	if anna.welcome.Role != wire.RoleHost || anna.welcome.Router != "m1" || anna.welcome.Version != 1 || anna.welcome.Resumed {
		t.Errorf("welcome %+v", anna.welcome)
	}
	ben := z.enter(hello(found.Token, "Ben\x00  "))
	everybody := expect[wire.Participants](ben)
	if len(everybody.Participants) != 2 || everybody.Participants[0].Name != "Anna" || everybody.Participants[1].Name != "Ben" {
		t.Errorf("participants %+v", everybody)
	}
	anna.entry(ben.welcome.Participant, func(p wire.Participant) bool { return p.Audio && p.Video && !p.Sharing && !p.Away })

	offer := expect[wire.Offer](ben)
	if offer.Generation != 1 || !offer.Fresh || offer.SDP != "v=0 offer 1" {
		t.Errorf("offer %+v", offer)
	}
	ben.send(wire.Answer{Generation: 1, SDP: "v=0 mine"})
	e := z.router.endpoint(ben.welcome.Participant)
	e.is(t, "answer at the router", func() bool { return slices.Equal(e.answers, []string{"v=0 mine"}) })

	e.cfg.Notify(mmr.SlotsChanged{Slots: []mmr.Slot{{Medium: mmr.Audio, Index: 0, Source: mmr.EndpointID(anna.welcome.Participant)}}})
	slots := expect[wire.Slots](ben)
	if len(slots.Slots) != 1 || slots.Slots[0].Mid != "audio0" || slots.Slots[0].Participant != anna.welcome.Participant {
		t.Errorf("slots %+v", slots)
	}
	ben.send(wire.Ping{Sent: 7})
	if pong := expect[wire.Pong](ben); pong.Sent != 7 {
		t.Errorf("pong %+v", pong)
	}
	ben.send(wire.SendChat{Text: "good morning"})
	if chat := expect[wire.Chat](anna); chat.Text != "good morning" || chat.Name != "Ben" {
		t.Errorf("chat %+v", chat)
	}
	ben.send(wire.Leave{})
	expect(anna, func(l wire.Left) bool { return l.Participant == ben.welcome.Participant })

	late := z.enter(hello(z.token(wire.LookupRequest{Meeting: number, Passcode: "1234"}), ""))
	if chat := expect[wire.Chat](late); chat.Text != "good morning" {
		t.Errorf("chat so far: %+v", chat)
	}
	if last := expect[wire.Participants](late); last.State != late.state {
		t.Errorf("state %d after participants of %d", late.state, last.State)
	}
}

// TestNegotiate asks for more offers and sends answers that are late, early and bad.
func TestNegotiate(t *testing.T) {
	z := openZone(t, Config{})
	c := z.join("Anna", wire.LookupRequest{Meeting: z.create(MeetingSpec{}).Number})
	e := z.router.endpoint(c.welcome.Participant)
	c.send(wire.Negotiate{})
	if o := expect[wire.Offer](c); o.Generation != 2 || o.Fresh {
		t.Errorf("restart: %+v", o)
	}
	c.send(wire.Answer{Generation: 1, SDP: "v=0 late"})
	c.send(wire.Answer{Generation: 3, SDP: "v=0 early"})
	c.expectFailure("answer", wire.CodeBad)
	c.send(wire.Answer{Generation: 2, SDP: "nonsense"})
	c.expectFailure("answer", wire.CodeMedia)
	c.send(wire.Answer{Generation: 2, SDP: "v=0 good"})
	e.is(t, "the good answers", func() bool { return slices.Equal(e.answers, []string{"v=0", "v=0 good"}) })
	z.router.mu.Lock()
	e.broken = true
	z.router.mu.Unlock()
	c.send(wire.Negotiate{})
	if o := expect[wire.Offer](c); o.Generation != 3 || !o.Fresh {
		t.Errorf("what cannot be restarted is made anew: %+v", o)
	}
	for range exchangesBurst {
		c.send(wire.Negotiate{Fresh: true})
	}
	c.expectFailure("negotiate", wire.CodeRate)
}

// TestViews: slots are filled with those who speak, and with whom the client names.
func TestViews(t *testing.T) {
	z := openZone(t, Config{})
	l := wire.LookupRequest{Meeting: z.create(MeetingSpec{}).Number}
	var ids []mmr.EndpointID
	var people []*testClient
	for _, name := range []string{"A", "B", "C", "D"} {
		p := z.join(name, l)
		people, ids = append(people, p), append(ids, mmr.EndpointID(p.welcome.Participant))
	}
	a := z.router.endpoint(string(ids[0]))
	sees := func(what string, want ...mmr.EndpointID) {
		t.Helper()
		a.is(t, what, func() bool {
			return slices.EqualFunc(a.views, want, func(v mmr.View, id mmr.EndpointID) bool { return v.Source == id })
		})
	}
	sees("those who came first", ids[1], ids[2])
	a.cfg.Notify(mmr.SpeakerChanged{Speaker: ids[3]})
	sees("the speaker takes a slot, who is left stays where they are", ids[1], ids[3])
	a.cfg.Notify(mmr.SpeakerChanged{Speaker: ids[2]})
	sees("those who spoke last", ids[2], ids[3])
	people[0].send(wire.SetViews{Views: []wire.View{{Slot: 1, Participant: string(ids[1]), Height: 180, Priority: 2}}})
	sees("who is named", ids[2], ids[1])
	a.is(t, "height and priority", func() bool { return a.views[1].Height == 180 && a.views[1].Priority == 2 })
	people[0].send(wire.SetViews{Views: []wire.View{{Slot: 1, Participant: "-"}}})
	sees("nobody", ids[2], "")
	people[2].send(wire.SetMute{Medium: wire.Video, Muted: true})
	sees("somebody else for a camera that is off", ids[3], "")
	people[0].send(wire.SetViews{Views: []wire.View{{Slot: 2}}})
	people[0].expectFailure("set-views", wire.CodeBad)
	people[3].send(wire.Leave{})
	sees("somebody else for who has left", ids[1], "")
}

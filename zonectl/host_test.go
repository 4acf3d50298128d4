package zonectl

import (
	"testing"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// company is a host, Anna, and two participants.
func company(t *testing.T) (z *zone, info MeetingInfo, anna, ben, carl *testClient) {
	z = openZone(t, Config{})
	info = z.create(MeetingSpec{Passcode: "77"})
	anna = z.join("Anna", wire.LookupRequest{Meeting: info.Number, HostKey: info.HostKey})
	ben = z.join("Ben", wire.LookupRequest{Meeting: info.Number, Passcode: "77"})
	carl = z.join("Carl", wire.LookupRequest{Meeting: info.Number, Passcode: "77"})
	return z, info, anna, ben, carl
}

func TestHostMute(t *testing.T) {
	z, _, anna, ben, _ := company(t)
	id := ben.welcome.Participant
	e := z.router.endpoint(id)
	anna.send(wire.HostMute{Participant: id, Medium: wire.Audio, Muted: true})
	if m := expect[wire.Muted](ben); !m.Muted || m.Medium != wire.Audio || m.By != anna.welcome.Participant {
		t.Errorf("muted %+v", m)
	}
	anna.entry(id, func(p wire.Participant) bool { return !p.Audio && p.Video })
	e.is(t, "muted at the router", func() bool { return e.muted[mmr.Audio] })

	ben.send(wire.SetMute{Medium: wire.Audio, Muted: false})
	ben.expectFailure("set-mute", wire.CodeRole)
	ben.send(wire.SetMute{Medium: wire.Audio, Muted: true})
	state := ben.state
	ben.away(anna)
	back := z.resumeFrom(ben, ben.welcome.Secret, state)
	if m := expect[wire.Muted](back); !m.Muted || m.Medium != wire.Audio {
		t.Errorf("muted after a resume: %+v", m)
	}
	anna.send(wire.HostMute{Participant: id, Medium: wire.Audio, Muted: false})
	expect(back, func(m wire.Muted) bool { return !m.Muted })
	e.is(t, "still muted by themselves", func() bool { return e.muted[mmr.Audio] })
	back.send(wire.SetMute{Medium: wire.Audio, Muted: false})
	anna.entry(id, func(p wire.Participant) bool { return p.Audio })
	e.is(t, "heard again", func() bool { return !e.muted[mmr.Audio] })
}

func TestHostRemove(t *testing.T) {
	z, info, anna, ben, carl := company(t)
	token := z.token(wire.LookupRequest{Meeting: info.Number, Passcode: "77"})
	dave := z.enter(hello(token, "Dave"))
	anna.send(wire.HostRemove{Participant: dave.welcome.Participant})
	dave.expectBye(wire.CodeRemoved)
	expect(ben, func(l wire.Left) bool { return l.Participant == dave.welcome.Participant })
	again := z.dial()
	again.send(hello(token, "Dave"))
	again.expectBye(wire.CodeRemoved)
	z.resumeFrom(dave, dave.welcome.Secret, dave.state).expectBye(wire.CodeSession)

	anna.send(wire.HostRemove{Participant: anna.welcome.Participant})
	anna.expectFailure("host-remove", wire.CodeBad)
	anna.send(wire.HostRemove{Participant: "nobody"})
	anna.expectFailure("host-remove", wire.CodeBad)
	for _, m := range []wire.Message{wire.HostRemove{Participant: carl.welcome.Participant}, wire.HostLock{Locked: true}, wire.HostEnd{},
		wire.HostMute{Participant: carl.welcome.Participant, Medium: wire.Audio, Muted: true}} {
		ben.send(m)
		ben.expectFailure(m.Type(), wire.CodeRole)
	}
}

func TestHostLock(t *testing.T) {
	z, info, anna, ben, _ := company(t)
	token := z.token(wire.LookupRequest{Meeting: info.Number, Passcode: "77"})
	anna.send(wire.HostLock{Locked: true})
	if m := expect[wire.MeetingChanged](ben); !m.Meeting.Locked {
		t.Errorf("%+v", m)
	}
	late := z.dial()
	late.send(hello(token, "Dave"))
	late.expectBye(wire.CodeLocked)
	if _, told := z.lookUp(wire.LookupRequest{Meeting: info.Number, Passcode: "77"}); told == nil || told.Code != wire.CodeLocked {
		t.Errorf("lookup of a locked meeting: %v", told)
	}
	if _, told := z.lookUp(wire.LookupRequest{Meeting: info.Number, Passcode: "76"}); told == nil || told.Code != wire.CodeRefused {
		t.Errorf("lookup of a locked meeting without its passcode: %v", told)
	}
	z.join("Eva", wire.LookupRequest{Meeting: info.Number, HostKey: info.HostKey})
	state := ben.state
	ben.away(anna)
	expect[wire.Welcome](z.resumeFrom(ben, ben.welcome.Secret, state))
	anna.send(wire.HostLock{Locked: false})
	expect(anna, func(m wire.MeetingChanged) bool { return !m.Meeting.Locked })
	z.join("Dave", wire.LookupRequest{Meeting: info.Number, Passcode: "77"})
}

func TestHostEnd(t *testing.T) {
	z, info, anna, ben, carl := company(t)
	anna.send(wire.HostEnd{})
	for _, c := range []*testClient{anna, ben, carl} {
		c.expectBye(wire.CodeEnded)
	}
	eventually(t, "the meeting is gone", func() bool { return z.Stats().Meetings == 0 })
	for passcode, code := range map[string]wire.Code{"77": wire.CodeEnded, "78": wire.CodeRefused} {
		if _, told := z.lookUp(wire.LookupRequest{Meeting: info.Number, Passcode: passcode}); told == nil || told.Code != code {
			t.Errorf("lookup of an ended meeting with %q: %v, want %s", passcode, told, code)
		}
	}
}

func TestClaimHost(t *testing.T) {
	_, info, anna, ben, _ := company(t)
	ben.send(wire.ClaimHost{Key: "wrong"})
	ben.expectFailure("claim-host", wire.CodeRefused)
	ben.send(wire.ClaimHost{Key: info.HostKey})
	if r := expect[wire.RoleChanged](ben); r.Role != wire.RoleHost {
		t.Errorf("%+v", r)
	}
	anna.entry(ben.welcome.Participant, func(p wire.Participant) bool { return p.Role == wire.RoleHost })
	ben.send(wire.HostLock{Locked: true})
	expect[wire.MeetingChanged](anna)
}

func TestShare(t *testing.T) {
	z, _, anna, ben, carl := company(t)
	content := func(who *testClient) {
		t.Helper()
		var want mmr.EndpointID
		if who != nil {
			want = mmr.EndpointID(who.welcome.Participant)
		}
		m := z.router.meetings[0]
		eventually(t, "content of "+string(want), func() bool {
			z.router.mu.Lock()
			defer z.router.mu.Unlock()
			return m.content == want
		})
	}
	ben.send(wire.SetShare{On: true})
	anna.entry(ben.welcome.Participant, func(p wire.Participant) bool { return p.Sharing })
	content(ben)
	carl.send(wire.SetShare{On: true})
	carl.expectFailure("set-share", wire.CodePolicy)
	anna.send(wire.SetShare{On: true})
	carl.entry(ben.welcome.Participant, func(p wire.Participant) bool { return !p.Sharing })
	carl.entry(anna.welcome.Participant, func(p wire.Participant) bool { return p.Sharing })
	content(anna)
	anna.send(wire.HostMute{Participant: anna.welcome.Participant, Medium: wire.Content, Muted: true})
	content(nil)
	carl.send(wire.SetShare{On: true})
	content(carl)
	carl.send(wire.Leave{})
	content(nil)
}

// TestRoles: who only watches or publishes may do less.
func TestRoles(t *testing.T) {
	z, info, anna, _, _ := company(t)
	viewer := z.join("V", wire.LookupRequest{Meeting: info.Number, Passcode: "77", Role: wire.RoleViewer})
	publisher := z.join("P", wire.LookupRequest{Meeting: info.Number, Passcode: "77", Role: wire.RolePublisher})
	if e := z.router.endpoint(viewer.welcome.Participant); e.cfg.Send != [mmr.NumMedia]bool{} || e.cfg.VideoSlots != 2 {
		t.Errorf("a viewer may send: %+v", e.cfg)
	}
	if e := z.router.endpoint(publisher.welcome.Participant); !e.cfg.Send[mmr.Video] || e.cfg.VideoSlots != 0 {
		t.Errorf("a publisher receives: %+v", e.cfg)
	}
	viewer.send(wire.SendChat{Text: "hello"})
	viewer.expectFailure("send-chat", wire.CodeRole)
	viewer.send(wire.SetShare{On: true})
	viewer.expectFailure("set-share", wire.CodeBad)
	viewer.send(wire.SetMute{Medium: wire.Audio})
	viewer.expectFailure("set-mute", wire.CodeBad)
	viewer.send(wire.Report{Media: []wire.MediumReport{{Medium: wire.Audio, Received: 9, DSCP: -1}}})
	viewer.send(wire.Ping{})
	expect[wire.Pong](viewer)
	detail, err := z.Meeting(t.Context(), info.Number)
	if err != nil || detail.Count != 5 || len(detail.Participants) != 5 {
		t.Fatalf("%+v, %v", detail, err)
	}
	eventually(t, "the report is there", func() bool {
		detail, err := z.Meeting(t.Context(), info.Number)
		return err == nil && len(detail.Participants[3].Report) == 1
	})
	anna.entry(publisher.welcome.Participant, func(p wire.Participant) bool { return p.Role == wire.RolePublisher })
}

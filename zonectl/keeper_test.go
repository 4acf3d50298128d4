package zonectl

import (
	"testing"

	"meetzone/zonectl/wire"
)

// TestRestart: after a restart of the daemon everybody comes back to the same meeting, as who they were, even when it is locked; nobody else
// does by the same way.
func TestRestart(t *testing.T) {
	first := openZone(t, Config{})
	created := first.create(MeetingSpec{Title: "Weekly", Passcode: "1234"})
	anna := first.join("Anna", wire.LookupRequest{Meeting: created.Number, HostKey: created.HostKey})
	token := first.token(wire.LookupRequest{Meeting: created.Number, Passcode: "1234"})
	ben := first.join("Ben", wire.LookupRequest{Meeting: created.Number, Passcode: "1234"})
	anna.send(wire.HostLock{Locked: true})
	expect(ben, func(m wire.MeetingChanged) bool { return m.Meeting.Locked })
	if err := first.Controller.Close(); err != nil {
		t.Fatal(err)
	}

	second := openZoneOn(t, Config{}, first.kept)
	greet := func(session, secret string) *testClient {
		h := hello(token, "Somebody")
		h.Resume = &wire.Resume{Session: session, Secret: secret, State: 5}
		c := second.dial()
		c.send(h)
		return c
	}
	greet(ben.welcome.Session, anna.welcome.Secret).expectBye(wire.CodeSession)
	greet("another", ben.welcome.Secret).expectBye(wire.CodeSession)
	forged := []byte(ben.welcome.Secret)
	copy(forged, "x")
	greet(ben.welcome.Session, string(forged)).expectBye(wire.CodeSession)

	for _, was := range []*testClient{ben, anna} {
		w := expect[wire.Welcome](greet(was.welcome.Session, was.welcome.Secret))
		if w.Resumed || w.Participant != was.welcome.Participant || w.Role != was.welcome.Role || w.Meeting.Number != created.Number ||
			!w.Meeting.Locked || w.Meeting.Title != "Weekly" {
			t.Errorf("welcome back: %+v; was %+v", w, was.welcome)
		}
	}
	if info, err := second.Meeting(t.Context(), created.Number); err != nil || info.Number != created.Number {
		t.Errorf("meeting after the restart: %+v, %v", info, err)
	}
}

// TestKeptMeetingsEnd: a meeting that has ended does not come back.
func TestKeptMeetingsEnd(t *testing.T) {
	z := openZone(t, Config{})
	created := z.create(MeetingSpec{})
	eventually(t, "the meeting is kept", func() bool { return z.kept.has(created.Number) })
	host := z.join("Anna", wire.LookupRequest{Meeting: created.Number, HostKey: created.HostKey})
	host.send(wire.HostEnd{})
	eventually(t, "the meeting is forgotten", func() bool { return !z.kept.has(created.Number) })
}

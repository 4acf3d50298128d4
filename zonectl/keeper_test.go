package zonectl

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"meetzone/zonectl/wire"
)

// TestRestart: after a restart of the daemon everybody comes back to the same meeting, as who they were, even when it is locked; nobody else
// does by the same way.
func TestRestart(t *testing.T) {
	first := openZone(t, Config{})
	created := first.create(MeetingSpec{Title: "Weekly", Passcode: "1234"})
	hosts := first.token(wire.LookupRequest{Meeting: created.Number, HostKey: created.HostKey})
	anna := first.enter(hello(hosts, "Anna"))
	token := first.token(wire.LookupRequest{Meeting: created.Number, Passcode: "1234"})
	ben := first.enter(hello(token, "Ben"))
	removed := first.token(wire.LookupRequest{Meeting: created.Number, Passcode: "1234"})
	carl := first.enter(hello(removed, "Carl"))
	anna.send(wire.HostRemove{Participant: carl.welcome.Participant})
	carl.expectBye(wire.CodeRemoved)
	anna.send(wire.HostLock{Locked: true})
	expect(ben, func(m wire.MeetingChanged) bool { return m.Meeting.Locked })
	if err := first.Controller.Close(); err != nil {
		t.Fatal(err)
	}

	second := openZoneOn(t, Config{}, first.kept)
	greet := second.comeBack
	greet(token, ben.welcome.Session, anna.welcome.Secret).expectBye(wire.CodeSession)
	greet(token, "another", ben.welcome.Secret).expectBye(wire.CodeSession)
	greet(hosts, ben.welcome.Session, ben.welcome.Secret).expectBye(wire.CodeSession)
	greet(removed, carl.welcome.Session, carl.welcome.Secret).expectBye(wire.CodeRemoved)
	forged := []byte(ben.welcome.Secret)
	forged[0] = map[bool]byte{true: 'y', false: 'x'}[forged[0] == 'x'] // another one in any case
	greet(token, ben.welcome.Session, string(forged)).expectBye(wire.CodeSession)

	for token, was := range map[string]*testClient{token: ben, hosts: anna} {
		w := expect[wire.Welcome](greet(token, was.welcome.Session, was.welcome.Secret))
		if w.Resumed || w.Participant != was.welcome.Participant || w.Role != was.welcome.Role || w.Meeting.Number != created.Number ||
			!w.Meeting.Locked || w.Meeting.Title != "Weekly" {
			t.Errorf("welcome back: %+v; was %+v", w, was.welcome)
		}
	}
	if info, err := second.Meeting(t.Context(), created.Number); err != nil || info.Number != created.Number {
		t.Errorf("meeting after the restart: %+v, %v", info, err)
	}
	if err := second.Controller.Close(); err != nil {
		t.Fatal(err)
	}
	third := openZoneOn(t, Config{}, first.kept)
	third.comeBack(token, ben.welcome.Session, ben.welcome.Secret).expectBye(wire.CodeSession) // of the run before the last
	third.comeBack(removed, carl.welcome.Session, carl.welcome.Secret).expectBye(wire.CodeSession)
}

// comeBack says hello with what an earlier run of the daemon has given.
func (z *zone) comeBack(token, session, secret string) *testClient {
	z.t.Helper()
	h := hello(token, "Somebody")
	h.Resume = &wire.Resume{Session: session, Secret: secret, State: 5}
	c := z.dial()
	c.send(h)
	return c
}

// TestRestartOfRoom: into a room too people come back, but not when its passcode is another one by then, and not who was removed.
func TestRestartOfRoom(t *testing.T) {
	first := openZone(t, Config{})
	room, err := first.CreateRoom(t.Context(), MeetingSpec{Number: "4444", Passcode: "1234"})
	if err != nil {
		t.Fatal(err)
	}
	join := func(name string, l wire.LookupRequest) (token string, c *testClient) {
		l.Meeting = room.Number
		token = first.token(l)
		return token, first.enter(hello(token, name))
	}
	_, anna := join("Anna", wire.LookupRequest{HostKey: room.HostKey})
	bens, ben := join("Ben", wire.LookupRequest{Passcode: "1234"})
	carls, carl := join("Carl", wire.LookupRequest{Passcode: "1234"})
	anna.send(wire.HostRemove{Participant: carl.welcome.Participant})
	carl.expectBye(wire.CodeRemoved)
	if err := first.Controller.Close(); err != nil {
		t.Fatal(err)
	}
	again := func() *zone {
		z := openZone(t, Config{})
		if err := z.Controller.Close(); err != nil {
			t.Fatal(err)
		}
		z.rooms, z.kept = first.rooms, &memory[Kept]{records: maps.Clone(first.kept.records)}
		z.Controller = z.newController(Config{})
		z.web.Config.Handler = z.Handler()
		return z
	}
	second := again()
	second.comeBack(carls, carl.welcome.Session, carl.welcome.Secret).expectBye(wire.CodeRemoved)
	if w := expect[wire.Welcome](second.comeBack(bens, ben.welcome.Session, ben.welcome.Secret)); w.Participant != ben.welcome.Participant {
		t.Errorf("welcome back: %+v; was %+v", w, ben.welcome)
	}
	other := "4321"
	if _, err := first.ChangeRoom(t.Context(), room.Number, RoomChange{Passcode: &other}); err != nil {
		t.Fatal(err)
	}
	again().comeBack(bens, ben.welcome.Session, ben.welcome.Secret).expectBye(wire.CodeSession)
}

// TestFailedStarts: runs that end at once, with nobody in them, take nothing from those who want to come back.
func TestFailedStarts(t *testing.T) {
	first := openZone(t, Config{})
	created := first.create(MeetingSpec{})
	token := first.token(wire.LookupRequest{Meeting: created.Number})
	ben := first.enter(hello(token, "Ben"))
	if err := first.Controller.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := first.newController(Config{}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	last := openZoneOn(t, Config{}, first.kept)
	expect[wire.Welcome](last.comeBack(token, ben.welcome.Session, ben.welcome.Secret))
}

// TestKeptAtOnce: what changes shortly before the end is kept, and is not taken for ended.
func TestKeptAtOnce(t *testing.T) {
	for range 50 {
		z := openZone(t, Config{})
		number := z.create(MeetingSpec{}).Number
		if err := z.Controller.Close(); err != nil {
			t.Fatal(err)
		}
		if !z.kept.has(number) {
			t.Fatal("the meeting is lost")
		}
	}
}

// TestKeeperTriesAgain: what the disk did not take is written when it does.
func TestKeeperTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &memory[Kept]{records: map[string]Kept{}, err: errors.New("the disk is full")}
		k := newKeeper(table, slog.New(slog.DiscardHandler), func(number string) (Kept, bool) { return Kept{Number: number}, true })
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); k.runKeeper(ctx) }()
		k.touch("4444")
		synctest.Wait()
		table.mu.Lock()
		table.err = nil
		table.mu.Unlock()
		time.Sleep(keepAgain + time.Second)
		if !table.has("4444") {
			t.Error("not tried again")
		}
		cancel()
		<-ran
	})
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

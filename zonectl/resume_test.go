package zonectl

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/coder/websocket"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// resumeFrom says hello over a new channel to go on with the client's session.
func (z *zone) resumeFrom(c *testClient, secret string, state uint64) *testClient {
	z.t.Helper()
	h := hello("", "")
	h.Resume = &wire.Resume{Session: c.welcome.Session, Secret: secret, State: state}
	d := z.dial()
	d.state = state
	d.send(h)
	return d
}

// away closes the channel without leaving and waits until the meeting has noticed.
func (c *testClient) away(witness *testClient) {
	c.t.Helper()
	c.socket.CloseNow()
	witness.entry(c.welcome.Participant, func(p wire.Participant) bool { return p.Away })
}

// TestResume: whoever loses the channel gets exactly what they missed; endpoint and participant stay.
func TestResume(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	anna, ben := z.join("Anna", wire.LookupRequest{Meeting: number}), z.join("Ben", wire.LookupRequest{Meeting: number})
	endpoint := z.router.endpoint(ben.welcome.Participant)
	endpoint.cfg.Notify(mmr.SlotsChanged{Slots: []mmr.Slot{{Medium: mmr.Audio}}})
	expect[wire.Slots](ben)
	state := ben.state
	ben.away(anna)
	for i := range 3 {
		anna.send(wire.SendChat{Text: fmt.Sprint("missed ", i)})
	}
	expect(anna, func(c wire.Chat) bool { return c.Text == "missed 2" })
	endpoint.cfg.Notify(mmr.SpeakerChanged{Speaker: mmr.EndpointID(anna.welcome.Participant)})

	wrong := z.resumeFrom(ben, "wrong", state)
	wrong.expectBye(wire.CodeSession)
	back := z.resumeFrom(ben, ben.welcome.Secret, state)
	w := expect[wire.Welcome](back)
	if !w.Resumed || w.Participant != ben.welcome.Participant || w.Secret == ben.welcome.Secret {
		t.Errorf("welcome back: %+v", w)
	}
	for i := range 3 {
		if chat := expect[wire.Chat](back); chat.Text != fmt.Sprint("missed ", i) {
			t.Errorf("missed message %d: %q", i, chat.Text)
		}
	}
	expect[wire.Slots](back)
	if s := expect[wire.Speaker](back); s.Participant != anna.welcome.Participant {
		t.Errorf("speaker %+v", s)
	}
	anna.entry(w.Participant, func(p wire.Participant) bool { return !p.Away })
	if z.router.endpoint(w.Participant) != endpoint {
		t.Error("the endpoint did not survive")
	}
	back.send(wire.Negotiate{Fresh: true})
	if o := expect[wire.Offer](back); o.Generation != 2 {
		t.Errorf("offer after resume: %+v", o)
	}

	// The secret before the latest is good only until the client has shown that it knows the latest.
	z.resumeFrom(ben, ben.welcome.Secret, back.state).expectBye(wire.CodeSession)
}

// TestResumeLostWelcome: the welcome with the new secret never came, so the old one is still good; a second channel takes over from the first.
func TestResumeLostWelcome(t *testing.T) {
	z := openZone(t, Config{})
	c := z.join("Anna", wire.LookupRequest{Meeting: z.create(MeetingSpec{}).Number})
	c.send(wire.Ping{})
	expect[wire.Pong](c)
	first := z.resumeFrom(c, c.welcome.Secret, c.state)
	if w := expect[wire.Welcome](first); !w.Resumed {
		t.Errorf("%+v", w)
	}
	for {
		if _, err := c.receive(); err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("the channel that was taken over closed with %v", err)
			}
			break
		}
	}
	second := z.resumeFrom(c, c.welcome.Secret, c.state)
	if w := expect[wire.Welcome](second); !w.Resumed {
		t.Errorf("%+v", w)
	}
	second.send(wire.Ping{Sent: 1})
	expect[wire.Pong](second)
	if s := z.Stats(); s.Sessions != 1 {
		t.Errorf("%d sessions", s.Sessions)
	}
}

// hold keeps runMeeting busy from held to release.
type hold struct{ held, release chan struct{} }

func (h hold) do(*meeting) { close(h.held); <-h.release }

// TestResumeAbandoned: a channel that ends while a busy meeting has its resume does not keep the session for ever.
func TestResumeAbandoned(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	a := z.join("A", wire.LookupRequest{Meeting: number})
	a.send(wire.Ping{})
	expect[wire.Pong](a) // the answer to the offer is in the inbox, or done
	m := z.meetingOf(a.welcome.Session)
	busy := hold{make(chan struct{}), make(chan struct{})}
	if err := m.send(t.Context(), busy); err != nil {
		t.Fatal(err)
	}
	<-busy.held // and everything before it is done
	ctx, cancel := context.WithCancel(t.Context())
	ch := &channel{c: z.Controller, out: newOutbox()}
	refused := make(chan error, 1)
	go func() {
		_, err := ch.resume(ctx, wire.Hello{Resume: &wire.Resume{Session: a.welcome.Session, Secret: a.welcome.Secret}}, 1)
		refused <- err
	}()
	eventually(t, "the resume waits in the inbox", func() bool { return len(m.inbox) == 1 })
	cancel()
	if err := <-refused; err == nil {
		t.Error("resumed without a reply")
	}
	close(busy.release)
	info, err := z.Meeting(t.Context(), number)
	if err != nil || len(info.Participants) != 1 || !info.Participants[0].Away {
		t.Errorf("the session waits for nobody: %+v, %v", info, err)
	}
}

// TestResumeSnapshot: who has missed more than the log holds, or comes with a state that never was, gets everything anew.
func TestResumeSnapshot(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	anna, ben := z.join("Anna", wire.LookupRequest{Meeting: number}), z.join("Ben", wire.LookupRequest{Meeting: number})
	ben.away(anna)
	back := z.resumeFrom(ben, ben.welcome.Secret, ben.state+1000)
	expect[wire.Welcome](back)
	if p := expect[wire.Participants](back); len(p.Participants) != 2 || p.State == 0 {
		t.Errorf("snapshot %+v", p)
	}
}

// TestExpiry: who does not come back in time has left.
func TestExpiry(t *testing.T) {
	z := openZone(t, Config{Limits: Limits{ResumeWithin: 50 * time.Millisecond}})
	number := z.create(MeetingSpec{}).Number
	anna, ben := z.join("Anna", wire.LookupRequest{Meeting: number}), z.join("Ben", wire.LookupRequest{Meeting: number})
	ben.away(anna)
	expect(anna, func(l wire.Left) bool { return l.Participant == ben.welcome.Participant })
	z.resumeFrom(ben, ben.welcome.Secret, ben.state).expectBye(wire.CodeSession)
	if z.router.endpoint(ben.welcome.Participant) != nil {
		t.Error("the endpoint of somebody who has left is still there")
	}
}

// TestSlowClient: a client that does not read loses its channel, not the meeting's time.
func TestSlowClient(t *testing.T) {
	o := newOutbox()
	for range maxWaiting + 1 {
		o.put([]byte("x"))
	}
	if b := o.take(); !b.overflow || !b.finished || len(b.messages) != 0 {
		t.Errorf("too many messages: overflow %v, finished %v, %d messages", b.overflow, b.finished, len(b.messages))
	}
	o = newOutbox()
	for range 5 {
		o.put(make([]byte, maxWaitingBytes/4))
	}
	if b := o.take(); !b.overflow {
		t.Error("too many bytes are taken in")
	}
	o = newOutbox()
	o.put([]byte("1"))
	for i := range 10 {
		o.tell(latestSpeaker, mmr.SpeakerChanged{Speaker: mmr.EndpointID(fmt.Sprint(i))})
	}
	if b := o.take(); len(b.messages) != 1 || len(b.news) != 1 || b.news[0].(mmr.SpeakerChanged).Speaker != "9" {
		t.Errorf("news do not replace each other: %+v", b)
	}
	if b := o.take(); len(b.messages)+len(b.news) != 0 {
		t.Errorf("taken twice: %+v", b)
	}
}

// TestRoster compares the log with a plain list.
func TestRoster(t *testing.T) {
	var r roster
	var all []string
	encode := func(m wire.Message) []byte { return []byte(m.(wire.Left).Participant) }
	for i := range 3 * maxLogged {
		r.add(func(state uint64) wire.Message { return wire.Left{State: state, Participant: fmt.Sprint(i)} }, encode)
		all = append(all, fmt.Sprint(i))
	}
	for _, state := range []uint64{0, 2*maxLogged - 1, 2 * maxLogged, 3*maxLogged - 1, 3 * maxLogged, 3*maxLogged + 1} {
		missed, whole := r.since(state)
		if want := state >= 2*maxLogged && state <= 3*maxLogged; whole != want {
			t.Fatalf("since %d: whole is %v", state, whole)
		}
		for i, data := range missed {
			if string(data) != all[int(state)+i] {
				t.Fatalf("since %d: entry %d is %s", state, i, data)
			}
		}
		if whole && len(missed) != len(all)-int(state) {
			t.Errorf("since %d: %d entries", state, len(missed))
		}
	}
}

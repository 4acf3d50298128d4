package zonectl

import (
	"testing"
	"testing/synctest"
	"time"

	"meetzone/zonectl/wire"
)

// TestForewarn: whoever is in is told when everybody will be sent away and is reminded; whoever comes in or back later is told what is left then; all are told
// when it is called off, and nobody who has not been told anything.
func TestForewarn(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	a := z.join("A", wire.LookupRequest{Meeting: number})
	z.Forewarn("", time.Time{}) // nobody was told anything: not a word, which the next message shows
	z.Forewarn("new\n cables", time.Now().Add(2*time.Hour))
	if d := expect[wire.Drain](a); d != (wire.Drain{On: true, Reason: "new cables", LeftS: 7200}) && d.LeftS != 7199 {
		t.Errorf("at first: %+v", d)
	}
	within := func(from, to int) func(wire.Drain) bool {
		return func(d wire.Drain) bool { return d.On && d.LeftS >= from && d.LeftS <= to }
	}
	z.Forewarn("new cables", time.Now().Add(10*time.Minute))
	expect(a, within(590, 600))
	// Not by join, which passes over what comes before the offer.
	b := z.enter(hello(z.token(wire.LookupRequest{Meeting: number}), "B")) // as somebody who comes back after a restart
	expect(b, within(560, 600))
	state := b.state
	b.away(a)
	z.Forewarn("new cables", time.Now().Add(5*time.Minute))
	b = z.resumeFrom(b, b.welcome.Secret, state)
	expect(b, within(260, 300))
	z.Forewarn("", time.Time{})
	for _, c := range []*testClient{a, b} {
		if d := expect(c, func(d wire.Drain) bool { return !d.On }); d != (wire.Drain{}) {
			t.Errorf("called off: %+v", d)
		}
	}
	c := z.enter(hello(z.token(wire.LookupRequest{Meeting: number}), "C"))
	for sent := range int64(2) { // what the first answer may have overtaken has come before the second
		c.send(wire.Ping{Sent: sent})
		for answered := false; !answered; {
			m, err := c.receive()
			if err != nil {
				t.Fatal(err)
			}
			if _, told := m.(wire.Drain); told {
				t.Errorf("somebody new is told what is over: %+v", m)
			}
			_, answered = m.(wire.Pong)
		}
	}
}

// TestForewarningTells what is left at the moment of telling, never nothing.
func TestForewarningTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := forewarning{"cables", time.Now().Add(90 * time.Second)}
		for _, want := range []int{90, 60, 30, 1, 1} {
			if d := f.message().(wire.Drain); d.LeftS != want {
				t.Errorf("%d s are left, want %d", d.LeftS, want)
			}
			time.Sleep(30 * time.Second)
		}
		if d := (forewarning{}).message(); d != (wire.Drain{}) {
			t.Errorf("withdrawn: %+v", d)
		}
	})
}

package zonectl

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"meetzone/zonectl/wire"
)

// twoZones are two zones that know each other; change may make the second one's list another.
func twoZones(t *testing.T, change func(second *Config, first Zone)) (first, second *zone) {
	first = openZone(t, Config{Zone: "first"})
	second = &zone{t: t, router: &fakeRouter{}, rooms: &memory[Room]{records: map[string]Room{}}, tokens: &memory[APIToken]{records: map[string]APIToken{}}, kept: &memory[Kept]{records: map[string]Kept{}}}
	public := func(n byte) ed25519.PublicKey { return testKey(n).Public().(ed25519.PublicKey) }
	own := Zone{ID: "first", Name: "First", Controllers: []string{first.web.URL}, Key: public(1)}
	cfg := Config{Zone: "second"}
	change(&cfg, own)
	var err error
	second.Controller, err = New(cfg, Deps{Router: second.router, Store: Store{Rooms: second.rooms, Tokens: second.tokens, Meetings: second.kept}, SigningKey: testKey(2), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	second.web = httptest.NewTLSServer(second.Handler())
	t.Cleanup(func() {
		second.web.Client().CloseIdleConnections()
		second.web.Close()
		_ = second.Controller.Close()
	})
	if _, err := first.Apply(Config{Zone: "first", Zones: []Zone{{ID: "second", Controllers: []string{second.web.URL}, Key: public(2)}}}); err != nil {
		t.Fatal(err)
	}
	return first, second
}

// TestLookupNamesTheHolder: a zone that is asked for a meeting of another one names it, whatever passcode is shown; the passcode counts where the meeting is.
func TestLookupNamesTheHolder(t *testing.T) {
	first, second := twoZones(t, func(c *Config, first Zone) {
		c.Zones = []Zone{{ID: "dead", Controllers: []string{"https://127.0.0.1:1"}, Key: first.Key}, first}
	})
	number := first.create(MeetingSpec{Passcode: "1234"}).Number
	for _, passcode := range []string{"1234", "wrong", ""} {
		_, told := second.lookUp(wire.LookupRequest{Meeting: number, Passcode: passcode})
		if told == nil || told.Code != wire.CodeElsewhere || told.Zone == nil || told.Zone.ID != "first" || told.Zone.Controllers[0] != first.web.URL || !strings.Contains(told.Text, "zone First") {
			t.Fatalf("with %q: %+v", passcode, told)
		}
	}
	if _, told := first.lookUp(wire.LookupRequest{Meeting: number}); told == nil || told.Code != wire.CodeRefused {
		t.Errorf("without the passcode: %+v", told)
	}
	answer, told := first.lookUp(wire.LookupRequest{Meeting: number, Passcode: "1234"})
	if told != nil || answer.Zone != "first" {
		t.Errorf("%+v of zone %q", told, answer.Zone)
	}
	// With the token of the first, the second says by whom it is signed.
	if _, told := second.request("POST", wire.PathRoute, nil, wire.RouteRequest{Token: answer.Token}, nil); told == nil || told.Zone == nil || told.Zone.ID != "first" {
		t.Errorf("route: %+v", told)
	}
	if _, told := second.lookUp(wire.LookupRequest{Meeting: "999999999"}); told == nil || told.Code != wire.CodeRefused {
		t.Errorf("a number that nobody has: %+v", told)
	}
}

// TestHoldersNeedEachOther: a zone answers none that it does not know, and takes no answer of one that has another key than the list says.
func TestHoldersNeedEachOther(t *testing.T) {
	for name, change := range map[string]func(*Config, Zone){
		"the other has another key": func(c *Config, first Zone) {
			first.Key = testKey(9).Public().(ed25519.PublicKey)
			c.Zones = []Zone{first}
		},
		"the other does not know us":   func(c *Config, first Zone) { c.Zone, c.Zones = "third", []Zone{first} },
		"the other has another id":     func(c *Config, first Zone) { first.ID = "other"; c.Zones = []Zone{first} },
		"the other is not in the list": func(c *Config, first Zone) {},
	} {
		first, second := twoZones(t, change)
		number := first.create(MeetingSpec{}).Number
		if _, told := second.lookUp(wire.LookupRequest{Meeting: number}); told == nil || told.Code != wire.CodeRefused {
			t.Errorf("%s: %+v", name, told)
		}
	}
}

// TestHoldersAreBounded: what is known is not asked again, who wants to know the same waits for one answer, and not too many numbers are asked for at once.
func TestHoldersAreBounded(t *testing.T) {
	var h holders
	never := func() (string, bool) { t.Error("asked"); return "", false }
	begun, finish := make(chan struct{}), make(chan struct{})
	var asking sync.WaitGroup
	for i := range holdsAtOnce {
		asking.Go(func() {
			_, _ = h.holderOf(strings.Repeat("1", i+4), func() (string, bool) {
				begun <- struct{}{}
				<-finish
				return "zone", i == 0
			})
		})
	}
	for range holdsAtOnce {
		<-begun
	}
	if zone, sure := h.holderOf("5555", never); zone != "" || sure {
		t.Errorf("one too many: %q, %v", zone, sure)
	}
	asking.Go(func() {
		if zone, sure := h.holderOf("1111", never); zone != "zone" || !sure {
			t.Errorf("beside another: %q, %v", zone, sure)
		}
	})
	close(finish)
	asking.Wait()
	if zone, sure := h.holderOf("1111", never); zone != "zone" || !sure {
		t.Errorf("known: %q, %v", zone, sure)
	}
	asked := false
	again := func() (string, bool) { asked = true; return "", true }
	if zone, sure := h.holderOf("11111", again); zone != "" || !sure || !asked {
		t.Errorf("what was not sure is remembered: %q, %v", zone, sure)
	}
	h.known["1111"] = holder{"zone", time.Now().Add(-time.Second)}
	asked = false
	if zone, _ := h.holderOf("1111", again); zone != "" || !asked {
		t.Error("what is over is still known")
	}
}

// TestNotKnownIsNoGuess: while a zone does not answer, a number that is not here may be its own: whoever asks for it is told to try again, and not taken for somebody
// who guesses. A wrong passcode of a meeting that is here is one, and is answered with the same.
func TestNotKnownIsNoGuess(t *testing.T) {
	const attempts = 2
	var known []Zone
	_, second := twoZones(t, func(c *Config, first Zone) {
		c.Guess.Attempts, known = attempts, []Zone{first}
		c.Zones = []Zone{{ID: "dead", Controllers: []string{"https://127.0.0.1:1"}, Key: first.Key}, first}
	})
	here := second.create(MeetingSpec{Passcode: "1234"}).Number
	refused := func(number, passcode, source string) *wire.Error {
		t.Helper()
		_, err := second.lookup(t.Context(), wire.LookupRequest{Meeting: number, Passcode: passcode}, source)
		if err == nil {
			return &wire.Error{}
		}
		return tell(err)
	}
	for range attempts + 2 {
		if told := refused("999999999", "", "honest"); told.Code != wire.CodeRefused || told.Retry == 0 {
			t.Fatalf("a number that may be the dead zone's: %+v", told)
		}
	}
	if told := refused(here, "1234", "honest"); told.Code != "" {
		t.Errorf("the right passcode afterwards: %+v", told)
	}
	for range attempts {
		if told := refused(here, "4321", "guesser"); *told != *errUnsure {
			t.Errorf("a wrong passcode: %+v", told)
		}
	}
	if told := refused(here, "4321", "other"); told.Code != wire.CodeGuess {
		t.Errorf("too many wrong passcodes of a meeting that is here: %+v", told)
	}
	for range unsureFactor * attempts {
		refused("999999999", "", "patient")
	}
	if told := refused("999999999", "", "patient"); told.Code != wire.CodeGuess {
		t.Errorf("there is no end: %+v", told)
	}
	// Where all zones answer, it is a guess.
	if _, err := second.Apply(Config{Zone: "second", Zones: known, Guess: GuessLimits{Attempts: attempts}}); err != nil {
		t.Fatal(err)
	}
	for range attempts {
		if told := refused("888888888", "", "next"); *told != *errRefused {
			t.Errorf("a number that nobody has: %+v", told)
		}
	}
	if told := refused("888888888", "", "next"); told.Code != wire.CodeGuess {
		t.Errorf("guessing: %+v", told)
	}
}

// TestHangingUpTeachesNothing: who goes away while the other zones are asked makes nobody believe that no zone has the number.
func TestHangingUpTeachesNothing(t *testing.T) {
	first, second := twoZones(t, func(c *Config, first Zone) { c.Zones = []Zone{first} })
	number := first.create(MeetingSpec{}).Number
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ctx := range map[string]context.Context{"gone": gone, "there": t.Context()} {
		if _, err := second.lookup(ctx, wire.LookupRequest{Meeting: number}, "somebody"); err == nil || tell(err).Code != wire.CodeElsewhere {
			t.Errorf("%s: %v", name, err)
		}
	}
}

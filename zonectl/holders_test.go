package zonectl

import (
	"crypto/ed25519"
	"log/slog"
	"net/http/httptest"
	"strings"
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

// TestHoldersAreBounded: what is known is not asked again, and not too many numbers are asked for at once.
func TestHoldersAreBounded(t *testing.T) {
	var h holders
	for i := range holdsAtOnce {
		if _, _, may := h.remembered(strings.Repeat("1", i+4)); !may {
			t.Fatalf("number %d may not be asked for", i)
		}
	}
	if _, _, may := h.remembered("5555"); may {
		t.Error("one too many")
	}
	h.learn("1111", "zone")
	if zone, known, may := h.remembered("1111"); zone != "zone" || !known || may {
		t.Errorf("%q, %v, %v", zone, known, may)
	}
	if _, _, may := h.remembered("5555"); !may {
		t.Error("the place was not given back")
	}
	h.known["1111"] = holder{"zone", time.Now().Add(-time.Second)}
	h.learn("5555", "")
	if _, known, _ := h.remembered("1111"); known {
		t.Error("what is over is still known")
	}
}

package zonectl

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"meetzone/zonectl/wire"
)

// writeGeoIP makes a MaxMind DB file that knows the country of one subnet.
func writeGeoIP(t *testing.T, subnet, country string) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-Country", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	_, network, err := net.ParseCIDR(subnet)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Insert(network, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := tree.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "country.mmdb")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLookupRanks asks as clients of several places do: directly, behind a trusted reverse proxy, and behind one that nobody trusts.
func TestLookupRanks(t *testing.T) {
	z := openZone(t, Config{Zone: "own", Name: "Own",
		Zones: []Zone{{ID: "seoul", Name: "Seoul", Controllers: []string{"https://seoul.example"}, Countries: []string{"KR"}},
			{ID: "own", Controllers: []string{"https://own.example"}}, {ID: "bonn", Controllers: []string{"https://a.example", "https://b.example"}}},
		Sites:          []Site{{Name: "Bonn", Subnet: netip.MustParsePrefix("10.1.0.0/16"), Zone: "bonn"}},
		GeoIP:          GeoIP{Path: writeGeoIP(t, "203.0.113.0/24", "KR")},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	})
	number := z.create(MeetingSpec{}).Number
	for _, c := range []struct{ from, forwarded, order, client string }{
		{"10.1.2.3:5", "", "bonn seoul own", "10.1.2.3:5"},
		{"203.0.113.9:5", "", "seoul own bonn", "203.0.113.9:5"},
		{"198.51.100.1:5", "", "seoul own bonn", "198.51.100.1:5"},
		{"192.0.2.1:5", "10.1.2.3", "bonn seoul own", "10.1.2.3"},
		{"192.0.2.1:5", "203.0.113.9, 10.1.2.3, 192.0.2.9", "bonn seoul own", "10.1.2.3"}, // what is left of the last one that we do not trust is anybody's word
		{"198.51.100.1:5", "10.1.2.3", "seoul own bonn", "198.51.100.1:5"},
		{"192.0.2.1:5", "nonsense", "seoul own bonn", "192.0.2.1:5"},
		{"[::ffff:10.1.2.3]:5", "", "bonn seoul own", "10.1.2.3:5"},
	} {
		r := httptest.NewRequest("POST", "https://zone.example"+wire.PathLookup, strings.NewReader(`{"meeting":"`+number+`"}`))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = c.from
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		w := httptest.NewRecorder()
		z.Handler().ServeHTTP(w, r)
		answer := wire.Lookup{}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, zone := range answer.Zones {
			order = append(order, zone.ID)
			if zone.ID == "own" && strings.Join(zone.Controllers, " ") != "https://zone.example https://own.example" {
				t.Errorf("own controllers are %q", zone.Controllers)
			}
		}
		if got := strings.Join(order, " "); got != c.order || answer.Client != c.client {
			t.Errorf("%s (%s): %s for %s, want %s for %s", c.from, c.forwarded, got, answer.Client, c.order, c.client)
		}
		if proxied := strings.HasPrefix(c.from, "192.0.2."); proxied != (answer.Fingerprint == "") || !proxied && answer.Fingerprint != ownFingerprint {
			t.Errorf("%s is told of the certificate %q: a trusted proxy shows its own", c.from, answer.Fingerprint)
		}
	}
}

// TestGeoIPNeverFailsALookup takes the file away and puts rubbish there.
func TestGeoIPNeverFailsALookup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.mmdb")
	z := openZone(t, Config{GeoIP: GeoIP{Path: path}})
	number := z.create(MeetingSpec{}).Number
	alarmed := func(want string) {
		t.Helper()
		if list := z.Alarms(); len(list) != 1 || list[0].Code != "geoip" || !strings.Contains(list[0].Text, want) {
			t.Errorf("alarms %+v, want %q", list, want)
		}
		if _, told := z.lookUp(wire.LookupRequest{Meeting: number}); told != nil {
			t.Error(told)
		}
	}
	alarmed("is not there")
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := z.Apply(Config{GeoIP: GeoIP{Path: path, StaleAfter: 1}}); err != nil {
		t.Fatal(err)
	}
	alarmed("cannot be used")
	if _, err := z.Apply(Config{}); err != nil {
		t.Fatal(err)
	}
	if list := z.Alarms(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

func TestLinksCarryFurtherDoors(t *testing.T) {
	z := openZone(t, Config{URLs: []string{"https://meet.example"}, LookupHosts: []string{"b.example", "c.example:8443"}, Tunnels: []string{"https://t.example"}})
	info := z.create(MeetingSpec{})
	want := "https://meet.example/j/" + info.Number + "?hosts=b.example%2Cc.example%3A8443&tunnels=https%3A%2F%2Ft.example"
	if info.Link != want {
		t.Errorf("link %s, want %s", info.Link, want)
	}
}

// TestTokensOfOtherZones holds that a zone takes tokens of the zones that it trusts, by their own keys, for meetings that it has, and of nobody else.
func TestTokensOfOtherZones(t *testing.T) {
	friend, stranger := testKey(7), testKey(8)
	z := openZone(t, Config{Zone: "own", Zones: []Zone{{ID: "friend", Controllers: []string{"https://f"}, Key: friend.Public().(ed25519.PublicKey)},
		{ID: "twin", Controllers: []string{"https://t"}}}})
	number := z.create(MeetingSpec{}).Number
	for _, c := range []struct {
		zone, meeting string
		key           ed25519.PrivateKey
		want          wire.Code // "": a route
	}{
		{"friend", number, friend, ""}, {"twin", number, testKey(1), ""}, {"own", number, testKey(1), ""},
		{"friend", number, testKey(1), wire.CodeToken}, {"friend", number, stranger, wire.CodeToken}, {"own", number, friend, wire.CodeToken},
		{"stranger", number, stranger, wire.CodeToken}, {"friend", "999999999", friend, wire.CodeElsewhere}, {"own", "999999999", testKey(1), wire.CodeEnded},
	} {
		token, err := wire.SignToken(c.key, wire.Claims{ID: wire.NewTokenID(), Zone: c.zone, Meeting: c.meeting, Role: wire.RoleParticipant, Expires: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		var got wire.Code
		if _, told := z.request("POST", wire.PathRoute, nil, wire.RouteRequest{Token: token}, nil); told != nil {
			got = told.Code
		}
		if got != c.want {
			t.Errorf("token of %s for %s: %q, want %q", c.zone, c.meeting, got, c.want)
		}
	}
}

// TestForeignTokens: what another zone has checked opens nothing here that has a passcode, and makes nobody a host.
func TestForeignTokens(t *testing.T) {
	friend := testKey(7)
	z := openZone(t, Config{Zone: "own", Zones: []Zone{{ID: "friend", Controllers: []string{"https://f"}, Key: friend.Public().(ed25519.PublicKey)}}})
	for _, number := range []string{"4444", "5555"} {
		spec := MeetingSpec{Number: number}
		if number == "4444" {
			spec.Passcode = "1234"
		}
		if _, err := z.CreateRoom(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	greet := func(number string) *testClient {
		token, err := wire.SignToken(friend, wire.Claims{ID: wire.NewTokenID(), Zone: "friend", Meeting: number, Role: wire.RoleHost, Expires: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		c := z.dial()
		c.send(hello(token, "Mallory"))
		return c
	}
	greet("4444").expectBye(wire.CodeToken)
	greet(z.create(MeetingSpec{Passcode: "1"}).Number).expectBye(wire.CodeToken)
	if w := expect[wire.Welcome](greet("5555")); w.Role != wire.RoleParticipant {
		t.Errorf("a %s by a token of another zone", w.Role)
	}
}

// TestNetworkIsForOwnPages: only pages of the zones that are known may read what a box says of the network.
func TestNetworkIsForOwnPages(t *testing.T) {
	z := openZone(t, Config{URLs: []string{"https://own.example"}, Zones: []Zone{{ID: "friend", Controllers: []string{"https://f.example"}}}})
	for _, path := range []string{wire.PathProbe, wire.PathZones} {
		for origin, want := range map[string]string{"https://own.example": "https://own.example", "https://f.example": "https://f.example", "https://evil.example": "", "null": "", "": ""} {
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			answer, _ := z.request("GET", path, header, nil, nil)
			for _, name := range []string{"Access-Control-Allow-Origin", "Timing-Allow-Origin"} {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s for %q: %s %q, want %q", path, origin, name, got, want)
				}
			}
		}
	}
}

package geoip

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"meetzone/zonectl/internal/ranking"
)

// database makes a small city file.
func database(t testing.TB, built time.Time, records map[string]mmdbtype.Map) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", BuildEpoch: built.Unix(), RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for subnet, record := range records {
		_, network, err := net.ParseCIDR(subnet)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := tree.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func city(country string, latitude, longitude float64) mmdbtype.Map {
	return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)},
		"location": mmdbtype.Map{"latitude": mmdbtype.Float64(latitude), "longitude": mmdbtype.Float64(longitude)}}
}

func TestWhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	now := time.Now()
	put := func(content []byte, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	f := Open(Config{Path: path, StaleAfter: 60 * 24 * time.Hour})
	says := func(want string) {
		t.Helper()
		f.Refresh(now)
		if got, since := f.Problem(); !strings.Contains(got, want) || want == "" && got != "" || since.IsZero() {
			t.Errorf("problem %q since %v, want %q", got, since, want)
		}
	}
	seoul := netip.MustParseAddr("203.0.113.9")
	says("is not there")
	if f.Where(seoul) != (ranking.Where{}) {
		t.Error("a file that is not there knows something")
	}
	put([]byte("no database"), 3*time.Hour)
	says("cannot be used")
	says("cannot be used") // and is not read again

	records := map[string]mmdbtype.Map{"203.0.113.0/24": city("KR", 37.5, 127), "2001:db8::/32": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}},
		"198.51.100.0/24": {"country": mmdbtype.String("flat")}}
	whole := database(t, now, records)
	put(whole, 2*time.Hour)
	says("")
	want := ranking.Where{Country: "KR", Place: ranking.Place{Known: true, Latitude: 37.5, Longitude: 127}}
	for _, addr := range []string{"203.0.113.9", "::ffff:203.0.113.9"} {
		if got := f.Where(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is at %+v", addr, got)
		}
	}
	if got := f.Where(netip.MustParseAddr("2001:db8::1")); got != (ranking.Where{Country: "DE"}) {
		t.Errorf("%+v", got)
	}
	if got := f.Where(netip.MustParseAddr("192.0.2.1")); got != (ranking.Where{}) {
		t.Errorf("%+v", got)
	}
	if got := f.Where(netip.MustParseAddr("198.51.100.1")); got != (ranking.Where{}) {
		t.Errorf("%+v", got)
	}
	says("has records that cannot be read")

	put(whole[:len(whole)/2], time.Hour)
	says("cannot be used")
	if got := f.Where(seoul); got != want {
		t.Errorf("half a file took the whole one's place: %+v", got)
	}
	put(database(t, now.Add(-61*24*time.Hour), records), time.Minute)
	says("may be wrong by now")
	if got := f.Where(seoul); got != want {
		t.Errorf("an old file is not used: %+v", got)
	}
}

// FuzzFile holds that no file breaks a lookup.
func FuzzFile(f *testing.F) {
	whole := database(f, time.Unix(1e9, 0), map[string]mmdbtype.Map{"203.0.113.0/24": city("KR", 37.5, 127)})
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		file := Open(Config{Path: path})
		for _, addr := range []string{"203.0.113.9", "2001:db8::1", "0.0.0.0"} {
			if p := file.Where(netip.MustParseAddr(addr)).Place; p.Known && (p.Latitude > 90 || p.Longitude < -180) {
				t.Errorf("%+v", p)
			}
		}
	})
}

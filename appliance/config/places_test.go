package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const lists = `zone: {id: zone-own}
zones:
  - id: zone-own
    location: 37.57,126.98
  - id: zone-b
    name: Busan
    controllers: [https://busan.example, 'https://[2001:db8::7]:8443']
    countries: [KR]
    later: {a: 1}
sites:
  - {name: Office, subnet: 10.1.0.0/16, zone: zone-b}
tunnels:
  - {name: dmz, url: https://tunnel.example, register: true}
geoip: {file: /var/lib/meetzone/geoip.mmdb}
`

func TestListsOfSections(t *testing.T) {
	d, err := ParseStored([]byte(lists))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	survives(t, d) // with the key that a newer version wrote into an entry
	if got, err := d.Get("zones[1].controllers[0]"); err != nil || got != "https://busan.example" {
		t.Errorf("%q, %v", got, err)
	}
	if got, _ := d.Get("zones[1].later"); got != "" || !slices.ContainsFunc(d.Warnings(), func(w string) bool { return strings.HasPrefix(w, "zones[1].later ") }) {
		t.Errorf("%q, %q", got, d.Warnings())
	}
	if _, err := d.Get("zones[2].id"); err == nil {
		t.Error("an entry that is not there was read")
	}
	next, err := d.Set("sites", "[{subnet: 10.2.0.0/16, zone: zone-own}]")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`sites: without {name: Office, subnet: 10.1.0.0/16, zone: zone-b}`, `sites: with {name: "", subnet: 10.2.0.0/16, zone: zone-own}`}
	if got := Diff(d, next); !slices.Equal(got, want) {
		t.Errorf("diff %q", got)
	}
	next = d.Clone()
	slices.Reverse(next.Zones)
	if got := Diff(d, next); !slices.Equal(got, []string{"zones: in another order"}) {
		t.Errorf("diff %q", got)
	}
	if next, err = d.Set("zones[1].name", "Pusan"); err != nil || next.Zones[1].Name != "Pusan" || d.Zones[1].Name != "Busan" {
		t.Errorf("%+v, %v", next.Zones, err)
	}
}

func TestPlacesNameEveryMistake(t *testing.T) {
	for text, want := range map[string][]string{
		"zones: [{id: A}]": {"zones[0].id", "zones[0].controllers"},
		"zones: [{id: a, controllers: ['http://x', 'https://x/y', 'https://x', 'https://x']}]": {"zones[0].controllers[0]", "zones[0].controllers[1]", "zones[0].controllers[3]"},
		"zones: [{id: a, controllers: ['https://x'], key: k, countries: [kr]}, {id: a}]":       {"zones[0].key", "zones[0].countries[0]", "zones[1].controllers", "zones[1].id"},
		"zones: [{id: a, controllers: ['https://x'], location: '91,0'}]":                       {"zones[0].location"},
		"zones: [{idd: a}]":                      {"zones[0].idd"},
		"zones: [a]":                             {"zones[0]"},
		"sites: [{subnet: 10.0.0.1/8, zone: b}]": {"sites[0].subnet", "sites[0].zone"},
		"sites: [{subnet: ten, zone: b}]":        {"sites[0].subnet", "sites[0].zone"},
		"tunnels: [{name: 'a b', url: 'https://x'}, {name: c, url: 'https://x'}]":                                      {"tunnels[0].name", "tunnels[1]"},
		"geoip: {file: here.mmdb, stale_after: 1h}":                                                                    {"geoip.file", "geoip.stale_after"},
		"box: {trusted_proxies: [10.0.0.0/8, 10.0.0.0]}":                                                               {"box.trusted_proxies[1]"},
		"zone: {id: o}\nzones: [{id: o}]\nsites: [{subnet: 10.0.0.0/8, zone: o}, {subnet: 10.0.0.0/8, zone: o}]":       {"sites[1].subnet"},
		"zones: [{id: b, controllers: ['https://x:0', 'https://u@x', 'https://x_y', 'https://', 'https://[::1]:80']}]": {"zones[0].controllers[0]", "zones[0].controllers[1]", "zones[0].controllers[2]", "zones[0].controllers[3]"},
	} {
		_, err := Parse([]byte(text))
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var paths []string
		for _, p := range problems {
			paths = append(paths, p.Path)
		}
		if !slices.Equal(paths, want) {
			t.Errorf("%s:\n%v\nwant %q", text, err, want)
		}
	}
	if got := Nearest("zones[3].controler"); got != "zones[].controllers" {
		t.Errorf("nearest is %q", got)
	}
}

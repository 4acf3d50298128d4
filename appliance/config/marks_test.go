package config

import (
	"strings"
	"testing"

	"meetzone/dscp"
)

func TestMarksRefused(t *testing.T) {
	for text, wants := range map[string][]string{
		"dscp: {custom: {audio: 64}}":                                            {"dscp.custom.audio", "64"},
		"dscp: {priority: {audio: 8}}":                                           {"dscp.priority.audio", "between 0 and 7"},
		"dscp: {band: {bulk: -1}}":                                               {"dscp.band.bulk", "between 0 and 7"},
		"dscp: {exceptions: [{profile: webex}]}":                                 {"dscp.exceptions[0]", "neither interface nor prefix"},
		"dscp: {exceptions: [{prefix: 10.0.0.1/8, profile: webex}]}":             {"dscp.exceptions[0].prefix", "10.0.0.0/8"},
		"dscp: {exceptions: [{interface: 'a b', profile: rfc}]}":                 {"dscp.exceptions[0].interface", "dscp.exceptions[0].profile"},
		"box: {links: [{interface: eth0, rate: 20M}]}":                           {"box.links[0].rate", "20Mbit"},
		"box: {links: [{interface: eth0, rate: 20kbit}]}":                        {"box.links[0].rate", "between 1Mbit and 400Gbit"},
		"box: {links: [{interface: eth0}, {interface: eth0}, {interface: e/0}]}": {"box.links[1].interface", "twice", "box.links[2].interface"},
	} {
		_, err := Parse([]byte(text))
		if err == nil {
			t.Errorf("%s was taken", text)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not say %q: %v", text, want, err)
			}
		}
	}
}

func TestMarksTaken(t *testing.T) {
	d, err := Parse([]byte(`
dscp:
  profile: custom
  custom: {audio: 44, content: AF31}
  priority: {audio: 7}
  band: {audio: 1, video: 0}
  exceptions: [{interface: eth1, profile: webex}, {prefix: "2001:db8::/32", profile: custom}]
box:
  links: [{interface: eth0, rate: 20Mbit}, {interface: eth1, rate: 1Gbit}, {interface: eth2}]
`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.DSCP.Policy()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Marks[dscp.Audio], (dscp.Mark{CodePoint: 44, Priority: 7, Band: 1}); got != want {
		t.Errorf("audio is %+v, want %+v", got, want)
	}
	if got, want := p.Marks[dscp.Content], (dscp.Mark{CodePoint: dscp.AF31, Priority: 5, Band: 2}); got != want {
		t.Errorf("content is %+v, want %+v", got, want)
	}
	if d.Box.Links[0].Rate != 20_000_000 || d.Box.Links[1].Rate != 1_000_000_000 || d.Box.Links[2].Rate != 0 {
		t.Errorf("links %+v", d.Box.Links)
	}
	warnings := strings.Join(d.Warnings(), "\n")
	for _, want := range []string{"audio has the 802.1p priority 7", "video is in band 0 and served before audio"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning says %q: %s", want, warnings)
		}
	}
	for _, shipped := range dscp.ProfileNames {
		d := Default()
		d.DSCP.Profile = shipped
		if w := d.Warnings(); len(w) > 0 {
			t.Errorf("%s warns: %q", shipped, w)
		}
	}
}

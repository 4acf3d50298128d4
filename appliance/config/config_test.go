package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"meetzone/dscp"
)

func TestDefaultIsValidAndSurvives(t *testing.T) {
	d := Default()
	if err := d.Validate(); err != nil {
		t.Fatalf("the default document: %v", err)
	}
	survives(t, d)
}

// survives holds that Marshal and Parse lose nothing, and that Marshal is stable.
func survives(t *testing.T, d Document) {
	t.Helper()
	text, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseStored(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(d, again) {
		t.Fatalf("was  %+v\nis   %+v\ntext\n%s", d, again, text)
	}
	if twice, err := again.Marshal(); err != nil || string(twice) != string(text) {
		t.Fatalf("second text differs:\n%s\n%s", text, twice)
	}
}

// TestGolden shows what the document looks like; a change of a default or a key is a change of this file.
func TestGolden(t *testing.T) {
	text, err := Default().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "default.yaml")
	want, err := os.ReadFile(path)
	if err != nil || string(want) != string(text) {
		t.Errorf("%s (%v) should be:\n%s", path, err, text)
	}
}

func TestEveryKeyHasScopeAndHelp(t *testing.T) {
	for path, k := range walk("", "", reflect.TypeFor[Document]()) {
		if k.scope != ScopeZone && k.scope != ScopeBox {
			t.Errorf("%s has scope %q", path, k.scope)
		}
		if k.help == "" {
			t.Errorf("%s has no help", path)
		}
	}
	classes := reflect.TypeFor[ClassMark]()
	for c := range dscp.NumClasses {
		if _, ok := keyOf(classes, dscp.Class(c).String()); !ok {
			t.Errorf("class %v has no key", dscp.Class(c))
		}
	}
	if classes.NumField() != dscp.NumClasses {
		t.Error("there are keys for classes that do not exist")
	}
}

func TestParseNamesEveryMistake(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // beginnings of the problems, in order
	}{
		"unknown key":       {"dscp:\n  profil: zoom\n", []string{`dscp.profil (line 2): there is no such key; did you mean dscp.profile?`}},
		"wrong section":     {"profile: zoom\n", []string{`profile (line 1): there is no such key; did you mean dscp.profile?`}},
		"swapped letters":   {"bxo:\n  workers: 1\n", []string{`bxo (line 1): there is no such key; did you mean box?`}},
		"nothing like it":   {"frobnicate: 1\n", []string{`frobnicate (line 1): there is no such key; remove it`}},
		"several":           {"zone:\n  nmae: a\n  limits:\n    meetings: many\n    empty_after: soon\nbox: 3\n", []string{`zone.nmae (line 2)`, `zone.limits.meetings (line 4): "many"`, `zone.limits.empty_after (line 5): "soon"`, `box (line 6): this is a section`}},
		"out of bounds":     {"zone: {limits: {meetings: 0, participants: 1, video_slots: 50}}\n", []string{`zone.limits.meetings: 0`, `zone.limits.participants: 1`, `zone.limits.video_slots: 50`}},
		"addresses":         {"box: {listen: {https: 443, media: [':8801', ':8801'], metrics: 'host:1'}, advertise: [nat]}\n", []string{`box.listen.https: "443"`, `box.listen.metrics: "host:1"`, `box.listen.media[1]: :8801`, `box.advertise[0]: "nat"`}},
		"same port":         {"box: {listen: {https: ':8801'}}\n", []string{`box.listen.media[0]: :8801 is the address of HTTPS already`}},
		"code points":       {"dscp: {profile: none, custom: {audio: 64, video: EFF}}\n", []string{`dscp.profile: "none"`, `dscp.custom.audio: "64"`, `dscp.custom.video: "EFF"`}},
		"hosts":             {"zone: {hosts: [a_b, meet.example.com, meet.example.com], lookup_hosts: ['x:0']}\n", []string{`zone.hosts[0]`, `zone.hosts[2]`, `zone.lookup_hosts[0]`}},
		"twice":             {"version: 1\nversion: 1\n", []string{`version (line 2): the key is there twice`}},
		"no YAML":           {"zone: [\n", []string{`this is no YAML`}},
		"list":              {"- a\n", []string{`(line 1): this is a section`}},
		"second document":   {"version: 1\n---\nversion: 1\n", []string{`there is a second YAML document`}},
		"alias":             {"zone: &a {name: x}\nbox: *a\n", []string{`zone (line 1): anchors`, `box (line 2): anchors`}},
		"alias in unknown":  {"future: [&a x, *a]\n", []string{`future (line 1): anchors`}},
		"list for a text":   {"zone: {name: [a]}\n", []string{`zone.name (line 1): this is a single value`}},
		"control character": {"zone: {name: \"a\\eb\"}\n", []string{`zone.name: the text has characters`}},
		"boolean":           {"metrics: {enabled: perhaps}\n", []string{`metrics.enabled (line 1): "perhaps"`}},
		"size":              {"box: {receive_buffer: 8 megs}\n", []string{`box.receive_buffer (line 1): "8 megs"`}},
		"too large":         {strings.Repeat("#", MaxDocument+1), []string{`the document is larger`}},
	} {
		_, err := Parse([]byte(c.text))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != len(c.want) {
			t.Errorf("%s: got %v, want %d problems", name, err, len(c.want))
			continue
		}
		for i, p := range problems {
			if !strings.HasPrefix(p.String(), c.want[i]) {
				t.Errorf("%s: got %q, want %q", name, p, c.want[i])
			}
		}
	}
}

func TestMissingKeysTakeDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "null\n", "zone:\n", "dscp: {profile: rfc4594}\nbox: {listen: {https: ':443'}}\n"} {
		if d, err := Parse([]byte(text)); err != nil || !reflect.DeepEqual(d, Default()) {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
}

// newer is what version N+1 might write: keys in known sections and a section of its own.
const newer = "version: 2\nzone: {name: Later, sites: [{name: Bonn, subnets: [10.0.0.0/8]}], limits: {meetings: 5, rooms: 9}}\nnetwork: {links: {eth0: {role: service}}}\n"

func TestNewerVersionsKeysSurvive(t *testing.T) {
	d, err := ParseStored([]byte(newer))
	if err != nil {
		t.Fatal(err)
	}
	if d.Zone.Limits.Meetings != 5 || len(d.Warnings()) != 4 {
		t.Errorf("meetings %d, warnings %q", d.Zone.Limits.Meetings, d.Warnings())
	}
	survives(t, d)
	d, err = d.Set("zone.limits.meetings", "6")
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sites:", "- 10.0.0.0/8", "rooms: 9", "role: service", "meetings: 6", "version: 2"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is lost:\n%s", want, text)
		}
	}

	if _, err := Parse(text); err == nil {
		t.Error("a person's document with unknown keys was taken")
	}
	edited, err := ParseEdited([]byte(strings.Replace(string(text), "rooms: 9", "rooms: 10", 1)), d)
	if err != nil {
		t.Fatalf("an edit with the newer version's keys was refused: %v", err)
	}
	if got, want := Diff(d, edited), []string{"zone.limits.rooms: 9 → 10"}; !slices.Equal(got, want) {
		t.Errorf("diff %q, want %q", got, want)
	}
	if _, err := ParseEdited([]byte(string(text)+"own: 1\n"), d); err == nil {
		t.Error("an unknown key of the person's own was taken")
	}
}

func TestGetSetReset(t *testing.T) {
	d := Default()
	for _, c := range []struct{ path, value, want string }{
		{"dscp.profile", "webex", "webex"},
		{"zone.name", "true", "true"}, // a text whatever it looks like
		{"zone.name", "Café: #1", "Café: #1"},
		{"zone.hosts", "meet.example.com, 192.0.2.7", "[meet.example.com, 192.0.2.7]"},
		{"zone.hosts", "[]", "[]"},
		{"zone.limits.empty_after", "90m", "1h30m"},
		{"box.receive_buffer", "16777216", "16MiB"},
		{"box.workers", "3", "3"},
		{"metrics.enabled", "false", "false"},
		{"dscp.custom", "{audio: EF, video: 34}", "signalling: \"\"\naudio: EF\nvideo: \"34\"\ncontent: \"\"\ncluster: \"\"\nmanagement: \"\"\nbulk: \"\""},
		{"box.listen.media", "192.0.2.7:8801,[2001:db8::7]:8801", "['192.0.2.7:8801', '[2001:db8::7]:8801']"},
	} {
		next, err := d.Set(c.path, c.value)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if got, err := next.Get(c.path); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.path, got, err, c.want)
		}
		if reset, err := next.Reset(c.path); err != nil || !reflect.DeepEqual(reset, Default()) {
			t.Errorf("%s: reset gives %v, %v", c.path, Diff(Default(), reset), err)
		}
	}
	if !reflect.DeepEqual(d, Default()) {
		t.Error("Set changed its receiver")
	}
	for path, value := range map[string]string{
		"dscp.profil": "x", "box.workers": "two", "zone": "x", "zone.limits": "{meeting: 1}", "": "x", "zone.name.x": "y", "box.workers ": "1", "zone.hosts": "{a: b}",
	} {
		if next, err := d.Set(path, value); err == nil {
			t.Errorf("%q = %q was taken: %v", path, value, Diff(d, next))
		}
	}
}

func TestSetSharesNothing(t *testing.T) {
	a := Default()
	a.Zone.Hosts = []string{"one", "two"}
	b := a.Clone()
	b.Zone.Hosts[0] = "other"
	b.Box.Listen.Media[0] = ":1"
	if a.Zone.Hosts[0] != "one" || a.Box.Listen.Media[0] != ":8801" {
		t.Error("a clone shares lists")
	}
	a.Zones = []Place{{ID: "a", Countries: []string{"KR"}}}
	c := a.Clone()
	c.Zones[0].ID, c.Zones[0].Countries[0] = "c", "JP"
	if a.Zones[0].ID != "a" || a.Zones[0].Countries[0] != "KR" {
		t.Error("a clone shares what is in a list's entries")
	}
}

func TestDiff(t *testing.T) {
	a, b := Default(), Default()
	b.DSCP.Profile = dscp.ProfileZoom
	b.Zone.Hosts = []string{"meet.example.com"}
	b.Zone.Name = ""
	want := []string{"zone.name: Meetzone → (empty)", "zone.hosts: [] → [meet.example.com]", "dscp.profile: rfc4594 → zoom"}
	if got := Diff(a, b); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Diff(a, a); got != nil {
		t.Errorf("a document differs from itself: %q", got)
	}
}

func TestDSCPPolicy(t *testing.T) {
	d := Default()
	d.DSCP.Custom.Audio = "CS5" // of the custom profile only
	policy, err := d.DSCP.Policy()
	if err != nil || policy.Points()[dscp.Audio] != dscp.EF {
		t.Errorf("rfc4594: %v, %v", policy, err)
	}
	d.DSCP.Profile = dscp.ProfileCustom
	policy, err = d.DSCP.Policy()
	if points := policy.Points(); err != nil || points[dscp.Audio] != dscp.CS5 || points[dscp.Video] != dscp.AF41 {
		t.Errorf("custom: %v, %v", points, err)
	}
}

func TestNearest(t *testing.T) {
	for path, want := range map[string]string{
		"dscp.profle": "dscp.profile", "zone.limit.meetings": "zone.limits.meetings", "box.listen.htps": "box.listen.https", "workers": "box.workers",
		"zone.policy.start_meeting": "zone.policy.start_meetings", "": "", "xyzzy.plugh": "", strings.Repeat("long", 99): "",
	} {
		if got := Nearest(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]string{"90s": "1m30s", "1h": "1h", "1h0m5s": "1h0m5s", "0s": "0s", "250ms": "250ms", "10m": "10m", "20h10m": "20h10m"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Error(err)
		}
		if got, _ := d.MarshalText(); string(got) != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{"0": "0", "1024": "1KiB", "1025": "1025", "8 MiB": "8MiB", "2048GiB": "2048GiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Error(err)
		}
		if got, _ := s.MarshalText(); string(got) != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"-1", "", "MiB", "99999999999GiB", "1.5MiB"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for a size", text)
		}
	}
}

func FuzzDocument(f *testing.F) {
	text, err := Default().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(text), newer, "", "zone: {hosts: [a, b]}\n", "dscp: {custom: {audio: 46}}\n", "a: &x [*x]\n", "? [a]\n: b\n", "<<: {zone: 1}\n",
		"zone: {name: \"\\u2028 x\\ty\"}\n", "box: {receive_buffer: 0x10}\n", "- \n", "future: !!binary aGk=\n", "future: ~\nzone: {later: }\n", "f: 2026-01-01\n", "f: |\n  a\n\n  b\n", lists} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, err := ParseStored(text); err == nil {
			survives(t, d)
		}
		d, err := Parse(text)
		if err != nil {
			if problems := (Problems)(nil); !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("an error that names nothing: %v", err)
			}
			return
		}
		survives(t, d)
		for _, k := range Keys() {
			if k.Section || strings.Contains(k.Path, "[]") {
				continue
			}
			value, err := d.Get(k.Path)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := d.Set(k.Path, value); err != nil || len(Diff(d, back)) > 0 {
				t.Fatalf("%s: setting what it is gives %v, %q", k.Path, err, Diff(d, back))
			}
		}
		_ = fmt.Sprint(d.Warnings())
	})
}

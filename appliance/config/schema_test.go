package config

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// published is where people and tools find the schema.
const published = "../../docs/config.schema.json"

// TestSchemaIsPublished: the file in docs is what this code says.
func TestSchemaIsPublished(t *testing.T) {
	text, err := os.ReadFile(published)
	if err != nil || !bytes.Equal(text, Schema()) {
		t.Errorf("%s is not the schema of this code (%v); write it anew: bin/appliance config schema > docs/config.schema.json", published, err)
	}
}

func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatalf("the schema is none: %v", err)
	}
	return s
}

// fits asks a real validator, as an editor would.
func fits(t testing.TB, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s.Validate(v)
}

// TestSchemaTakesDocuments: every document of the tests, and every one of random keys that Validate takes, is taken by the schema, and survives export,
// import and export unchanged.
func TestSchemaTakesDocuments(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(t, s, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 1500 {
		d := randomDocument(random)
		if d.Validate() != nil {
			continue
		}
		taken++
		survives(t, d)
		text, err := d.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(t, s, text); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	if taken < 200 {
		t.Errorf("only %d of the random documents were valid", taken)
	}
}

// settings are values that go together, and some that do not.
var settings = map[string][]string{
	"zone.name":              {"Meetzone", "Büro „Süd“", "0x10", "yes", "a: b # c", "'", " x "},
	"zone.hosts":             {"[]", "[meet.example, 192.0.2.1]", "['2001:db8::1']"},
	"zone.limits.meetings":   {"1", "100000", "0"},
	"zone.limits.token_life": {"10s", "1h", "90s", "1m30s"},
	"zone.media.codecs":      {"[vp8]", "[av1, h264]", "[]"},
	"sites":                  {"[]", "[{name: hq, subnets: [10.0.0.0/8], zone: z1}]"},
	"box.hostname":           {"", "box-1", "box.example", "1e3"},
	"box.receive_buffer":     {"8MiB", "65536", "1GiB"},
	"box.log_level":          {"debug", "error"},
	"box.advertise":          {"[]", "[192.0.2.7, '2001:db8::7']"},
	"network.interfaces": {"[]", "[{name: eth0, role: management, dhcp: [address, dns]}]", "[{name: eth0, addresses: [192.0.2.7/24], ra: all}, {name: v, parent: eth0, vlan: 7}]",
		"[{name: b, ports: [eth0, eth1], mode: 802.3ad, lacp_rate: fast, monitor: 50ms, addresses: [192.0.2.7/24]}]"},
	"network.routes":                   {"[]", "[{to: default, via: 192.0.2.1}]", "[{to: 10.0.0.0/8, via: 192.0.2.1, for: management}]"},
	"network.firewall.enabled":         {"true", "false"},
	"network.firewall.management_from": {"[]", "[10.0.0.0/8]"},
	"network.firewall.open":            {"[]", "[{name: snmp, protocol: udp, port: 161, role: management, from: [10.0.0.0/8]}]"},
	"dscp.profile":                     {"rfc4594", "off", "zoom"},
	"certificate.name":                 {"self-signed", "acme", "mine"},
}

func randomDocument(random *rand.Rand) Document {
	d := Default()
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range settings {
			if !yield(k) {
				return
			}
		}
	}) {
		if random.IntN(2) == 0 {
			if changed, err := d.Set(key, settings[key][random.IntN(len(settings[key]))]); err == nil {
				d = changed
			}
		}
	}
	return d
}

// TestSchemaRefuses: what is no key, of another type or no known value is refused by the schema as it is by Parse.
func TestSchemaRefuses(t *testing.T) {
	s := compiled(t)
	for _, text := range []string{"zome: {}", "zone: {nam: x}", "zone: []", "zone: {limits: {meetings: many}}", "zone: {limits: {token_life: soon}}", "metrics: {enabled: 5}",
		"box: {log_level: loud}", "network: {interfaces: [{name: eth0, role: guest}]}", "network: {interfaces: {name: eth0}}", "network: {firewall: {open: [{protocol: sctp}]}}",
		"box: {receive_buffer: large}", "sites: [{unknown: x}]"} {
		if err := fits(t, s, []byte(text)); err == nil {
			t.Errorf("%s is taken by the schema", text)
		}
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is taken by Parse", text)
		}
	}
	for _, text := range []string{"", "zone:", "zone: {name: x}", "box: {receive_buffer: 65536}"} {
		if err := fits(t, s, []byte(text)); err != nil {
			t.Errorf("%q is refused: %v", text, err)
		}
	}
}

// TestKnownValues: what the schema and completion offer for a key is what Validate takes, and nothing else is.
func TestKnownValues(t *testing.T) {
	holders := map[string]string{ // an entry of a list in which a value stands, with the other keys that it needs
		"network.interfaces[].role": "[{name: eth0, role: '%s'}]", "network.interfaces[].dhcp": "[{name: eth0, dhcp: [address, '%s']}]",
		"network.interfaces[].mode":      "[{name: b, ports: [eth0], mode: '%s'}]",
		"network.interfaces[].lacp_rate": "[{name: b, ports: [eth0], mode: 802.3ad, lacp_rate: '%s'}]", "network.interfaces[].ra": "[{name: eth0, ra: '%s'}]",
		"network.firewall.open[].role":     "[{name: x, protocol: tcp, port: 1, role: '%s'}]",
		"network.firewall.open[].protocol": "[{name: x, protocol: '%s', port: 1}]", "zone.media.codecs": "['%s']",
	}
	seen := 0
	for path, k := range walk("", "", reflect.TypeFor[Document]()) {
		known := Values(path)
		if known == nil || k.section {
			continue
		}
		list, _, _ := strings.Cut(path, "[]")
		for _, value := range append(slices.Clone(known), "nonsense") {
			text, held := holders[path]
			switch {
			case !held && strings.Contains(path, "[]"):
				continue
			case held:
				text = fmt.Sprintf(text, value)
			default:
				text = value
			}
			seen++
			d, err := Default().Set(list, text)
			if err == nil && !strings.Contains(text, "address, 'address'") {
				err = d.ProblemsAt(path[:strings.LastIndexByte(path, '.')])
				if held {
					err = d.ProblemsAt(list)
				}
			}
			if (err == nil) != (value != "nonsense") && value != "custom" && value != "acme" {
				t.Errorf("%s = %q: %v", path, value, err)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d values were tried", seen)
	}
}

package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"meetzone/appliance/config"
)

// TestSeed: what lies beside the system is taken; what is not there, empty or wrong leaves the defaults, and what is wrong is told.
func TestSeed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	defaults := config.Default()
	defaults.Zone.ID = "zone-1"
	named := defaults
	named.Zone.Name = "Ground floor"
	for name, c := range map[string]struct {
		file    string
		want    config.Document
		refused string
	}{
		"none":      {"", defaults, ""},
		"missing":   {filepath.Join(dir, "missing"), defaults, ""},
		"empty":     {write("empty", "\n"), defaults, ""},
		"good":      {write("good", "zone:\n  name: Ground floor\n"), named, ""},
		"not yaml":  {write("text", "hello: [\n"), defaults, "line"},
		"wrong key": {write("wrong", "zone:\n  nam: x\n"), defaults, "nam"},
		"too large": {write("large", strings.Repeat("#", config.MaxDocument+1)), defaults, "large"},
	} {
		s := readSeed(c.file, "zone-1", false)
		if !reflect.DeepEqual(s.document, c.want) {
			t.Errorf("%s: %+v", name, s.document)
		}
		if (s.refused == "") != (c.refused == "") || !strings.Contains(s.refused, c.refused) {
			t.Errorf("%s: refused because of %q, want something of %q", name, s.refused, c.refused)
		}
		if alarms := s.alarms(); (len(alarms) == 1) != (c.refused != "") {
			t.Errorf("%s: alarms %v", name, alarms)
		}
	}
}

// TestAskedByDefault: network cards are asked on, loopback, bridges and other kinds of links are not.
func TestAskedByDefault(t *testing.T) {
	dir := t.TempDir()
	for name, l := range map[string]struct {
		kind   string
		device bool
	}{"enp1s0": {"1", true}, "enp2s0": {"1", true}, "lo": {"772", false}, "br0": {"1", false}, "ib0": {"32", true}} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "type"), []byte(l.kind+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if l.device {
			if err := os.Mkdir(filepath.Join(dir, name, "device"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	var names []string
	d := config.Default()
	d.Zone.ID = "z"
	d.Network.Interfaces = askedByDefault(dir, []string{"lo", "br0", "enp1s0", "ib0", "enp2s0", "gone"})
	for _, one := range d.Network.Interfaces {
		names = append(names, one.Name)
	}
	if want := []string{"enp1s0", "enp2s0"}; !reflect.DeepEqual(names, want) {
		t.Errorf("asked on %v, want %v", names, want)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

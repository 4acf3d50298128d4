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
		s := readSeed(c.file, "zone-1")
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

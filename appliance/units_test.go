package main

import (
	"crypto/ed25519"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"meetzone/appliance/appliancetest"
	"meetzone/appliance/config"
)

// programs are those that a unit starts.
var programs = regexp.MustCompile(`(?m)^(Exec\w+=)/\S+`)

// unitCopy returns a copy of a unit that names a program which this machine has, since the product is not installed.
func unitCopy(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../init", name))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, name)
	if err := writeFile(copied, programs.ReplaceAll(text, []byte("${1}/bin/true"))); err != nil {
		t.Fatal(err)
	}
	return copied
}

func systemdAnalyze(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("systemd-analyze is missing; make test installs it")
		}
		t.Skip("systemd-analyze is missing")
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestUnitsAreValid: systemd finds nothing to complain about. The units are verified together, since they name each other.
func TestUnitsAreValid(t *testing.T) {
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	entries, err := os.ReadDir("../init")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".service", ".socket", ".mount":
			args = append(args, unitCopy(t, dir, e.Name()))
		}
	}
	if said := systemdAnalyze(t, args...); strings.Contains(said, "meetzone") {
		t.Errorf("systemd-analyze verify says:\n%s", said)
	}
}

// TestUnitExposure: the sandboxes are as tight as docs/architecture.md promises.
func TestUnitExposure(t *testing.T) {
	for name, most := range map[string]float64{"meetzone.service": 2.0, "meetzone-helper.service": 4.0, "meetzone-health.service": 4.0, "meetzone-fallback.service": 4.0, "meetzone-rescue.service": 2.0, "meetzone-tunnel.service": 2.0, "meetzone-console@.service": 1.0} {
		said := systemdAnalyze(t, "security", "--offline=true", "--no-pager", unitCopy(t, t.TempDir(), name))
		found := regexp.MustCompile(`exposure level for ` + regexp.QuoteMeta(strings.Replace(name, "@.", "@i.", 1)) + `: ([0-9.]+)`).FindStringSubmatch(said)
		if found == nil {
			t.Fatalf("no exposure level in:\n%s", said)
		}
		level, err := strconv.ParseFloat(found[1], 64)
		if err != nil || level > most {
			t.Errorf("exposure of %s is %s, want %.1f at most", name, found[1], most)
		}
		t.Logf("%s: %s", name, found[1])
	}
}

// unitSetting is the value of a key that stands in a unit once.
func unitSetting(t *testing.T, unit, key string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(key)+`=(.*)$`).FindAllStringSubmatch(unit, -1)
	if len(found) != 1 {
		t.Fatalf("the unit has %s %d times", key, len(found))
	}
	return found[0][1]
}

// TestTunnelUnit: the unit's command line with the example that stands above it is one that the program takes, its certificate lies in the folder that systemd
// makes, and binding the port is all that it may do.
func TestTunnelUnit(t *testing.T) {
	text, err := os.ReadFile("../init/meetzone-tunnel.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(text)
	example := regexp.MustCompile(`(?m)^#\s+ZONES=(.*)$`).FindStringSubmatch(unit)
	if example == nil {
		t.Fatal("no example of ZONES")
	}
	zones := strings.ReplaceAll(example[1], "ed25519:KEY", config.FormatZoneKey(make(ed25519.PublicKey, ed25519.PublicKeySize)))
	var args []string
	for _, word := range strings.Fields(unitSetting(t, unit, "ExecStart"))[2:] { // behind "/usr/bin/appliance tunnel"
		switch word {
		case "$ZONES":
			args = append(args, strings.Fields(zones)...) // systemd splits what has no braces
		case "${HTTPS}":
			args = append(args, strings.TrimPrefix(unitSetting(t, unit, "Environment"), "HTTPS="))
		default:
			args = append(args, word)
		}
	}
	var f tunnelFlags
	command := new(cobra.Command)
	f.runs(command)
	if err := command.ParseFlags(args); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	if leads, err := tunnelZones(f.zones); err != nil || len(leads) != 2 || leads[0].Dial == "" || leads[1].Key == nil {
		t.Errorf("%q lead to %+v: %v", f.zones, leads, err)
	}
	if f.https != ":443" || f.state != "/var/lib/"+unitSetting(t, unit, "StateDirectory") || unitSetting(t, unit, "DynamicUser") != "yes" {
		t.Errorf("%+v", f)
	}
	for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		if have := unitSetting(t, unit, key); have != "CAP_NET_BIND_SERVICE" {
			t.Errorf("%s is %s", key, have)
		}
	}
}

// TestUnitCapabilities: the tests run the daemon with what the unit gives it, no more and no less.
func TestUnitCapabilities(t *testing.T) {
	text, err := os.ReadFile("../init/meetzone.service")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range appliancetest.Capabilities {
		want = append(want, "CAP_"+strings.ToUpper(name))
	}
	slices.Sort(want)
	for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		found := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindSubmatch(text)
		if found == nil {
			t.Fatalf("the unit has no %s", key)
		}
		have := strings.Fields(string(found[1]))
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("%s is %v, the tests use %v", key, have, want)
		}
	}
}

// TestWhatIsNotHealthyFallsBack: whatever way the health gate comes to no good end, the unit that falls back is started, and what it runs is there.
func TestWhatIsNotHealthyFallsBack(t *testing.T) {
	for _, name := range []string{"meetzone-health.service", "boot-complete.target.d/fallback.conf"} {
		text, err := os.ReadFile(filepath.Join("../init", name))
		if err != nil {
			t.Fatal(err)
		}
		next := unitSetting(t, string(text), "OnFailure")
		unit, err := os.ReadFile(filepath.Join("../init", next))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		program := unitSetting(t, string(unit), "ExecStart")
		if _, err := os.Stat(filepath.Join("../init", filepath.Base(program)+".script")); err != nil || filepath.Dir(program) != "/usr/lib/meetzone" {
			t.Errorf("%s runs %s: %v", next, program, err)
		}
	}
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"meetzone/appliance/appliancetest"
)

// unitCopy returns a copy of a unit that names a program which this machine has, since the product is not installed.
func unitCopy(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../init", name))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, name)
	if err := writeFile(copied, []byte(strings.ReplaceAll(string(text), "/usr/bin/appliance", "/bin/true"))); err != nil {
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
	for _, name := range []string{"meetzone.service", "meetzone-helper.service", "meetzone-helper.socket"} {
		args = append(args, unitCopy(t, dir, name))
	}
	if said := systemdAnalyze(t, args...); strings.Contains(said, "meetzone") {
		t.Errorf("systemd-analyze verify says:\n%s", said)
	}
}

// TestUnitExposure: the sandboxes are as tight as docs/architecture.md promises.
func TestUnitExposure(t *testing.T) {
	for name, most := range map[string]float64{"meetzone.service": 2.0, "meetzone-helper.service": 4.0} {
		said := systemdAnalyze(t, "security", "--offline=true", "--no-pager", unitCopy(t, t.TempDir(), name))
		found := regexp.MustCompile(`exposure level for ` + regexp.QuoteMeta(name) + `: ([0-9.]+)`).FindStringSubmatch(said)
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

package image

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/image/qemu"
)

// patience is for a machine without KVM on a computer that has other work.
const patience = 8 * time.Minute

// look is a unit that comes to the machine through its firmware and tells on the second serial line what runs there.
const look = `[Unit]
After=meetzone.service
[Service]
Type=exec
StandardOutput=tty
TTYPath=/dev/ttyS1
ExecStart=/bin/sh -c 'systemctl is-system-running --wait; echo; echo look:begin; \
  systemctl --failed --no-legend --plain | sed "s/^/failed /"; \
  for u in $(systemctl --failed --no-legend --plain | cut -d" " -f1); do journalctl -b -u $u -o cat -n 6 --no-pager | sed "s/^/failed    /"; done; \
  systemctl list-units --type=service --state=running --no-legend --plain | sed "s/^/running /"; \
  systemctl list-units --type=socket --no-legend --plain | sed "s/^/socket /"; \
  for f in tcp tcp6 udp udp6; do sed "s/^/$f /" /proc/net/$f; done; \
  sed "s/^/cmdline /" /proc/cmdline; \
  systemd-analyze time | sed "s/^/time /"; systemd-analyze blame | head -12 | sed "s/^/blame /"; \
  systemctl show -p RuntimeWatchdogUSec -p WatchdogDevice | sed "s/^/watchdog /"; \
  cat /etc/machine-id | sed "s/^/machine-id /"; cat /etc/os-release | sed "s/^/os /"; \
  appliance status | sed "s/^/status /"; \
  echo look:end'
`

// lookCredentials bring the unit.
var lookCredentials = map[string]string{
	"systemd.extra-unit.look.service":              look,
	"systemd.unit-dropin.multi-user.target~50look": "[Unit]\nWants=look.service\n",
	slowDaemon: slowDaemonUnit,
}

// slowDaemon gives the daemon of an emulated machine more time to show that it moves.
const (
	slowDaemon     = "systemd.unit-dropin.meetzone.service~50slow"
	slowDaemonUnit = "[Service]\nWatchdogSec=3min\nTimeoutStartSec=6min\n"
)

// seen is what the look has found, by the first word of each line.
type seen map[string][]string

func lookAt(text string) seen {
	s := seen{}
	for line := range strings.Lines(text) {
		if kind, rest, found := strings.Cut(strings.TrimSpace(line), " "); found {
			s[kind] = append(s[kind], strings.TrimSpace(rest))
		}
	}
	return s
}

// firstWords are the units of a list.
func firstWords(lines []string) (words []string) {
	for _, line := range lines {
		words = append(words, strings.Fields(line)[0])
	}
	slices.Sort(words)
	return words
}

// listening are the ports of a table of /proc/net that are open to others: state 0A is LISTEN of TCP, 07 an unconnected socket of UDP.
func (s seen) listening(table, state string) (ports []string) {
	entry := regexp.MustCompile(`^\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:0000 ` + state)
	for _, line := range s[table] {
		if found := entry.FindStringSubmatch(line); found != nil && found[1] != "0100007F" && !strings.HasSuffix(found[1], "01000000") {
			ports = append(ports, found[2])
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// TestVMFirstBoot: a disk with nothing but the image becomes a box that serves, runs what it should and nothing else, holds a meeting with marks on the wire, and comes back
// after its plug was pulled.
func TestVMFirstBoot(t *testing.T) {
	needImage(t)
	l := newLAN(t, 2)
	m := l.machine(t, lookCredentials)
	began := time.Now()
	m.Start()
	m.Serial.Expect(firstScreen, patience)
	t.Logf("the first screen was there after %v", time.Since(began).Round(time.Second))
	found := lookOn(m)
	found.check(t)
	found.started(t, "The box started for the first time.")
	number := l.meeting(t)
	l.meet(t, number)

	m.PowerCut()
	m.Start()
	m.Serial.Expect(firstScreen, patience)
	again := lookOn(m)
	again.started(t, "The machine lost its power or was reset.")
	if len(again["failed"]) > 0 {
		t.Errorf("after the power cut these units failed: %q", again["failed"])
	}
}

// firstScreen is on the console of a box that nobody has configured.
const firstScreen = `This box is new`

// lookOn waits for what the unit tells.
func lookOn(m *qemu.Machine) seen {
	return lookAt(m.Notes.Expect(`(?s)look:begin\n(.*)look:end`, patience)[1])
}

// started holds the box to what it says of the cause of its start.
func (s seen) started(t *testing.T, want string) {
	t.Helper()
	status := strings.Join(s["status"], "\n")
	if found := regexp.MustCompile(`(?m)^Last start +(.*)$`).FindStringSubmatch(status); found == nil || found[1] != want {
		t.Errorf("status says:\n%s\nand not: %s", status, want)
	}
}

// check holds what runs to what the design names.
func (s seen) check(t *testing.T) {
	t.Helper()
	if len(s["failed"]) > 0 {
		t.Errorf("failed: %q", s["failed"])
	}
	services := []string{"dbus-broker.service", "look.service", "meetzone.service", "systemd-journald.service", "systemd-logind.service", "systemd-timesyncd.service", "systemd-udevd.service"}
	for _, one := range firstWords(s["running"]) {
		if !slices.Contains(services, one) && !strings.HasPrefix(one, "meetzone-") {
			t.Errorf("%s runs, which is not in the table", one)
		}
	}
	// 443 and 8801; 68 is DHCP's answer.
	for table, want := range map[string]struct {
		state string
		ports []string
	}{"tcp": {"0A", []string{"01BB", "2261"}}, "tcp6": {"0A", []string{"01BB", "2261"}}, "udp": {"07", []string{"0044", "2261"}}, "udp6": {"07", []string{"2261"}}} {
		for _, port := range s.listening(table, want.state) {
			if !slices.Contains(want.ports, port) {
				t.Errorf("%s listens on port %s (hexadecimal), which is not in the table", table, port)
			}
		}
	}
	if cmdline := strings.Join(s["cmdline"], " "); !regexp.MustCompile(`roothash=[0-9a-f]{64}`).MatchString(cmdline) || !strings.Contains(cmdline, "systemd.import_credentials=no") {
		t.Errorf("the kernel's command line is %s", cmdline)
	}
	if id := strings.Join(s["machine-id"], ""); id != "6d6565747a6f6e658000000000000001" {
		t.Errorf("the machine's id is %s, not that of its firmware", id)
	}
	t.Logf("units: %q\nsockets: %q\ntime: %q\nslowest: %q\nwatchdog: %q", firstWords(s["running"]), firstWords(s["socket"]), s["time"], s["blame"], s["watchdog"])
}

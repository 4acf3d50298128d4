package image

import (
	"os"
	"strings"
	"testing"
)

// tellZone says on the second serial line what the configuration calls the zone.
const tellZone = `[Unit]
After=meetzone.service
[Service]
Type=exec
StandardOutput=tty
TTYPath=/dev/ttyS1
ExecStart=/bin/sh -c 'until appliance config get >/run/shown; do sleep 1; done; echo; sed -n "s/^ *name: */zone is called /p" /run/shown | head -1; appliance status | grep "Last start"'
`

// askForReset asks for a factory reset as an administrator does, once: what is on the boot partition outlives the reset.
const askForReset = `[Unit]
After=told.service
ConditionPathExists=!/boot/asked
[Service]
Type=exec
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
ExecStart=/bin/sh -c 'while systemctl -q is-active told.service; do sleep 1; done; touch /boot/asked; sync; appliance factory-reset --yes; echo "asking for the reset ended with $?"'
`

// tellFlag says whether the boot partition still asks for a reset.
const tellFlag = `[Unit]
After=told.service
ConditionPathExists=/boot/asked
[Service]
Type=exec
StandardOutput=tty
TTYPath=/dev/ttyS1
ExecStart=/bin/sh -c 'while systemctl -q is-active told.service; do sleep 1; done; echo "flag: $(ls /boot/EFI/meetzone)."'
`

// long skips what takes minutes, but in make test-long.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("MEETZONE_LONG") == "" {
		t.Skip("boots a machine several times: make test-long")
	}
	needImage(t)
}

// TestVMFactoryReset: a file beside the system is the first configuration, and one on a stick comes before it; a factory reset deletes the state, is asked for once and done once, and the box comes back as new.
func TestVMFactoryReset(t *testing.T) {
	long(t)
	l := newLAN(t, 1)
	m := l.machineWith(t, "zone:\n  name: Beside\n", "zone:\n  name: On the stick\n", map[string]string{
		"systemd.extra-unit.told.service":               tellZone,
		"systemd.extra-unit.reset.service":              askForReset,
		"systemd.extra-unit.flag.service":               tellFlag,
		"systemd.unit-dropin.multi-user.target~50reset": "[Unit]\nWants=told.service reset.service flag.service\n",
		slowDaemon: slowDaemonUnit,
	})
	m.Start()
	m.Serial.Expect(firstScreen, patience)
	if name := m.Notes.Expect(`zone is called (.*)`, patience)[1]; strings.Trim(name, `" `) != "On the stick" {
		t.Errorf("the zone is called %s: the file on the stick was not taken", name)
	}
	m.Notes.Expect(`Last start`, patience)
	if status := m.Notes.Expect(`asking for the reset ended with (\d+)`, patience)[1]; status != "0" {
		t.Fatalf("asking for the reset ended with %s", status)
	}
	m.Serial.Expect(`factory reset: the state partition is deleted`, patience)
	m.Serial.Expect(firstScreen, patience)
	if name := m.Notes.Expect(`zone is called (.*)`, patience)[1]; strings.Trim(name, `" `) != "On the stick" {
		t.Errorf("after the reset the zone is called %s: it did not start as from the factory", name)
	}
	if cause := m.Notes.Expect(`Last start +(.*)`, patience)[1]; cause != "The box started for the first time." {
		t.Errorf("after the reset: %s", cause)
	}
	if left := m.Notes.Expect(`flag: (.*)\.`, patience)[1]; strings.Contains(left, "factory-reset") {
		t.Errorf("the boot partition still asks for a reset: %s", left)
	}
}

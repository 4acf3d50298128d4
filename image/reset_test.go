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
ExecStart=/bin/sh -c 'until appliance config show >/run/shown; do sleep 1; done; echo; sed -n "s/^ *name: */zone is called /p" /run/shown | head -1; appliance status | grep "Last start"'
`

// askForReset starts what the console and the command line start for a factory reset, on a start that is none.
const askForReset = `[Unit]
After=told.service
ConditionKernelCommandLine=!systemd.factory_reset=yes
[Service]
Type=exec
ExecStart=/bin/sh -c 'while systemctl -q is-active told.service; do sleep 1; done; exec systemctl start factory-reset.target'
`

// long skips what takes minutes, but in make test-long.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("MEETZONE_LONG") == "" {
		t.Skip("boots a machine several times: make test-long")
	}
	needImage(t)
}

// TestVMFactoryReset: a file beside the system is the first configuration, and one on a stick comes before it; a factory reset deletes the state by the entry of the boot menu, and the box comes back as new.
func TestVMFactoryReset(t *testing.T) {
	long(t)
	l := newLAN(t, 1)
	m := l.machineWith(t, "zone:\n  name: Beside\n", "zone:\n  name: On the stick\n", map[string]string{
		"systemd.extra-unit.told.service":               tellZone,
		"systemd.extra-unit.reset.service":              askForReset,
		"systemd.unit-dropin.multi-user.target~50reset": "[Unit]\nWants=told.service reset.service\n",
		slowDaemon: slowDaemonUnit,
	})
	m.Start()
	m.Serial.Expect(firstScreen, patience)
	if name := m.Notes.Expect(`zone is called (.*)`, patience)[1]; strings.Trim(name, `" `) != "On the stick" {
		t.Errorf("the zone is called %s: the file on the stick was not taken", name)
	}
	m.Notes.Expect(`Last start`, patience)
	m.Serial.Expect(`factory reset`, patience)
	m.Serial.Expect(firstScreen, patience)
	if cause := m.Notes.Expect(`Last start +(.*)`, patience)[1]; cause != "The box started for the first time." {
		t.Errorf("after the reset: %s", cause)
	}
}

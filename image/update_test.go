package image

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
	"meetzone/image/qemu"
)

// What image/update-images makes: two versions of one commit, the older as a disk, the newer as a bundle, and keys that are nobody's.
var updates = filepath.Join("..", "bin", "update")

const (
	olderVersion = "0.1.1"
	newerVersion = "0.1.2"
)

// needUpdates skips where there are no two versions.
func needUpdates(t *testing.T) {
	t.Helper()
	if os.Getenv("MEETZONE_LONG") == "" || os.Getenv("MEETZONE_IMAGE") == "" {
		t.Skip("boots a machine several times: make update-images, then with MEETZONE_LONG=1 MEETZONE_IMAGE=1")
	}
	nstest.RequireRoot(t)
	if _, err := os.Stat(filepath.Join(updates, "older.raw")); err != nil {
		t.Fatalf("there are no two versions, which make update-images makes: %v", err)
	}
}

// ask is a unit that has the older version install what a server on the LAN has, and tells on the console how the box stands with updates.
const ask = `[Unit]
After=meetzone.service meetzone-health.service
[Service]
Type=exec
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c 'until appliance status >/dev/null 2>&1; do sleep 2; done; sleep 5; . /usr/lib/os-release; echo; \
ls /boot/EFI/Linux | sed "s/^/kernel /"; appliance update status | sed "s/^/update: /"; ! [ -e /var/asked ] || echo "the state is kept"; echo "running $IMAGE_VERSION"; \
if [ "$IMAGE_VERSION" = ` + olderVersion + ` ] && ! [ -e /var/asked ]; then touch /var/asked; appliance update install http://10.77.0.11/latest.bundle --drain 0s; echo "install ended with $?"; fi'
`

// brokenDaemon has the newer version's daemon end before it serves anybody.
const brokenDaemon = "[Service]\nExecStartPre=/bin/sh -c '. /usr/lib/os-release; test \"$IMAGE_VERSION\" != " + newerVersion + "'\n"

// updateMachine is a machine that runs the older version, on a LAN whose first client serves the bundle.
func updateMachine(t *testing.T, more map[string]string) *qemu.Machine {
	t.Helper()
	l := newLAN(t, 1)
	serveBundle(t, l, filepath.Join(updates, "newer.bundle"))
	credentials := map[string]string{
		"systemd.extra-unit.asked.service":                ask,
		"systemd.unit-dropin.multi-user.target~50asked":   "[Unit]\nWants=asked.service\n",
		"systemd.unit-dropin.meetzone-health.service~50s": "[Service]\nExecStart=\nExecStart=/usr/bin/appliance update gate --within 6m\nTimeoutStartSec=15min\n",
		slowDaemon: slowDaemonUnit,
	}
	for name, text := range more {
		credentials[name] = text
	}
	return qemu.NewMachine(t, qemu.MachineConfig{Disk: filepath.Join(updates, "older.raw"), Tap: "tap0", Command: l.hub.Command, Credentials: credentials})
}

func serveBundle(t *testing.T, l *lan, file string) {
	t.Helper()
	var listener net.Listener
	var err error
	l.clients[0].Do(t, func() { listener, err = net.Listen("tcp", "10.77.0.11:80") })
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

// TestVMUpdate: the box fetches the newer version, restarts into it, finds it healthy, and keeps it.
func TestVMUpdate(t *testing.T) {
	needUpdates(t)
	m := updateMachine(t, nil)
	begin := time.Now()
	m.Start()
	m.Serial.Expect(`running `+olderVersion, patience)
	t.Logf("the older version runs after %v", time.Since(begin).Round(time.Second))
	begin = time.Now()
	m.Serial.Expect(`Update to version `+newerVersion+`: restarting`, patience)
	t.Logf("fetched, written and checked after %v", time.Since(begin).Round(time.Second))
	m.Serial.Expect(`kernel meetzone_`+newerVersion+`\.efi`, 2*patience)
	m.Serial.Expect(`update: .*blessed +Version `+newerVersion+` is healthy`, patience)
	m.Serial.Expect(`the state is kept`, patience)
	m.Serial.Expect(`running `+newerVersion, patience)
	t.Logf("the newer version is blessed %v after the update began", time.Since(begin).Round(time.Second))
}

// TestVMUpdateThatIsNotHealthy: the daemon of the newer version never gets ready. The box goes back by itself and says why.
func TestVMUpdateThatIsNotHealthy(t *testing.T) {
	needUpdates(t)
	m := updateMachine(t, map[string]string{"systemd.unit-dropin.meetzone.service~60broken": brokenDaemon})
	m.Start()
	m.Serial.Expect(`running `+olderVersion, patience)
	m.Serial.Expect(`Update to version `+newerVersion+`: restarting`, patience)
	begin := time.Now()
	m.Serial.Expect(`kernel meetzone_`+newerVersion+`\+0-`, 3*patience)
	m.Serial.Expect(`update: .*fell-back +Version `+newerVersion+` is not healthy: .*the daemon`, patience)
	m.Serial.Expect(`running `+olderVersion, patience)
	t.Logf("the older version runs again %v after the restart", time.Since(begin).Round(time.Second))
}

// TestVMUpdateRefused: a bundle with a flipped bit never gets into a slot.
func TestVMUpdateRefused(t *testing.T) {
	needUpdates(t)
	damaged := filepath.Join(t.TempDir(), "damaged.bundle")
	if err := flip(filepath.Join(updates, "newer.bundle"), damaged); err != nil {
		t.Fatal(err)
	}
	l := newLAN(t, 1)
	serveBundle(t, l, damaged)
	m := qemu.NewMachine(t, qemu.MachineConfig{Disk: filepath.Join(updates, "older.raw"), Tap: "tap0", Command: l.hub.Command, Credentials: map[string]string{
		"systemd.extra-unit.asked.service": ask, "systemd.unit-dropin.multi-user.target~50asked": "[Unit]\nWants=asked.service\n", slowDaemon: slowDaemonUnit}})
	m.Start()
	m.Serial.Expect(`The bundle is damaged: the sum of the root is wrong`, 2*patience)
	m.Serial.Expect(`install ended with 1`, patience)
}

// flip copies a file with one bit in its middle changed.
func flip(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	b := make([]byte, 1)
	if err == nil {
		_, err = out.ReadAt(b, n/2)
	}
	b[0] ^= 1
	if err == nil {
		_, err = out.WriteAt(b, n/2)
	}
	return errors.Join(err, out.Close())
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/appliancetest"
)

// slotBox is a box that runs version 1.0.0 from slot A, as far as its software can tell: daemon, helper and gate are the real programs, which see a mount namespace with a disk
// (a file with a partition table), a boot partition (a folder), a kernel command line and os-release of an image.
type slotBox struct {
	t       *testing.T
	lab     *appliancetest.Lab
	daemon  *appliancetest.Daemon
	program string
	folder  string
}

// imageView makes the mount namespace. With a /run of its own nothing in it reaches the systemd of the machine that the test runs on, which would restart it.
const imageView = `set -e
umask 0077 # as in the units
mount -t tmpfs none /run
mount -t tmpfs none /sys
mkdir -p /sys/block/dm-0/dm /sys/block/dm-0/slaves/full2 /sys/class/block /sys/devices/full/full2
echo root >/sys/block/dm-0/dm/name
touch /sys/devices/full/full2/partition
ln -s /sys/devices/full/full2 /sys/class/block/full2
mount --bind "$BOX/disk" /dev/full
mount --bind "$BOX/cmdline" /proc/cmdline
mount --bind "$BOX/os-release" /usr/lib/os-release
mount --bind "$BOX/esp" /boot
mount -t tmpfs none /var/lib
mkdir /var/lib/meetzone-update
mount --bind "$BOX/ledger" /var/lib/meetzone-update
mount -t tmpfs none /usr/share
chmod 755 /usr/share
mkdir /usr/share/meetzone
mkdir -p /sys/dev/block /sys/devices/full/full1
ln -sfn /sys/devices/full/full1 /sys/dev/block/$(mountpoint -d /boot)
ln -sfn /sys/devices/full/full1 /sys/dev/block/$(mountpoint -d /var/lib/meetzone-update)
cp "$BOX/root.pub" /usr/share/meetzone/update-root.pub
exec "$@"`

// inImage is a command that sees an image.
func (b *slotBox) inImage(args ...string) *exec.Cmd {
	cmd := b.lab.Box.Command(context.Background(), "unshare", append([]string{"--mount", "sh", "-c", imageView, "sh"}, args...)...)
	cmd.Env = append(os.Environ(), "BOX="+b.folder)
	return cmd
}

func (b *slotBox) path(name string) string { return filepath.Join(b.folder, name) }

// own runs the program without a daemon.
func (b *slotBox) own(args ...string) string {
	b.t.Helper()
	out, err := exec.Command(b.program, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("appliance %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func newSlotBox(t *testing.T) *slotBox {
	t.Helper()
	folder, err := os.MkdirTemp("", "meetzone-slots")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	b := &slotBox{t: t, lab: appliancetest.New(t, 1), folder: folder}
	if err := errors.Join(os.Chmod(folder, 0o755), os.MkdirAll(b.path("esp/EFI/Linux"), 0o755), os.Mkdir(b.path("ledger"), 0o755)); err != nil {
		t.Fatal(err)
	}
	plain := b.lab.Start(t) // for its program, which the lab has built
	if b.program, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", plain.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	plain.Stop(t)
	b.own("update", "keygen", "--out", b.path("root"))
	b.own("update", "keygen", "--root-key", b.path("root.key"), "--out", b.path("release"), "--serial", "2")
	hash := b.image("1.0.0")
	b.partition(hash)
	for name, content := range map[string]string{"cmdline": "quiet roothash=" + hash + "\n", "os-release": "ID=debian\nIMAGE_ID=meetzone\nIMAGE_VERSION=1.0.0\n",
		"esp/EFI/Linux/meetzone_1.0.0.efi": "the running kernel"} {
		if err := os.WriteFile(b.path(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.startHelper()
	b.daemon = b.lab.Start(t, b.flags()...)
	return b
}

func (b *slotBox) flags() []string {
	return []string{"--helper", b.path("helper.sock"), "--root-keys", b.path("root.pub"), "--update-ledger", b.path("ledger")}
}

// image makes root, tree and kernel of a version, and returns its root hash.
func (b *slotBox) image(version string) string {
	b.t.Helper()
	root, tree := b.path(version+".root"), b.path(version+".verity")
	if err := errors.Join(os.WriteFile(root, bytes.Repeat([]byte(version+" is a root. "), 400_000)[:4<<20], 0o644), os.WriteFile(tree, nil, 0o644)); err != nil {
		b.t.Fatal(err)
	}
	out, err := exec.Command("veritysetup", "format", root, tree).CombinedOutput()
	found := regexp.MustCompile(`Root hash:\s+([0-9a-f]{64})`).FindSubmatch(out)
	if err != nil || found == nil {
		b.t.Fatalf("veritysetup: %v\n%s", err, out)
	}
	if err := os.WriteFile(b.path(version+".efi"), []byte("kernel roothash="+string(found[1])), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return string(found[1])
}

// bundle makes one with the program itself.
func (b *slotBox) bundle(version string, flags ...string) string {
	b.t.Helper()
	hash, file := b.image(version), b.path("meetzone_"+version+".bundle")
	b.own(append([]string{"update", "bundle", "--key", b.path("release.key"), "--cert", b.path("release.cert"), "--uki", b.path(version + ".efi"), "--root", b.path(version + ".root"),
		"--verity", b.path(version + ".verity"), "--root-hash", hash, "--version", version, "--out", file}, flags...)...)
	return file
}

// partition makes the disk, whose slot A has the identities of a root hash.
func (b *slotBox) partition(hash string) {
	b.t.Helper()
	if err := errors.Join(os.WriteFile(b.path("disk"), nil, 0o644), os.Truncate(b.path("disk"), 32<<20)); err != nil {
		b.t.Fatal(err)
	}
	uuid := func(s string) string { return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:] }
	const verity, root = "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
	cmd := exec.Command("sfdisk", "--quiet", b.path("disk"))
	cmd.Stdin = strings.NewReader("label: gpt\n" +
		"size=1M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"esp\"\n" +
		"size=1M, type=" + verity + ", name=\"meetzone_1.0.0\", uuid=" + uuid(hash[32:]) + "\n" +
		"size=8M, type=" + root + ", name=\"meetzone_1.0.0\", uuid=" + uuid(hash[:32]) + "\n" +
		"size=1M, type=" + verity + ", name=\"_empty\"\nsize=8M, type=" + root + ", name=\"_empty\"\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("sfdisk: %v\n%s", err, out)
	}
}

// startHelper runs the helper as root, by a socket as systemd does.
func (b *slotBox) startHelper() {
	b.t.Helper()
	socket := b.path("helper.sock")
	cmd := b.inImage("systemd-socket-activate", "--listen="+socket, b.program, "helper", "--user", "64811")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	soon(b.t, 20*time.Second, "the helper's socket is there", func() bool { _, err := os.Stat(socket); return err == nil })
	if err := os.Chmod(socket, 0o666); err != nil {
		b.t.Fatal(err)
	}
}

func (b *slotBox) status() (u adminapi.Update) {
	b.t.Helper()
	if err := json.Unmarshal(b.daemon.Admin(b.t, "update", "status", "--json"), &u); err != nil {
		b.t.Fatal(err)
	}
	return u
}

// refused runs a command that has to fail with some words.
func (b *slotBox) refused(words string, args ...string) {
	b.t.Helper()
	out, err := b.daemon.TryAdmin(args...)
	if err == nil || !strings.Contains(string(out), words) {
		b.t.Errorf("appliance %s: %v; it does not say %q:\n%s", strings.Join(args, " "), err, words, out)
	}
}

// boots says what a version's kernel is called on the boot partition; "" where there is none.
func (b *slotBox) boots(version string) string {
	b.t.Helper()
	found, err := filepath.Glob(b.path("esp/EFI/Linux/meetzone_" + version + "*.efi"))
	if err != nil || len(found) > 1 {
		b.t.Fatalf("%q, %v", found, err)
	}
	if len(found) == 0 {
		return ""
	}
	return filepath.Base(found[0])
}

// become has the box run another version, as a restart would.
func (b *slotBox) become(version, from, to string) {
	b.t.Helper()
	b.daemon.Stop(b.t)
	kernel, err := os.ReadFile(b.path("esp/EFI/Linux/" + from))
	if err != nil {
		b.t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(kernel), "kernel ")
	if err := errors.Join(os.Rename(b.path("esp/EFI/Linux/"+from), b.path("esp/EFI/Linux/"+to)), // systemd-boot counts
		overwrite(b.path("cmdline"), strings.TrimRight(line, "\x00")+"\n"), overwrite(b.path("os-release"), "IMAGE_VERSION="+version+"\n")); err != nil {
		b.t.Fatal(err)
	}
	b.daemon = b.lab.StartIn(b.t, b.daemon.State, b.flags()...)
}

// overwrite keeps the file: it is what a mount of the helper's namespace shows.
func overwrite(path, content string) error {
	return os.WriteFile(path, []byte(content), 0o644)
}

// gate runs the health gate as its unit does.
func (b *slotBox) gate(within string) (string, error) {
	out, err := b.inImage(b.program, "update", "gate", "--admin", b.daemon.Socket, "--within", within).CombinedOutput()
	return string(out), err
}

// TestNetnsUpdate goes the whole way with the real daemon, helper and gate: bad bundles are refused in words, a good one goes into slot B by upload and by HTTP, nothing is installed
// on top of what waits, a restart that fails ends the drain, the gate blesses what is healthy and gives up what is not.
func TestNetnsUpdate(t *testing.T) {
	b := newSlotBox(t)
	if u := b.status(); u.Version != "1.0.0" || len(u.Slots) != 2 || !u.Slots[0].Running || u.Slots[0].Boot != "good" || u.Slots[1].Version != "" || u.Why != "" {
		t.Fatalf("at first: %+v", u)
	}
	good := b.bundle("1.1.0", "--floor", "1.0.0")
	b.badBundles(good)
	b.refused("is not for this hardware", "update", "install", b.bundle("1.1.5", "--hardware", "toaster"))
	b.refused("It is not said where the bundle is", "update", "install")
	if u := b.status(); len(u.Events) < 4 || u.Events[0].Kind != "refused" {
		t.Errorf("refusals are not kept: %+v", u.Events)
	}
	if b.boots("1.1") != "" || b.boots("1.0.0") != "meetzone_1.0.0.efi" {
		t.Error("a refused bundle has changed what is booted")
	}

	b.daemon.Admin(t, "update", "install", good, "--no-reboot")
	if u := b.status(); u.Armed != "1.1.0" || b.boots("1.1.0") != "meetzone_1.1.0+3.efi" {
		t.Fatalf("after installing: %+v, %s", u, b.boots("1.1.0"))
	}
	b.refused("has not proved itself", "update", "install", b.bundle("1.2.0"))
	b.daemon.Admin(t, "update", "rollback", "--no-reboot")
	if u := b.status(); u.Armed != "" || b.boots("1.1.0") != "" {
		t.Fatalf("after taking back: %+v, %s", u, b.boots("1.1.0"))
	}
	b.fromSource(good)
	b.trialOf110()
	b.trialThatFails()
}

func (b *slotBox) badBundles(good string) {
	b.t.Helper()
	raw, err := os.ReadFile(good)
	if err != nil {
		b.t.Fatal(err)
	}
	flipped := bytes.Clone(raw)
	flipped[len(raw)/2] ^= 4
	for name, c := range map[string]struct {
		bytes []byte
		words string
	}{
		"text":      {[]byte("hello"), "is no bundle"},
		"truncated": {raw[:len(raw)-4096], "is not complete"},
		"flipped":   {flipped, "is damaged"},
	} {
		file := b.path(name + ".bundle")
		if err := os.WriteFile(file, c.bytes, 0o644); err != nil {
			b.t.Fatal(err)
		}
		b.refused(c.words, "update", "install", file, "--no-reboot")
	}
	b.own("update", "keygen", "--out", b.path("strange"))
	b.own("update", "keygen", "--root-key", b.path("strange.key"), "--out", b.path("strange-release"))
	strange := b.bundle("1.1.6", "--key", b.path("strange-release.key"), "--cert", b.path("strange-release.cert"))
	b.refused("is not one that this box trusts", "update", "install", strange)
}

// fromSource has the bundle come from update.source over a connection that breaks, and the box drain and restart.
func (b *slotBox) fromSource(bundle string) {
	t := b.t
	t.Helper()
	client := b.lab.Clients[0]
	var listener net.Listener
	var err error
	client.NS.Do(t, func() { listener, err = net.Listen("tcp", net.JoinHostPort(client.Addr.String(), "80")) })
	if err != nil {
		t.Fatal(err)
	}
	served := &breaking{file: bundle, after: 2 << 20}
	server := &http.Server{Handler: served}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	b.daemon.Admin(t, "config", "set", "update.source", "http://"+client.Addr.String()+"/latest.bundle", "--commit")
	if out := string(b.daemon.Admin(t, "update", "check")); !strings.Contains(out, "1.1.0") || !strings.Contains(out, "takes it") {
		t.Errorf("check says:\n%s", out)
	}
	b.refused("systemd does not answer", "update", "install", "--drain", "0s") // the restart, which this machine is not to make
	if ranges := served.resumed(); ranges == 0 {
		t.Error("the broken transfer began anew instead of going on")
	}
	if out := string(b.daemon.Admin(t, "drain")); !strings.Contains(out, "in service") {
		t.Errorf("a restart that came to nothing leaves the box out of service:\n%s", out)
	}
	if b.boots("1.1.0") != "meetzone_1.1.0+3.efi" {
		t.Fatalf("not armed: %q", b.boots("1.1.0"))
	}
}

// trialOf110 is a start of 1.1.0 that goes well.
func (b *slotBox) trialOf110() {
	t := b.t
	t.Helper()
	b.become("1.1.0", "meetzone_1.1.0+3.efi", "meetzone_1.1.0+2-1.efi")
	if u := b.status(); !u.Unproved || u.Version != "1.1.0" {
		t.Errorf("on trial: %+v", u)
	}
	if out, err := b.gate("60s"); err != nil {
		t.Fatalf("the gate: %v\n%s", err, out)
	}
	if err := os.Rename(b.path("esp/EFI/Linux/meetzone_1.1.0+2-1.efi"), b.path("esp/EFI/Linux/meetzone_1.1.0.efi")); err != nil { // systemd-bless-boot
		t.Fatal(err)
	}
	if u := b.status(); u.Unproved || u.Floor != "1.0.0" || u.Events[0].Kind != "blessed" {
		t.Errorf("blessed: %+v", u)
	}
}

// trialThatFails is a start of 1.2.0 whose 8801 does not answer, though its daemon runs.
func (b *slotBox) trialThatFails() {
	t := b.t
	t.Helper()
	b.daemon.Admin(t, "update", "install", b.bundle("1.2.0"), "--no-reboot")
	b.become("1.2.0", "meetzone_1.2.0+3.efi", "meetzone_1.2.0+2-1.efi")
	b.lab.Box.Nft(t, "table inet broken { chain input { type filter hook input priority 0; udp dport 8801 drop; }; }")
	out, err := b.gate("10s")
	if err == nil || !strings.Contains(out, "systemd does not answer") { // it would have restarted
		t.Errorf("the gate: %v\n%s", err, out)
	}
	if b.boots("1.2.0") != "meetzone_1.2.0+0-1.efi" || b.boots("1.1.0") != "meetzone_1.1.0.efi" {
		t.Errorf("booted next: %q, %q", b.boots("1.2.0"), b.boots("1.1.0"))
	}
	last := b.status().Events[0]
	if last.Kind != "fell-back" || !strings.Contains(last.Text, "media do not answer") {
		t.Errorf("the reason is %+v", last)
	}
	if alarms := string(b.daemon.Admin(t, "alarms")); !strings.Contains(alarms, "update-fell-back") || !strings.Contains(alarms, "media do not answer") {
		t.Errorf("alarms:\n%s", alarms)
	}
}

// breaking serves a file and breaks the first connection that fetches it as a whole.
type breaking struct {
	file   string
	after  int64
	ranges int
	broken bool
}

func (s *breaking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, err := os.Open(s.file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("ETag", `"one"`)
	asked := r.Header.Get("Range")
	if strings.HasPrefix(asked, "bytes=") && !strings.HasPrefix(asked, "bytes=0-") {
		s.ranges++
	}
	if asked == "" && !s.broken {
		s.broken = true
		w.Header().Set("Content-Length", "9000000")
		b := make([]byte, s.after)
		n, _ := f.Read(b)
		_, _ = w.Write(b[:n])
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "latest.bundle", time.Time{}, f)
}

func (s *breaking) resumed() int { return s.ranges }

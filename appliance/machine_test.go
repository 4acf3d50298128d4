package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/helper"
	"meetzone/dataplane/nstest"
)

// strangeUser is neither root nor the user whose requests the helper of the test obeys.
const strangeUser = 64812

// TestNetnsHelper runs the helper as systemd does, by a socket, with the capability of its unit and a host name of its own: the name changes as asked,
// a stranger is refused, what is no request is refused, and without systemd a reboot is refused in words.
func TestNetnsHelper(t *testing.T) {
	nstest.RequireRoot(t)
	dir, err := os.MkdirTemp("", "meetzone-helper")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary, socket := filepath.Join(dir, "appliance"), filepath.Join(dir, "helper.sock")
	if out, err := exec.Command("go", "build", "-o", binary, "meetzone/appliance").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	// With a /run of its own it cannot reach the systemd of the machine that the test runs on, which would obey.
	cmd := exec.Command("unshare", "--uts", "--mount", "sh", "-c", `mount -t tmpfs none /run && exec "$@"`, "sh",
		"setpriv", "--bounding-set=-all,+sys_admin", "--no-new-privs",
		"systemd-socket-activate", "--listen="+socket, binary, "helper", "--user", strconv.Itoa(strangeUser+1))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody made the socket within 20 s")
		}
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}

	ctx, client := context.Background(), helper.Client{Socket: socket}
	if err := client.Do(ctx, helper.SetHostname{Hostname: "box-7"}); err != nil {
		t.Fatal(err)
	}
	name, err := exec.Command("nsenter", "--uts", "--target", strconv.Itoa(cmd.Process.Pid), "uname", "-n").Output()
	if err != nil || strings.TrimSpace(string(name)) != "box-7" {
		t.Errorf("the host is called %q, %v", name, err)
	}
	if ours := kernelName(); ours == "box-7" {
		t.Error("the name of the machine itself has changed")
	}
	if err := client.Do(ctx, helper.Reboot{Reason: "test"}); err == nil || !strings.Contains(err.Error(), "systemd does not answer") {
		t.Errorf("a reboot without systemd: %v", err)
	}
	user := strconv.Itoa(strangeUser)
	said, err := exec.Command("setpriv", "--reuid="+user, "--regid="+user, "--clear-groups",
		"curl", "--silent", "--show-error", "--http0.9", "--max-time", "10", "--unix-socket", socket, "http://helper/").CombinedOutput()
	if !strings.Contains(string(said), "only the daemon may ask") {
		t.Errorf("a stranger was told %q, %v", said, err)
	}
	said, err = exec.Command("curl", "--silent", "--show-error", "--http0.9", "--max-time", "10", "--unix-socket", socket, "http://helper/").CombinedOutput()
	if !strings.Contains(string(said), "the helper refuses the request") {
		t.Errorf("what is no request was answered with %q, %v", said, err)
	}
}

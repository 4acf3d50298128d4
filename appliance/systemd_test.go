package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDaemonAsSystemdService starts the command as a service manager does, with a notification socket and a watchdog: READY comes when it serves,
// WATCHDOG goes on coming, STOPPING comes with SIGTERM, and the exit status is 0.
func TestDaemonAsSystemdService(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	binary := filepath.Join(dir, "appliance")
	if out, err := exec.Command("go", "build", "-o", binary, "meetzone/appliance").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	admin := filepath.Join(dir, "admin.sock")
	cmd := exec.CommandContext(ctx, binary, "run", "--state", filepath.Join(dir, "state"), "--https", "127.0.0.1:0", "--media", "127.0.0.1:0",
		"--metrics", "127.0.0.1:0", "--admin", admin, "--drain", "1s")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket.LocalAddr().String(), "WATCHDOG_USEC=600000")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	next := func() string {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatalf("waiting for a notification: %v", err)
		}
		return string(buf[:n])
	}
	if got := next(); !strings.Contains(got, "READY=1") {
		t.Fatalf("the first notification is %q", got)
	}
	if out, err := exec.Command(binary, "status", "--admin", admin).CombinedOutput(); err != nil {
		t.Errorf("ready, but status says: %v\n%s", err, out)
	}
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("notification %q, want the watchdog's", got)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for {
		if got := next(); strings.Contains(got, "STOPPING=1") {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
}

package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/storage"
)

// These tests need root for a mount namespace of their own, in which they have a small disk and one that can be made silent.

const namespaceVariable = "MEETZONE_STORAGE_NAMESPACE"

// inNamespace runs the test once more in a process with its own mounts. It returns true there, and false where all is said.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(namespaceVariable) != "" {
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		return true
	}
	if os.Geteuid() != 0 {
		skip(t, "needs root for a mount namespace")
	}
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), namespaceVariable+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := child.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM):
		skip(t, "this machine permits no mount namespace")
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		skip(t, string(out))
	}
	return false
}

// waitFor waits until ok holds.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func alarms(s *storage.Store) string {
	var codes []string
	for _, a := range s.Alarms() {
		codes = append(codes, string(a.Code))
	}
	return strings.Join(codes, " ")
}

func TestNetnsFullDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	disk := t.TempDir()
	must(t, unix.Mount("none", disk, "tmpfs", 0, "size=1m"))
	defer func() { must(t, unix.Unmount(disk, 0)) }()
	s, err := storage.Open(storage.Config{Path: filepath.Join(disk, "s.db"), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	rooms := openTable[string, room](t, s, "rooms")
	must(t, rooms.Put(t.Context(), "first", room{Title: "first"}))

	other := filepath.Join(disk, "other")
	fill(t, other)
	big := room{Title: strings.Repeat("x", 200<<10)}
	if err := rooms.Put(t.Context(), "big", big); !errors.Is(err, storage.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write to a full disk: %v", err)
	}
	if got := alarms(s); got != string(storage.StoreFull) {
		t.Errorf("alarms %q", got)
	}
	if r, found, err := rooms.Get("first"); !found || err != nil || r.Title != "first" {
		t.Error("reads do not go on")
	}
	if _, found, _ := rooms.Get("big"); found {
		t.Error("what was refused is read")
	}

	must(t, os.Remove(other))
	waitFor(t, "the alarm ends by itself", func() bool { return alarms(s) == "" })
	must(t, rooms.Put(t.Context(), "big", big))
	must(t, s.Check())
	must(t, s.Close())
}

// fill writes until nothing more goes in.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	must(t, f.Close())
}

func TestNetnsSilentDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	disk := loopDisk(t)
	s, err := storage.Open(storage.Config{
		Path: filepath.Join(disk, "s.db"), WriteDeadline: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	rooms := openTable[string, room](t, s, "rooms")
	waitFor(t, "a first write in time", func() bool { return rooms.Put(t.Context(), "before", room{Title: "before"}) == nil })

	thaw := freeze(t, disk)
	defer thaw()
	begun := time.Now()
	if err := rooms.Put(t.Context(), "meanwhile", room{}); !errors.Is(err, storage.ErrBusy) {
		t.Errorf("write to a silent disk: %v", err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the caller hung for %v", took)
	}
	if got := alarms(s); got != string(storage.StoreSilent) {
		t.Errorf("alarms %q", got)
	}
	begun = time.Now()
	if err := rooms.Put(t.Context(), "refused", room{}); !errors.Is(err, storage.ErrBusy) {
		t.Errorf("second write: %v", err)
	}
	if took := time.Since(begun); took > 50*time.Millisecond {
		t.Errorf("with the alarm standing, the caller hung for %v", took)
	}
	if r, found, err := rooms.Get("before"); !found || err != nil || r.Title != "before" {
		t.Error("reads do not go on")
	}
	if _, found, _ := rooms.Get("meanwhile"); found {
		t.Error("what was not acknowledged is read")
	}

	thaw()
	waitFor(t, "the alarm ends when the disk answers", func() bool { return alarms(s) == "" })
	waitFor(t, "the write that had begun is made", func() bool { _, found, _ := rooms.Get("meanwhile"); return found })
	if _, found, _ := rooms.Get("refused"); found {
		t.Error("what was refused in the queue was written later")
	}
	waitFor(t, "writes go on", func() bool { return rooms.Put(t.Context(), "after", room{}) == nil })
	must(t, s.Check())
	waitFor(t, "the store closes", func() bool { return s.Close() == nil })
}

// loopDisk is a small ext4 in a file, which the kernel can freeze.
func loopDisk(t *testing.T) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("needs mkfs.ext4")
	}
	image, disk := filepath.Join(t.TempDir(), "image"), t.TempDir()
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 16<<20))
	if out, err := exec.Command(mkfs, "-q", "-F", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, disk).CombinedOutput(); err != nil {
		t.Skipf("this machine mounts no loop device: %v: %s", err, out)
	}
	t.Cleanup(func() {
		waitFor(t, "the disk is let go of", func() bool { return unix.Unmount(disk, 0) == nil })
	})
	return disk
}

// freeze makes every write to the file system wait until thaw is called, or for 20 s, whatever the test does.
func freeze(t *testing.T, disk string) (thaw func()) {
	t.Helper()
	const fifreeze, fithaw = 0xc0045877, 0xc0045878 // linux/fs.h
	f, err := os.Open(disk)
	must(t, err)
	must(t, unix.IoctlSetInt(int(f.Fd()), fifreeze, 0))
	done := make(chan struct{})
	thawed := make(chan error)
	go func() {
		select {
		case <-done:
		case <-time.After(20 * time.Second):
		}
		thawed <- errors.Join(unix.IoctlSetInt(int(f.Fd()), fithaw, 0), f.Close())
		close(thawed)
	}()
	once := false
	return func() {
		if once {
			return
		}
		once = true
		close(done)
		if err := <-thawed; err != nil {
			panic(fmt.Sprintf("the disk stays frozen: %v", err))
		}
	}
}

// skip ends a test that this machine cannot run; where CI is set, that is a failure.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

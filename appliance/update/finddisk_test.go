package update

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOnDisk: a boot partition of another disk than that of the root is not changed.
func TestOnDisk(t *testing.T) {
	sys, mounted := t.TempDir(), t.TempDir()
	info, err := os.Stat(mounted)
	if err != nil {
		t.Fatal(err)
	}
	number := info.Sys().(*syscall.Stat_t).Dev
	link := filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(number), unix.Minor(number)))
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := onDisk(sys, "/dev/vda", mounted); !errors.Is(err, ErrOtherDisk) {
		t.Errorf("what is no partition: %v", err)
	}
	part := filepath.Join(sys, "devices/block/vda/vda3")
	if err := errors.Join(os.MkdirAll(part, 0o755), os.Symlink(part, link)); err != nil {
		t.Fatal(err)
	}
	if err := onDisk(sys, "/dev/vda", mounted); err != nil {
		t.Error(err)
	}
	if err := onDisk(sys, "/dev/sda", mounted); !errors.Is(err, ErrOtherDisk) {
		t.Errorf("of another disk: %v", err)
	}
}

// TestLookingWritesNothing: the disk is not even opened for writing.
func TestLookingWritesNothing(t *testing.T) {
	r := newRig(t)
	m := r.machine("1.0.0")
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, r.path("disk"), unix.IN_CLOSE_WRITE); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Look(); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Read(watch, make([]byte, 4096)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("the disk was open for writing: %d, %v", n, err)
	}
}

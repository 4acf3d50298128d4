package qemu

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// InGuest tells whether this process is the only one of a guest.
func InGuest() bool { return os.Getpid() == 1 && os.Args[0] == "/init" }

// Main runs the tests. In a guest it prepares the machine before and switches it off afterwards.
func Main(m *testing.M) {
	if !InGuest() {
		os.Exit(m.Run())
	}
	status := 1
	defer func() {
		fmt.Printf("\n%s %d\n", exitLine, status)
		_ = os.Stdout.Sync()
		unix.Sync()
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}()
	if err := prepare(); err != nil {
		fmt.Println("preparing the guest:", err)
		return
	}
	status = m.Run()
}

// prepare mounts and loads what a program expects to be there.
func prepare() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	files, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, file := range files {
		if err := load(file); err != nil {
			return fmt.Errorf("loading %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

func load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

package update

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"meetzone/dataplane/nstest"
)

// startView shows the scripts of a start their surroundings: consoles (one that nobody can read from, and a terminal), the variables of the boot loader, and a systemctl that only writes down that it
// was called.
const startView = `set -e
mount -t tmpfs none /run
mount -t tmpfs none "$BOX/dev"
touch "$BOX/dev/null" "$BOX/dev/closed" "$BOX/dev/terminal"
mount --bind /dev/null "$BOX/dev/null"
mount --bind /dev/null "$BOX/dev/closed"
mount --bind "$TERMINAL" "$BOX/dev/terminal"
mount --rbind "$BOX/dev" /dev
mount -t tmpfs none /sys
mkdir -p /sys/class/tty/console /sys/firmware/efi/efivars
echo closed terminal >/sys/class/tty/console/active
if [ -e "$BOX/variable" ]; then cp "$BOX/variable" /sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f; fi
export PATH="$BOX/bin:$PATH"
exec "$BOX/lib/$SCRIPT" </dev/null`

// start is a run of one of the scripts.
type start struct {
	box      string
	keyboard *os.File // of the terminal
	ended    chan error
}

// beginStart runs a script as if the boot loader had started a kernel file; "" is one that it does not count.
func beginStart(t *testing.T, script, kernel string) *start {
	t.Helper()
	nstest.RequireRoot(t)
	s := &start{box: t.TempDir(), ended: make(chan error, 1)}
	var terminal string
	s.keyboard, terminal = openTerminal(t)
	for _, folder := range []string{"dev", "bin", "lib"} {
		if err := os.Mkdir(filepath.Join(s.box, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"on-trial", "fall-back", "failed-start"} {
		text, err := os.ReadFile("../../init/" + name + ".script")
		if err == nil {
			err = os.WriteFile(filepath.Join(s.box, "lib", name), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for _, program := range []string{"systemctl", "journalctl", "sleep"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(s.box, "bin", program), []byte("#!/bin/sh\necho \""+program+" $*\" >>\"$BOX/called\"\n"), 0o755))
	}
	if kernel != "" {
		variable := []byte{6, 0, 0, 0}
		for _, unit := range utf16.Encode([]rune(`\EFI\Linux\` + kernel + "\x00")) {
			variable = append(variable, byte(unit), byte(unit>>8))
		}
		err = errors.Join(err, os.WriteFile(filepath.Join(s.box, "variable"), variable, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", startView)
	cmd.Env = append(os.Environ(), "BOX="+s.box, "SCRIPT="+script, "TERMINAL="+terminal)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { s.ended <- cmd.Wait(); close(over) }()
	t.Cleanup(func() { cancel(); <-over })
	return s
}

// openTerminal returns a terminal's side of the keyboard, and its name.
func openTerminal(t *testing.T) (*os.File, string) {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("/dev/pts", strconv.Itoa(n))
	held, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0) // a terminal that nobody has open hangs up
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	return f, name
}

func (s *start) called() string {
	raw, _ := os.ReadFile(filepath.Join(s.box, "called"))
	return string(raw)
}

// end waits for the end of the script.
func (s *start) end(t *testing.T) {
	t.Helper()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("the script: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the script has not ended; called:\n%s", s.called())
	}
}

// countedKernels are names of kernel files with whether another start is a try of a trial.
var countedKernels = map[string]bool{
	"meetzone_1.1.0+2-1.efi": true, "meetzone_1.1.0+1-2.efi": true, "meetzone_1.1.0+0-3.efi": true,
	"meetzone_1.1.0+0-4.efi": false, "meetzone_1.1.0+0-1.efi": false, "meetzone_1.1.0+0-13.efi": false, "": false,
}

// TestNetnsFallBack: a gate that failed restarts the machine while the version is on trial, and never for ever.
func TestNetnsFallBack(t *testing.T) {
	for kernel, want := range countedKernels {
		s := beginStart(t, "fall-back", kernel)
		s.end(t)
		if restarts := strings.Contains(s.called(), "start reboot.target"); restarts != want {
			t.Errorf("%q restarts: %v; called:\n%s", kernel, restarts, s.called())
		}
	}
}

// TestNetnsFailedStart: a start that came to nothing is made again by itself only while the version is on trial. Otherwise it waits for Enter, at any console; one that nobody can read from restarts nothing.
func TestNetnsFailedStart(t *testing.T) {
	for kernel, trial := range countedKernels {
		t.Run(kernel, func(t *testing.T) {
			s := beginStart(t, "failed-start", kernel)
			if !trial {
				s.says(t, "Press Enter")
				if _, err := s.keyboard.WriteString("\r"); err != nil {
					t.Fatal(err)
				}
			}
			s.end(t)
			if called := s.called(); !strings.Contains(called, "systemctl --force reboot") || strings.Contains(called, "sleep 20") != trial {
				t.Errorf("called:\n%s", called)
			}
		})
	}
	t.Run("nobody presses", func(t *testing.T) {
		s := beginStart(t, "failed-start", "")
		s.says(t, "Press Enter")
		select {
		case err := <-s.ended:
			t.Errorf("it did not wait: %v; called:\n%s", err, s.called())
		case <-time.After(500 * time.Millisecond):
		}
	})
}

// says waits until the terminal shows some words.
func (s *start) says(t *testing.T, words string) {
	t.Helper()
	shown := make(chan bool, 1)
	go func() {
		var all []byte
		b := make([]byte, 4096)
		for !strings.Contains(string(all), words) {
			n, err := s.keyboard.Read(b)
			if err != nil {
				shown <- false
				return
			}
			all = append(all, b[:n]...)
		}
		shown <- true
	}()
	select {
	case ok := <-shown:
		if ok {
			return
		}
	case <-time.After(time.Minute):
	}
	t.Fatalf("the terminal does not show %q", words)
}

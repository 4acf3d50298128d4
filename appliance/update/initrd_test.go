package update

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
)

const initrdFailed = "../../image/mkosi.images/initrd/mkosi.extra/usr/lib/meetzone/initrd-failed"

// initrdView shows the script of the initrd its surroundings: a boot partition that is mounted already, a kernel command line, and programs that only write down that they were called.
const initrdView = `set -e
mount -t tmpfs none /run
mkdir /run/meetzone-esp
mount --bind "$BOX/esp" /run/meetzone-esp
mount --bind "$BOX/cmdline" /proc/cmdline
mount --bind /dev/null /dev/console
mount -t tmpfs none /sys
mkdir -p /sys/class/tty/console /sys/firmware/efi/efivars
if [ -n "$KERNEL" ]; then printf '\006\000\000\000%s' "\\EFI\\Linux\\meetzone_$KERNEL.efi" >/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f; fi
echo console >/sys/class/tty/console/active
export PATH="$BOX/bin:$PATH"
exec bash "$SCRIPT" </dev/null`

// TestNetnsDeadRoot runs what the initrd does when the root is not whole. A version on trial is only restarted, one that was good is marked bad where another is good, and where none is, or it
// cannot be marked, nothing restarts.
func TestNetnsDeadRoot(t *testing.T) {
	nstest.RequireRoot(t)
	script, err := filepath.Abs(initrdFailed)
	if err != nil {
		t.Fatal(err)
	}
	const own, other = "roothash=" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "roothash=" + "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	for _, c := range []struct {
		name, own, other string // kernels as they are called
		want             []string
		restarts         bool
		broken           string // what fails: a program and words of its arguments
	}{
		{"on trial", "1.1.0+2-1", "1.0.0", []string{"1.0.0", "1.1.0+2-1"}, true, ""},
		{"the last try", "1.1.0+0-3", "1.0.0", []string{"1.0.0", "1.1.0+0-3"}, true, ""},
		{"blessed", "1.1.0", "1.0.0", []string{"1.0.0", "1.1.0+0-1"}, true, ""},
		{"blessed, the other one newer and set aside", "1.0.0", "1.1.0+0", []string{"1.0.0+0-1", "1.1.0"}, true, ""},
		{"both bad", "1.1.0+0-1", "1.0.0+0-1", []string{"1.0.0+0-1", "1.1.0+0-1"}, false, ""},
		{"the only one", "1.1.0", "", []string{"1.1.0"}, false, ""},
		{"its kernel is not there", "", "1.0.0", []string{"1.0.0"}, false, ""},
		{"no boot partition", "1.1.0", "1.0.0", []string{"1.0.0", "1.1.0"}, false, "mount -t vfat"},
		{"no boot partition, on trial", "1.1.0+2-1", "1.0.0", []string{"1.0.0", "1.1.0+2-1"}, true, "mount -t vfat"},
		{"no boot partition, all tries used up", "1.1.0+0-4", "1.0.0+0-4", []string{"1.0.0+0-4", "1.1.0+0-4"}, false, "mount -t vfat"},
		{"cannot be marked", "1.1.0", "1.0.0", []string{"1.0.0", "1.1.0"}, false, "mv meetzone_1.1.0.efi"},
		{"the other cannot get its place back", "1.0.0", "1.1.0+0", []string{"1.0.0", "1.1.0+0"}, false, "mv meetzone_1.1.0+0.efi"},
		{"the note cannot be kept", "1.1.0", "1.0.0", []string{"1.0.0", "1.1.0+0-1"}, true, "mv failed.new"},
		{"names do not come to the disk", "1.1.0", "1.0.0", []string{"1.0.0", "1.1.0+0-1"}, false, "sync --file-system"},
		{"the boot partition stays busy", "1.1.0", "1.0.0", []string{"1.0.0", "1.1.0+0-1"}, false, "umount meetzone-esp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			box := t.TempDir()
			write := func(name, content string, mode os.FileMode) {
				t.Helper()
				path := filepath.Join(box, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), mode); err != nil {
					t.Fatal(err)
				}
			}
			write("cmdline", "quiet "+own+" more\n", 0o644)
			if c.own != "" {
				write("esp/EFI/Linux/meetzone_"+c.own+".efi", "MZ\x00 "+own+"\x00", 0o644)
			}
			if c.other != "" {
				write("esp/EFI/Linux/meetzone_"+c.other+".efi", "MZ\x00 "+other+"\x00", 0o644)
			}
			for _, program := range []string{"mount", "umount", "sync", "sleep", "systemctl"} {
				write("bin/"+program, "#!/bin/sh\necho \""+program+" $*\" >>\"$BOX/called\"\n", 0o755)
			}
			if program, words, broken := strings.Cut(c.broken, " "); broken {
				write("bin/"+program, "#!/bin/sh\ncase \"$*\" in *"+words+"*) exit 1 ;; esac\nPATH=${PATH#*:}\n[ "+program+" != mv ] || exec mv \"$@\"\n", 0o755)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-c", initrdView)
			cmd.Env = append(os.Environ(), "BOX="+box, "SCRIPT="+script)
			if strings.Contains(c.own, "+") {
				cmd.Env = append(cmd.Env, "KERNEL="+c.own)
			}
			out, err := cmd.CombinedOutput()
			if err != nil && c.restarts {
				t.Fatalf("%v\n%s", err, out)
			}
			called, _ := os.ReadFile(filepath.Join(box, "called"))
			if restarted := strings.Contains(string(called), "systemctl reboot --force") && !strings.Contains(string(called), "sleep infinity"); restarted != c.restarts {
				t.Errorf("restarted: %v; called:\n%s\nsaid:\n%s", restarted, called, out)
			}
			found, err := filepath.Glob(filepath.Join(box, "esp/EFI/Linux/*"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range found {
				found[i] = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[i]), "meetzone_"), ".efi")
			}
			if !slices.Equal(found, c.want) {
				t.Errorf("kernels are called %q, want %q\n%s", found, c.want, out)
			}
			if !c.restarts && !strings.Contains(string(out), "no version on this disk starts") {
				t.Errorf("the screen says:\n%s", out)
			}
		})
	}
}

// TestADeadRootIsKept: what the initrd has left on the boot partition is an event of the next start.
func TestADeadRootIsKept(t *testing.T) {
	r := newRig(t)
	path := r.path("esp/EFI/meetzone/failed")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("1.1.0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.machine("1.0.0").Settle(); err != nil {
		t.Fatal(err)
	}
	s, err := r.machine("1.0.0").Look()
	if err != nil || len(s.Ledger.Events) != 1 || s.Ledger.Events[0].Kind != EventFellBack || s.Ledger.Events[0].Version != "1.1.0" {
		t.Errorf("%+v, %v", s.Ledger.Events, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it would be told again")
	}
}

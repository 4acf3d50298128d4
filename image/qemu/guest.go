package qemu

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Guest says what to boot.
type Guest struct {
	// Modules are kernel modules by name; what they need comes along. Those of the network cards always do.
	Modules []string
	// MemoryMB is the guest's memory; default 512.
	MemoryMB int
	// Within bounds the whole run; default 3 minutes, for a busy machine without KVM.
	Within time.Duration
}

// cards are the modules of the virtual network cards.
var cards = []string{"virtio_pci", "virtio_net"}

// exitLine ends the output of a guest; behind it is the exit status of its tests.
const exitLine = "meetzone-guest-exit:"

// Run boots the guest, runs this very test inside, and tells its outcome as that of the test.
func (g Guest) Run(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		missing(t, "qemu-system-x86_64 is missing; make test installs it")
	}
	k := findKernel(t)
	initramfs := filepath.Join(t.TempDir(), "initramfs")
	if err := g.pack(k, initramfs); err != nil {
		t.Fatalf("packing the guest: %v", err)
	}
	if g.MemoryMB == 0 {
		g.MemoryMB = 512
	}
	if g.Within == 0 {
		g.Within = 3 * time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), g.Within)
	defer cancel()
	run := "-test.run=^" + regexp.QuoteMeta(t.Name()) + "$"
	cmd := exec.CommandContext(ctx, program, "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off", "-smp", "1",
		"-m", fmt.Sprint(g.MemoryMB), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", k.image, "-initrd", initramfs,
		"-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on net.ifnames=0 -- -test.v "+run,
		"-netdev", "hubport,id=a,hubid=0", "-device", "virtio-net-pci,netdev=a,mac=52:54:00:00:00:01",
		"-netdev", "hubport,id=b,hubid=0", "-device", "virtio-net-pci,netdev=b,mac=52:54:00:00:00:02")
	start := time.Now()
	out, err := cmd.CombinedOutput()
	_, status, ended := strings.Cut(string(out), exitLine)
	switch {
	case !ended:
		t.Fatalf("the guest did not come to its end within %v (%v):\n%s", time.Since(start).Round(time.Second), err, out)
	case !strings.HasPrefix(status, " 0\r") && !strings.HasPrefix(status, " 0\n"): // the kernel says goodbye behind it
		t.Fatalf("in the guest:\n%s", out)
	}
	t.Logf("the guest took %v:\n%s", time.Since(start).Round(100*time.Millisecond), out)
}

// missing skips, or fails where CI is set.
func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(reason + ", and CI is set")
	}
	t.Skip(reason)
}

// kernel is an unpacked kernel package.
type kernel struct{ image, modules string }

var fetchOnce = sync.OnceValues(func() (folder string, err error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(here) {
		return "", errors.New("the folder of the sources is not known: build without -trimpath")
	}
	script := filepath.Join(filepath.Dir(here), "fetch-kernel")
	if out, err := exec.Command(script).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", script, err, out)
	}
	return filepath.Join(filepath.Dir(here), ".cache", "kernel"), nil
})

func findKernel(t *testing.T) (k kernel) {
	t.Helper()
	folder, err := fetchOnce()
	if err != nil {
		missing(t, "no kernel: "+err.Error())
	}
	one := func(pattern string) string {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%d of %s in %s: remove the folder, it is made again", len(found), pattern, folder)
		}
		return found[0]
	}
	return kernel{image: one("boot/vmlinuz-*"), modules: one("lib/modules/*")}
}

// pack writes the initramfs: this program as /init, and the modules in the order in which they have to be loaded.
func (g Guest) pack(k kernel, path string) error {
	files, err := k.order(append(slices.Clone(cards), g.Modules...))
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	a := &archive{w: w}
	for _, folder := range []string{"dev", "proc", "sys", "tmp", "modules"} {
		a.folder(folder)
	}
	a.device("dev/console", 5, 1)
	a.file("init", program)
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		a.file(fmt.Sprintf("modules/%03d-%s", i, filepath.Base(file)), data)
	}
	return errors.Join(a.end(), w.Flush(), f.Close())
}

// order lists the files of modules, what they need first. Modules that are built into the kernel need none.
func (k kernel) order(names []string) (files []string, err error) {
	builtIn, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	all := map[string]string{} // file by name
	err = filepath.WalkDir(k.modules, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".ko") {
			all[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var add func(name string, optional bool) error
	add = func(name string, optional bool) error {
		file, found := all[name]
		switch {
		case !found && (optional || bytes.Contains(builtIn, []byte("/"+name+".ko\n")) || bytes.Contains(builtIn, []byte("/"+strings.ReplaceAll(name, "_", "-")+".ko\n"))):
			return nil
		case !found:
			return fmt.Errorf("the kernel has no module %s", name)
		case slices.Contains(files, file):
			return nil
		}
		needs, wishes, err := dependencies(file)
		if err != nil {
			return err
		}
		for _, one := range wishes {
			if err := add(one, true); err != nil {
				return err
			}
		}
		for _, one := range needs {
			if err := add(one, false); err != nil {
				return err
			}
		}
		files = append(files, file)
		return nil
	}
	for _, name := range names {
		if err := add(name, false); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// asked is what modules ask for while they start, which is written nowhere.
var asked = map[string][]string{"libcrc32c": {"crc32c_generic"}}

func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")
}

// dependencies reads what a module says of itself: "depends=a,b", and "softdep=pre: c d post: e", of which what comes before is a wish.
func dependencies(file string) (needs, wishes []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, nil, fmt.Errorf("%s is no kernel module", file)
	}
	info, err := section.Data()
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(line, "depends="); ok && list != "" {
			needs = append(needs, strings.Split(list, ",")...)
		}
		if list, ok := strings.CutPrefix(line, "softdep=pre: "); ok {
			list, _, _ = strings.Cut(list, " post:")
			wishes = append(wishes, strings.Fields(list)...)
		}
	}
	wishes = append(wishes, asked[moduleName(file)]...)
	for _, list := range [][]string{needs, wishes} {
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], "-", "_")
		}
	}
	return needs, wishes, nil
}

package qemu

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// MachineConfig says what a machine is made of. Zero values are a machine without network and with the disk as it is.
type MachineConfig struct {
	// Disk is a raw image, which is never written: the machine has an overlay of its own.
	Disk string
	// DiskGB is the size of its disk; default 8.
	DiskGB int
	// MemoryMB is its memory; default 1024.
	MemoryMB int
	// Tap is an interface of the namespace that the machine runs in, which becomes its only network card.
	Tap string
	// Command starts QEMU, in a namespace for instance; default exec.CommandContext.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd
	// UUID is the machine's in its firmware; default one that is always the same.
	UUID string
	// Credentials come to systemd through the firmware, by name. The production image refuses them; Machine lifts that, as anybody can who
	// owns the firmware and has not switched Secure Boot on.
	Credentials map[string]string
	// Seed becomes the file meetzone.yaml on the EFI system partition.
	Seed string
	// Stick becomes the file meetzone.yaml on a USB stick with a file system called MEETZONE.
	Stick string
}

// Machine is a computer that boots a disk through firmware (OVMF), and can be cut from its power.
type Machine struct {
	Serial *Serial // the first serial line, ttyS0: the console
	Notes  *Serial // the second, ttyS1, on which units of tests tell

	t      testing.TB
	cfg    MachineConfig
	dir    string
	disk   string
	starts int
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	said   *strings.Builder
}

// firmware are the places where distributions keep OVMF: code, and a template of its variables.
const (
	firmwareCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	firmwareVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// NewMachine builds a machine and leaves it switched off. What it is made of is removed when the test ends.
func NewMachine(t testing.TB, cfg MachineConfig) *Machine {
	t.Helper()
	for _, needed := range []string{firmwareCode, firmwareVars, cfg.Disk} {
		if _, err := os.Stat(needed); err != nil {
			missing(t, err.Error()+"; make image and make test make and install it")
		}
	}
	if cfg.DiskGB == 0 {
		cfg.DiskGB = 8
	}
	if cfg.MemoryMB == 0 {
		cfg.MemoryMB = 1024
	}
	if cfg.Command == nil {
		cfg.Command = exec.CommandContext
	}
	if cfg.UUID == "" {
		cfg.UUID = "6d656574-7a6f-6e65-8000-000000000001"
	}
	m := &Machine{t: t, cfg: cfg, dir: t.TempDir()}
	m.disk = filepath.Join(m.dir, "disk.qcow2")
	disk, err := filepath.Abs(cfg.Disk)
	if err == nil {
		disk, err = filepath.EvalSymlinks(disk)
	}
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Seed != "" {
		disk = m.seeded(disk)
	}
	m.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", disk, m.disk, fmt.Sprintf("%dG", cfg.DiskGB))
	vars, err := os.ReadFile(firmwareVars)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.file("vars.fd"), vars, 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg.Stick != "" {
		m.makeStick()
	}
	t.Cleanup(m.PowerCut)
	return m
}

// makeStick makes the stick's file system and its one file.
func (m *Machine) makeStick() {
	m.t.Helper()
	text, stick := m.file("stick.yaml"), m.file("stick.raw")
	if err := os.WriteFile(text, []byte(m.cfg.Stick), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.run("mformat", "-C", "-i", stick, "-T", "65536", "-h", "64", "-s", "32", "-v", "MEETZONE", "::")
	m.run("mcopy", "-i", stick, text, "::meetzone.yaml")
}

// seeded is a copy of the disk with the seed on its first partition, which begins at 1 MiB and is the EFI system partition.
func (m *Machine) seeded(disk string) string {
	m.t.Helper()
	seed := m.file("meetzone.yaml")
	if err := os.WriteFile(seed, []byte(m.cfg.Seed), 0o600); err != nil {
		m.t.Fatal(err)
	}
	copied := m.file("seeded.raw")
	m.run("cp", "--sparse=always", disk, copied)
	m.run("mcopy", "-i", copied+"@@1M", seed, "::meetzone.yaml")
	return copied
}

func (m *Machine) file(name string) string { return filepath.Join(m.dir, name) }

func (m *Machine) run(name string, args ...string) {
	m.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// Start switches the machine on.
func (m *Machine) Start() {
	m.t.Helper()
	m.starts++
	serial, notes, log := m.file(fmt.Sprintf("serial%d", m.starts)), m.file(fmt.Sprintf("notes%d", m.starts)), m.file(fmt.Sprintf("serial%d.log", m.starts))
	ctx, cancel := context.WithCancel(context.Background())
	m.cmd = m.cfg.Command(ctx, "qemu-system-x86_64", m.arguments(serial, notes, log)...)
	m.said = new(strings.Builder)
	m.cmd.Stdout, m.cmd.Stderr = m.said, m.said
	if err := m.cmd.Start(); err != nil {
		cancel()
		m.t.Fatalf("starting QEMU: %v", err)
	}
	m.ended = make(chan struct{})
	go func() {
		defer close(m.ended)
		defer cancel()
		_ = m.cmd.Wait()
	}()
	m.Serial, m.Notes = m.connect(serial), m.connect(notes)
}

// arguments are QEMU's.
func (m *Machine) arguments(serial, notes, log string) []string {
	args := []string{"-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off", "-smp", "2", "-m", fmt.Sprint(m.cfg.MemoryMB),
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-uuid", m.cfg.UUID,
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + firmwareCode, "-drive", "if=pflash,format=raw,unit=1,file=" + m.file("vars.fd"),
		"-drive", "if=none,id=disk,format=qcow2,discard=unmap,cache=writeback,file=" + m.disk, "-device", "virtio-blk-pci,drive=disk,bootindex=1",
		"-chardev", "socket,id=serial,server=on,wait=off,path=" + serial + ",logfile=" + log, "-serial", "chardev:serial",
		"-chardev", "socket,id=notes,server=on,wait=off,path=" + notes, "-serial", "chardev:notes",
		"-qmp", "unix:" + m.file("qmp") + ",server=on,wait=off",
		"-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset"}
	if m.cfg.Tap != "" {
		args = append(args, "-netdev", "tap,id=lan,ifname="+m.cfg.Tap+",script=no,downscript=no", "-device", "virtio-net-pci,netdev=lan,mac=52:54:00:6d:7a:01")
	}
	if m.cfg.Stick != "" {
		args = append(args, "-device", "qemu-xhci", "-drive", "if=none,id=stick,format=raw,file="+m.file("stick.raw"), "-device", "usb-storage,drive=stick,removable=on")
	}
	names := make([]string, 0, len(m.cfg.Credentials))
	for name := range m.cfg.Credentials {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		args = append(args, "-smbios", "type=11,value=io.systemd.credential.binary:"+name+"="+base64.StdEncoding.EncodeToString([]byte(m.cfg.Credentials[name])))
	}
	// A computer that is busy with other things lets a guest stand still for longer than a box in a rack ever does.
	extra := "systemd.default_device_timeout_sec=600 systemd.watchdog_sec=600 systemd.show_status=yes"
	if len(names) > 0 {
		extra += " systemd.import_credentials=yes"
	}
	return append(args, "-smbios", "type=11,value=io.systemd.stub.kernel-cmdline-extra="+extra)
}

// connect waits for QEMU's socket.
func (m *Machine) connect(path string) *Serial {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			return newSerial(m, conn)
		}
		select {
		case <-m.ended:
			m.t.Fatalf("QEMU has ended: %s", m.said)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("QEMU opens no console: %v", err)
		}
	}
}

// PowerCut ends the machine as a pulled plug does. A machine that is off stays off.
func (m *Machine) PowerCut() {
	if m.cmd == nil {
		return
	}
	if err := m.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.t.Errorf("cutting the power: %v", err)
	}
	<-m.ended
	m.cmd = nil
}

// WaitOff waits until the machine has switched itself off.
func (m *Machine) WaitOff(within time.Duration) {
	m.t.Helper()
	select {
	case <-m.ended:
		m.cmd = nil
	case <-time.After(within):
		m.t.Fatalf("the machine is still on after %v; its console ends with:\n%s", within, m.Serial.tail())
	}
}

// Log is all that the serial console has said since the machine was switched on the last time.
func (m *Machine) Log() string {
	data, err := os.ReadFile(m.file(fmt.Sprintf("serial%d.log", m.starts)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(data)
}

var _ io.Writer = (*Serial)(nil)

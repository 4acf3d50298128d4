package helper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"meetzone/appliance/update"
)

// UpdateStick looks on the USB sticks that are plugged in for the newest bundle, by its name meetzone_VERSION.bundle in the top folder. The open file comes with
// the answer. What is on a stick is trusted by nobody: it is mounted for reading only, for a moment, where nobody else sees it.
type UpdateStick struct{}

func (UpdateStick) verb() string { return "update-stick" }

// Validate implements Request.
func (UpdateStick) Validate() error { return nil }

// stickSystems are the file systems that are tried.
var stickSystems = []string{"vfat", "exfat", "ext4", "iso9660"}

// openStick returns the newest bundle of all sticks.
func openStick() (*os.File, error) {
	own, _ := update.FindDisk() // "" where the software does not run from an image
	devices, err := stickDevices("/sys", filepath.Base(own))
	if err != nil {
		return nil, err
	}
	if len(devices) == 0 {
		return nil, fmt.Errorf("%w: no USB stick is plugged in", update.ErrNoSource)
	}
	folder, err := os.MkdirTemp("", "stick-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(folder)
	var best *os.File
	for _, name := range devices {
		f := fromStick("/dev/"+name, folder)
		switch {
		case f == nil:
		case best == nil || update.CompareVersions(versionOf(f.Name()), versionOf(best.Name())) > 0:
			best, f = f, best
		}
		if f != nil {
			_ = f.Close()
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no USB stick has a file meetzone_VERSION.bundle in its top folder", update.ErrNoSource)
	}
	return best, nil
}

// fromStick returns the newest bundle of one file system; nil where there is none.
func fromStick(device, folder string) *os.File {
	for _, system := range stickSystems {
		if unix.Mount(device, folder, system, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "") != nil {
			continue
		}
		defer func() { _ = unix.Unmount(folder, unix.MNT_DETACH) }()
		return newestBundle(folder)
	}
	return nil
}

// newestBundle opens the one with the highest version in its name.
func newestBundle(folder string) *os.File {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() && versionOf(e.Name()) != "" {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	newest := slices.MaxFunc(names, func(a, b string) int { return update.CompareVersions(versionOf(a), versionOf(b)) })
	f, err := os.OpenFile(filepath.Join(folder, newest), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	return f
}

// versionOf is the version in a bundle's name; "" where it is none.
func versionOf(name string) string {
	v, ours := strings.CutPrefix(filepath.Base(name), "meetzone_")
	v, bundle := strings.CutSuffix(v, ".bundle")
	if !ours || !bundle || update.ValidVersion(v) != nil {
		return ""
	}
	return v
}

// stickDevices lists disks on USB and their partitions, but not the disk that the box runs from.
func stickDevices(sys, own string) (names []string, err error) {
	disks, err := os.ReadDir(filepath.Join(sys, "block"))
	if err != nil {
		return nil, err
	}
	for _, d := range disks {
		real, err := filepath.EvalSymlinks(filepath.Join(sys, "block", d.Name()))
		if err != nil || d.Name() == own || !strings.Contains(real, "/usb") {
			continue
		}
		parts, err := filepath.Glob(filepath.Join(real, d.Name()+"*", "partition"))
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			names = append(names, filepath.Base(filepath.Dir(p)))
		}
		if len(parts) == 0 {
			names = append(names, d.Name()) // a file system without a partition table
		}
	}
	return names, nil
}

// errNoFile says that an answer came without the file that belongs to it.
var errNoFile = errors.New("the helper's answer came without a file")

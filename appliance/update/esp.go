package update

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// UKI is a kernel image on the EFI system partition. systemd-boot counts its tries in its name (Automatic Boot Assessment).
type UKI struct {
	Version string
	Counted bool // it has to prove itself; otherwise it is blessed
	Left    int  // tries
	Done    int  // tries that were made
}

// Bad says that all tries are used up, or that it was said to be bad: the boot loader takes it last.
func (u UKI) Bad() bool { return u.Counted && u.Left == 0 }

// name is the file's.
func (u UKI) name() string {
	switch {
	case !u.Counted:
		return ukiPrefix + u.Version + ukiSuffix
	case u.Done == 0:
		return fmt.Sprintf("%s%s+%d%s", ukiPrefix, u.Version, u.Left, ukiSuffix)
	}
	return fmt.Sprintf("%s%s+%d-%d%s", ukiPrefix, u.Version, u.Left, u.Done, ukiSuffix)
}

const (
	ukiFolder = "EFI/Linux"
	ukiPrefix = "meetzone_"
	ukiSuffix = ".efi"
	newSuffix = ".new" // what the boot loader does not see
	tries     = 3
)

// parseUKI reads a file's name.
func parseUKI(name string) (u UKI, ok bool) {
	rest, ours := strings.CutPrefix(name, ukiPrefix)
	rest, efi := strings.CutSuffix(rest, ukiSuffix)
	if !ours || !efi {
		return u, false
	}
	var counter string
	u.Version, counter, u.Counted = strings.Cut(rest, "+")
	if u.Counted {
		left, done, both := strings.Cut(counter, "-")
		var errL, errD error
		u.Left, errL = strconv.Atoi(left)
		if both {
			u.Done, errD = strconv.Atoi(done)
		}
		if errL != nil || errD != nil || u.Left < 0 || u.Done < 0 {
			return u, false
		}
	}
	return u, ValidVersion(u.Version) == nil
}

// esp is the mounted EFI system partition.
type esp string

func (e esp) path(name string) string { return filepath.Join(string(e), ukiFolder, name) }

// list returns all kernel images, the newest version first.
func (e esp) list() (list []UKI, err error) {
	entries, err := os.ReadDir(filepath.Join(string(e), ukiFolder))
	if err != nil {
		return nil, fmt.Errorf("reading the EFI system partition: %w", err)
	}
	for _, f := range entries {
		if u, ok := parseUKI(f.Name()); ok {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b UKI) int { return CompareVersions(b.Version, a.Version) })
	return list, nil
}

// get returns the image of a version.
func (e esp) get(version string) (UKI, bool, error) {
	list, err := e.list()
	i := slices.IndexFunc(list, func(u UKI) bool { return u.Version == version })
	if i < 0 {
		return UKI{}, false, err
	}
	return list[i], true, err
}

// put writes an image so that it is there as a whole or not at all, read back from the disk before it gets its name.
func (e esp) put(u UKI, image []byte) error {
	temporary := e.path(u.name() + newSuffix)
	err := e.write(temporary, image)
	if err == nil {
		err = os.Rename(temporary, e.path(u.name()))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the UKI: %w", err), ignoreMissing(os.Remove(temporary)))
	}
	return e.sync()
}

func (e esp) write(path string, image []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(image); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	forget(f)
	back := make([]byte, len(image))
	if _, err := f.ReadAt(back, 0); err != nil {
		return err
	}
	if !bytes.Equal(back, image) {
		return errors.New("the disk does not give back what was written to it")
	}
	return nil
}

// become renames an image to its new state.
func (e esp) become(from, to UKI) error {
	if from == to {
		return nil
	}
	if err := os.Rename(e.path(from.name()), e.path(to.name())); err != nil {
		return fmt.Errorf("renaming the UKI of version %s: %w", from.Version, err)
	}
	return e.sync()
}

// drop removes an image, and everything that an interrupted put has left.
func (e esp) drop(version string) error {
	entries, err := os.ReadDir(filepath.Join(string(e), ukiFolder))
	if err != nil {
		return fmt.Errorf("reading the EFI system partition: %w", err)
	}
	for _, f := range entries {
		u, ok := parseUKI(f.Name())
		if strings.HasSuffix(f.Name(), newSuffix) || ok && u.Version == version {
			if err := os.Remove(e.path(f.Name())); err != nil {
				return fmt.Errorf("removing the UKI of version %s: %w", version, err)
			}
		}
	}
	return e.sync()
}

// sync brings names to the disk. vfat has no journal: the whole file system is written out.
func (e esp) sync() error {
	d, err := os.Open(filepath.Join(string(e), ukiFolder))
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(d.Fd()))
	return errors.Join(err, d.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// forget drops what the kernel remembers of a file, so that the next read asks the disk.
func forget(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

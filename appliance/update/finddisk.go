package update

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrOtherDisk says that a second disk with the same image has got between.
var ErrOtherDisk = errors.New("it is not on the disk that the software runs from; take out other disks and sticks with the image, and restart")

// FindDisk returns the disk that the verified root comes from: a second one with the same image, such as the stick that it was installed from, is not meant.
func FindDisk() (string, error) { return findDisk("/sys") }

func findDisk(sys string) (string, error) {
	names, err := filepath.Glob(filepath.Join(sys, "block/dm-*/dm/name"))
	if err != nil {
		return "", err
	}
	for _, file := range names {
		raw, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(raw)) != "root" {
			continue
		}
		parts, err := os.ReadDir(filepath.Join(filepath.Dir(filepath.Dir(file)), "slaves"))
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrNotImage, err)
		}
		for _, p := range parts {
			// /sys/class/block/vda3 leads to .../block/vda/vda3.
			real, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", p.Name()))
			if err != nil {
				return "", fmt.Errorf("%w: %w", ErrNotImage, err)
			}
			if _, err := os.Stat(filepath.Join(real, "partition")); err == nil {
				return "/dev/" + filepath.Base(filepath.Dir(real)), nil
			}
		}
	}
	return "", errors.Join(ErrNotImage, errors.New("the root is not a verified one on a partition"))
}

// OnDisk says whether what is mounted at a path comes from a partition of a disk. Partitions are mounted by their labels, which a second disk with the image has as well.
func OnDisk(disk, path string) error { return onDisk("/sys", disk, path) }

func onDisk(sys, disk, path string) error {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	// /sys/dev/block/254:3 leads to .../block/vda/vda3.
	real, err := filepath.EvalSymlinks(filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(s.Dev), unix.Minor(s.Dev))))
	if err != nil || filepath.Base(filepath.Dir(real)) != filepath.Base(disk) {
		return errors.Join(fmt.Errorf("%s: %w", path, ErrOtherDisk), err)
	}
	return nil
}

package update

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

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

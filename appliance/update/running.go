package update

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Where an image says what it is.
const (
	DefaultRootKeys = "/usr/share/meetzone/update-root.pub"
	DefaultESP      = "/boot"
	DefaultLedger   = "/var/lib/meetzone-update"

	cmdline   = "/proc/cmdline"
	osRelease = "/usr/lib/os-release"

	// GenericHardware is the model of a box whose image names none.
	GenericHardware = "generic"
)

// ErrNotImage says that the software does not run from an image slot.
var ErrNotImage = errors.New("this software was not started from an image, so it cannot be updated as one")

// ReadRunning reads what runs: the root hash from the kernel's command line, version and model from os-release.
func ReadRunning() (r Running, err error) {
	line, errL := os.ReadFile(cmdline)
	release, errR := os.ReadFile(osRelease)
	if err := errors.Join(errL, errR); err != nil {
		return r, fmt.Errorf("%w: %w", ErrNotImage, err)
	}
	return parseRunning(string(line), string(release))
}

func parseRunning(line, release string) (r Running, err error) {
	for word := range strings.FieldsSeq(line) {
		if text, is := strings.CutPrefix(word, "roothash="); is && validHex(text) {
			if r.RootHash, err = hexBytes(text); err != nil {
				return r, err
			}
		}
	}
	r.Hardware = GenericHardware
	for text := range strings.Lines(release) {
		name, value, _ := strings.Cut(strings.TrimSpace(text), "=")
		switch value = strings.Trim(value, `"'`); name {
		case "IMAGE_VERSION":
			r.Version = value
		case "MEETZONE_HARDWARE":
			r.Hardware = value
		}
	}
	r.Architecture = map[string]string{"amd64": "x86-64", "arm64": "arm64"}[runtime.GOARCH]
	r.State, r.MinimumState = StateVersion, MinimumStateVersion
	if r.RootHash == nil || ValidVersion(r.Version) != nil {
		return r, ErrNotImage
	}
	return r, nil
}

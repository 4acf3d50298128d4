package update

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a version: numbers with dots between them, which systemd sorts as this package does.
const (
	maxVersionParts = 4
	maxVersionPart  = 1_000_000_000_000_000 // a time in minutes, as 202601312359, is one
	maxVersionSize  = 27                    // with meetzone_ before it it is the name of a partition, which has room for 36
)

// ValidVersion says what is wrong with a version.
func ValidVersion(v string) error {
	_, err := versionParts(v)
	return err
}

func versionParts(v string) (parts []int, err error) {
	if len(v) > maxVersionSize {
		return nil, fmt.Errorf("version %.40q is too long; %d characters are the most", v, maxVersionSize)
	}
	for text := range strings.SplitSeq(v, ".") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n >= maxVersionPart || strconv.Itoa(n) != text || len(parts) == maxVersionParts {
			return nil, fmt.Errorf("%q is no version; one is like 0.9.1", v)
		}
		parts = append(parts, n)
	}
	return parts, nil
}

// CompareVersions orders valid versions; one that is not valid comes before all others.
func CompareVersions(a, b string) int {
	x, errA := versionParts(a)
	y, errB := versionParts(b)
	if errA != nil || errB != nil {
		return cmp.Compare(len(x), len(y))
	}
	for i := range min(len(x), len(y)) {
		if c := cmp.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// later returns the higher of two versions; "" is none.
func later(a, b string) string {
	if CompareVersions(a, b) >= 0 {
		return a
	}
	return b
}

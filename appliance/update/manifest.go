package update

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The state that this version writes, and the oldest state version whose software can read it. A version that changes the schema so that the one before cannot
// go on with it raises minimumState; that is why a rollback may be refused.
const (
	StateVersion        = 1
	MinimumStateVersion = 1
)

// ManifestFormat is the format that this package writes and the only one that it reads.
const ManifestFormat = 1

// Manifest says what a bundle holds and whom it is for.
type Manifest struct {
	Format       int       `json:"format"`
	Version      string    `json:"version"`
	Architecture string    `json:"architecture"` // as systemd names it: x86-64
	Hardware     []string  `json:"hardware"`     // models it runs on
	Built        time.Time `json:"built"`
	// Floor is the version below which nothing is installed any more once this one has proved good: it closes a hole that older ones have.
	Floor        string `json:"floor,omitempty"`
	State        int    `json:"state_version"`
	MinimumState int    `json:"minimum_state_version"` // what software has to understand to go on with this one's state
	RootHash     string `json:"root_hash"`             // hexadecimal
	UKI          Part   `json:"uki"`
	Root         Part   `json:"root"`
	Verity       Part   `json:"verity"`
	Notes        string `json:"notes,omitempty"`
}

// Part is one of the files in a bundle.
type Part struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// Bounds of a manifest and of what it announces.
const (
	maxManifest = 32 << 10
	maxNotes    = 8 << 10
	maxHardware = 32
	maxUKI      = 256 << 20
	maxRoot     = 8 << 30
	maxVerity   = 256 << 20
	sectorSize  = 512
)

// parts lists the parts in their order in a bundle.
func (m Manifest) parts() []Part { return []Part{m.UKI, m.Root, m.Verity} }

// Validate names everything that is wrong.
func (m Manifest) Validate() error {
	var errs []error
	that := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	that(m.Format == ManifestFormat, "format %d is not the %d that this version reads", m.Format, ManifestFormat)
	errs = append(errs, ValidVersion(m.Version))
	that(validWord(m.Architecture), "%q is no architecture", m.Architecture)
	that(len(m.Hardware) > 0 && len(m.Hardware) <= maxHardware && !slices.ContainsFunc(m.Hardware, func(s string) bool { return !validWord(s) }), "the models of hardware are not 1 to %d words", maxHardware)
	that(!m.Built.IsZero(), "the time of building is missing")
	if m.Floor != "" {
		errs = append(errs, ValidVersion(m.Floor))
		that(CompareVersions(m.Floor, m.Version) <= 0, "the floor %s is above the version itself", m.Floor)
	}
	that(m.State > 0 && m.MinimumState > 0 && m.MinimumState <= m.State, "the state versions are not positive, or in the wrong order")
	that(validHex(m.RootHash), "the root hash is not 64 hexadecimal digits")
	for _, p := range []struct {
		name string
		Part
		most int64
	}{{"UKI", m.UKI, maxUKI}, {"root", m.Root, maxRoot}, {"verity", m.Verity, maxVerity}} {
		that(p.Size > 0 && p.Size <= p.most && p.Size%sectorSize == 0, "the %s has %d bytes; 1 to %d in whole sectors of %d are possible", p.name, p.Size, p.most, sectorSize)
		that(validHex(p.SHA256), "the sum of the %s is not 64 hexadecimal digits", p.name)
	}
	that(len(m.Notes) <= maxNotes && utf8.ValidString(m.Notes), "the notes are longer than %d bytes, or no text", maxNotes)
	return errors.Join(errs...)
}

func validWord(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '.' && r != '_'
	})
}

func validHex(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && strings.ToLower(s) == s
}

// decodeStrictly reads one JSON value with no members that are not known.
func decodeStrictly(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more than one value")
	}
	return nil
}

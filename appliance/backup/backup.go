package backup

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
)

// Version is the version of the contents that this code writes. What is added later is left out by who does not know it.
const Version = 1

// Bounds, in bytes. The contents of a large zone, 1000 rooms, are about 1 MiB.
const (
	MaxContents   = 16 << 20
	MaxFile       = 8 << 20
	MinPassphrase = 10
	maxPassphrase = 1024
)

// How much work a passphrase costs: 2 to the power of it, times 1 KiB of memory.
const (
	workFactor     = 16
	mostWorkFactor = 18
)

// What cannot be read, or written.
var (
	ErrPassphrase = errors.New("the passphrase is not that of the backup")
	ErrWeak       = fmt.Errorf("a passphrase has %d to %d bytes", MinPassphrase, maxPassphrase)
	ErrFormat     = errors.New("this is no backup, or a damaged one")
	ErrNewer      = errors.New("the backup was written by a newer version that this one cannot read")
	ErrLarge      = errors.New("the backup is too large")
)

// Contents are what a backup holds.
type Contents struct {
	Version  int       `json:"version"`
	Created  time.Time `json:"created"`
	Software string    `json:"software"`
	Host     string    `json:"host"` // the name of the box, for people
	Box      string    `json:"box"`  // its id, to tell whether it is the same one
	Zone     string    `json:"zone"` // the id of the zone

	Document     string                                `json:"document"`     // YAML
	ZoneKey      []byte                                `json:"zone_key"`     // PEM
	Certificates map[string][]byte                     `json:"certificates"` // by the name of their file
	Tables       map[string]map[string]json.RawMessage `json:"tables"`       // meetings, rooms, API tokens
	Users        map[string]json.RawMessage            `json:"users"`        // with the hashes of their passwords
}

// Write encrypts contents.
func Write(w io.Writer, passphrase string, c Contents) error {
	if len(passphrase) < MinPassphrase || len(passphrase) > maxPassphrase {
		return ErrWeak
	}
	packed, err := Pack(c)
	if err != nil {
		return err
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return err
	}
	recipient.SetWorkFactor(workFactor)
	sealed, err := age.Encrypt(w, recipient)
	if err != nil {
		return err
	}
	_, err = sealed.Write(packed)
	return errors.Join(err, sealed.Close())
}

// Read decrypts what Write wrote.
func Read(r io.Reader, passphrase string) (Contents, error) {
	if passphrase == "" || len(passphrase) > maxPassphrase {
		return Contents{}, ErrPassphrase
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return Contents{}, err
	}
	identity.SetMaxWorkFactor(mostWorkFactor)
	opened, err := age.Decrypt(io.LimitReader(r, MaxFile), identity)
	if wrong := new(age.NoIdentityMatchError); errors.As(err, &wrong) {
		if strings.Contains(err.Error(), "work factor too large") {
			return Contents{}, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		return Contents{}, ErrPassphrase
	}
	if err != nil {
		return Contents{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	packed, err := io.ReadAll(opened)
	if err != nil {
		return Contents{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return Unpack(packed)
}

// Pack writes contents without encryption.
func Pack(c Contents) ([]byte, error) {
	c.Version = Version
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	packed := new(bytes.Buffer)
	z := gzip.NewWriter(packed)
	_, err = z.Write(raw)
	if err := errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	if len(raw) > MaxContents || packed.Len() > MaxFile-4096 {
		return nil, ErrLarge
	}
	return packed.Bytes(), nil
}

// Unpack reads what Pack wrote.
func Unpack(packed []byte) (c Contents, err error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, MaxContents+1))
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(raw) > MaxContents {
		return c, ErrLarge
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	switch {
	case c.Version > Version:
		return c, ErrNewer
	case c.Version < 1 || c.Document == "" || len(c.ZoneKey) == 0:
		return c, ErrFormat
	}
	return c, nil
}

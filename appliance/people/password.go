package people

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Bounds of passwords, in bytes.
const (
	MinPassword = 10
	MaxPassword = 256
)

// parameters are those of argon2id.
type parameters struct {
	memoryKiB uint32
	passes    uint32
	lanes     uint8
}

// wanted are the parameters of new passwords: 19 MiB, two passes, one lane (OWASP's; RFC 9106's 64 MiB would compete with media for memory).
var wanted = parameters{memoryKiB: 19 << 10, passes: 2, lanes: 1}

// most bounds what a stored hash may ask of the box.
var most = parameters{memoryKiB: 256 << 10, passes: 16, lanes: 16}

const (
	saltSize = 16
	hashSize = 32
	maxHash  = 512 // bytes of a stored hash
)

var errHash = errors.New("not an argon2id hash")

// checkPassword refuses what is too easy to guess, or cannot be typed.
func checkPassword(name, password string) error {
	switch {
	case len(password) < MinPassword:
		return fmt.Errorf("%w: it needs at least %d characters", ErrPassword, MinPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("%w: it has more than %d bytes", ErrPassword, MaxPassword)
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return fmt.Errorf("%w: it has characters that cannot be typed", ErrPassword)
	case strings.EqualFold(password, name) || strings.Count(password, password[:1]) == len(password):
		return fmt.Errorf("%w: it is too easy to guess", ErrPassword)
	}
	return nil
}

// hash makes the stored form of a password.
func hash(password string) string {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	sum := argon2.IDKey([]byte(password), salt, wanted.passes, wanted.memoryKiB, wanted.lanes, hashSize)
	return encode(wanted, salt, sum)
}

func encode(p parameters, salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memoryKiB, p.passes, p.lanes, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// decode reads the stored form.
func decode(stored string) (p parameters, salt, sum []byte, err error) {
	fields := strings.Split(stored, "$")
	if len(stored) > maxHash || len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &p.memoryKiB, &p.passes, &p.lanes); err != nil {
		return p, nil, nil, fmt.Errorf("%w: %w", errHash, err)
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(fields[4])
	sum, sumErr := base64.RawStdEncoding.DecodeString(fields[5])
	if err := errors.Join(saltErr, sumErr); err != nil {
		return p, nil, nil, fmt.Errorf("%w: %w", errHash, err)
	}
	if p.memoryKiB == 0 || p.passes == 0 || p.lanes == 0 || p.memoryKiB > most.memoryKiB || p.passes > most.passes || p.lanes > most.lanes || len(salt) < 8 || len(sum) < 16 {
		return p, nil, nil, fmt.Errorf("%w: its parameters are out of bounds", errHash)
	}
	return p, salt, sum, nil
}

// matches says whether a password is the stored one, and whether it should be stored anew, with today's parameters.
func matches(stored, password string) (ok, old bool, err error) {
	p, salt, sum, err := decode(stored)
	if err != nil {
		return false, false, err
	}
	got := argon2.IDKey([]byte(password), salt, p.passes, p.memoryKiB, p.lanes, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1, p != wanted, nil
}

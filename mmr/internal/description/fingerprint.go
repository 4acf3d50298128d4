package description

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"
)

// Fingerprint is the hash of a certificate. RFC 8122, section 5.
type Fingerprint struct {
	Hash string // lower case, as the registry has it
	Sum  []byte
}

// sums are the hash functions that are good enough: SHA-1 and MD5 are not.
var sums = map[string]func(der []byte) []byte{
	"sha-256": func(der []byte) []byte { s := sha256.Sum256(der); return s[:] },
	"sha-384": func(der []byte) []byte { s := sha512.Sum384(der); return s[:] },
	"sha-512": func(der []byte) []byte { s := sha512.Sum512(der); return s[:] },
}

// FingerprintOf returns the SHA-256 fingerprint of a certificate.
func FingerprintOf(der []byte) Fingerprint {
	return Fingerprint{Hash: "sha-256", Sum: sums["sha-256"](der)}
}

// Matches tells whether a certificate has the fingerprint.
func (f Fingerprint) Matches(der []byte) bool {
	sum, ok := sums[f.Hash]
	return ok && bytes.Equal(sum(der), f.Sum)
}

// Equal tells whether two fingerprints are the same.
func (f Fingerprint) Equal(g Fingerprint) bool { return f.Hash == g.Hash && bytes.Equal(f.Sum, g.Sum) }

// String returns the value of the attribute.
func (f Fingerprint) String() string {
	var b strings.Builder
	b.WriteString(f.Hash)
	for i, c := range f.Sum {
		sep := byte(':')
		if i == 0 {
			sep = ' '
		}
		b.WriteByte(sep)
		fmt.Fprintf(&b, "%02X", c)
	}
	return b.String()
}

// parseFingerprint reads the value of the attribute; false when it is damaged or of a hash that is not good enough.
func parseFingerprint(value string) (Fingerprint, bool) {
	hash, digits, ok := strings.Cut(strings.TrimSpace(value), " ")
	hash = strings.ToLower(hash)
	size := len(emptySum(hash))
	if !ok || size == 0 || len(digits) != 3*size-1 {
		return Fingerprint{}, false
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if err != nil || len(sum) != size {
		return Fingerprint{}, false
	}
	return Fingerprint{Hash: hash, Sum: sum}, true
}

// emptySum returns a sum of the hash, whose length is what counts; nil for a hash that is not good enough.
func emptySum(hash string) []byte {
	if sum, ok := sums[hash]; ok {
		return sum(nil)
	}
	return nil
}

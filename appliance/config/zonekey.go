package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
)

// zoneKeyPrefix says of which algorithm a public key is.
const zoneKeyPrefix = "ed25519:"

// FormatZoneKey writes the public key of a zone as people pass it on.
func FormatZoneKey(key ed25519.PublicKey) string {
	return zoneKeyPrefix + base64.RawURLEncoding.EncodeToString(key)
}

// ParseZoneKey reads it.
func ParseZoneKey(text string) (ed25519.PublicKey, error) {
	rest, found := strings.CutPrefix(text, zoneKeyPrefix)
	raw, err := base64.RawURLEncoding.DecodeString(rest)
	if !found || err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, errors.New("no public key of a zone")
	}
	return raw, nil
}

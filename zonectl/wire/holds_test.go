package wire

import (
	"bytes"
	"crypto/ed25519"
	"testing"
)

// TestZoneProof: a proof is good for this zone, this direction and this connection alone.
func TestZoneProof(t *testing.T) {
	key, other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	public := key.Public().(ed25519.PublicKey)
	here := bytes.Repeat([]byte{7}, 32)
	proof := ProveZone(key, "a", "b", here)
	if err := CheckZone(public, "a", "b", here, proof); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another key":        CheckZone(other.Public().(ed25519.PublicKey), "a", "b", here, proof),
		"no key":             CheckZone(nil, "a", "b", here, proof),
		"sent back":          CheckZone(public, "b", "a", here, proof),
		"another connection": CheckZone(public, "a", "b", bytes.Repeat([]byte{8}, 32), proof),
		"no connection":      CheckZone(public, "a", "b", nil, ProveZone(key, "a", "b", nil)),
		"cut off":            CheckZone(public, "a", "b", here, proof[:len(proof)-4]),
	} {
		if err == nil {
			t.Errorf("%s: the proof was taken", name)
		}
	}
}

// FuzzCheckZone: nothing but the signature itself is taken.
func FuzzCheckZone(f *testing.F) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	here := bytes.Repeat([]byte{7}, 32)
	good := ProveZone(key, "a", "b", here)
	f.Add("a", good)
	f.Add("", "")
	f.Add("a\x00b", good+"=")
	f.Fuzz(func(t *testing.T, from, proof string) {
		if err := CheckZone(key.Public().(ed25519.PublicKey), from, "b", here, proof); (err == nil) && from != "a" {
			t.Errorf("%q as zone %q", proof, from)
		}
	})
}

package wire

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
)

// What the controllers of two zones say to each other: whether one holds a meeting of which the other knows nothing.

// PathHolds is POST Holds → Held: from a controller to one of another zone that trusts it.
const PathHolds = "/v1/holds"

// HoldsLabel is the label of the exporter (RFC 8446 section 7.5) that gives both ends of a TLS connection what they sign.
const HoldsLabel = "EXPORTER-meetzone-holds"

// Holds asks a controller. Without a meeting it asks for the controller's own proof: a number is told only to whom it is for.
type Holds struct {
	Zone    string `json:"zone"`              // that asks
	Proof   string `json:"proof"`             // that it is that zone, see ProveZone
	Meeting string `json:"meeting,omitempty"` // number
}

// Held is the answer.
type Held struct {
	Proof string `json:"proof"`
	Held  bool   `json:"held"`
}

// errProof says that whoever is at the other end has not the key of the zone.
var errProof = errors.New("the other end of the connection has not the key of that zone")

// ProveZone says to the zone at the other end of a TLS connection from which zone one is. It is good on this connection alone, and in this direction.
func ProveZone(key ed25519.PrivateKey, from, to string, exported []byte) string {
	return base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, zoneProof(from, to, exported)))
}

// CheckZone checks what ProveZone made.
func CheckZone(key ed25519.PublicKey, from, to string, exported []byte, proof string) error {
	signature, err := base64.RawURLEncoding.DecodeString(proof)
	if err != nil || len(key) != ed25519.PublicKeySize || len(from) > MaxID || len(exported) == 0 || !ed25519.Verify(key, zoneProof(from, to, exported), signature) {
		return errProof
	}
	return nil
}

// zoneProof is what is signed: no token and no other signature of a zone's key begins like this.
func zoneProof(from, to string, exported []byte) []byte {
	text := append([]byte("meetzone zone\x00"+from+"\x00"+to+"\x00"), exported...)
	return text
}

package update

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// What is signed begins with these, so that no signature of one kind is one of the other.
const (
	contextKey      = "meetzone release key 1\n"
	contextManifest = "meetzone manifest 1\n"
)

// ReleaseKey is a key that signs manifests, for a time. The root key says so.
type ReleaseKey struct {
	Key       []byte    `json:"key"` // ed25519, public
	Serial    uint32    `json:"serial"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Comment   string    `json:"comment,omitempty"`
}

// Validate names everything that is wrong.
func (k ReleaseKey) Validate() error {
	switch {
	case len(k.Key) != ed25519.PublicKeySize:
		return fmt.Errorf("the release key has %d bytes instead of %d", len(k.Key), ed25519.PublicKeySize)
	case k.Serial == 0:
		return errors.New("the release key has no serial number")
	case k.NotBefore.IsZero() || !k.NotAfter.After(k.NotBefore):
		return errors.New("the release key is valid at no time")
	case len(k.Comment) > 200:
		return errors.New("the comment of the release key is longer than 200 bytes")
	}
	return nil
}

// signed is a statement with the signature of whoever makes it.
type signed struct {
	Statement []byte `json:"statement"`
	Signature []byte `json:"signature"`
}

func sign(key ed25519.PrivateKey, context string, statement any) (signed, error) {
	raw, err := json.Marshal(statement)
	return signed{raw, ed25519.Sign(key, append([]byte(context), raw...))}, err
}

// by says whether one of the keys signed.
func (s signed) by(context string, keys ...ed25519.PublicKey) bool {
	for _, k := range keys {
		if len(k) == ed25519.PublicKeySize && ed25519.Verify(k, append([]byte(context), s.Statement...), s.Signature) {
			return true
		}
	}
	return false
}

// Certificate is a release key with the root key's signature, as a file and in bundles.
type Certificate struct{ signed }

// Certify has a root key say that a release key is good.
func Certify(root ed25519.PrivateKey, key ReleaseKey) (Certificate, error) {
	if err := key.Validate(); err != nil {
		return Certificate{}, err
	}
	s, err := sign(root, contextKey, key)
	return Certificate{s}, err
}

// Reasons to refuse a bundle that have to do with keys.
var (
	ErrSignature = errors.New("the signature is not one that this box trusts")
	ErrExpired   = errors.New("the release key has expired")
	ErrWithdrawn = errors.New("the release key was withdrawn")
)

// Trust is whose signatures are believed.
type Trust struct {
	Roots []ed25519.PublicKey
	// Serial is the lowest serial number of a release key that is still good.
	Serial uint32
	// Now is the time by which keys expire. A clock that is behind refuses nobody.
	Now time.Time
}

// key checks a certificate and returns what it says.
func (t Trust) key(c Certificate) (k ReleaseKey, err error) {
	if len(t.Roots) == 0 {
		return k, fmt.Errorf("%w: it was built without a root key, and takes no updates", ErrSignature)
	}
	if !c.by(contextKey, t.Roots...) {
		return k, fmt.Errorf("%w: the release key is signed by no root key of this box", ErrSignature)
	}
	if err := decodeStrictly(c.Statement, &k); err != nil {
		return k, fmt.Errorf("the release key cannot be read: %w", err)
	}
	if err := k.Validate(); err != nil {
		return k, err
	}
	switch {
	case k.Serial < t.Serial:
		return k, fmt.Errorf("%w: it is number %d, and this box has seen number %d", ErrWithdrawn, k.Serial, t.Serial)
	case t.Now.After(k.NotAfter):
		return k, fmt.Errorf("%w on %s", ErrExpired, k.NotAfter.Format(time.DateOnly))
	}
	return k, nil
}

// manifest checks certificate and manifest, and returns what both say.
func (t Trust) manifest(c Certificate, s signed) (m Manifest, k ReleaseKey, err error) {
	if k, err = t.key(c); err != nil {
		return m, k, err
	}
	if !s.by(contextManifest, ed25519.PublicKey(k.Key)) {
		return m, k, fmt.Errorf("%w: the manifest is not signed by its release key", ErrSignature)
	}
	if err := decodeStrictly(s.Statement, &m); err != nil {
		return m, k, fmt.Errorf("the manifest cannot be read: %w", err)
	}
	if err := m.Validate(); err != nil {
		return m, k, fmt.Errorf("the manifest is not valid: %w", err)
	}
	if m.Built.Before(k.NotBefore) || m.Built.After(k.NotAfter) {
		return m, k, fmt.Errorf("%w when version %s was built, or not yet valid", ErrExpired, m.Version)
	}
	return m, k, nil
}

// Names of keys in files: one key a line, "meetzone-root-key-1 BASE64"; empty lines and those that begin with # are passed over.
const (
	KindRootPublic     = "meetzone-root-key-1"
	KindRootPrivate    = "meetzone-root-secret-1"
	KindReleasePublic  = "meetzone-release-key-1"
	KindReleasePrivate = "meetzone-release-secret-1"
)

// EncodeKey writes a key as a line of a file; a private key as its seed.
func EncodeKey(kind string, key []byte) []byte {
	return []byte(kind + " " + base64.StdEncoding.EncodeToString(key) + "\n")
}

// DecodeKeys reads all keys of a kind from a file.
func DecodeKeys(kind string, file []byte) (keys [][]byte, err error) {
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, text, _ := strings.Cut(line, " ")
		if name != kind {
			return nil, fmt.Errorf("there is a %.40q where a %s is expected", name, kind)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil || len(key) != ed25519.PublicKeySize { // a seed is as long
			return nil, fmt.Errorf("a %s is damaged", kind)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no %s in the file", kind)
	}
	return keys, nil
}

// RootKeys reads the file of public root keys.
func RootKeys(file []byte) (roots []ed25519.PublicKey, err error) {
	keys, err := DecodeKeys(KindRootPublic, file)
	for _, k := range keys {
		roots = append(roots, ed25519.PublicKey(k))
	}
	return roots, err
}

// ReadRootKeys reads the root keys of an image. One that was built without any takes no updates.
func ReadRootKeys(path string) ([]ed25519.PublicKey, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the root keys: %w", err)
	}
	return RootKeys(raw)
}

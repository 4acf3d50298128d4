package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// identity is who the zone and the box are. The two keys are separate files, since a backup takes the zone along and never the box.
type identity struct {
	zone ed25519.PrivateKey // signs join tokens
	box  ed25519.PrivateKey
}

// openIdentity reads both keys, or makes them at the first start.
func openIdentity(state string) (*identity, error) {
	zone, err := openKey(filepath.Join(state, "zone.key"))
	if err != nil {
		return nil, fmt.Errorf("zone identity: %w", err)
	}
	box, err := openKey(filepath.Join(state, "box.key"))
	if err != nil {
		return nil, fmt.Errorf("box identity: %w", err)
	}
	return &identity{zone: zone, box: box}, nil
}

func (i *identity) zoneID() string { return keyID("zone", i.zone) }

func (i *identity) boxID() string { return keyID("box", i.box) }

// keyID names a key: short enough for people, long enough that two never meet by chance.
func keyID(kind string, key ed25519.PrivateKey) string {
	sum := sha256.Sum256(key.Public().(ed25519.PublicKey))
	return kind + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// secret derives a secret of the zone for one purpose.
func (i *identity) secret(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, i.zone.Seed(), nil, "meetzone "+purpose, sha256.Size)
}

func openKey(path string) (ed25519.PrivateKey, error) {
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, fresh, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return fresh, writeKey(path, fresh)
	}
	if err != nil {
		return nil, err
	}
	ours, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key; restore it from a backup, or move it away for a new identity", path)
	}
	return ours, nil
}

// readKey reads a PKCS #8 key from a PEM file.
func readKey(path string) (crypto.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := pemKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; restore it from a backup, or move it away for a new key", path, err)
	}
	return key, nil
}

func pemKey(text []byte) (crypto.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is no PEM file")
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

func writeKey(path string, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// writeFile replaces a file so that after a power cut either the old or the new one is there, whole. Only the daemon may read it.
func writeFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder has the names in a folder survive a power failure.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

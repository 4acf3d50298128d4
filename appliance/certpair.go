package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// A certificate and its key are one file, NAME.pem, key first: after a power cut it is the one before or the new one, whole. NAME.key and NAME.crt are copies of it for the
// release before this one, which knows nothing else, and for people who take the certificate somewhere. NAME.pem counts, whatever the dates of the certificates are, unless
// that release has renewed the copies: they are then neither of the certificate in NAME.pem nor of the one that it replaced, whose fingerprint it has. So an installation
// holds from the moment that NAME.pem is written, also when the copies cannot be.

// storePair keeps a chain and its key.
func (c *certificates) storePair(name string, chain [][]byte, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	public := encodeChain(chain)
	whole := slices.Concat(private, public)
	if copied, err := os.ReadFile(c.file(name, "crt")); err == nil {
		if block, _ := pem.Decode(copied); block != nil {
			sum := sha256.Sum256(block.Bytes)
			whole = append(whole, pem.EncodeToMemory(&pem.Block{Type: replacedBlock, Bytes: sum[:]})...)
		}
	}
	if err := writeFile(c.file(name, "pem"), whole); err != nil {
		return fmt.Errorf("storing the certificate: %w", err)
	}
	if err := errors.Join(writeFile(c.file(name, "key"), private), writeFile(c.file(name, "crt"), public)); err != nil {
		c.log.Warn("the copies of a certificate for the release before are not written", "name", name, "err", err)
	}
	return nil
}

// replacedBlock is the block of NAME.pem with the SHA-256 of the certificate that NAME.crt had before. Who reads keys and certificates passes it over.
const replacedBlock = "MEETZONE REPLACED FINGERPRINT"

// loadPair reads what storePair kept, or the release before. Where neither form is there, the error is fs.ErrNotExist.
func (c *certificates) loadPair(name string) (*tls.Certificate, error) {
	text, err := os.ReadFile(c.file(name, "pem"))
	var whole tls.Certificate
	if err == nil {
		whole, err = tls.X509KeyPair(text, text)
	}
	copied, copyErr := tls.LoadX509KeyPair(c.file(name, "crt"), c.file(name, "key"))
	switch {
	case err == nil && (copyErr != nil || bytes.Equal(copied.Certificate[0], whole.Certificate[0]) || replaces(text, copied.Certificate[0])):
		return &whole, nil
	case copyErr == nil:
		return &copied, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, copyErr
	}
	return nil, err
}

// replaces says whether a NAME.pem was written in the place of a certificate.
func replaces(text, certificate []byte) bool {
	sum := sha256.Sum256(certificate)
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == replacedBlock && bytes.Equal(block.Bytes, sum[:]) {
			return true
		}
	}
	return false
}

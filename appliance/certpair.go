package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
)

// A certificate and its key are one file, NAME.pem, key first: after a power cut it is the one before or the new one, whole. NAME.key and NAME.crt are copies of it for the
// release before this one, which knows nothing else, and for people who take the certificate somewhere. Of the two forms the one with the later certificate counts: that
// release may have renewed it.

// storePair keeps a chain and its key.
func (c *certificates) storePair(name string, chain [][]byte, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	public := encodeChain(chain)
	if err := writeFile(c.file(name, "pem"), append(private, public...)); err != nil {
		return fmt.Errorf("storing the certificate: %w", err)
	}
	if err := errors.Join(writeFile(c.file(name, "key"), private), writeFile(c.file(name, "crt"), public)); err != nil {
		c.log.Warn("the copies of a certificate for the release before are not written", "name", name, "err", err)
	}
	return nil
}

// loadPair reads what storePair kept, or the release before. Where neither form is there, the error is fs.ErrNotExist.
func (c *certificates) loadPair(name string) (*tls.Certificate, error) {
	whole, err := tls.LoadX509KeyPair(c.file(name, "pem"), c.file(name, "pem"))
	copied, copyErr := tls.LoadX509KeyPair(c.file(name, "crt"), c.file(name, "key"))
	switch {
	case err == nil && (copyErr != nil || !copied.Leaf.NotBefore.After(whole.Leaf.NotBefore)):
		return &whole, nil
	case copyErr == nil:
		return &copied, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, copyErr
	}
	return nil, err
}

package tunnel

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Who a tunnel is. A zone that registers checks it: by the fingerprint of its certificate, or by the authorities that the host trusts.

// Fingerprint is the SHA-256 of a certificate.
type Fingerprint [sha256.Size]byte

// ParseFingerprint reads the usual notation: 64 hexadecimal digits, with colons between them or not.
func ParseFingerprint(text string) (f Fingerprint, err error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(raw) != len(f) {
		return f, fmt.Errorf("%q is no SHA-256 fingerprint: write 64 hexadecimal digits, with colons or without", text)
	}
	return Fingerprint(raw), nil
}

// String is the usual notation.
func (f Fingerprint) String() string {
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", f[:])), " ", ":")
}

// UntrustedError says that a tunnel has another certificate than it should.
type UntrustedError struct {
	Shown  Fingerprint
	Wanted *Fingerprint // nil: one of an authority
	Err    error        // of the check by authorities
}

// Error says what to do.
func (e *UntrustedError) Error() string {
	if e.Wanted != nil {
		return fmt.Sprintf("the tunnel shows a certificate with the fingerprint %s, and not the one that is configured (%s): if the tunnel has a new certificate, configure the new fingerprint; "+
			"if not, somebody is in between", e.Shown, e.Wanted)
	}
	return fmt.Sprintf("the certificate of the tunnel is not trusted (%v): if %s is the fingerprint that the tunnel logs when it starts, configure it for this tunnel", e.Err, e.Shown)
}

// Unwrap returns the cause.
func (e *UntrustedError) Unwrap() error { return e.Err }

// trusting is the TLS of a zone that registers.
func (c *RegistrarConfig) trusting(host string) *tls.Config {
	return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
		InsecureSkipVerify: true, // VerifyConnection checks instead, so that a fingerprint will do
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			shown := Fingerprint(sha256.Sum256(leaf.Raw))
			if c.Fingerprint != nil {
				if subtle.ConstantTimeCompare(shown[:], c.Fingerprint[:]) == 1 {
					return nil
				}
				return &UntrustedError{Shown: shown, Wanted: c.Fingerprint}
			}
			options := x509.VerifyOptions{DNSName: host, Roots: c.Roots, Intermediates: x509.NewCertPool()}
			for _, one := range state.PeerCertificates[1:] {
				options.Intermediates.AddCert(one)
			}
			if _, err := leaf.Verify(options); err != nil {
				return &UntrustedError{Shown: shown, Err: err}
			}
			return nil
		}}
}

// careless is the TLS of a client with a tunnel: what is secret is inside, in TLS with the zone, whose certificate the client checks.
func careless(host string) *tls.Config {
	return &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
}

// dialTLS opens a TLS connection to a tunnel.
func dialTLS(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), address string, check func(host string) *tls.Config) (*tls.Conn, error) {
	raw, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	secure := tls.Client(raw, check(host))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return secure, nil
}

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"

	"meetzone/appliance/config"
)

// selfSignedLife is as long as an appliance may stand in a rack: nobody renews a certificate that a person accepted by its fingerprint.
const selfSignedLife = 15 * 365 * 24 * time.Hour

// certificates holds the certificate that TLS presents, and replaces it without a restart.
type certificates struct {
	folder   string
	log      *slog.Logger
	dial     dial                            // to the authority; nil: unmarked
	current  atomic.Pointer[tls.Certificate] // that is shown
	name     atomic.Pointer[string]          // of it; nil: self-signed
	unusable atomic.Pointer[string]          // why the certificate that is set is not shown; nil: it is
	changed  chan struct{}                   // tells runACME that something else is wanted

	mu    sync.Mutex       // guards what follows
	own   *tls.Certificate // self-signed
	acme  acmeState
	proof *tls.Certificate // of a challenge under way
}

// openCertificates reads the self-signed certificate if there is one; selfSigned makes it otherwise.
func openCertificates(state string, log *slog.Logger) (*certificates, error) {
	c := &certificates{folder: filepath.Join(state, "tls"), log: log, changed: make(chan struct{}, 1)}
	if err := os.MkdirAll(c.folder, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of certificates: %w", err)
	}
	pair, err := c.loadPair(config.SelfSigned)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		log.Warn("the self-signed certificate cannot be read; a new one is made", "err", err)
		return c, nil
	}
	c.own = pair
	c.current.Store(pair)
	return c, nil
}

// selfSigned shows the self-signed certificate. It keeps the one it has when that covers the names: people know its fingerprint.
func (c *certificates) selfSigned(names []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own != nil && covers(c.own.Leaf, names) {
		if c.current.Load() != c.own {
			c.show(config.SelfSigned, c.own)
		}
		return nil
	}
	pair, err := makeCertificate(names)
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	if err := c.storePair(config.SelfSigned, pair.Certificate, pair.PrivateKey); err != nil {
		return err
	}
	c.own = pair
	c.show(config.SelfSigned, pair)
	c.log.Info("made a self-signed certificate", "names", names, "fingerprint", c.fingerprint())
	return nil
}

func covers(leaf *x509.Certificate, names []string) bool {
	if leaf == nil || time.Until(leaf.NotAfter) < 30*24*time.Hour {
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return leaf.VerifyHostname(hostForm(name)) != nil })
}

// hostForm writes a name as VerifyHostname wants it: IPv6 addresses in brackets.
func hostForm(name string) string {
	if strings.Contains(name, ":") {
		return "[" + name + "]"
	}
	return name
}

func makeCertificate(names []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	from := buildTime()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0], Organization: []string{"Meetzone"}},
		NotBefore: from, NotAfter: from.Add(selfSignedLife), BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// buildTime is when this program was made: a clock that was never set must not make a certificate that is not valid yet.
func buildTime() time.Time {
	now := time.Now()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if built, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil && built.Before(now) {
				return built
			}
		}
	}
	return now.Add(-24 * time.Hour)
}

// fingerprint is the SHA-256 of the certificate as browsers show it.
func (c *certificates) fingerprint() string {
	pair := c.current.Load()
	if pair == nil {
		return ""
	}
	sum := sha256.Sum256(pair.Certificate[0])
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum)), " ", ":")
}

// serverTLS is how the box speaks TLS.
func (c *certificates) serverTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1", acme.ALPNProto},
		GetCertificate: c.answerFor,
	}
}

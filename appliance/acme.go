package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/acme"

	"meetzone/appliance/config"
)

// ACME (RFC 8555) against an authority of the organisation. The order of one certificate, in which the functions follow:
//
//  1. runACME finds that the certificate is missing, for other hosts, or has used up two thirds of its life.
//  2. obtain opens an account and an order for all hosts of the zone, addresses included (RFC 8738).
//  3. Each host is proven by TLS-ALPN-01 (RFC 8737) on the HTTPS port: the box shows a certificate of the challenge to whoever asks by "acme-tls/1".
//  4. The chain and its key are stored, and shown from the next connection on.

const (
	acmeWithin = 2 * time.Minute
	acmeRetry  = 30 * time.Second // doubled up to an hour
	acmeLook   = time.Second
)

// acmeState is what is known of renewing; certificates.mu guards it.
type acmeState struct {
	wanted  config.ACMESettings
	hosts   []string
	problem string
	since   time.Time
}

// wantACME says which certificate is to be obtained; without a directory, none.
func (c *certificates) wantACME(settings config.ACMESettings, hosts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acme.wanted != settings || !slices.Equal(c.acme.hosts, hosts) {
		c.acme = acmeState{wanted: settings, hosts: hosts}
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
}

func (c *certificates) acmeProblem() (string, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acme.problem, c.acme.since
}

func (c *certificates) noteACME(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := ""
	if err != nil {
		text = fmt.Sprintf("No certificate was obtained from %s: %v. It is tried again.", c.acme.wanted.Directory, err)
	}
	if (text == "") != (c.acme.problem == "") {
		c.acme.since = time.Now()
	}
	c.acme.problem = text
}

// runACME obtains and renews until the context ends.
func (c *certificates) runACME(ctx context.Context) error {
	wait := acmeRetry
	next := time.Now()
	ticker := time.NewTicker(acmeLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
			next, wait = time.Now(), acmeRetry
		case <-ticker.C:
		}
		c.mu.Lock()
		wanted, hosts := c.acme.wanted, slices.Clone(c.acme.hosts)
		c.mu.Unlock()
		if wanted.Directory == "" || time.Now().Before(next) || !c.needsACME(hosts, time.Now()) {
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, acmeWithin)
		err := c.obtain(attempt, wanted, hosts)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		c.noteACME(err)
		if err != nil {
			c.log.Warn("no certificate was obtained", "directory", wanted.Directory, "err", err, "again_in", wait)
			next = time.Now().Add(wait)
			wait = min(2*wait, time.Hour)
			continue
		}
		wait = acmeRetry
	}
}

// needsACME says that the certificate is missing, for other hosts, or has less than a third of its life left.
func (c *certificates) needsACME(hosts []string, now time.Time) bool {
	pair := c.current.Load()
	if pair == nil || c.using() != config.ACME {
		return true
	}
	uncovered := slices.ContainsFunc(hosts, func(host string) bool { return pair.Leaf.VerifyHostname(hostForm(host)) != nil })
	return uncovered || !c.renews(now)
}

// renews says that the certificate need not have been renewed yet.
func (c *certificates) renews(now time.Time) bool {
	pair := c.current.Load()
	if pair == nil || pair.Leaf == nil {
		return false
	}
	life := pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore)
	return pair.Leaf.NotAfter.Sub(now) > life/3
}

// obtain gets one certificate for the hosts and shows it.
func (c *certificates) obtain(ctx context.Context, settings config.ACMESettings, hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("zone.hosts is empty; set the names and addresses that people use")
	}
	client, err := c.acmeClient(ctx, settings)
	if err != nil {
		return err
	}
	var ids []acme.AuthzID
	for _, host := range hosts {
		kind := "dns"
		if net.ParseIP(host) != nil {
			kind = "ip"
		}
		ids = append(ids, acme.AuthzID{Type: kind, Value: host})
	}
	order, err := client.AuthorizeOrder(ctx, ids)
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	for _, url := range order.AuthzURLs {
		if err := c.prove(ctx, client, url); err != nil {
			return err
		}
	}
	uri := order.URI
	if order, err = client.WaitOrder(ctx, uri); err != nil {
		return fmt.Errorf("wait for the order: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	request, err := requestFor(key, hosts)
	if err != nil {
		return err
	}
	chain, err := finalize(ctx, client, uri, order.FinalizeURL, request)
	if err != nil {
		return fmt.Errorf("fetch the certificate: %w", err)
	}
	return c.keepACME(chain, key)
}

// finalize has the certificate made and fetches it. An authority that takes its time may answer without saying where the order is, which the library needs
// to wait for it: then the order is asked for where it was opened.
func finalize(ctx context.Context, client *acme.Client, order, url string, request []byte) ([][]byte, error) {
	chain, _, err := client.CreateOrderCert(ctx, url, request, true)
	if err == nil || ctx.Err() != nil {
		return chain, err
	}
	made, waitErr := client.WaitOrder(ctx, order)
	if waitErr != nil || made.CertURL == "" {
		return nil, errors.Join(err, waitErr)
	}
	return client.FetchCert(ctx, made.CertURL, true)
}

// acmeClient opens the account, whose key is made at the first time.
func (c *certificates) acmeClient(ctx context.Context, settings config.ACMESettings) (*acme.Client, error) {
	path := c.file(acmeAccount, "key")
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		var fresh *ecdsa.PrivateKey
		if fresh, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			key, err = fresh, writeKey(path, fresh)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("account key: %s cannot sign", filepath.Base(path))
	}
	roots, err := acmeRoots(settings.CA)
	if err != nil {
		return nil, err
	}
	client := &acme.Client{Key: signer, DirectoryURL: settings.Directory, UserAgent: "meetzone",
		HTTPClient: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: c.dial, TLSClientConfig: &tls.Config{RootCAs: roots}}}}
	account := &acme.Account{}
	if settings.Email != "" {
		account.Contact = []string{"mailto:" + settings.Email}
	}
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("open the account: %w", err)
	}
	return client, nil
}

// acmeRoots reads the authorities that the directory's own certificate is trusted by; nil: the system's.
func acmeRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certificate.acme.ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificate.acme.ca: there is no certificate in %s", path)
	}
	return roots, nil
}

// prove shows that the box is a host.
func (c *certificates) prove(ctx context.Context, client *acme.Client, url string) error {
	authz, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("authorization: %w", err)
	}
	if authz.Status == acme.StatusValid {
		return nil
	}
	host := authz.Identifier.Value
	i := slices.IndexFunc(authz.Challenges, func(ch *acme.Challenge) bool { return ch.Type == "tls-alpn-01" })
	if i < 0 {
		return fmt.Errorf("%s: the authority does not offer TLS-ALPN-01", host)
	}
	proof, err := client.TLSALPN01ChallengeCert(authz.Challenges[i].Token, host)
	if err != nil {
		return fmt.Errorf("%s: %w", host, err)
	}
	c.mu.Lock()
	c.proof = &proof
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.proof = nil
		c.mu.Unlock()
	}()
	if _, err := client.Accept(ctx, authz.Challenges[i]); err != nil {
		return fmt.Errorf("%s: %w", host, err)
	}
	if _, err := client.WaitAuthorization(ctx, url); err != nil {
		return fmt.Errorf("%s was not proven (the authority must reach TCP 443 of it): %w", host, err)
	}
	return nil
}

// keepACME stores and shows what was obtained.
func (c *certificates) keepACME(chain [][]byte, key crypto.PrivateKey) error {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return err
	}
	if err := c.storePair(config.ACME, chain, key); err != nil {
		return err
	}
	c.mu.Lock()
	wanted := c.acme.wanted.Directory != ""
	c.mu.Unlock()
	if wanted {
		c.show(config.ACME, &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf})
	}
	return nil
}

// answerFor chooses the certificate for a connection: that of a challenge where an authority asks for it, otherwise the one in use.
func (c *certificates) answerFor(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.proof == nil {
			return nil, errors.New("no challenge is under way")
		}
		return c.proof, nil
	}
	if pair := c.current.Load(); pair != nil {
		return pair, nil
	}
	return nil, errors.New("no certificate yet")
}

// encodeChain writes certificates as a PEM file.
func encodeChain(chain [][]byte) (text []byte) {
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}

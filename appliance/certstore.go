package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
)

// Installed certificates: each is a chain and a key (certpair.go) in the folder of the self-signed one. A request leaves NAME.next.key, which waits for
// the certificate that somebody signs for it. Keys never leave the box and are no part of the document.

// Bounds of what is installed.
const (
	maxPEM   = 256 << 10
	maxChain = 8
	maxHosts = 64
)

// reservedName says that a name is one of the box's own.
func reservedName(name string) bool {
	return name == config.SelfSigned || name == config.ACME || name == acmeAccount
}

// acmeAccount is the name of the file with the key of the account at the authority.
const acmeAccount = "acme-account"

func (c *certificates) file(name, kind string) string { return filepath.Join(c.folder, name+"."+kind) }

// request makes a key and a signing request for it (RFC 2986). An earlier request of that name is forgotten.
func (c *certificates) request(name string, hosts []string) ([]byte, error) {
	if err := checkCertificateName(name); err != nil {
		return nil, err
	}
	if len(hosts) == 0 || len(hosts) > maxHosts {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "The certificate needs at least one host name or address, and at most 64.",
			Advice: "Set zone.hosts, or name them with --host."}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := requestFor(key, hosts)
	if err != nil {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "No request can be made for these hosts: " + err.Error() + "."}
	}
	if err := writeKey(c.file(name, "next.key"), key); err != nil {
		return nil, fmt.Errorf("storing the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// requestFor makes a signing request in DER.
func requestFor(key crypto.Signer, hosts []string) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: hosts[0]}}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return x509.CreateCertificateRequest(rand.Reader, template, key)
}

func checkCertificateName(name string) error {
	if name == "" || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || reservedName(name) {
		return &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("%q is no name for an installed certificate.", name),
			Advice: "Use small letters, digits and hyphens; self-signed and acme are the box's own."}
	}
	return nil
}

// install keeps a chain, with the key given, or with that of the request it answers, or with the key it renews. In use, it is shown from the next connection on.
func (c *certificates) install(name string, chain, key []byte) error {
	if err := checkCertificateName(name); err != nil {
		return err
	}
	refuse := func(text, advice string) error {
		return &adminapi.Error{Code: adminapi.CodeBad, Text: text, Advice: advice}
	}
	list, err := parseChain(chain)
	if err != nil {
		return refuse("The certificate cannot be read: "+err.Error()+".", "Give a PEM file with the certificate first, then those of the authorities between it and the root.")
	}
	leaf := list[0]
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		return refuse(fmt.Sprintf("The certificate has expired on %s.", leaf.NotAfter.UTC().Format(time.DateOnly)), "Have a new one signed.")
	case now.Before(leaf.NotBefore):
		return refuse(fmt.Sprintf("The certificate is not valid before %s.", leaf.NotBefore.UTC().Format(time.DateTime)), "Check the clock of this box.")
	}
	private, err := c.keyFor(name, leaf, key)
	if err != nil {
		return err
	}
	var chained [][]byte
	for _, one := range list {
		chained = append(chained, one.Raw)
	}
	if err := c.storePair(name, chained, private); err != nil {
		return err
	}
	if err := os.Remove(c.file(name, "next.key")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("the key of a request that was answered stays", "name", name, "err", err)
	}
	if c.using() == name {
		return c.use(name)
	}
	return nil
}

// parseChain reads certificates, the leaf first, each signed by the next.
func parseChain(text []byte) (list []*x509.Certificate, err error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("it has more than %d bytes", maxPEM)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if list = append(list, one); len(list) > maxChain {
			return nil, fmt.Errorf("there are more than %d certificates", maxChain)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	for i := range len(list) - 1 {
		if err := list[i].CheckSignatureFrom(list[i+1]); err != nil {
			return nil, fmt.Errorf("certificate %d is not signed by the one behind it", i+1)
		}
	}
	return list, nil
}

// keyFor finds the key of a certificate.
func (c *certificates) keyFor(name string, leaf *x509.Certificate, given []byte) (crypto.PrivateKey, error) {
	if len(given) > 0 {
		key, err := parseKey(given)
		if err != nil || !matches(leaf, key) {
			return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "The key is not that of the certificate.", Advice: "Give both from the same request."}
		}
		return key, nil
	}
	if key, err := readKey(c.file(name, "next.key")); err == nil && matches(leaf, key) {
		return key, nil
	}
	if pair, err := c.loadPair(name); err == nil && matches(leaf, pair.PrivateKey) {
		return pair.PrivateKey, nil
	}
	return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "There is no key for this certificate on the box.",
		Advice: fmt.Sprintf("Have the request signed that `appliance cert csr %s` prints, or give the key with --key.", name)}
}

// parseKey reads a key in PKCS #8, SEC 1 or PKCS #1.
func parseKey(text []byte) (crypto.PrivateKey, error) {
	if len(text) > maxPEM {
		return nil, errors.New("too large")
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("no key")
}

func matches(leaf *x509.Certificate, key crypto.PrivateKey) bool {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return false
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(leaf.PublicKey)
}

// load reads an installed certificate.
func (c *certificates) load(name string) (*tls.Certificate, error) {
	pair, err := c.loadPair(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("certificate %q is not installed; `appliance cert show` lists those that are", name)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate %q cannot be read: %w", name, err)
	}
	return pair, nil
}

// use shows an installed certificate from the next connection on.
func (c *certificates) use(name string) error {
	pair, err := c.load(name)
	if err != nil {
		return err
	}
	c.unusable.Store(nil)
	c.show(name, pair)
	return nil
}

// instead shows the self-signed certificate in place of one that cannot be used, and raises an alarm.
func (c *certificates) instead(names []string, why error) error {
	text := why.Error()
	c.unusable.Store(&text)
	c.log.Error("the certificate cannot be used; showing the self-signed one", "err", why)
	return c.selfSigned(names)
}

func (c *certificates) show(name string, pair *tls.Certificate) {
	c.current.Store(pair)
	c.name.Store(&name)
	c.log.Info("showing a certificate", "name", name, "until", pair.Leaf.NotAfter, "fingerprint", c.fingerprint())
}

// using is the name of the certificate that is shown.
func (c *certificates) using() string {
	if name := c.name.Load(); name != nil {
		return *name
	}
	return config.SelfSigned
}

// list describes all certificates of the box.
func (c *certificates) list(hosts []string) (all []adminapi.Certificate) {
	entries, err := os.ReadDir(c.folder)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		name, isKey := strings.CutSuffix(e.Name(), ".next.key")
		if isKey {
			all = append(all, adminapi.Certificate{Name: name, State: adminapi.CertificateRequested})
			continue
		}
		name, isWhole := strings.CutSuffix(e.Name(), ".pem")
		if !isWhole {
			var isChain bool
			if name, isChain = strings.CutSuffix(e.Name(), ".crt"); !isChain || exists(c.file(name, "pem")) {
				continue
			}
		}
		pair, err := c.load(name)
		if err != nil {
			all = append(all, adminapi.Certificate{Name: name, State: adminapi.CertificateBroken, Warnings: []string{err.Error()}})
			continue
		}
		all = append(all, describeCertificate(name, pair.Leaf, name == c.using(), hosts))
	}
	slices.SortStableFunc(all, func(a, b adminapi.Certificate) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func describeCertificate(name string, leaf *x509.Certificate, inUse bool, hosts []string) adminapi.Certificate {
	sum := sha256.Sum256(leaf.Raw)
	out := adminapi.Certificate{Name: name, State: adminapi.CertificateInstalled, Subject: leaf.Subject.CommonName, Issuer: leaf.Issuer.CommonName,
		Names: slices.Clone(leaf.DNSNames), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		Fingerprint: strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum)), " ", ":")}
	if inUse {
		out.State = adminapi.CertificateInUse
	}
	for _, ip := range leaf.IPAddresses {
		out.Names = append(out.Names, ip.String())
	}
	for _, host := range hosts {
		if leaf.VerifyHostname(hostForm(host)) != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("it does not cover %s of zone.hosts", host))
		}
	}
	if text := expiry(leaf, time.Now()); text != "" {
		out.Warnings = append(out.Warnings, text)
	}
	return out
}

// expiryWarnings are how many days ahead somebody is warned, each time anew.
var expiryWarnings = [...]int{1, 7, 14, 30}

const day = 24 * time.Hour

// expiryStage returns the number of days below which what is left has fallen; 0 while there is time, -1 when there is none left.
func expiryStage(leaf *x509.Certificate, now time.Time) int {
	left := leaf.NotAfter.Sub(now)
	if left <= 0 {
		return -1
	}
	for _, days := range expiryWarnings {
		if left <= time.Duration(days)*day {
			return days
		}
	}
	return 0
}

// expiry says how soon a certificate expires, "" while there is time.
func expiry(leaf *x509.Certificate, now time.Time) string {
	on := leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST")
	switch stage := expiryStage(leaf, now); stage {
	case 0:
		return ""
	case -1:
		return "it has expired on " + on
	case 1:
		return "it expires within a day, on " + on
	default:
		return fmt.Sprintf("it expires within %d days, on %s", stage, on)
	}
}

// alarms warns of the certificate that is shown. One that ACME renews by itself is an alarm only when that has not happened in time.
func (c *certificates) alarms(now time.Time) (list []adminapi.Alarm) {
	pair := c.current.Load()
	if pair == nil || pair.Leaf == nil {
		return nil
	}
	if stage := expiryStage(pair.Leaf, now); stage != 0 && !(c.using() == config.ACME && c.renews(now)) {
		list = append(list, adminapi.Alarm{Code: "certificate-expiry", Since: pair.Leaf.NotAfter.Add(-time.Duration(max(0, stage)) * day),
			Text: fmt.Sprintf("The certificate %s must be renewed: %s. People will not get in, and TURN over TLS will fail.", c.using(), expiry(pair.Leaf, now))})
	}
	if why := c.unusable.Load(); why != nil {
		list = append(list, adminapi.Alarm{Code: "certificate-unusable", Text: "The self-signed certificate is shown, since the one that is set cannot be used: " + *why + "."})
	}
	if text, since := c.acmeProblem(); text != "" {
		list = append(list, adminapi.Alarm{Code: "acme", Since: since, Text: text})
	}
	return list
}

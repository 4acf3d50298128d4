package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
)

// authority signs requests, as an organisation's does.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(1000 * day), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

// sign answers a request with a chain.
func (a *authority) sign(request string, life time.Duration) string {
	a.t.Helper()
	block, _ := pem.Decode([]byte(request))
	if block == nil {
		a.t.Fatalf("no request: %s", request)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		a.t.Fatalf("request: %v", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: csr.Subject, DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, csr.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(encodeChain([][]byte{der, a.cert.Raw}))
}

func TestCertCommands(t *testing.T) {
	c := newCommandLine(t)
	ca := newAuthority(t)
	put := func(text string) string {
		path := filepath.Join(t.TempDir(), "file.pem")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c.want(1, words("cert csr office"), "needs at least one host name", "--host")
	c.want(1, words("cert csr acme --host a"), `"acme" is no name for an installed certificate.`)
	request := c.want(0, words("cert csr office --host meet.example --host 192.0.2.7"), "BEGIN CERTIFICATE REQUEST")
	c.want(0, words("cert show"), "office   (requested)")
	c.want(1, words("cert install office --chain "+put("no PEM")), "cannot be read: there is no certificate in it.")
	c.want(1, words("cert install office --chain "+put(ca.sign(request, -time.Minute))), "has expired on")
	c.want(1, words("cert install other --chain "+put(ca.sign(request, 10*day))), "There is no key for this certificate on the box.", "cert csr other")
	c.want(1, words("cert install office --chain /nonexistent"), "cannot be read")
	c.want(0, words("cert install office --chain "+put(ca.sign(request, 100*day))), "office   (installed)", "meet.example 192.0.2.7", "Test authority", "certificate.name office")
	// Renewed with the same key, and shown at once when it is in use.
	if err := c.box.tls.use("office"); err != nil {
		t.Fatal(err)
	}
	before := c.box.tls.fingerprint()
	c.want(0, words("cert install office --chain "+put(ca.sign(request, 6*day))), "office   (in use)", "WARNING", "it expires within 7 days")
	if after := c.box.tls.fingerprint(); after == before {
		t.Error("the renewed certificate is not shown")
	}
	if list := c.box.tls.alarms(time.Now()); len(list) != 1 || list[0].Code != "certificate-expiry" {
		t.Errorf("%+v", list)
	}
	var list adminapi.Certificates
	if err := json.Unmarshal([]byte(c.want(0, words("cert show --json"))), &list); err != nil || len(list.Certificates) != 1 || len(list.Certificates[0].Warnings) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, e := range must(os.ReadDir(c.box.tls.folder)) {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	// With a key of its own, and with a wrong one.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := requestFor(key, []string{"b.example"})
	if err != nil {
		t.Fatal(err)
	}
	chain := put(ca.sign(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), 100*day))
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.want(0, words("cert install b --chain "+chain+" --key "+put(string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})))), "b   (installed)")
	c.want(1, words("cert install d --chain "+chain+" --key "+put("x")), "The key is not that of the certificate.")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestExpiryStages(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]int{31 * day: 0, 30 * day: 30, 15 * day: 30, 14 * day: 14, 8 * day: 14, 7 * day: 7, 2 * day: 7, day: 1, time.Minute: 1, 0: -1, -day: -1} {
		if got := expiryStage(&x509.Certificate{NotAfter: now.Add(left)}, now); got != want {
			t.Errorf("with %v left: %d, want %d", left, got, want)
		}
	}
}

// FuzzChain holds that no file that is installed breaks the box.
func FuzzChain(f *testing.F) {
	ca := newAuthority(f)
	f.Add(encodeChain([][]byte{ca.cert.Raw}), []byte("-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		list, err := parseChain(chain)
		if err == nil && (len(list) == 0 || len(list) > maxChain) {
			t.Errorf("%d certificates", len(list))
		}
		if private, err := parseKey(key); err == nil && len(list) > 0 {
			_ = matches(list[0], private)
		}
	})
}

// pebbleConfig is a real ACME server's: it validates on the port of the test's box, and its certificates live 12 s.
const pebbleConfig = `{"pebble": {"listenAddress": %q, "managementListenAddress": %q, "certificate": %q, "privateKey": %q, "httpPort": 1, "tlsPort": %d,
	"externalAccountBindingRequired": false, "retryAfter": {"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
	"profiles": {"default": {"description": "short", "validityPeriod": 12}}}}`

// TestACME obtains a certificate from pebble for a name and an address, renews it while connections go on, and says so when the authority is gone.
func TestACME(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "pebble")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/letsencrypt/pebble/v2/cmd/pebble").CombinedOutput(); err != nil {
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box, err := openCertificates(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := box.selfSigned([]string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(l, box.serverTLS())
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := secure.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = conn.(*tls.Conn).HandshakeContext(t.Context())
				conn.Close()
			}()
		}
	}()
	t.Cleanup(func() { secure.Close(); <-served })

	directory, stop := startPebble(t, dir, binary, box, l.Addr().(*net.TCPAddr).Port)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- box.runACME(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	box.wantACME(config.ACMESettings{Directory: directory, Email: "it@example.com", CA: filepath.Join(dir, "tls", "self-signed.crt")}, []string{"localhost", "127.0.0.1"})

	shown := func() *x509.Certificate {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
		if err != nil {
			return nil
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0]
	}
	awaits := func(what string, f func(*x509.Certificate) bool) *x509.Certificate {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if leaf := shown(); leaf != nil && f(leaf) {
				return leaf
			}
			if time.Now().After(deadline) {
				text, _ := box.acmeProblem()
				t.Fatalf("never %s: %s", what, text)
			}
		}
	}
	first := awaits("obtained", func(leaf *x509.Certificate) bool { return strings.Contains(leaf.Issuer.CommonName, "Pebble") })
	if first.VerifyHostname("localhost") != nil || first.VerifyHostname("127.0.0.1") != nil {
		t.Errorf("it is for %v and %v", first.DNSNames, first.IPAddresses)
	}
	second := awaits("renewed", func(leaf *x509.Certificate) bool { return leaf.SerialNumber.Cmp(first.SerialNumber) != 0 })
	if second.NotBefore.Before(first.NotBefore) {
		t.Error("the renewed certificate is older")
	}
	stop()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if list := box.alarms(time.Now()); len(list) > 0 && list[len(list)-1].Code == "acme" && strings.Contains(list[len(list)-1].Text, directory) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no alarm though the authority is gone: %+v", box.alarms(time.Now()))
		}
	}
}

// startPebble runs the ACME server behind the box's self-signed certificate, which only serves as one that the client is told to trust.
func startPebble(t *testing.T, dir, binary string, box *certificates, tlsPort int) (directory string, stop func()) {
	t.Helper()
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	address := free()
	path := filepath.Join(dir, "pebble.json")
	text := fmt.Sprintf(pebbleConfig, address, free(), box.file(config.SelfSigned, "crt"), box.file(config.SelfSigned, "key"), tlsPort)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-config", path)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("pebble said:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("pebble does not listen: %v", err)
		}
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return "https://localhost:" + port + "/dir", stop
}

// TestUnusableCertificate: a pair that cannot be read does not keep the box from starting; it shows the self-signed one, and says so.
func TestUnusableCertificate(t *testing.T) {
	box, err := openCertificates(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	doc := config.Default()
	doc.Certificate.Name = "office"
	if _, err := (certificatePart{&daemon{tls: box}}).Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if list := box.alarms(time.Now()); box.using() != config.SelfSigned || len(list) != 1 || list[0].Code != "certificate-unusable" {
		t.Errorf("shows %s, alarms %+v", box.using(), list)
	}
	if checkCertificateName(acmeAccount) == nil {
		t.Error("a certificate may have the name of the account's key")
	}
}

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// certifying is a box with an installed certificate "office", and an authority that signs the next one, with a new key.
func certifying(t *testing.T) (c *certificates, next func() []byte) {
	t.Helper()
	c, err := openCertificates(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	next = func() []byte {
		request, err := c.request("office", []string{"meet.example"})
		if err != nil {
			t.Fatal(err)
		}
		return []byte(ca.sign(string(request), 100*day))
	}
	if err := c.install("office", next(), nil); err != nil {
		t.Fatal(err)
	}
	return c, next
}

// leafOf is what is loaded, checked to be whole by tls.LoadX509KeyPair.
func leafOf(t *testing.T, c *certificates) []byte {
	t.Helper()
	pair, err := c.load("office")
	if err != nil {
		t.Fatal(err)
	}
	return pair.Certificate[0]
}

// TestCertificateIsWhole cuts the storing of a new certificate with a new key off at each of its files: what is loaded then is the old pair or the new one, and never none.
func TestCertificateIsWhole(t *testing.T) {
	for i, kind := range []string{"pem", "key", "crt"} {
		c, next := certifying(t)
		before := leafOf(t, c)
		chain := next()
		// The machine is off from this file on: the ones behind it are put back as they were.
		files := map[string][]byte{}
		for _, one := range []string{"pem", "key", "crt"}[i:] {
			content, err := os.ReadFile(c.file("office", one))
			if err != nil {
				t.Fatal(err)
			}
			files[one] = content
		}
		if err := c.install("office", chain, nil); err != nil {
			t.Fatal(err)
		}
		for one, content := range files {
			if err := os.WriteFile(c.file("office", one), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if is := bytes.Equal(leafOf(t, c), before); is != (kind == "pem") {
			t.Errorf("cut before %s: the old certificate is loaded: %v", kind, is)
		}
		if list := c.list(nil); len(list) != 1 || list[0].State != "installed" {
			t.Errorf("cut before %s: %+v", kind, list)
		}
	}
}

// TestCopiesCannotBeWritten: where only the pair can be stored, it counts.
func TestCopiesCannotBeWritten(t *testing.T) {
	c, next := certifying(t)
	before := leafOf(t, c)
	for _, kind := range []string{"key", "crt"} {
		if err := errors.Join(os.Remove(c.file("office", kind)), os.Mkdir(c.file("office", kind), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.install("office", next(), nil); err != nil || bytes.Equal(leafOf(t, c), before) {
		t.Errorf("%v", err)
	}
}

// TestOldCopiesDoNotCount: the certificate that was installed last is loaded, whichever of the two begins earlier, though the copies are those of the one before, or a half of
// them is.
func TestOldCopiesDoNotCount(t *testing.T) {
	for _, stale := range [][]string{{"key", "crt"}, {"crt"}, {"key"}} {
		for _, earlier := range []bool{false, true} {
			c, next := certifying(t)
			signed := leafOf(t, c)
			own, err := makeCertificate([]string{"meet.example"}) // begins a day ago or earlier, that of the authority an hour
			if err != nil {
				t.Fatal(err)
			}
			want := own.Certificate[0]
			install := func() error { return c.storePair("office", own.Certificate, own.PrivateKey) }
			if !earlier {
				if err := install(); err != nil {
					t.Fatal(err)
				}
				chain := next()
				block, _ := pem.Decode(chain)
				want = block.Bytes
				install = func() error { return c.install("office", chain, nil) }
			}
			before := map[string][]byte{}
			for _, kind := range stale {
				if before[kind], err = os.ReadFile(c.file("office", kind)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // installed again, what the copies are of is no other
				if err := install(); err != nil {
					t.Fatal(err)
				}
				for kind, content := range before {
					if err := os.WriteFile(c.file("office", kind), content, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if is := leafOf(t, c); bytes.Equal(is, signed) || !bytes.Equal(is, want) {
					t.Errorf("with %v of the one before, the new one beginning earlier: %v: another certificate than the one installed is loaded", stale, earlier)
				}
				if !earlier {
					break // its request is answered
				}
			}
		}
	}
}

// TestCertificateOfTheReleaseBefore: key and chain in two files are read, also beside an older pair, and what is neither is not installed.
func TestCertificateOfTheReleaseBefore(t *testing.T) {
	c, next := certifying(t)
	if err := os.Remove(c.file("office", "pem")); err != nil {
		t.Fatal(err)
	}
	old := leafOf(t, c)
	if list := c.list(nil); len(list) != 1 || list[0].Name != "office" {
		t.Errorf("%+v", list)
	}
	if err := c.install("office", next(), nil); err != nil || bytes.Equal(leafOf(t, c), old) {
		t.Errorf("installed over the old form: %v", err)
	}
	// The release before renews it: the two files are of a certificate of which the pair knows nothing, whenever it begins.
	for name, renew := range map[string]func() (*tls.Certificate, error){
		"earlier": func() (*tls.Certificate, error) { return makeCertificate([]string{"meet.example"}) },
		"later":   func() (*tls.Certificate, error) { o, _ := certifying(t); return o.load("office") },
	} {
		renewed, err := renew()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(writeKey(c.file("office", "key"), renewed.PrivateKey), writeFile(c.file("office", "crt"), encodeChain(renewed.Certificate))); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(leafOf(t, c), renewed.Certificate[0]) {
			t.Errorf("what the release before has renewed is not loaded (%s)", name)
		}
	}
	if _, err := c.loadPair("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := c.selfSigned([]string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	if again, err := openCertificates(filepath.Dir(c.folder), c.log); err != nil || again.own == nil {
		t.Errorf("the self-signed one is not read again: %v", err)
	}
}

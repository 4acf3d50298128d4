package tunnel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// TestRegistrarChecksTheTunnel: a zone registers with a tunnel whose certificate is the one of the fingerprint, or of an authority for that name; any other is told nothing.
func TestRegistrarChecksTheTunnel(t *testing.T) {
	noLeaks(t)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	s, base := start(t, Config{Zones: []Zone{{Names: []string{"zone.example"}, Key: key.Public().(ed25519.PublicKey)}}})
	pair, err := s.cfg.Certificate(new(tls.ClientHelloInfo))
	if err != nil {
		t.Fatal(err)
	}
	right := Fingerprint(sha256.Sum256(pair.Certificate[0]))
	wrong := right
	wrong[0]++
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	_, port, _ := strings.Cut(strings.TrimPrefix(base, "https://"), ":")
	for _, c := range []struct {
		name, host string
		by         *Fingerprint
		roots      *x509.CertPool
		refused    string // what the error says; "": registered
	}{
		{"by its fingerprint", "127.0.0.1", &right, nil, ""},
		{"by an authority", "tunnel.example", nil, roots, ""},
		{"nobody vouches for it", "tunnel.example", nil, nil, "if " + right.String() + " is the fingerprint that the tunnel logs"},
		{"an authority for another name", "other.example", nil, roots, "other.example"},
		{"another fingerprint, in spite of an authority", "tunnel.example", &wrong, roots, wrong.String()},
	} {
		r, err := NewRegistrar(RegistrarConfig{URL: "https://" + c.host + ":" + port, Key: key, Lines: 1, Fingerprint: c.by, Roots: c.roots, Logger: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
			}})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- r.Run() }()
		if c.refused == "" {
			eventually(t, c.name, func() bool { _, why := r.Problem(); return why == nil && s.Stats().Lines == 1 })
		} else {
			var untrusted *UntrustedError
			eventually(t, c.name, func() bool { _, why := r.Problem(); return errors.As(why, &untrusted) })
			if !strings.Contains(untrusted.Error(), c.refused) || s.Stats().Lines != 0 {
				t.Errorf("%s: %v, and %d lines", c.name, untrusted, s.Stats().Lines)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		<-ran
		eventually(t, "the line has ended", func() bool { return s.Stats().Lines == 0 })
	}
}

func TestParseFingerprint(t *testing.T) {
	text := strings.Repeat("0F:", 31) + "a0"
	for _, good := range []string{text, strings.ReplaceAll(text, ":", ""), strings.ToLower(text)} {
		if f, err := ParseFingerprint(good); err != nil || f.String() != strings.ToUpper(text) {
			t.Errorf("%s: %v, %v", good, f, err)
		}
	}
	for _, bad := range []string{"", "0F", text + ":00", strings.Replace(text, "0", "g", 1)} {
		if _, err := ParseFingerprint(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

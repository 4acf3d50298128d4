package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/zonectl/client"
	"meetzone/zonectl/wire"
)

// boxCertificate is self-signed, as that of a new box.
func boxCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "box"}, DNSNames: []string{"box.example"}, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// TestJoinTellsOfInterception has a proxy between join and a box that opens TLS connections and lets the lookup through, but not what comes after it.
func TestJoinTellsOfInterception(t *testing.T) {
	own := boxCertificate(t)
	mux := http.NewServeMux()
	box := httptest.NewUnstartedServer(mux)
	box.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	box.StartTLS()
	defer box.Close()
	target, err := url.Parse(box.URL)
	if err != nil {
		t.Fatal(err)
	}
	onward := httputil.NewSingleHostReverseProxy(target)
	trust := x509.NewCertPool()
	trust.AddCert(own.Leaf)
	onward.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, ServerName: "box.example"}}
	proxy := httptest.NewUnstartedServer(onward)
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
	proxy.StartTLS()
	defer proxy.Close()
	mux.HandleFunc("POST "+wire.PathLookup, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(wire.Lookup{Meeting: wire.Meeting{Number: "42"}, Token: "token", Fingerprint: client.Fingerprint(own.Leaf),
			Zones: []wire.Zone{{ID: "z", Controllers: []string{proxy.URL}}}})
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	const sentence = "A proxy on the way opens TLS connections"
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"its authority is trusted", []string{"--ca", ca}, []string{sentence + " (the certificate that arrives is not the one of the box"}},
		{"any certificate is trusted", []string{"--insecure"}, []string{sentence}},
		{"its authority is not trusted", nil, []string{"is not trusted", client.Fingerprint(proxy.Certificate()), "If it is another one, a proxy on the way opens TLS connections"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := newJoinCommand()
			command.SilenceErrors, command.SilenceUsage = true, true
			var out bytes.Buffer
			command.SetOut(&out)
			command.SetArgs(append([]string{"--url", proxy.URL, "--meeting", "42", "--proxy", "none", "--cache", ""}, c.args...))
			err := command.ExecuteContext(t.Context())
			if err == nil {
				t.Fatalf("joined:\n%s", &out)
			}
			said := describe(err).String()
			t.Log(said)
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("%q does not say %q", said, want)
				}
			}
		})
	}
}

// TestSummaryTellsOfInterception: a session that went well ends with the sentence too.
func TestSummaryTellsOfInterception(t *testing.T) {
	const sentence = "A proxy on the way opens TLS connections."
	var out bytes.Buffer
	printStats(&out, client.Stats{Intercepted: sentence})
	if !strings.HasSuffix(out.String(), "\n"+sentence+"\n") {
		t.Errorf("%q", &out)
	}
	if data, err := json.Marshal(newReport(client.Stats{Intercepted: sentence})); err != nil || !bytes.Contains(data, []byte(`"intercepted":"`+sentence+`"`)) {
		t.Errorf("%s: %v", data, err)
	}
}

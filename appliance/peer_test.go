package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
)

// The same links with another router in the box's place: LiveKit, built from the module registry in a module of its own (testdata/livekit), with its own
// client in both pages. It is no dependency of the product.

// peerRouter is that router, with a page of its client.
type peerRouter struct {
	name string
	lab  *appliancetest.Lab
}

// Key and secret of its tokens.
const (
	peerKey    = "theatre"
	peerSecret = "a secret of thirty-two bytes or more"
)

// buildPeer builds the router and fetches its client; the versions are pinned in testdata.
func buildPeer(t *testing.T) (program, folder string) {
	t.Helper()
	folder, err := filepath.Abs("testdata/livekit")
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "livekit-server")
	for _, args := range [][]string{{"go", "build", "-o", program, "github.com/livekit/livekit-server/cmd/server"},
		{"npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return program, folder
}

// startPeer runs the router in the box's namespace. Everybody reaches it under the box's address on the receiver's link, the sender by a route.
func startPeer(t *testing.T, lab *appliancetest.Lab) *peerRouter {
	t.Helper()
	program, folder := buildPeer(t)
	address := lab.Clients[1].Box.String()
	lab.Clients[0].NS.Route(t, address+"/32", lab.Clients[0].Box.String())
	config := fmt.Sprintf("port: 7880\nkeys: {%s: %q}\nrtc: {udp_port: 7882, tcp_port: 7881, node_ip: %s, use_external_ip: false}\nlogging: {level: warn}\n",
		peerKey, peerSecret, address)
	file := filepath.Join(t.TempDir(), "livekit.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := lab.Box.Command(context.Background(), program, "--config", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	p := &peerRouter{name: "LiveKit " + versionOf(t, folder, "github.com/livekit/livekit-server"), lab: lab}
	p.serve(t, folder, address)
	return p
}

// versionOf returns the version of a module that a folder's go.mod asks for.
func versionOf(t *testing.T, folder, module string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "\t"+module+" v")
	if !found {
		t.Fatalf("%s is not in go.mod", module)
	}
	return strings.Fields(rest)[0]
}

// serve serves the page, its client, and the router's signalling, with a certificate of the moment: pages get no camera without.
func (p *peerRouter) serve(t *testing.T, folder, address string) {
	t.Helper()
	dial := func(ctx context.Context, network, to string) (conn net.Conn, err error) {
		p.lab.Box.Do(t, func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, to) })
		return conn, err
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:7880"})
	proxy.Transport = &http.Transport{DialContext: dial}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("GET /page.html", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(folder, "page.html")) })
	mux.HandleFunc("GET /livekit-client.umd.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(folder, "node_modules/livekit-client/dist/livekit-client.umd.js"))
	})
	server := httptest.NewUnstartedServer(mux)
	server.Listener.Close()
	p.lab.Box.Do(t, func() {
		l, err := net.Listen("tcp", net.JoinHostPort(address, "443"))
		if err != nil {
			t.Error(err)
			return
		}
		server.Listener = l
	})
	server.TLS = &tls.Config{NextProtos: []string{"http/1.1"}} // WebSockets need it
	server.StartTLS()
	t.Cleanup(server.Close)
	client := http.Client{Transport: &http.Transport{DialContext: dial}}
	for end := time.Now().Add(30 * time.Second); ; <-time.After(100 * time.Millisecond) {
		answer, err := client.Get("http://127.0.0.1:7880/")
		if err == nil {
			answer.Body.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the other router does not serve: %v", err)
		}
	}
}

// enter has a page join.
func (p *peerRouter) enter(t *testing.T, b appliancetest.Browser, name string, sends bool) {
	t.Helper()
	if err := b.Open("https://" + p.lab.Clients[1].Box.String() + "/page.html"); err != nil {
		t.Fatal(err)
	}
	if err := b.Eval(fmt.Sprintf("enter(%q, %v)", p.token(name), sends), nil); err != nil {
		t.Fatalf("%s does not get in: %v", name, err)
	}
}

// token makes the JSON web token that lets somebody in.
func (p *peerRouter) token(name string) string {
	encode := func(v any) string {
		b, _ := json.Marshal(v) // maps of strings and numbers
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := encode(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + encode(map[string]any{"iss": peerKey, "sub": name, "nbf": time.Now().Unix() - 60,
		"exp": time.Now().Unix() + 3600, "video": map[string]any{"roomJoin": true, "room": "theatre"}})
	mac := hmac.New(sha256.New, []byte(peerSecret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// playPeer plays the table to Chromium behind the other router.
func playPeer(t *testing.T) (table []figure) {
	t.Run("another router", func(t *testing.T) {
		th := &theatre{t: t, lab: appliancetest.New(t, 3, 1)}
		th.peer = startPeer(t, th.lab)
		th.peer.enter(t, th.camera(), "Ada", true)
		for _, row := range impairments {
			if !chosen("MEETZONE_ROW", row.name) {
				continue
			}
			t.Run(row.name, func(t *testing.T) {
				w := th.chromium(t)
				f := w.play(t, row)
				w.leave(t)
				if row.name == "clean" {
					th.full = max(th.full, f.Used)
					f.Could = th.full
				}
				t.Log(f)
				table = append(table, f)
			})
		}
	})
	return table
}

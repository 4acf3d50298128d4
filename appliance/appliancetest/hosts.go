package appliancetest

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
)

// Host is a further machine behind the firewall, on a subnet of its own: a proxy, a tunnel, another box.
type Host struct {
	NS    *nstest.NS
	Addr  netip.Addr
	Iface string // its end of the link
}

// Host adds one. With a path, its link is as bad as that.
func (f *Firewall) Host(t testing.TB, name string, path ...nstest.Path) Host {
	t.Helper()
	n := f.hosts
	f.hosts++
	h := Host{NS: nstest.New(t, name), Addr: netip.AddrFrom4([4]byte{10, 86, byte(n), 2})}
	gateway := netip.AddrFrom4([4]byte{10, 86, byte(n), 1}).String()
	if len(path) > 0 {
		h.Iface, _ = nstest.Emulate(t, h.NS, f.NS, h.Addr.String()+"/24", gateway+"/24", path[0]).Interfaces()
	} else {
		h.Iface, _ = nstest.Link(t, h.NS, f.NS, h.Addr.String()+"/24", gateway+"/24")
	}
	h.NS.Route(t, "default", gateway)
	return h
}

// OnlyTo is a rule by which a client reaches these hosts and no others.
func OnlyTo(c Client, hosts ...netip.Addr) string {
	var list []string
	for _, h := range hosts {
		list = append(list, h.String())
	}
	set := "{ " + strings.Join(list, ", ") + " }"
	return fmt.Sprintf("ip saddr %s ip daddr != %s drop; ip daddr %s ip saddr != %s drop", c.Addr, set, c.Addr, set)
}

// Tunnel runs bin/appliance in tunnel role on a host, and returns its base URL and the fingerprint that it logs.
func (l *Lab) Tunnel(t testing.TB, h Host, flags ...string) (base, fingerprint string) {
	t.Helper()
	args := append([]string{"tunnel", "--https", ":443", "--state", t.TempDir(), "--name", h.Addr.String()}, flags...)
	line, _ := start(t, h.NS.Command(context.Background(), filepath.Join(l.bin, "appliance"), args...), "ready", 30*time.Second)
	_, fingerprint, _ = strings.Cut(strings.TrimSpace(line), "fingerprint=")
	return "https://" + h.Addr.String(), fingerprint
}

// Squid runs a real squid on a host, which lets CONNECT to port 443 through, and returns its address. auth is "", "basic", "digest" or "ntlm"; then it wants the
// user ada with the password lovelace.
func Squid(t testing.TB, h Host, auth string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "meetzone-test-squid") // squid gives up root, and t.TempDir is for root alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	access, schemes := "http_access allow CONNECT tls", ""
	switch auth {
	case "basic":
		// The password as crypt(3) has it: made with openssl passwd -apr1 -salt meetzone lovelace.
		schemes = "auth_param basic program /usr/lib/squid/basic_ncsa_auth " + put("users", "ada:"+basicHash+"\n")
	case "digest":
		schemes = "auth_param digest program /usr/lib/squid/digest_file_auth " + put("users", "ada:lovelace\n") + "\nauth_param digest realm lab"
	}
	if auth == "ntlm" {
		schemes = "auth_param ntlm program /usr/bin/python3 " + put("ntlm_auth.py", ntlmHelper)
	}
	if auth != "" {
		access = "acl known proxy_auth REQUIRED\nhttp_access allow CONNECT tls known"
	}
	config := put("squid.conf", strings.Join([]string{
		"http_port " + h.Addr.String() + ":3128", schemes, "acl CONNECT method CONNECT", "acl tls port 443", access, "http_access deny all",
		"cache deny all", "pid_filename none", "access_log none", "cache_log /dev/stderr", "logfile_rotate 0", "shutdown_lifetime 0 seconds",
		"coredump_dir " + dir, "visible_hostname proxy.lab", "dns_nameservers 127.0.0.1", "workers 1", "via on", "pinger_enable off"}, "\n")+"\n")
	start(t, h.NS.Command(context.Background(), need(t, "squid"), "-N", "-f", config), "Accepting HTTP Socket connections", 30*time.Second)
	return h.Addr.String() + ":3128"
}

//go:embed proxy/ntlm_auth.py
var ntlmHelper string

const basicHash = "$apr1$meetzone$r3AXnH0d5KFMogp4tN9Ui0"

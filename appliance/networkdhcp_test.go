package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/appliancetest"
	"meetzone/appliance/dhcp"
)

// dhcpServer is Debian's dnsmasq in the namespace of a client.
type dhcpServer struct {
	log  string
	stop func()
}

func startDNSMasq(t *testing.T, c appliancetest.Client, args ...string) dhcpServer {
	t.Helper()
	dir := t.TempDir()
	s := dhcpServer{log: filepath.Join(dir, "log")}
	ctx, cancel := context.WithCancel(context.Background())
	file, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := c.NS.Command(ctx, "dnsmasq", append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--interface=" + c.Iface, "--except-interface=lo", "--bind-interfaces",
		"--pid-file=" + filepath.Join(dir, "pid"), "--dhcp-leasefile=" + filepath.Join(dir, "leases"), "--log-facility=-", "--log-dhcp", "--no-ping"}, args...)...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatalf("dnsmasq: %v", err)
	}
	stopped := false
	s.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			_ = cmd.Wait()
			_ = file.Close()
		}
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("dnsmasq says:\n%s", s.said())
		}
	})
	return s
}

func (s dhcpServer) said() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// leasing are the arguments of a server that gives addresses of the first link and has them renewed every few seconds.
func leasing(c appliancetest.Client) []string {
	return []string{"--dhcp-authoritative", "--dhcp-range=10.88.0.100,10.88.0.150,255.255.255.0,2m", "--dhcp-option=option:router," + c.Addr.String(),
		"--dhcp-option=option:dns-server,10.88.0.53", "--dhcp-option=option:ntp-server,10.88.0.123", "--dhcp-option=option:domain-name,meet.example",
		"--dhcp-option=option:T1,3", "--dhcp-option=option:T2,60"}
}

var leasedAddress = regexp.MustCompile(`inet (10\.88\.0\.1[0-5][0-9])/24`)

// TestNetnsDHCP: an address, a gateway and servers from a real DHCP server. They are renewed, survive a restart and a killed daemon untouched, come
// back from an unconfirmed commit without any server, and are given up when the lease has expired.
func TestNetnsDHCP(t *testing.T) {
	lab := appliancetest.New(t, 1)
	c := lab.Clients[0]
	server := startDNSMasq(t, c, leasing(c)...)
	daemon := lab.Start(t)
	leased := func() string {
		found := leasedAddress.FindStringSubmatch(ipOf(t, lab, "address", "show", "dev", c.BoxIface))
		if found == nil {
			return ""
		}
		return found[1]
	}
	byDHCP := fmt.Sprintf("[{name: %s, dhcp: [address, gateway, dns, ntp]}]", c.BoxIface)
	daemon.Admin(t, "config", "set", "network.interfaces", byDHCP, "--commit")
	took := soon(t, 20*time.Second, "a lease", func() bool { return leased() != "" })
	address := leased()
	t.Logf("leased %s after %v", address, took)
	soon(t, 5*time.Second, "the box answers there", func() bool { return answers(c, address) })
	if routes := ipOf(t, lab, "route"); !strings.Contains(routes, "default via "+c.Addr.String()) {
		t.Errorf("no default route by the lease:\n%s", routes)
	}
	l := leaseShown(t, daemon)
	if l.Address != address+"/24" || l.Server != c.Addr.String() || fmt.Sprintln(l.DNS, l.NTP, l.Domain) != "[10.88.0.53] [10.88.0.123] meet.example\n" || time.Until(l.Expires) < 30*time.Second {
		t.Errorf("the lease is shown as %+v", l)
	}

	before := strings.Count(server.said(), "DHCPACK")
	soon(t, 20*time.Second, "a renewal", func() bool { return strings.Count(server.said(), "DHCPACK") > before })
	seen := watchIP(t, lab)
	daemon = lab.Restart(t, daemon)
	if lines := seen(); lines != "" {
		t.Errorf("a restart touched the network:\n%s", lines)
	}
	server.stop()
	daemon.Kill(t)
	if leased() != address {
		t.Error("the address went with the daemon")
	}
	daemon = lab.StartIn(t, daemon.State)
	if leased() != address || !answers(c, address) {
		t.Error("a start without a server lost the address")
	}

	daemon.Admin(t, "config", "set", "network.interfaces", fmt.Sprintf("[{name: %s, addresses: [10.99.0.1/24]}]", c.BoxIface))
	daemon.Admin(t, "config", "commit", "--confirm", "10s")
	if leased() != "" {
		t.Error("the address of the lease is still there")
	}
	soon(t, 20*time.Second, "the leased address comes back when nobody confirms", func() bool { return leased() == address })
	soon(t, 5*time.Second, "the box answers there", func() bool { return answers(c, address) })

	daemon.Stop(t)
	ageLease(t, daemon.State, 5*time.Second)
	daemon = lab.StartIn(t, daemon.State)
	if leased() != address {
		t.Error("the address was given up before the lease had expired")
	}
	soon(t, 30*time.Second, "the address is given up when the lease has expired", func() bool { return leased() == "" })
	if l := leaseShown(t, daemon); l.Address != "" {
		t.Errorf("the expired lease is shown as %+v", l)
	}
	startDNSMasq(t, c, leasing(c)...)
	soon(t, 60*time.Second, "a new lease when the server is back", func() bool { return leased() != "" })
}

func leaseShown(t *testing.T, daemon *appliancetest.Daemon) adminapi.NetworkLease {
	t.Helper()
	var n adminapi.BoxNetwork
	if err := json.Unmarshal(daemon.Admin(t, "network", "status", "--json"), &n); err != nil || len(n.Leases) != 1 {
		t.Fatalf("network status: %+v, %v", n, err)
	}
	return n.Leases[0]
}

// ageLease has the kept lease expire soon.
func ageLease(t *testing.T, state string, left time.Duration) {
	t.Helper()
	file := filepath.Join(state, "network-leases.json")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []dhcp.Lease
	if err := json.Unmarshal(content, &list); err != nil || len(list) != 1 {
		t.Fatalf("%s: %v\n%s", file, err, content)
	}
	list[0].At -= list[0].Left() - left
	if content, err = json.Marshal(list); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNetnsRouterAdvertisements: an address and a gateway by what an IPv6 router announces, as far as the document wants them, and as before when it
// says nothing any more.
func TestNetnsRouterAdvertisements(t *testing.T) {
	lab := appliancetest.New(t, 1)
	c := lab.Clients[0]
	c.NS.Address(t, c.Iface, "fd77::1/64")
	shown := func() string {
		return ipOf(t, lab, "-6", "address", "show", "dev", c.BoxIface, "scope", "global") + ipOf(t, lab, "-6", "route", "show", "default")
	}
	switches := func() string {
		return lab.Box.Run(t, "sh", "-c", "cd /proc/sys/net/ipv6/conf/"+c.BoxIface+" && cat accept_ra autoconf accept_ra_defrtr")
	}
	before := switches()
	daemon := lab.Start(t)
	startDNSMasq(t, c, "--enable-ra", "--dhcp-range=fd77::,ra-only,64", "--ra-param="+c.Iface+",4,60")
	for _, one := range []struct {
		ra               string
		address, gateway bool
	}{{"off", false, false}, {"all", true, true}, {"gateway", false, true}, {"address", true, false}, {"off", false, false}} {
		daemon.Admin(t, "config", "set", "network.interfaces", fmt.Sprintf("[{name: %s, addresses: [10.88.0.1/24, fd88:1::1/64], ra: %s}]", c.BoxIface, one.ra), "--commit")
		took := soon(t, 20*time.Second, "what is taken with ra "+one.ra, func() bool {
			is := shown()
			return strings.Contains(is, "fd77:") == one.address && strings.Contains(is, "default via fe80") == one.gateway
		})
		t.Logf("ra %s: after %v", one.ra, took)
	}
	if status := string(daemon.Admin(t, "network", "status")); !strings.Contains(status, "as configured") || !strings.Contains(status, "RA:off") {
		t.Errorf("network status:\n%s", status)
	}
	daemon.Admin(t, "config", "set", "network.interfaces", "[]", "--commit")
	if after := switches(); after != before {
		t.Errorf("given back, the switches are\n%s\nand were\n%s", after, before)
	}
}

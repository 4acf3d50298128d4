package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
)

// sshServer is dropbear in the box's namespace, as its root. What it runs is the CLI: a caller's words are its arguments.
type sshServer struct{ key string }

// startSSH has a home of its own for root, where nothing of the machine is seen or changed.
func startSSH(t *testing.T, lab *appliancetest.Lab, daemon *appliancetest.Daemon) sshServer {
	t.Helper()
	dir := t.TempDir()
	s := sshServer{key: filepath.Join(dir, "key")}
	public := strings.Split(lab.Box.Run(t, "dropbearkey", "-t", "ed25519", "-f", s.key), "\n")
	lab.Box.Run(t, "dropbearkey", "-t", "ed25519", "-f", filepath.Join(dir, "host"))
	for _, line := range public {
		if strings.HasPrefix(line, "ssh-ed25519 ") {
			if err := os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte(line+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	shell := filepath.Join(dir, "shell")
	if err := os.WriteFile(shell, []byte("#!/bin/sh\neval \"exec "+daemon.Program()+" $SSH_ORIGINAL_COMMAND --admin "+daemon.Socket+"\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	home := "mount -t tmpfs -o mode=700 none $HOME && mkdir -m 700 $HOME/.ssh && cp " + dir + "/authorized_keys $HOME/.ssh/ && exec dropbear -F -E -s -p 22 -r " + dir + "/host -c " + shell
	ctx, cancel := context.WithCancel(context.Background())
	cmd := lab.Box.Command(ctx, "unshare", "--mount", "sh", "-ec", "HOME=$(getent passwd root | cut -d: -f6); "+home)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	soon(t, 10*time.Second, "sshd listens", func() bool { return opens(lab.Box, "127.0.0.1", 22) })
	return s
}

// runs has a host of a client's namespace run a subcommand on the box.
func (s sshServer) runs(c appliancetest.Client, from string, addr netip.Addr, command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	cmd := c.NS.Command(ctx, "dbclient", "-y", "-y", "-b", from, "-i", s.key, "root@"+addr.String(), command)
	cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(s.key))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// opens says whether a TCP connection comes about.
func opens(ns *nstest.NS, addr string, port int) bool {
	target := "http://" + net.JoinHostPort(addr, strconv.Itoa(port)) + "/"
	err := ns.Command(context.Background(), "curl", "-s", "-m", "0.7", "--connect-timeout", "0.5", "-o", "/dev/null", "--http0.9", target).Run()
	var exit *exec.ExitError
	const refused, timedOut = 7, 28 // of curl; any other trouble comes after the connection
	return err == nil || errors.As(err, &exit) && exit.ExitCode() != refused && exit.ExitCode() != timedOut
}

// TestNetnsFirewall: each role's interface has its role's ports and no others, over IPv4 and IPv6; what the box begins itself is answered; what somebody
// else changes of the table is back within a second; an interface that the document does not name is left alone.
func TestNetnsFirewall(t *testing.T) {
	lab := appliancetest.New(t, 3)
	service, manage, other := lab.Clients[0], lab.Clients[1], lab.Clients[2]
	daemon := lab.Start(t)
	startSSH(t, lab, daemon)
	type attempt struct {
		c    appliancetest.Client
		port int
	}
	reached := func() (out []string) {
		for _, a := range []attempt{{service, 443}, {service, 22}, {service, 8801}, {manage, 443}, {manage, 22}, {manage, 8801}, {other, 443}, {other, 22}} {
			for _, addr := range []netip.Addr{a.c.Box, a.c.Box6} {
				out = append(out, fmt.Sprintf("%s %d %v", a.c.BoxIface, a.port, opens(a.c.NS, addr.String(), a.port)))
			}
		}
		return out
	}
	for _, line := range reached() {
		if !strings.HasSuffix(line, "true") {
			t.Fatalf("before: %s", line)
		}
	}
	daemon.Admin(t, "config", "set", "network.interfaces", fmt.Sprintf("[{name: %s, role: service, addresses: [%s/24, '%s/64']}, {name: %s, role: management, addresses: [%s/24, '%s/64']}]",
		service.BoxIface, service.Box, service.Box6, manage.BoxIface, manage.Box, manage.Box6), "--commit")
	open := map[string]bool{"c0 443": true, "c0 8801": true, "c1 22": true, "c2 443": true, "c2 22": true}
	for _, line := range reached() {
		what, is, _ := strings.Cut(line, " t")
		what = strings.TrimSuffix(what, " false")
		if open[what] != (is == "rue") {
			t.Errorf("%s, and it should be open: %v", line, open[what])
		}
	}
	for _, c := range []appliancetest.Client{service, manage} {
		c.NS.Run(t, "ping", "-c", "1", "-W", "2", c.Box.String())
		lab.Box.Run(t, "ping", "-c", "1", "-W", "2", c.Addr.String()) // answered to what the box has begun
	}
	f := firewallShown(t, daemon)
	if !f.Agrees || !f.Enabled || f.Dropped.Packets < 6 || f.Answers.Packets == 0 || f.ICMP.Packets == 0 || len(f.Ports) < 4 {
		t.Errorf("firewall: %+v", f)
	}
	for _, p := range f.Ports {
		if p.Name == "https" && (len(p.Interfaces) != 1 || p.Passed.Packets == 0) {
			t.Errorf("HTTPS is shown as %+v", p)
		}
	}
	if err := lab.Box.Command(context.Background(), "curl", "-s", "-m", "3", "http://"+service.Addr.String()+":9/").Run(); err == nil || !strings.Contains(err.Error(), "status 7") {
		t.Errorf("a refusal does not reach the box that has asked: %v", err)
	}

	whole := lab.Box.Run(t, "nft", "--stateless", "list", "table", "inet", "meetzone_input")
	for _, change := range []string{"delete table inet meetzone_input", "insert rule inet meetzone_input guarded accept", "flush chain inet meetzone_input guarded",
		"add chain inet meetzone_input input { policy accept; }"} {
		lab.Box.Run(t, "nft", change)
		took := soon(t, 5*time.Second, change+" healed", func() bool {
			out, err := lab.Box.Command(context.Background(), "nft", "--stateless", "list", "table", "inet", "meetzone_input").Output()
			return err == nil && string(out) == whole
		})
		t.Logf("nft %s: back after %v", change, took)
	}
	if f := firewallShown(t, daemon); f.Drifted < 4 || !f.Agrees {
		t.Errorf("after the changes: %+v", f)
	}
	daemon.Kill(t)
	if opens(service.NS, service.Box.String(), 22) {
		t.Error("the firewall went with the daemon")
	}
	daemon = lab.StartIn(t, daemon.State)
	daemon.Admin(t, "config", "set", "network.firewall.enabled", "false", "--commit")
	if left := lab.Box.Run(t, "nft", "list", "tables"); strings.Contains(left, "meetzone_input") {
		t.Errorf("switched off, it is still there:\n%s", left)
	}
}

// holdTable makes a table of the name that ours has, which the kernel keeps for whoever made it: nobody else can change or delete it until release.
func holdTable(t *testing.T, lab *appliancetest.Lab) (release func()) {
	t.Helper()
	cmd := lab.Box.Command(context.Background(), "nft", "-i")
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = stdin.Close(); _ = cmd.Wait() })
	t.Cleanup(release)
	fmt.Fprintln(stdin, "add table inet meetzone_input { flags owner; }")
	soon(t, 10*time.Second, "the table is held", func() bool { return strings.Contains(lab.Box.Run(t, "nft", "list", "tables"), "meetzone_input") })
	return release
}

// TestNetnsFirewallRefused: where the kernel does not take the table, an unconfirmed revision comes undone all the same, and a box starts. It is an
// alarm; when the kernel takes the table it is there by itself.
func TestNetnsFirewallRefused(t *testing.T) {
	lab := appliancetest.New(t, 1)
	c := lab.Clients[0]
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "network.interfaces", fmt.Sprintf("[{name: %s, addresses: [%s/24]}]", c.BoxIface, c.Box), "--commit")
	daemon.Admin(t, "config", "set", "network.firewall.enabled", "false")
	daemon.Admin(t, "config", "set", "zone.name", "cut off")
	daemon.Admin(t, "config", "commit", "--confirm", "10s")
	release := holdTable(t, lab)
	named := func() string { return strings.TrimSpace(string(daemon.Admin(t, "config", "get", "zone.name"))) }
	alarmed := func() bool { return strings.Contains(string(daemon.Admin(t, "alarms", "--json")), "firewall-drift") }
	if name := named(); name != "cut off" {
		t.Fatalf("before the time is over: %s", name)
	}
	soon(t, 30*time.Second, "the revision before is back", func() bool { return named() != "cut off" })
	soon(t, 15*time.Second, "an alarm", alarmed)
	daemon = lab.Restart(t, daemon)
	if f := firewallShown(t, daemon); f.Agrees || !f.Enabled {
		t.Errorf("after a restart: %+v", f)
	}
	release()
	soon(t, 20*time.Second, "the firewall is there", func() bool { return firewallShown(t, daemon).Agrees })
}

func firewallShown(t *testing.T, daemon *appliancetest.Daemon) (f adminapi.Firewall) {
	t.Helper()
	if err := json.Unmarshal(daemon.Admin(t, "firewall", "--json"), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestNetnsLockedOut: a host behind the management gateway administers the box by ssh. It commits what cuts it off, with --confirm: a wrong address, a
// wrong gateway, a wrong route, a firewall that does not know it. Each time the connection is lost, and the box is back by itself with the revision
// before. An interface that the document does not name is never touched.
func TestNetnsLockedOut(t *testing.T) {
	lab := appliancetest.New(t, 3)
	service, manage, other := lab.Clients[0], lab.Clients[1], lab.Clients[2]
	const away = "203.0.113.7" // of the administrator
	confirm := "10s"
	if os.Getenv("MEETZONE_LONG") != "" {
		confirm = "20s"
	}
	manage.NS.Run(t, "ip", "address", "add", away+"/32", "dev", "lo")
	before := ipOf(t, lab, "-o", "address", "show", "dev", other.BoxIface, "scope", "global")
	daemon := lab.Start(t)
	ssh := startSSH(t, lab, daemon)
	two := fmt.Sprintf("[{name: %s, role: service, addresses: [%s/24]}, {name: %s, role: management, addresses: [%s/24]}]", service.BoxIface, service.Box, manage.BoxIface, manage.Box)
	routes := fmt.Sprintf("[{to: default, via: %s}, {to: default, via: %s, for: management}]", service.Addr, manage.Addr)
	daemon.Admin(t, "config", "set", "network.interfaces", two)
	daemon.Admin(t, "config", "set", "network.routes", routes, "--commit")
	says := func(command string) (string, bool) {
		out, err := ssh.runs(manage, away, manage.Box, command)
		return out, err == nil
	}
	document := func() string { out, _ := says("config get network"); return out }
	soon(t, 10*time.Second, "the administrator reads the document by ssh", func() bool { return strings.Contains(document(), manage.Addr.String()) })
	whole := document()
	for _, one := range []struct{ name, set string }{
		{"address", "config set network.routes '[]' ; config set network.interfaces '" + strings.Replace(two, manage.Box.String(), "10.99.0.1", 1) + "'"},
		{"gateway", "config set network.routes '" + strings.Replace(routes, manage.Addr.String(), "10.88.1.77", 1) + "'"},
		{"route", "config set network.routes '" + strings.Replace(routes, "]", ", {to: 203.0.113.0/24, via: 10.88.1.77, for: management}]", 1) + "'"},
		{"firewall", "config set network.firewall.management_from 192.0.2.0/24"},
	} {
		for command := range strings.SplitSeq(one.set, " ; ") {
			if out, ok := says(command); !ok {
				t.Fatalf("%s: %s: %s", one.name, command, out)
			}
		}
		began := time.Now()
		out, _ := says("config commit --confirm " + confirm)
		if _, reached := says("config get zone.name"); reached {
			t.Fatalf("%s: the box can be reached still; the commit said: %s", one.name, out)
		}
		soon(t, 40*time.Second, one.name+": the administrator is back", func() bool { return document() == whole })
		t.Logf("%s: back %v after the commit", one.name, time.Since(began).Round(100*time.Millisecond))
	}
	if after := ipOf(t, lab, "-o", "address", "show", "dev", other.BoxIface, "scope", "global"); after != before {
		t.Errorf("an interface that nobody named has changed:\n%s\n%s", before, after)
	}
}

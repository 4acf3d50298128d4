package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
)

// byHand sets up the first link of the box as its administrator would, and returns what shows that it is so.
func byHand(t *testing.T, lab *appliancetest.Lab) (shown func() string) {
	t.Helper()
	c := lab.Clients[0]
	for _, change := range [][]string{
		{"link", "set", c.BoxIface, "mtu", "1480"},
		{"address", "add", "10.60.0.1", "peer", "10.60.0.2/32", "dev", c.BoxIface},
		{"route", "add", "default", "via", c.Addr.String(), "dev", c.BoxIface},
		{"route", "add", "198.51.100.0/24", "via", c.Addr.String(), "dev", c.BoxIface, "metric", "50"},
	} {
		ipOf(t, lab, change...)
	}
	return func() string {
		var lines []string
		for _, line := range strings.Split(ipOf(t, lab, "-o", "address", "show", "dev", c.BoxIface), "\n") {
			if !strings.Contains(line, "fe80:") {
				lines = append(lines, strings.TrimSpace(strings.ReplaceAll(line, " tentative", "")))
			}
		}
		link := ipOf(t, lab, "link", "show", "dev", c.BoxIface)
		return fmt.Sprint(strings.Join(lines, "\n"), "\n", ipOf(t, lab, "route"), "mtu 1480: ", strings.Contains(link, "mtu 1480"),
			", up: ", strings.Contains(link, ",UP"), ", alias: ", strings.Contains(link, "alias"))
	}
}

// takes commits, to be confirmed, the first document that names the link, and cuts off everybody who comes by it.
func takes(t *testing.T, lab *appliancetest.Lab, daemon *appliancetest.Daemon, more, confirm string) {
	t.Helper()
	daemon.Admin(t, "config", "set", "network.interfaces", fmt.Sprintf("[{name: %s, addresses: [10.99.0.1/24], mtu: 1400%s}]", lab.Clients[0].BoxIface, more))
	daemon.Admin(t, "config", "set", "network.routes", "[]")
	if more == "" {
		daemon.Admin(t, "config", "set", "network.routes", "[{to: default, via: 10.99.0.77}]")
	}
	daemon.Admin(t, "config", "commit", "--confirm", confirm)
}

// TestNetnsNetworkFirstCommit: the first document that names an interface, which has addresses and routes by hand, is taken back whole: when nobody
// confirms it, and when the daemon is killed meanwhile.
func TestNetnsNetworkFirstCommit(t *testing.T) {
	lab := appliancetest.New(t, 1)
	shown := byHand(t, lab)
	daemon := lab.Start(t)
	kept := filepath.Join(daemon.State, "network-before.json")
	before := shown()
	if !strings.Contains(before, "peer 10.60.0.2/32") || !strings.Contains(before, "default via") || !strings.Contains(before, "mtu 1480: true, up: true, alias: false") {
		t.Fatalf("before:\n%s", before)
	}
	cutOff := func() bool { return !answers(lab.Clients[0], lab.Clients[0].Box.String()) }
	isBack := func(how string) {
		t.Helper()
		begin, last := time.Now(), ""
		for last = shown(); last != before && time.Since(begin) < 30*time.Second; last = shown() {
			time.Sleep(20 * time.Millisecond)
		}
		if last != before {
			t.Fatalf("%s: it was\n%s\nand is\n%s", how, before, last)
		}
		soon(t, 10*time.Second, how+": the box answers", func() bool { return !cutOff() })
		if _, err := os.Stat(kept); !os.IsNotExist(err) {
			t.Errorf("%s: %s is still there: %v", how, kept, err)
		}
	}
	takes(t, lab, daemon, "", "10s")
	isBack("not confirmed")
	for _, more := range []string{"", ", disabled: true"} {
		takes(t, lab, daemon, more, "5m")
		if now := shown(); now == before || !cutOff() {
			t.Fatalf("the commit has changed nothing:\n%s", now)
		}
		if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("what the interface was is kept as %v, %v", info, err)
		}
		daemon.Kill(t)
		daemon = lab.StartIn(t, daemon.State)
		isBack("killed" + more)
	}
}

// TestNetnsNetworkMissing: an interface that is gone blocks no commit of something else, and no going back; a route that somebody else has put on
// an interface that is not named is refused before anything changes.
func TestNetnsNetworkMissing(t *testing.T) {
	lab := appliancetest.New(t, 2)
	iface, other := lab.Clients[0].BoxIface, lab.Clients[1]
	shown := byHand(t, lab)
	daemon := lab.Start(t)
	before := shown()

	daemon.Admin(t, "config", "set", "network.interfaces", fmt.Sprintf("[{name: %s, addresses: [%s/24]}]", other.BoxIface, other.Box))
	daemon.Admin(t, "config", "set", "network.routes", fmt.Sprintf("[{to: default, via: %s}]", other.Addr))
	if out, err := daemon.TryAdmin("config", "commit"); err == nil || !strings.Contains(string(out), "network: check: ") || !strings.Contains(string(out), "does not name") {
		t.Errorf("a route of somebody else's: %v, %s", err, out)
	}
	if link := ipOf(t, lab, "link", "show", "dev", other.BoxIface); shown() != before || strings.Contains(link, "alias") {
		t.Errorf("what was refused has changed something:\n%s\n%s", shown(), link)
	}
	daemon.Admin(t, "config", "discard")

	daemon.Admin(t, "config", "set", "network.interfaces", strings.Replace(interfaces(lab, kept), "}", ", mtu: 1300, disabled: true}", 1), "--commit")
	if link := ipOf(t, lab, "link", "show", "dev", iface); !strings.Contains(link, "mtu 1300") || strings.Contains(link, ",UP") {
		t.Errorf("the link has not the MTU and is not switched off:\n%s", link)
	}
	daemon.Admin(t, "config", "set", "network.interfaces", interfaces(lab, kept), "--commit")
	if link := ipOf(t, lab, "link", "show", "dev", iface); !strings.Contains(link, "mtu 1480") || !strings.Contains(link, ",UP") {
		t.Errorf("the link has not the MTU of before, or is down:\n%s", link)
	}
	daemon.Admin(t, "config", "set", "network.interfaces", "[]", "--commit", "--confirm", "10s")
	if now := shown(); now != before {
		t.Errorf("given back, it was\n%s\nand is\n%s", before, now)
	}
	ipOf(t, lab, "link", "set", iface, "down")
	ipOf(t, lab, "link", "set", iface, "name", "lost0")
	soon(t, 20*time.Second, "the revision is back that names an interface which is gone", func() bool {
		return strings.Contains(string(daemon.Admin(t, "config", "get", "network.interfaces")), iface)
	})
	daemon.Admin(t, "config", "set", "zone.name", "Without it", "--commit")
	if status := string(daemon.Admin(t, "network", "status")); !strings.Contains(status, iface+": the interface is not there") {
		t.Errorf("network status:\n%s", status)
	}
	if out, err := daemon.TryAdmin("config", "set", "network.interfaces", fmt.Sprintf("[{name: %s}, {name: nowhere0}]", other.BoxIface), "--commit"); err == nil {
		t.Errorf("an interface that never was: %s", out)
	}
}

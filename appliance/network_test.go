package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/appliancetest"
)

// ipOf returns what `ip` says about an interface of the box, or about routes.
func ipOf(t *testing.T, lab *appliancetest.Lab, args ...string) string {
	t.Helper()
	return lab.Box.Run(t, "ip", args...)
}

// within waits for a condition, and tells how long that took.
func soon(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > limit {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin).Round(time.Millisecond)
}

// interfaces is the value of network.interfaces for the first link of the box.
func interfaces(lab *appliancetest.Lab, addresses string) string {
	return fmt.Sprintf("[{name: %s, addresses: [%s]}]", lab.Clients[0].BoxIface, addresses)
}

const kept = "10.88.0.1/24, 10.88.0.9/24, fd88:1::1/64"

// answers says whether the box answers a client on one of its addresses.
func answers(c appliancetest.Client, addr string) bool {
	return c.NS.Command(context.Background(), "curl", "-sk", "-m", "0.5", "-o", "/dev/null", "https://"+addr+"/").Run() == nil
}

func answersFrom(c appliancetest.Client, from, addr string) bool {
	return c.NS.Command(context.Background(), "curl", "-sk", "-m", "0.5", "--interface", from, "-o", "/dev/null", "https://"+addr+"/").Run() == nil
}

// TestNetnsNetworkDrift: what somebody else changes is back within a second, and is told. A restart of the daemon does not touch what agrees, and an
// interface that is named no longer is given back.
func TestNetnsNetworkDrift(t *testing.T) {
	lab := appliancetest.New(t, 1)
	iface := lab.Clients[0].BoxIface
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "network.interfaces", interfaces(lab, kept))
	daemon.Admin(t, "config", "set", "network.routes", "[{to: 203.0.113.0/24, via: 10.88.0.2}]", "--commit")
	agrees := func() bool {
		addresses, routes := ipOf(t, lab, "address", "show", "dev", iface), ipOf(t, lab, "route")
		return strings.Contains(addresses, "10.88.0.9/24") && strings.Contains(addresses, "10.88.0.1/24") && strings.Contains(addresses, "fd88:1::1/64") && !strings.Contains(addresses, "10.5.5.5") &&
			strings.Contains(routes, "203.0.113.0/24 via 10.88.0.2") && strings.Contains(addresses, ",UP")
	}
	if !agrees() {
		t.Fatalf("after the commit:\n%s\n%s", ipOf(t, lab, "address", "show", "dev", iface), ipOf(t, lab, "route"))
	}
	for _, change := range [][]string{
		{"address", "del", "10.88.0.9/24", "dev", iface},
		{"address", "flush", "dev", iface},
		{"address", "add", "10.5.5.5/24", "dev", iface},
		{"route", "del", "203.0.113.0/24"},
		{"link", "set", iface, "down"},
	} {
		ipOf(t, lab, change...)
		took := soon(t, 5*time.Second, fmt.Sprint(change, " healed"), agrees)
		t.Logf("ip %s: back after %v", strings.Join(change, " "), took)
	}
	var told adminapi.BoxNetwork
	if err := json.Unmarshal(daemon.Admin(t, "network", "status", "--json"), &told); err != nil || !told.Agrees || told.Drifted < 5 {
		t.Errorf("network status: %+v, %v", told, err)
	}
	for _, e := range told.Events {
		if !e.Healed || e.TookMS > 1000 {
			t.Errorf("%s: healed %v after %.0f ms", e.Object, e.Healed, e.TookMS)
		}
	}
	if status := string(daemon.Admin(t, "network", "status")); !strings.Contains(status, "as configured") || strings.Contains(status, "NOT") || !strings.Contains(status, "changed by somebody else") {
		t.Errorf("network status:\n%s", status)
	}

	soon(t, 10*time.Second, "the kernel is done with the link that was down", func() bool {
		shown := ipOf(t, lab, "address", "show", "dev", iface)
		return strings.Contains(shown, "state UP") && !strings.Contains(shown, "tentative")
	})
	seen := watchIP(t, lab)
	daemon = lab.Restart(t, daemon)
	if lines := seen(); lines != "" {
		t.Errorf("a restart touched the network:\n%s", lines)
	}
	if alarms := string(daemon.Admin(t, "alarms")); strings.Contains(alarms, "network-drift") {
		t.Errorf("alarms while all agrees:\n%s", alarms)
	}
	ipOf(t, lab, "link", "set", iface, "name", "lost0")
	soon(t, 5*time.Second, "an alarm tells of the missing interface", func() bool {
		return strings.Contains(string(daemon.Admin(t, "alarms")), iface+": the interface is not there")
	})
	daemon = lab.Restart(t, daemon) // which a missing interface does not prevent
	ipOf(t, lab, "link", "set", "lost0", "down")
	ipOf(t, lab, "link", "set", "lost0", "name", iface)
	soon(t, 5*time.Second, "the interface that came back is as configured", agrees)
	daemon.Admin(t, "config", "set", "network.routes", "[]")
	daemon.Admin(t, "config", "set", "network.interfaces", "[]", "--commit")
	if left := ipOf(t, lab, "address", "show", "dev", iface); !strings.Contains(left, "10.88.0.1/24") || strings.Contains(left, "10.88.0.9/24") || strings.Contains(left, "alias") {
		t.Errorf("given back, it is not as it was before:\n%s", left)
	}
}

// watchIP records every change of addresses, links and routes in the box until the function that it returns is called.
func watchIP(t *testing.T, lab *appliancetest.Lab) func() string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	cmd := lab.Box.Command(ctx, "ip", "-o", "monitor", "address", "route", "link")
	file, err := os.Create(filepath.Join(t.TempDir(), "monitor"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	soon(t, 5*time.Second, "the monitor hears of a change", func() bool {
		ipOf(t, lab, "link", "set", "lo", "mtu", fmt.Sprint(60000+rand.IntN(5000)))
		return strings.Contains(read(), "lo")
	})
	heard := len(read())
	return func() string {
		ipOf(t, lab, "link", "set", "lo", "mtu", "50001")
		soon(t, 5*time.Second, "the monitor hears of the end", func() bool { return strings.Contains(read(), "mtu 50001") })
		cancel()
		_ = cmd.Wait()
		_ = file.Close()
		var lines []string
		for _, line := range strings.Split(read()[heard:], "\n") {
			if line != "" && !strings.Contains(line, ": lo") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "\n")
	}
}

// TestNetnsNetworkKilled: the daemon is killed at a random moment of a commit that changes addresses and routes, and started again. Each time the
// kernel has one of the two revisions, the one that the document says, when the daemon is ready.
func TestNetnsNetworkKilled(t *testing.T) {
	rounds := 20
	if os.Getenv("MEETZONE_LONG") != "" {
		rounds = 300
	}
	lab := appliancetest.New(t, 1)
	iface := lab.Clients[0].BoxIface
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "network.interfaces", interfaces(lab, "10.88.0.1/24, 10.77.1.1/24, 10.77.2.1/24"), "--commit")
	commits, slowest, changed := 0, time.Duration(0), 0
	for range rounds {
		commits++
		second := fmt.Sprintf("10.77.%d.1/24, 10.77.%d.1/24", commits%200+3, commits%200+4)
		daemon.Admin(t, "config", "set", "network.interfaces", interfaces(lab, "10.88.0.1/24, "+second))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = daemon.TryAdmin("config", "commit")
		}()
		time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
		daemon.Kill(t)
		<-done
		begin := time.Now()
		daemon = lab.StartIn(t, daemon.State)
		slowest = max(slowest, time.Since(begin))
		document := string(daemon.Admin(t, "config", "get", "network.interfaces"))
		if strings.Contains(document, strings.Split(second, ",")[0]) {
			changed++
		}
		have := ipOf(t, lab, "-4", "-o", "address", "show", "dev", iface)
		if n := strings.Count(have, "inet "); n != 3 {
			t.Fatalf("the box has %d addresses:\n%s", n, have)
		}
		for _, line := range strings.Split(strings.TrimSpace(have), "\n") {
			address := strings.Fields(line)[3]
			if !strings.Contains(document, address) {
				t.Fatalf("the kernel has %s, and the document is\n%s", address, document)
			}
		}
	}
	t.Logf("%d kills, of which %d left the new revision; ready with the kernel in order after at most %v", rounds, changed, slowest.Round(time.Millisecond))
}

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
)

// TestNetnsManagementTable: a host far away is behind both gateways. Over the service address the box answers it by the service gateway, over the
// management address by the management gateway, which the service network knows nothing of. What somebody takes away of it is back, and the
// document without it leaves nothing behind.
func TestNetnsManagementTable(t *testing.T) {
	lab := appliancetest.New(t, 2)
	service, manage := lab.Clients[0], lab.Clients[1]
	const away, away6 = "203.0.113.7", "fd99::7" // both clients have it: whoever is answered, is who asked
	for _, c := range lab.Clients {
		c.NS.Run(t, "ip", "address", "add", away+"/32", "dev", "lo")
		c.NS.Run(t, "ip", "address", "add", away6+"/128", "dev", "lo", "nodad")
	}
	daemon := lab.Start(t)
	daemon.Admin(t, "config", "set", "network.interfaces", fmt.Sprintf("[{name: %s, role: service, addresses: [%s/24, '%s/64']}, {name: %s, role: management, addresses: [%s/24, '%s/64']}]",
		service.BoxIface, service.Box, service.Box6, manage.BoxIface, manage.Box, manage.Box6))
	daemon.Admin(t, "config", "set", "network.firewall.open", "[{name: page, protocol: tcp, port: 443, role: management}]")
	gateway := func(c appliancetest.Client, v6 bool) string {
		if v6 {
			return "'" + strings.Replace(c.Box6.String(), "::1", "::2", 1) + "'"
		}
		return c.Addr.String()
	}
	main := fmt.Sprintf("{to: default, via: %s}, {to: default, via: %s}", gateway(service, false), gateway(service, true))
	daemon.Admin(t, "config", "set", "network.routes", fmt.Sprintf("[%s, {to: default, via: %s, for: management}, {to: default, via: %s, for: management}]",
		main, gateway(manage, false), gateway(manage, true)), "--commit")

	ways := func() bool {
		return answersFrom(service, away, service.Box.String()) && answersFrom(manage, away, manage.Box.String()) &&
			answersFrom(service, away6, "["+service.Box6.String()+"]") && answersFrom(manage, away6, "["+manage.Box6.String()+"]")
	}
	soon(t, 10*time.Second, "both are answered by their gateways", ways)
	shown := func() string {
		return ipOf(t, lab, "rule") + ipOf(t, lab, "-6", "rule") + lab.Box.Run(t, "sh", "-c", "ip route show table 188 2>/dev/null; ip -6 route show table 188 2>/dev/null; true")
	}
	whole := shown()
	for _, change := range [][]string{
		{"rule", "del", "from", manage.Box.String(), "lookup", "188"},
		{"-6", "rule", "del", "from", manage.Box6.String(), "lookup", "188"},
		{"route", "flush", "table", "188"},
		{"rule", "add", "from", "10.1.2.3", "lookup", "188", "priority", "18800"},
	} {
		ipOf(t, lab, change...)
		took := soon(t, 5*time.Second, fmt.Sprint(change, " healed"), func() bool { return shown() == whole })
		t.Logf("ip %s: back after %v", strings.Join(change, " "), took)
	}
	if status := string(daemon.Admin(t, "network", "status")); !strings.Contains(status, "for management") || !strings.Contains(status, "as configured") {
		t.Errorf("network status:\n%s", status)
	}
	seen := watchIP(t, lab)
	daemon = lab.Restart(t, daemon)
	if lines := seen(); lines != "" || shown() != whole {
		t.Errorf("a restart touched the network:\n%s", lines)
	}
	daemon.Admin(t, "config", "set", "network.routes", "["+main+"]", "--commit")
	if left := shown(); strings.Contains(left, "188") {
		t.Errorf("left behind:\n%s", left)
	}
	if answersFrom(manage, away, manage.Box.String()) {
		t.Error("without the table, the management address answers the host behind its gateway: the test shows nothing")
	}
}

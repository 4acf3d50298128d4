package config

import (
	"strings"
	"testing"
)

// TestNetworkProblems: every mistake is named with its path.
func TestNetworkProblems(t *testing.T) {
	const good = "[{name: eth0, role: management, addresses: [192.0.2.7/24, '2001:db8::7/64']}, {name: office, parent: eth0, vlan: 20, mtu: 1500, addresses: [10.0.0.7/31]}]"
	for _, one := range []struct{ interfaces, routes, path string }{
		{good, "[{to: default, via: 192.0.2.1}, {to: default, via: '2001:db8::1'}, {to: 10.9.0.0/16, via: 10.0.0.6}]", ""},
		{"[{name: eth0, dhcp: [address, gateway, dns, ntp], ra: all}]", "[]", ""},
		{"[{name: eth0, dhcp: [gateway]}]", "[]", "network.interfaces[0].dhcp"},
		{"[{name: eth0, dhcp: [address, address]}]", "[]", "network.interfaces[0].dhcp[1]"},
		{"[{name: eth0, dhcp: [address, routes]}]", "[]", "network.interfaces[0].dhcp[1]"},
		{"[{name: eth0, ra: yes please}]", "[]", "network.interfaces[0].ra"},
		{"[{name: bond0, ports: [eth0, eth1], mode: 802.3ad, monitor: 50ms, lacp_rate: fast, addresses: [192.0.2.7/24]}, {name: office, parent: bond0, vlan: 20}]", "[]", ""},
		{"[{name: bond0, mode: active-backup}]", "[]", "network.interfaces[0].ports"},
		{"[{name: bond0, ports: [eth0], mode: balance-rr}]", "[]", "network.interfaces[0].mode"},
		{"[{name: bond0, ports: [eth0], lacp_rate: fast}]", "[]", "network.interfaces[0].lacp_rate"},
		{"[{name: bond0, ports: [eth0], monitor: 5ms}]", "[]", "network.interfaces[0].monitor"},
		{"[{name: bond0, ports: [eth0, eth0]}]", "[]", "network.interfaces[0].ports[1]"},
		{"[{name: bond0, ports: [lo]}]", "[]", "network.interfaces[0].ports[0]"},
		{"[{name: bond0, ports: [eth0]}, {name: eth0}]", "[]", "network.interfaces[0].ports[0]"},
		{"[{name: bond0, ports: [eth0]}, {name: bond1, ports: [eth0]}]", "[]", "network.interfaces[1].ports[0]"},
		{"[{name: eth0}, {name: bond0, parent: eth0, vlan: 4, ports: [eth1]}]", "[]", "network.interfaces[1].ports"},
		{"[{name: lo}]", "[]", "network.interfaces[0].name"},
		{"[{name: 'a name'}]", "[]", "network.interfaces[0].name"},
		{"[{name: far-too-long-name}]", "[]", "network.interfaces[0].name"},
		{"[{name: eth0}, {name: eth0}]", "[]", "network.interfaces[1].name"},
		{"[{name: eth0, role: other}]", "[]", "network.interfaces[0].role"},
		{"[{name: eth0, mtu: 100}]", "[]", "network.interfaces[0].mtu"},
		{"[{name: eth0, mtu: 1200, addresses: ['2001:db8::7/64']}]", "[]", "network.interfaces[0].mtu"},
		{"[{name: eth0, vlan: 5}]", "[]", "network.interfaces[0].parent"},
		{"[{name: v5, parent: eth0, vlan: 5}]", "[]", "network.interfaces[0].parent"},
		{"[{name: eth0}, {name: v5, parent: eth0, vlan: 4095}]", "[]", "network.interfaces[1].vlan"},
		{"[{name: eth0}, {name: v5, parent: eth0, vlan: 5}, {name: v6, parent: eth0, vlan: 5}]", "[]", "network.interfaces[2].vlan"},
		{"[{name: eth0}, {name: v5, parent: eth0, vlan: 5}, {name: v6, parent: v5, vlan: 6}]", "[]", "network.interfaces[2].parent"},
		{"[{name: eth0, mtu: 1500}, {name: v5, parent: eth0, vlan: 5, mtu: 9000}]", "[]", "network.interfaces[1].mtu"},
		{"[{name: eth0, disabled: true}, {name: v5, parent: eth0, vlan: 5}]", "[]", "network.interfaces[1].parent"},
		{"[{name: eth0, addresses: [192.0.2.7]}]", "[]", "network.interfaces[0].addresses[0]"},
		{"[{name: eth0, addresses: [192.0.2.0/24]}]", "[]", "network.interfaces[0].addresses[0]"},
		{"[{name: eth0, addresses: [192.0.2.255/24]}]", "[]", "network.interfaces[0].addresses[0]"},
		{"[{name: eth0, addresses: [127.0.0.2/8]}]", "[]", "network.interfaces[0].addresses[0]"},
		{"[{name: eth0, addresses: ['fe80::1/64']}]", "[]", "network.interfaces[0].addresses[0]"},
		{"[{name: eth0, addresses: [192.0.2.7/24]}, {name: eth1, addresses: [192.0.2.7/25]}]", "[]", "network.interfaces[1].addresses[0]"},
		{good, "[{to: default, via: 10.0.0.6}, {to: default, via: 192.0.2.1, for: management}]", ""},
		{good, "[{to: default, via: 192.0.2.1, for: service}]", "network.routes[0].for"},
		{good, "[{to: default, via: 10.0.0.6, for: management}]", "network.routes[0].via"},
		{good, "[{to: default, via: 192.0.3.1}]", "network.routes[0].via"},
		{good, "[{to: default, via: 192.0.2.7}]", "network.routes[0].via"},
		{good, "[{to: default, via: gateway}]", "network.routes[0].via"},
		{good, "[{to: 10.9.0.1/16, via: 192.0.2.1}]", "network.routes[0].to"},
		{good, "[{to: '2001:db8:1::/48', via: 192.0.2.1}]", "network.routes[0].via"},
		{good, "[{to: default, via: 192.0.2.1}, {to: default, via: 192.0.2.2}]", "network.routes[1].to"},
		{"[{name: eth0, disabled: true, addresses: [192.0.2.7/24]}]", "[{to: default, via: 192.0.2.1}]", "network.routes[0].via"},
	} {
		d := Default()
		var err error
		for _, set := range [][2]string{{"network.interfaces", one.interfaces}, {"network.routes", one.routes}} {
			if d, err = d.Set(set[0], set[1]); err != nil {
				t.Fatalf("%s: %v", set[1], err)
			}
		}
		err = d.Validate()
		if one.path == "" {
			if err != nil {
				t.Errorf("%s with %s: %v", one.interfaces, one.routes, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), one.path+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s with %s: %v, and it should be one problem at %s", one.interfaces, one.routes, err, one.path)
		}
	}
}

// TestNoManagement: a document whose interfaces have roles, and none that of management, is warned of.
func TestNoManagement(t *testing.T) {
	d := Default()
	warned := func() bool { return strings.Contains(strings.Join(d.Warnings(), "\n"), "none has the role management") }
	for _, one := range []struct {
		roles []string
		want  bool
	}{{nil, false}, {[]string{RoleService}, true}, {[]string{RoleService, RoleManagement}, false}, {[]string{""}, false}} {
		d.Network.Interfaces = nil
		for _, role := range one.roles {
			d.Network.Interfaces = append(d.Network.Interfaces, Interface{Name: "eth0", Role: role})
		}
		if warned() != one.want {
			t.Errorf("%v: warned %v", one.roles, warned())
		}
	}
}

// TestUpdateSourceHoldsNoPassword: an address with one is refused, and the refusal does not repeat it.
func TestUpdateSourceHoldsNoPassword(t *testing.T) {
	d := Default()
	d.Update.Source = "https://updates.example/meetzone.bundle"
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	for _, source := range []string{"https://user:sesame@updates.example/b", "https://sesame@updates.example/b", "ftp://user:sesame@updates.example/b", "https://user:sesame@%zz/b"} {
		d.Update.Source = source
		if err := d.Validate(); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", source, err)
		}
	}
}

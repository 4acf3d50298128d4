package console

import (
	"testing"

	"meetzone/appliance/adminapi"
)

// TestNetworkForm: what is typed into the wizard becomes the document's lists, and what it does not ask for stays.
func TestNetworkForm(t *testing.T) {
	now := networkNow{
		box: adminapi.BoxNetwork{
			Interfaces: []adminapi.NetworkInterface{{Name: "eth0", Addresses: []string{"192.0.2.7/24"}, Role: "service", RA: "off"}},
			Routes:     []adminapi.NetworkRoute{{To: "default", Via: "192.0.2.1"}, {To: "10.0.0.0/8", Via: "192.0.2.9"}, {To: "default", Via: "198.51.100.1", For: "management"}},
		},
		kernel: adminapi.KernelNetwork{Links: []adminapi.KernelLink{{Name: "eth0", Addresses: []string{"192.0.2.7/24", "fe80::1/64"}}, {Name: "eth1", Addresses: []string{"203.0.113.5/24"}}}},
	}
	for what, c := range map[string]struct {
		name               string
		typed              map[string]string
		interfaces, routes string
	}{
		"as it is": {"eth0", nil, `[{"name":"eth0","role":"service","addresses":["192.0.2.7/24"],"ra":"off"}]`,
			`[{"to":"10.0.0.0/8","via":"192.0.2.9"},{"to":"default","via":"198.51.100.1","for":"management"},{"to":"default","via":"192.0.2.1"}]`},
		"another address": {"eth0", map[string]string{labelAddresses: "192.0.2.8/24, 2001:db8::8/64", labelGateway: "192.0.2.254 2001:db8::1", labelMTU: "1400"},
			`[{"name":"eth0","role":"service","addresses":["192.0.2.8/24","2001:db8::8/64"],"mtu":1400,"ra":"off"}]`,
			`[{"to":"10.0.0.0/8","via":"192.0.2.9"},{"to":"default","via":"198.51.100.1","for":"management"},{"to":"default","via":"192.0.2.254"},{"to":"default","via":"2001:db8::1"}]`},
		"DHCP": {"eth0", map[string]string{labelMethod: methodDHCP}, `[{"name":"eth0","role":"service","dhcp":["address","gateway","dns","ntp"],"ra":"off"}]`,
			`[{"to":"10.0.0.0/8","via":"192.0.2.9"},{"to":"default","via":"198.51.100.1","for":"management"}]`},
		"DHCP elsewhere": {"eth1", map[string]string{labelMethod: methodDHCP, labelRole: "management"},
			`[{"name":"eth0","role":"service","addresses":["192.0.2.7/24"],"ra":"off"},{"name":"eth1","role":"management","dhcp":["address","gateway","dns","ntp"]}]`,
			`[{"to":"default","via":"192.0.2.1"},{"to":"10.0.0.0/8","via":"192.0.2.9"},{"to":"default","via":"198.51.100.1","for":"management"}]`},
		"a VLAN": {"", map[string]string{labelVLANName: "voice", labelParent: "eth1", labelVLAN: "20", labelAddresses: "10.20.0.1/24"},
			`[{"name":"eth0","role":"service","addresses":["192.0.2.7/24"],"ra":"off"},{"name":"eth1","addresses":["203.0.113.5/24"]},{"name":"voice","parent":"eth1","vlan":20,"addresses":["10.20.0.1/24"]}]`,
			`[{"to":"10.0.0.0/8","via":"192.0.2.9"},{"to":"default","via":"198.51.100.1","for":"management"},{"to":"default","via":"192.0.2.1"}]`},
	} {
		f := networkForm(now, c.name)
		for label, text := range c.typed {
			for _, one := range f.fields {
				if one.name == label {
					one.value = []rune(text)
					for i, o := range one.options {
						if o == text {
							one.chosen = i
						}
					}
				}
			}
		}
		one, err := typedInterface(f, interfaceNow(now, c.name))
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := yamlText(withInterface(now, c.name, one)); got != c.interfaces {
			t.Errorf("%s: interfaces %s\nwant %s", what, got, c.interfaces)
		}
		if got := yamlText(withGateways(f, now, c.name)); got != c.routes {
			t.Errorf("%s: routes %s\nwant %s", what, got, c.routes)
		}
	}
	f := networkForm(now, "eth0")
	for _, one := range f.fields {
		if one.name == labelMTU {
			one.value = []rune("big")
		}
	}
	if _, err := typedInterface(f, interfaceNow(now, "eth0")); err == nil {
		t.Error("an MTU of big is taken")
	}
}

package main

import (
	"encoding/json"
	"testing"

	"meetzone/appliance/adminapi"
)

func TestZoneSiteTunnelCommands(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("zone list"), "zone-own (this one)", "https://box", "configured order")
	c.want(0, words("zone show"), "ed25519:AAAA", "appliance zone add zone-own --controllers https://box --key ed25519:AAAA")
	c.want(1, words("zone list --for nowhere"), `"nowhere" is no address.`)
	c.want(0, words("zone add zone-b --controllers https://busan.example,https://192.0.2.7:8443 --countries KR --location 35.18,129.08"), "zones: with {id: zone-b", "is running")
	c.want(0, words("zone add zone-b --name Busan"), "name: Busan", "is running")
	c.want(0, words("config get zones[0].location"), "35.18,129.08\n")
	c.want(1, words("zone add zone-c"), "zones[1].controllers: at least one address is needed")
	c.want(0, words("config get zones --candidate"), "Busan") // what was refused is not left behind
	c.want(0, words("site add 10.1.0.0/16 --zone zone-b --name Office"), "sites: with {name: Office")
	c.want(1, words("site add 10.1.0.7/16 --zone zone-b"), "sites[1].subnet: 10.1.0.7/16 has bits behind its prefix; did you mean 10.1.0.0/16?")
	c.want(1, words("site add 10.2.0.0/16 --zone zone-x"), `sites[1].zone: "zone-x" is no zone`)
	c.want(0, words("site list"), "10.1.0.0/16", "zone-b", "Office")
	c.want(0, words("tunnel add dmz --url https://tunnel.example --register --comment because"), "tunnels: with")
	var tunnels []map[string]string
	if err := json.Unmarshal([]byte(c.want(0, words("tunnel list --json"))), &tunnels); err != nil || len(tunnels) != 1 || tunnels[0]["registered"] != "yes" || tunnels[0]["url"] != "https://tunnel.example" {
		t.Errorf("%+v, %v", tunnels, err)
	}
	c.want(1, words("tunnel remove other"), "there is no other in the list")
	c.want(0, words("tunnel remove dmz"), "tunnels: without")
	c.want(0, words("zone remove zone-b"), "zones: without", "sites: without")

	c.want(0, words("config set zone.name Other"))
	c.want(1, words("zone add zone-b --controllers https://busan.example"), "has changes that are not committed", "--candidate")
	c.want(0, words("zone add zone-b --controllers https://busan.example --candidate"), "zone.name: Meetzone → Other", "zones: with", "Nothing has changed yet")
	var list adminapi.Zones
	if err := json.Unmarshal([]byte(c.want(0, words("zone list --for 10.1.2.3 --json"))), &list); err != nil || list.For != "10.1.2.3" || len(list.Zones) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

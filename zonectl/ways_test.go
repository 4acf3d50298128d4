package zonectl

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr"
)

func over(r dataplane.Rung) []mmr.Transport {
	return []mmr.Transport{{Medium: mmr.Audio, State: mmr.TransportConnected, Rung: r}, {Medium: mmr.Video, State: mmr.TransportConnected, Rung: r}}
}

// TestWays follows a session down and up again, and forgets networks without forgetting what was counted.
func TestWays(t *testing.T) {
	b := &wayBook{networks: map[netip.Prefix]*NetworkWays{}}
	net1 := networkOf("10.1.2.3:5000")
	at := time.Now()
	s := b.moved(net1, standing{}, over(dataplane.UDP), at)
	between := []mmr.Transport{{Medium: mmr.Audio, State: mmr.TransportChecking}, {Medium: mmr.Video, State: mmr.TransportChecking}}
	s = b.moved(net1, s, between, at)
	s = b.moved(net1, s, over(dataplane.TLS), at)
	s = b.moved(net1, s, over(dataplane.UDP), at)
	got := b.list()[0]
	if got.Network.String() != "10.1.2.0/24" || got.Now != [numRungs]int{2, 0, 0} || got.Came != [numRungs]uint64{4, 0, 2} || got.Fell != 2 || got.Rose != 2 {
		t.Errorf("%+v", got)
	}
	if s = b.moved(net1, s, nil, at); s != (standing{}) || b.list()[0].Now != [numRungs]int{} {
		t.Errorf("after leaving: %+v, %v", b.list()[0], s)
	}
	for i := range 2 * maxNetworks {
		network := networkOf(fmt.Sprintf("[2001:db8:%x::1]:99", i))
		b.moved(network, b.moved(network, standing{}, over(dataplane.TCP), at), nil, at)
	}
	var sum NetworkWays
	list := b.list()
	for _, n := range list {
		sum.Add(&n)
	}
	if len(list) > maxNetworks+1 || sum.Came != [numRungs]uint64{4, 4 * maxNetworks, 2} || sum.Now != [numRungs]int{} {
		t.Errorf("%d networks, %+v in all", len(list), sum)
	}
}

package zonectl

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"meetzone/mmr"
)

// Which rungs the media of each network's clients stand on, so that an administrator sees whose firewall keeps UDP out.

// maxNetworks bounds the networks that are remembered; the one that was quiet longest makes room, and its counts go to the rest.
const maxNetworks = 512

// numRungs is how many rungs there are: UDP, TCP, TLS.
const numRungs = 3

// NetworkWays is what is known of one network's clients: an IPv4 /24 or an IPv6 /64.
type NetworkWays struct {
	Network netip.Prefix     // not valid: all those that were forgotten
	Now     [numRungs]int    // transports that stand on UDP, TCP and TLS
	Came    [numRungs]uint64 // transports that came onto them, since the start
	Fell    uint64           // from a better rung to a worse one, while the session went on
	Rose    uint64
	Last    time.Time // when something changed
}

// wayBook counts. Events of the router come on workers' threads: they change a few numbers under the lock.
type wayBook struct {
	mu       sync.Mutex // guards what follows
	networks map[netip.Prefix]*NetworkWays
	rest     NetworkWays
}

// standing is the rung of each medium of a session as the book has it, plus one; 0 is none.
type standing [mmr.NumMedia]uint8

// networkOf is the network that a client's address, host:port, is counted under.
func networkOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := at.Addr().Unmap().WithZone(""), 24
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the lengths are possible
	return p
}

// moved brings the book up to date with how a session's media travel. was is what the book has of it.
func (b *wayBook) moved(network netip.Prefix, was standing, transports []mmr.Transport, at time.Time) standing {
	is := standing{}
	for _, t := range transports {
		if t.State == mmr.TransportConnected && int(t.Medium) < len(is) {
			is[t.Medium] = uint8(t.Rung) + 1
		}
	}
	for m := range is {
		// A medium without a transport is between two of them: what it had is compared with what it gets.
		if is[m] == 0 && len(transports) > 0 {
			is[m] = was[m]
		}
	}
	if is == was {
		return is
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.entryLocked(network, at)
	n.Last = at
	for m := range is {
		if is[m] == was[m] {
			continue
		}
		if was[m] > 0 {
			n.Now[was[m]-1]--
		}
		if is[m] == 0 {
			continue
		}
		n.Now[is[m]-1]++
		n.Came[is[m]-1]++
		switch {
		case was[m] == 0:
		case is[m] > was[m]:
			n.Fell++
		default:
			n.Rose++
		}
	}
	return is
}

// entryLocked finds a network's entry, or makes room for one.
func (b *wayBook) entryLocked(network netip.Prefix, at time.Time) *NetworkWays {
	if n := b.networks[network]; n != nil {
		return n
	}
	if !network.IsValid() {
		return &b.rest
	}
	if len(b.networks) >= maxNetworks {
		var oldest *NetworkWays
		for _, n := range b.networks {
			if n.Now == [numRungs]int{} && (oldest == nil || n.Last.Before(oldest.Last)) {
				oldest = n
			}
		}
		if oldest == nil {
			return &b.rest
		}
		b.rest.Add(oldest)
		delete(b.networks, oldest.Network)
	}
	n := &NetworkWays{Network: network, Last: at}
	b.networks[network] = n
	return n
}

// Add adds another network's counts.
func (n *NetworkWays) Add(o *NetworkWays) {
	for i := range n.Came {
		n.Now[i] += o.Now[i]
		n.Came[i] += o.Came[i]
	}
	n.Fell += o.Fell
	n.Rose += o.Rose
	if o.Last.After(n.Last) {
		n.Last = o.Last
	}
}

// list returns all networks, those with most transports off UDP first.
func (b *wayBook) list() []NetworkWays {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]NetworkWays, 0, len(b.networks)+1)
	for _, n := range b.networks {
		list = append(list, *n)
	}
	if b.rest.Came != [numRungs]uint64{} {
		list = append(list, b.rest)
	}
	below := func(n NetworkWays) uint64 { return n.Came[1] + n.Came[2] }
	slices.SortFunc(list, func(a, b NetworkWays) int {
		return cmp.Or(cmp.Compare(below(b), below(a)), a.Network.Addr().Compare(b.Network.Addr()))
	})
	return list
}

// Ways tells on which rungs the media of each network's clients stand.
func (c *Controller) Ways() []NetworkWays { return c.ways.list() }

// noteWays tells the book how a session's media travel; with none, that it has left.
func (s *session) noteWays(b *wayBook, transports []mmr.Transport) {
	if b == nil {
		return
	}
	s.standing = b.moved(networkOf(s.source), s.standing, transports, time.Now())
}

// gone takes a session that has left out of the book.
func (s *session) gone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteWays(s.ways, nil)
}

package zonectl

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// Relay issues credentials for media through the HTTPS port.
type Relay interface {
	// Mint makes credentials that are good until the time. class is the traffic that they mark, Signalling stands for any.
	Mint(class dscp.Class, session string, until time.Time) (username, password string)
}

// relayLife is how long the credentials of an offer are good for making a new allocation.
const relayLife = time.Hour

// relays lists the ways through the HTTPS port: one for a client that has all media in one PeerConnection, and one for each medium. host is
// the address that the client used, which is what it can surely reach.
func (c *Controller) relays(host, participant string) []wire.Relay {
	if c.relay == nil || host == "" {
		return nil
	}
	urls := relayURLs(host, c.config().URLs)
	until := time.Now().Add(relayLife)
	entry := func(medium wire.Medium, class dscp.Class) wire.Relay {
		user, password := c.relay.Mint(class, participant, until)
		return wire.Relay{Medium: medium, URLs: urls, Username: user, Credential: password}
	}
	list := []wire.Relay{entry("", dscp.Signalling)}
	for _, m := range wire.Media {
		list = append(list, entry(m, mediumOf(m).Class()))
	}
	return list
}

// ProbeAccount is the session of the relay's credentials for probes: of everybody together, so that strangers never hold more allocations than one session may.
const ProbeAccount = "probe"

// probeRelayLife is how long a probe's relay can be used; its check is good for as long.
const probeRelayLife = time.Minute

// probeRelay leads a probe through the HTTPS port, on a connection that the box marks as the class.
func (c *Controller) probeRelay(host string, class dscp.Class) *wire.Relay {
	if c.relay == nil || host == "" {
		return nil
	}
	user, password := c.relay.Mint(class, ProbeAccount, time.Now().Add(probeRelayLife))
	return &wire.Relay{URLs: relayURLs(host, nil), Username: user, Credential: password}
}

// relayURLs are the addresses of the relay: the one that the client used first, then the configured ones, of which browsers that refuse a
// bare address take the first with a name.
func relayURLs(host string, configured []string) (urls []string) {
	add := func(host string) {
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			name, port = host, "443"
		}
		if addr, err := netip.ParseAddr(trimBrackets(name)); err == nil && addr.Is6() {
			name = "[" + addr.WithZone("").String() + "]"
		}
		if u := "turns:" + name + ":" + port + "?transport=tcp"; !slices.Contains(urls, u) && len(urls) < wire.MaxRelayURLs {
			urls = append(urls, u)
		}
	}
	add(host)
	for _, c := range configured {
		if u, err := url.Parse(c); err == nil {
			add(u.Host)
		}
	}
	return urls
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

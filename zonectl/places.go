package zonectl

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"meetzone/zonectl/internal/geoip"
	"meetzone/zonectl/internal/ranking"
	"meetzone/zonectl/wire"
)

// Which zones a client is told of, in which order, and where it is taken to come from.

// Zone is a zone that lookups name.
type Zone struct {
	ID          string
	Name        string
	Controllers []string          // base URLs
	Key         ed25519.PublicKey // verifies tokens that the zone signed; nil: as this zone's
	Countries   []string
	Place       Place
}

// Place, Site and Ranked are those of the ranking.
type (
	Place  = ranking.Place
	Site   = ranking.Site
	Ranked = ranking.Ranked
)

// GeoIP names a MaxMind DB file; the zero value is none.
type GeoIP = geoip.Config

// Alarm is something that an administrator should look at.
type Alarm struct {
	Code  string
	Text  string
	Since time.Time
}

// Alarms returns what there is to look at.
func (c *Controller) Alarms() (list []Alarm) {
	if text, since := c.geoip.Load().Problem(); text != "" {
		list = append(list, Alarm{Code: "geoip", Text: text, Since: since})
	}
	return list
}

// Zones returns the zones that a client at an address is told of, best first, with the reason.
func (c *Controller) Zones(client netip.Addr) ([]Ranked, []Zone) {
	zones := c.config().zones()
	ranked := c.rank(client, zones)
	ordered := make([]Zone, len(ranked))
	for i, r := range ranked {
		ordered[i] = zones[slices.IndexFunc(zones, func(z Zone) bool { return z.ID == r.ID })]
	}
	return ranked, ordered
}

func (c *Controller) rank(client netip.Addr, zones []Zone) []Ranked {
	places := make([]ranking.Zone, len(zones))
	for i, z := range zones {
		places[i] = ranking.Zone{ID: z.ID, Countries: z.Countries, Place: z.Place}
	}
	return ranking.Rank(client, c.geoip.Load().Where(client), places, c.config().Sites)
}

// zones are those that are configured, this one among them.
func (c *Config) zones() []Zone {
	own := slices.IndexFunc(c.Zones, func(z Zone) bool { return z.ID == c.Zone })
	if own < 0 {
		return slices.Insert(slices.Clone(c.Zones), 0, Zone{ID: c.Zone, Name: c.Name})
	}
	zones := slices.Clone(c.Zones)
	if zones[own].Name == "" {
		zones[own].Name = c.Name
	}
	return zones
}

// named makes of the ranked zones what a lookup answers. The way on which the client came to this box works for it, so that it comes before the
// configured ones.
func (c *Controller) named(r *http.Request) []wire.Zone {
	_, zones := c.Zones(c.clientOf(r).Addr())
	list := make([]wire.Zone, len(zones))
	for i, z := range zones {
		controllers := z.Controllers
		if z.ID == c.config().Zone {
			here := own(r)
			controllers = slices.DeleteFunc(slices.Clone(controllers), func(u string) bool { return u == here })
			controllers = slices.Insert(controllers, 0, here)
		}
		list[i] = wire.Zone{ID: z.ID, Name: z.Name, Controllers: controllers}
	}
	return list
}

// pages are the addresses whose pages may come into meetings here: this box's, and those of the zones that it trusts.
func (c *Config) pages() []string {
	list := slices.Clone(c.URLs)
	for _, z := range c.Zones {
		list = append(list, z.Controllers...)
	}
	return list
}

// clientOf is where a request came from: its last hop, unless that is a proxy whose word is taken. Of X-Forwarded-For, to which each proxy appends
// whom it saw, the last address counts that is no such proxy. The port is 0 where only a proxy knows it.
func (c *Controller) clientOf(r *http.Request) netip.AddrPort {
	hop, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{} // a listener without addresses, as tests have
	}
	hop = netip.AddrPortFrom(hop.Addr().Unmap().WithZone(""), hop.Port())
	if !c.proxied(r) {
		return hop
	}
	trusted := c.config().TrustedProxies
	said := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(said[max(0, len(said)-maxHops):]) {
		addr, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(text), "[]"))
		if err != nil {
			break
		}
		hop = netip.AddrPortFrom(addr.Unmap().WithZone(""), 0)
		if !contains(trusted, hop.Addr()) {
			break
		}
	}
	return hop
}

// proxied says that a request comes from a proxy whose word is taken, which shows a certificate of its own.
func (c *Controller) proxied(r *http.Request) bool {
	hop, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && contains(c.config().TrustedProxies, hop.Addr().Unmap().WithZone(""))
}

// maxHops bounds how many proxies one after the other are looked at.
const maxHops = 16

func contains(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// sourceOfRequest is the source that attempts are counted for.
func (c *Controller) sourceOfRequest(r *http.Request) string {
	client := c.clientOf(r)
	if !client.IsValid() {
		return r.RemoteAddr
	}
	return sourceOf(client.String())
}

// seen is the client's address as it is told the client.
func (c *Controller) seen(r *http.Request) string {
	client := c.clientOf(r)
	switch {
	case !client.IsValid():
		return r.RemoteAddr
	case client.Port() == 0:
		return client.Addr().String()
	}
	return client.String()
}

// furtherDoors is what a link carries for the day on which its host does not answer: other hosts that answer lookups, and tunnels.
func (c *Config) furtherDoors() string {
	query := url.Values{}
	for name, list := range map[string][]string{wire.LinkHosts: c.LookupHosts, wire.LinkTunnels: c.Tunnels} {
		if len(list) > 0 {
			query.Set(name, strings.Join(list, ","))
		}
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

func (c *Config) checkPlaces(that func(ok bool, format string, args ...any)) {
	that(len(c.Zones) <= maxZones && len(c.Sites) <= maxSites && len(c.LookupHosts) <= maxListed, "zones, sites, lookup hosts: too many")
	for i, z := range c.Zones {
		twice := slices.ContainsFunc(c.Zones[:i], func(other Zone) bool { return other.ID == z.ID })
		that(z.ID != "" && len(z.ID) <= wire.MaxID && !twice, "zone %q: the id is missing, too long, or there twice", z.ID)
		that(len(z.Key) == 0 || len(z.Key) == ed25519.PublicKeySize, "zone %s: the key has %d bytes", z.ID, len(z.Key))
		for _, u := range z.Controllers {
			that(isBase(u), "controller %q of zone %s: must be https://host or https://host:port", u, z.ID)
		}
	}
	for _, s := range c.Sites {
		that(s.Subnet.IsValid(), "site %q: no subnet", s.Name)
	}
}

// isBase says that a text is the base URL of a host.
func isBase(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.Path == "" && u.RawQuery == ""
}

// geoipEvery is how often the file is looked at.
const geoipEvery = time.Minute

// refreshPlaces looks at the Geo-IP file now and then.
func (c *Controller) refreshPlaces(now time.Time) {
	if now.Sub(c.refreshed) < geoipEvery {
		return
	}
	c.refreshed = now
	file := c.geoip.Load()
	before, _ := file.Problem()
	file.Refresh(now)
	if text, _ := file.Problem(); text != before && text != "" {
		c.log.Warn(fmt.Sprintf("geoip: %s", text))
	}
}

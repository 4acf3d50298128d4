package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Place is a zone as lookups name it.
type Place struct {
	ID          string   `yaml:"id" help:"zone.id of that zone"`
	Name        string   `yaml:"name" help:"shown to people"`
	Controllers []string `yaml:"controllers" help:"base URLs of its controllers, such as https://seoul.example"`
	Key         string   `yaml:"key" help:"its public key, as zone show prints it there; empty: it shares the key of this zone"`
	Countries   []string `yaml:"countries" help:"two-letter codes of the countries that it is for"`
	Location    Location `yaml:"location" help:"latitude and longitude, such as 37.57,126.98; empty: unknown"`
}

// Site is a subnet whose clients are best served by one zone.
type Site struct {
	Name   string `yaml:"name" help:"shown to people"`
	Subnet string `yaml:"subnet" help:"such as 10.1.0.0/16 or 2001:db8:1::/48; the longest that matches decides"`
	Zone   string `yaml:"zone" help:"id of the zone"`
}

// Tunnel is an HTTP tunnel.
type Tunnel struct {
	Name     string `yaml:"name" help:"letters, digits and hyphens"`
	URL      string `yaml:"url" help:"where clients reach it, such as https://tunnel.example"`
	Register bool   `yaml:"register" help:"this box dials out to it and keeps connections, so that the tunnel needs no way in"`
	// Fingerprint is checked when the box registers.
	Fingerprint string `yaml:"fingerprint" help:"SHA-256 of the tunnel's certificate, as it logs it; empty: an authority that this machine trusts must have issued it"`
}

// GeoIP names a file that knows where addresses are.
type GeoIP struct {
	File       string   `yaml:"file" help:"MaxMind DB file with countries or cities; empty: none"`
	StaleAfter Duration `yaml:"stale_after" help:"age of the file's data at which an alarm is raised"`
}

// Location is a place on the globe, in degrees. The zero value is unknown.
type Location struct {
	Known               bool
	Latitude, Longitude float64
}

// MarshalText writes latitude and longitude.
func (l Location) MarshalText() ([]byte, error) {
	if !l.Known {
		return nil, nil
	}
	return []byte(strconv.FormatFloat(l.Latitude, 'f', -1, 64) + "," + strconv.FormatFloat(l.Longitude, 'f', -1, 64)), nil
}

// UnmarshalText reads latitude and longitude.
func (l *Location) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*l = Location{}
		return nil
	}
	north, east, _ := strings.Cut(string(text), ",")
	latitude, errN := strconv.ParseFloat(strings.TrimSpace(north), 64)
	longitude, errE := strconv.ParseFloat(strings.TrimSpace(east), 64)
	inside := latitude >= -90 && latitude <= 90 && longitude >= -180 && longitude <= 180 // false for NaN
	if errN != nil || errE != nil || !inside {
		return fmt.Errorf("%q is no place: write latitude and longitude in degrees, such as 37.57,126.98", text)
	}
	*l = Location{Known: true, Latitude: latitude, Longitude: longitude}
	return nil
}

// Bounds of the lists.
const (
	maxZones       = 32
	maxControllers = 8
	maxTunnels     = 16
)

func (d Document) checkPlaces(c *checker) {
	c.that(len(d.Zones) <= maxZones, "zones", "there are more than %d zones", maxZones)
	ids := []string{d.Zone.ID}
	for i, z := range d.Zones {
		at := fmt.Sprintf("zones[%d]", i)
		z.check(c, at, z.ID == d.Zone.ID)
		twice := slices.ContainsFunc(d.Zones[:i], func(other Place) bool { return other.ID == z.ID })
		c.that(!twice, at+".id", "%q is there twice", z.ID)
		ids = append(ids, z.ID)
	}
	for i, s := range d.Sites {
		at := fmt.Sprintf("sites[%d]", i)
		c.line(at+".name", s.Name, 120)
		subnet := c.subnet(at+".subnet", s.Subnet)
		twice := slices.ContainsFunc(d.Sites[:i], func(other Site) bool { p, err := netip.ParsePrefix(other.Subnet); return err == nil && p == subnet })
		c.that(!twice, at+".subnet", "%s is there twice", s.Subnet)
		c.that(s.Zone != "" && slices.Contains(ids, s.Zone), at+".zone", "%q is no zone of the list zones, nor this one", s.Zone)
	}
	c.that(len(d.Tunnels) <= maxTunnels, "tunnels", "there are more than %d tunnels", maxTunnels)
	for i, t := range d.Tunnels {
		at := fmt.Sprintf("tunnels[%d]", i)
		c.that(t.Name != "" && strings.Trim(t.Name, nameLetters) == "" && len(t.Name) <= 63, at+".name", "%q: use small letters, digits and hyphens, at most 63", t.Name)
		c.url(at+".url", t.URL)
		digits := strings.ReplaceAll(t.Fingerprint, ":", "")
		ok := t.Fingerprint == "" || len(digits) == 64 && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
		c.that(ok, at+".fingerprint", "%q is no SHA-256 fingerprint: write the 64 hexadecimal digits that the tunnel logs when it starts", t.Fingerprint)
		twice := slices.ContainsFunc(d.Tunnels[:i], func(other Tunnel) bool { return other.Name == t.Name || other.URL == t.URL })
		c.that(!twice, at, "name or URL is there twice")
	}
	c.that(d.GeoIP.File == "" || filepath.IsAbs(d.GeoIP.File), "geoip.file", "%q does not begin with /", d.GeoIP.File)
	c.span("geoip.stale_after", d.GeoIP.StaleAfter, 24*time.Hour, 10*365*24*time.Hour)
}

func (z Place) check(c *checker, at string, own bool) {
	c.that(z.ID != "" && strings.Trim(z.ID, nameLetters) == "" && len(z.ID) <= 63, at+".id", "%q: use small letters, digits and hyphens, at most 63", z.ID)
	c.line(at+".name", z.Name, 120)
	c.that(own || len(z.Controllers) > 0, at+".controllers", "at least one address is needed, such as https://seoul.example")
	c.that(len(z.Controllers) <= maxControllers, at+".controllers", "there are more than %d controllers", maxControllers)
	for i, text := range z.Controllers {
		where := fmt.Sprintf("%s.controllers[%d]", at, i)
		c.url(where, text)
		c.that(!slices.Contains(z.Controllers[:i], text), where, "%q is there twice", text)
	}
	if z.Key != "" {
		_, err := ParseZoneKey(z.Key)
		c.that(err == nil, at+".key", "%q is no public key of a zone: take the one that `appliance zone show` prints on a box of that zone", z.Key)
	}
	for i, country := range z.Countries {
		ok := len(country) == 2 && strings.Trim(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
		c.that(ok, fmt.Sprintf("%s.countries[%d]", at, i), "%q is no country: use two capital letters, such as KR", country)
	}
}

// subnet wants a prefix whose host bits are zero.
func (c *checker) subnet(path, text string) netip.Prefix {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		c.that(false, path, "%q is no subnet: write it like 10.1.0.0/16 or 2001:db8:1::/48", text)
		return p
	}
	c.that(p == p.Masked(), path, "%s has bits behind its prefix; did you mean %s?", text, p.Masked())
	return p
}

// url wants the base URL of a host that speaks HTTPS.
func (c *checker) url(path, text string) {
	u, err := url.Parse(text)
	ok := err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && u.Path == "" && u.RawQuery == "" && u.Fragment == ""
	if ok {
		_, addrErr := netip.ParseAddr(u.Hostname())
		ok = addrErr == nil || isHostName(u.Hostname())
	}
	if ok && u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		ok = err == nil && n > 0
	}
	c.that(ok, path, "%q is no base URL: write it like https://seoul.example or https://192.0.2.7:8443", text)
}

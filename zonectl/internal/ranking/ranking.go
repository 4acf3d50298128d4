package ranking

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// Zone is what ranking needs to know of a zone.
type Zone struct {
	ID        string
	Countries []string // two-letter codes
	Place     Place
}

// Place is a point on the globe in degrees; the zero value is unknown.
type Place struct {
	Known               bool
	Latitude, Longitude float64
}

// Site is a subnet and the zone that is best for its clients.
type Site struct {
	Name   string
	Subnet netip.Prefix
	Zone   string
}

// Where is what is known of an address; the zero value is nothing.
type Where struct {
	Country string
	Place   Place
}

// Ranked is a zone with why it stands where it does.
type Ranked struct {
	ID     string
	Reason string // for an administrator
}

// Rank orders the zones for a client. It returns each of them once.
func Rank(client netip.Addr, where Where, zones []Zone, sites []Site) []Ranked {
	site, atSite := siteOf(client, sites)
	type scored struct {
		Ranked
		rule int // lower is better
		far  float64
	}
	list := make([]scored, len(zones))
	for i, z := range zones {
		s := scored{Ranked: Ranked{ID: z.ID, Reason: "configured order"}, rule: 4}
		switch {
		case atSite && z.ID == site.Zone:
			s.rule, s.Reason = 1, "site "+siteName(site)
		case where.Country != "" && slices.Contains(z.Countries, where.Country):
			s.rule, s.Reason = 2, "country "+where.Country
			s.far = distance(where.Place, z.Place)
		case where.Place.Known && z.Place.Known:
			s.far = distance(where.Place, z.Place)
			s.rule, s.Reason = 3, fmt.Sprintf("%.0f km away", s.far)
		}
		list[i] = s
	}
	slices.SortStableFunc(list, func(a, b scored) int { return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.far, b.far)) })
	out := make([]Ranked, len(list))
	for i, s := range list {
		out[i] = s.Ranked
	}
	return out
}

// siteOf finds the longest subnet that holds the address.
func siteOf(client netip.Addr, sites []Site) (best Site, found bool) {
	client = client.Unmap().WithZone("")
	for _, s := range sites {
		if s.Subnet.Contains(client) && (!found || s.Subnet.Bits() > best.Subnet.Bits()) {
			best, found = s, true
		}
	}
	return best, found
}

func siteName(s Site) string {
	if s.Name == "" {
		return s.Subnet.String()
	}
	return fmt.Sprintf("%s (%s)", s.Name, s.Subnet)
}

// distance is the great circle between two places in kilometres; places that are not known are far away.
func distance(a, b Place) float64 {
	const earth, antipode = 6371, 20_038
	if !a.Known || !b.Known {
		return antipode
	}
	radians := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	sin2 := func(angle float64) float64 { return math.Pow(math.Sin(angle/2), 2) }
	north, east := radians(b.Latitude-a.Latitude), radians(b.Longitude-a.Longitude)
	h := sin2(north) + math.Cos(radians(a.Latitude))*math.Cos(radians(b.Latitude))*sin2(east)
	return 2 * earth * math.Asin(math.Sqrt(min(1, h)))
}

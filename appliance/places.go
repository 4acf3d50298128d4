package main

import (
	"crypto/ed25519"
	"net/netip"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/zonectl"
)

// setPlaces gives the controller the zones, sites and tunnels of the document, which is valid.
func setPlaces(cfg *zonectl.Config, doc config.Document) {
	for _, z := range doc.Zones {
		key, err := config.ParseZoneKey(z.Key)
		if err != nil {
			key = nil // there is none: validated
		}
		cfg.Zones = append(cfg.Zones, zonectl.Zone{ID: z.ID, Name: z.Name, Controllers: z.Controllers, Key: key, Countries: z.Countries,
			Place: zonectl.Place{Known: z.Location.Known, Latitude: z.Location.Latitude, Longitude: z.Location.Longitude}})
	}
	for _, s := range doc.Sites {
		subnet, err := netip.ParsePrefix(s.Subnet)
		if err == nil {
			cfg.Sites = append(cfg.Sites, zonectl.Site{Name: s.Name, Subnet: subnet, Zone: s.Zone})
		}
	}
	for _, t := range doc.Tunnels {
		cfg.Tunnels = append(cfg.Tunnels, t.URL)
	}
	for _, text := range doc.Box.TrustedProxies {
		subnet, err := netip.ParsePrefix(text)
		if err == nil {
			cfg.TrustedProxies = append(cfg.TrustedProxies, subnet)
		}
	}
	cfg.LookupHosts = doc.Zone.LookupHosts
	cfg.GeoIP = zonectl.GeoIP{Path: doc.GeoIP.File, StaleAfter: doc.GeoIP.StaleAfter.Std()}
}

// zonePlaces is the controller's list of zones as the admin API sees it.
type zonePlaces struct{ d *daemon }

var _ admin.Places = zonePlaces{}

// Zones implements admin.Places.
func (p zonePlaces) Zones(client netip.Addr) []adminapi.Zone {
	ranked, zones := p.d.zone.Zones(client)
	list := make([]adminapi.Zone, len(zones))
	for i, z := range zones {
		list[i] = adminapi.Zone{ID: z.ID, Name: z.Name, Controllers: z.Controllers, Reason: ranked[i].Reason}
		if len(z.Key) > 0 {
			list[i].Key = config.FormatZoneKey(z.Key)
		}
		if z.ID != p.d.revisions.Running().Document.Zone.ID {
			continue
		}
		list[i].Own, list[i].Key = true, config.FormatZoneKey(p.d.identity.zone.Public().(ed25519.PublicKey))
		if len(z.Controllers) == 0 {
			list[i].Controllers = []string{p.d.url()}
		}
	}
	return list
}

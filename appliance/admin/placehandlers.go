package admin

import (
	"fmt"
	"net/http"
	"net/netip"

	"meetzone/appliance/adminapi"
)

// listZones answers in the order that a client is told, so that an administrator can ask for any of them.
func (s *Server) listZones(r *http.Request) (any, error) {
	text := r.FormValue("for")
	var client netip.Addr
	if text != "" {
		var err error
		if client, err = netip.ParseAddr(text); err != nil {
			return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("%q is no address.", text), Advice: "Use one like 192.0.2.7 or 2001:db8::7."}
		}
	}
	return adminapi.Zones{For: text, Zones: s.cfg.Places.Zones(client)}, nil
}

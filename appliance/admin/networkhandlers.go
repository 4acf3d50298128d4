package admin

import (
	"net/http"

	"meetzone/appliance/adminapi"
)

// BoxNetwork knows the box's own network as wanted and as it is.
type BoxNetwork interface {
	BoxNetwork() adminapi.BoxNetwork
}

func (s *Server) showNetwork(*http.Request) (any, error) { return s.cfg.BoxNetwork.BoxNetwork(), nil }

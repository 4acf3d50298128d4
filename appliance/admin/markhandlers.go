package admin

import (
	"net/http"

	"meetzone/appliance/adminapi"
)

// Marks knows what is marked and what the kernel makes of it.
type Marks interface {
	Marks() (adminapi.Marks, error)
}

func (s *Server) showMarks(*http.Request) (any, error) { return s.cfg.Marks.Marks() }

package admin

import (
	"net/http"

	"meetzone/appliance/adminapi"
)

// BoxNetwork knows the box's own network as wanted and as it is.
type BoxNetwork interface {
	BoxNetwork() adminapi.BoxNetwork
	// Firewall tells who may reach what, and what was dropped.
	Firewall() adminapi.Firewall
	// Kernel is the network as the kernel has it, whoever made it so.
	Kernel() (adminapi.KernelNetwork, error)
}

func (s *Server) showNetwork(*http.Request) (any, error) { return s.cfg.BoxNetwork.BoxNetwork(), nil }

func (s *Server) showKernel(*http.Request) (any, error) { return s.cfg.BoxNetwork.Kernel() }

func (s *Server) showFirewall(*http.Request) (any, error) { return s.cfg.BoxNetwork.Firewall(), nil }

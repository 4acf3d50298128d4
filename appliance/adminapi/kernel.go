package adminapi

import (
	"context"
	"net/http"
)

// PathKernel is the network as the kernel has it, whoever made it so.
const PathKernel = "/admin/v1/network/kernel" // GET → KernelNetwork

// KernelNetwork is read only.
type KernelNetwork struct {
	Links  []KernelLink `json:"links"`
	Routes []string     `json:"routes"` // as ip(8) writes them
	Rules  []string     `json:"rules"`
}

// KernelLink is an interface of the machine.
type KernelLink struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"` // device, vlan, bond, …
	MAC       string   `json:"mac,omitempty"`
	Up        bool     `json:"up"`      // switched on
	Carrier   bool     `json:"carrier"` // something is at the other end
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses,omitempty"`
}

// Kernel returns the network as the kernel has it.
func (c *Client) Kernel(ctx context.Context) (KernelNetwork, error) {
	return call[KernelNetwork](ctx, c, http.MethodGet, PathKernel, nil)
}

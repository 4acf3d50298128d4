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

	Counters   LinkCounters `json:"counters"`
	Neighbours []Neighbour  `json:"neighbours,omitempty"` // what is at the other end, as it says itself
}

// LinkCounters are what an interface has moved, and what it could not, since it is there.
type LinkCounters struct {
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	RxErrors  uint64 `json:"rx_errors"`
	RxDropped uint64 `json:"rx_dropped"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxErrors  uint64 `json:"tx_errors"`
	TxDropped uint64 `json:"tx_dropped"`
}

// Neighbour is a switch or host that announces itself by LLDP.
type Neighbour struct {
	System      string `json:"system,omitempty"`
	Chassis     string `json:"chassis"`
	Port        string `json:"port"`
	PortText    string `json:"port_text,omitempty"`
	Description string `json:"description,omitempty"`
	Management  string `json:"management,omitempty"` // its address
}

// Kernel returns the network as the kernel has it.
func (c *Client) Kernel(ctx context.Context) (KernelNetwork, error) {
	return call[KernelNetwork](ctx, c, http.MethodGet, PathKernel, nil)
}

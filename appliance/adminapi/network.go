package adminapi

import "time"

// PathNetwork is the box's own network.
const PathNetwork = "/admin/v1/network" // GET → BoxNetwork

// BoxNetwork is what of the box's network is configured, and what differs in the kernel.
type BoxNetwork struct {
	OwnHost    bool               `json:"own_host"` // the daemon may change this host's network
	Interfaces []NetworkInterface `json:"interfaces,omitempty"`
	Routes     []NetworkRoute     `json:"routes,omitempty"`
	Leases     []NetworkLease     `json:"leases,omitempty"` // of each interface that asks a DHCP server
	Agrees     bool               `json:"agrees"`
	Differs    []string           `json:"differs,omitempty"`
	Drifted    uint64             `json:"drifted"` // changes by others since the start
	Events     []NetworkEvent     `json:"events,omitempty"`
}

// NetworkInterface is an interface as configured.
type NetworkInterface struct {
	Name      string   `json:"name"`
	Role      string   `json:"role,omitempty"`
	Parent    string   `json:"parent,omitempty"`
	VLAN      int      `json:"vlan,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	MTU       int      `json:"mtu,omitempty"`
	Disabled  bool     `json:"disabled,omitempty"`
	DHCP      []string `json:"dhcp,omitempty"` // what is asked of a server
	RA        string   `json:"ra,omitempty"`
	Ports     []string `json:"ports,omitempty"` // of a bond
	Mode      string   `json:"mode,omitempty"`
}

// NetworkLease is what a DHCP server gave, and gives still.
type NetworkLease struct {
	Interface string         `json:"interface"`
	Address   string         `json:"address,omitempty"` // with prefix length; empty: no server has answered yet
	Server    string         `json:"server,omitempty"`
	Routes    []NetworkRoute `json:"routes,omitempty"`
	DNS       []string       `json:"dns,omitempty"`
	Domain    string         `json:"domain,omitempty"`
	NTP       []string       `json:"ntp,omitempty"`
	Expires   time.Time      `json:"expires,omitzero"`
}

// NetworkRoute is a static route.
type NetworkRoute struct {
	To  string `json:"to"`
	Via string `json:"via"`
	For string `json:"for,omitempty"` // management: only for what leaves from management interfaces
}

// NetworkEvent is a change by somebody else.
type NetworkEvent struct {
	Time   time.Time `json:"time"`
	Object string    `json:"object"`
	Healed bool      `json:"healed"`
	TookMS float64   `json:"took_ms"`
	Error  string    `json:"error,omitempty"`
}

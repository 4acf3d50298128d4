package adminapi

import (
	"context"
	"net/http"
)

// PathFirewall is who may reach what.
const PathFirewall = "/admin/v1/firewall" // GET → Firewall

// Firewall is what others may reach on the box, and what was dropped.
type Firewall struct {
	OwnHost    bool           `json:"own_host"` // the daemon may change this host's filters
	Enabled    bool           `json:"enabled"`  // and the document wants it, and names interfaces
	Agrees     bool           `json:"agrees"`
	Differs    []string       `json:"differs,omitempty"`
	Interfaces []string       `json:"interfaces,omitempty"` // whose input is filtered
	Ports      []FirewallPort `json:"ports,omitempty"`
	Answers    PacketCount    `json:"answers"` // to what the box has begun
	ICMP       PacketCount    `json:"icmp"`    // pings too
	Dropped    PacketCount    `json:"dropped"`
	Drifted    uint64         `json:"drifted"` // changes by others since the start
	Events     []NetworkEvent `json:"events,omitempty"`
}

// FirewallPort is an open port.
type FirewallPort struct {
	Name       string      `json:"name"`
	Protocol   string      `json:"protocol"`
	Port       int         `json:"port"`
	Interfaces []string    `json:"interfaces,omitempty"` // by which; none: the document names no interface of its role
	From       []string    `json:"from,omitempty"`       // empty: anyone
	Passed     PacketCount `json:"passed"`               // of all ports of this name
}

// PacketCount is what went by, super-packets as one packet each.
type PacketCount struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Firewall returns who may reach what.
func (c *Client) Firewall(ctx context.Context) (Firewall, error) {
	return call[Firewall](ctx, c, http.MethodGet, PathFirewall, nil)
}

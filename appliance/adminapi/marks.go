package adminapi

import (
	"fmt"
	"time"
)

// PathMarks is what the box marks, and what the kernel makes of it.
const PathMarks = "/admin/v1/dscp" // GET → Marks

// Marks is the policy as wanted and as it is, and what was counted.
type Marks struct {
	Profile    string            `json:"profile"`
	Warnings   []string          `json:"warnings,omitempty"` // what is unwise about the profile
	Classes    []MarkedClass     `json:"classes"`
	Links      []MarkedLink      `json:"links,omitempty"` // whose queues are the box's
	Lost       string            `json:"lost,omitempty"`  // queueing disciplines that the kernel does not have
	Exceptions []MarkException   `json:"exceptions,omitempty"`
	OwnHost    bool              `json:"own_host"` // the daemon may change this host's network
	Wanted     bool              `json:"wanted"`   // dscp.enforce
	Enforced   bool              `json:"enforced"` // the kernel agrees
	Differs    []string          `json:"differs,omitempty"`
	Interfaces []MarkedInterface `json:"interfaces,omitempty"`
	Drifted    uint64            `json:"drifted"` // changes by others since the start
	Events     []MarkEvent       `json:"events,omitempty"`
}

// CodePoint is a DSCP in the three ways in which network gear shows it.
type CodePoint struct {
	Decimal int    `json:"decimal"`
	Name    string `json:"name,omitempty"`
	TOS     string `json:"tos"` // the octet with the ECN bits zero: "0xb8"
}

// String returns all three: "46 EF (ToS 0xb8)".
func (c CodePoint) String() string {
	if c.Name == "" {
		return fmt.Sprintf("%d (ToS %s)", c.Decimal, c.TOS)
	}
	return fmt.Sprintf("%d %s (ToS %s)", c.Decimal, c.Name, c.TOS)
}

// MarkedClass is a traffic class and how the network is to treat it.
type MarkedClass struct {
	Class    string    `json:"class"`
	Point    CodePoint `json:"point"`
	Priority int       `json:"priority"` // IEEE 802.1p
	Band     int       `json:"band"`
	// What the media plane has sent of it. Only the sender knows datagrams: the kernel counts super-packets.
	SentDatagrams uint64 `json:"sent_datagrams"`
	SentBytes     uint64 `json:"sent_bytes"`
}

// MarkedLink is an interface with queues of the box.
type MarkedLink struct {
	Interface string `json:"interface"`
	Rate      string `json:"rate"` // "0": the interface's own
}

// MarkException is another profile for some of the traffic.
type MarkException struct {
	Interface string        `json:"interface,omitempty"`
	Prefix    string        `json:"prefix,omitempty"`
	Profile   string        `json:"profile"`
	Classes   []MarkedClass `json:"classes"`
}

// Traffic is what went by. Packets of the kernel may be super-packets.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// MarkedTraffic is traffic of one code point.
type MarkedTraffic struct {
	Point CodePoint `json:"point"`
	Traffic
}

// MarkedInterface is what the kernel has counted at one interface.
type MarkedInterface struct {
	Name    string             `json:"name"`
	Sent    map[string]Traffic `json:"sent"`              // by class
	Cleared Traffic            `json:"cleared"`           // of no class, with a code point that is not theirs to use
	Arrived []MarkedTraffic    `json:"arrived,omitempty"` // by code point
}

// MarkEvent is a change of the box's own objects in the kernel by somebody else.
type MarkEvent struct {
	Time   time.Time `json:"time"`
	Object string    `json:"object"`
	Healed bool      `json:"healed"`
	TookMS float64   `json:"took_ms"`
	Error  string    `json:"error,omitempty"`
}

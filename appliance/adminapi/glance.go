package adminapi

import "time"

// Glance is what a person who looks at the box for a second wants to know, beside the rest of Status.
type Glance struct {
	New         bool            `json:"new,omitempty"` // nobody has configured the box yet
	ZoneName    string          `json:"zone_name,omitempty"`
	Addresses   []LinkAddress   `json:"addresses,omitempty"` // of the machine, loopback and link-local left out
	Load        Load            `json:"load"`
	Rungs       []RungState     `json:"rungs,omitempty"` // best first
	Marking     Marking         `json:"marking"`
	Certificate CertificateLife `json:"certificate"`
	Clock       Clock           `json:"clock"`
}

// LinkAddress is an address of the machine, with the interface that has it.
type LinkAddress struct {
	Interface string `json:"interface"`
	Address   string `json:"address"` // with prefix length
}

// Load is what the router did in the last second, against what it may take.
type Load struct {
	Busy        float64 `json:"busy"` // share of its core that the busiest worker used
	Workers     int     `json:"workers"`
	Packets     float64 `json:"packets"`     // a second, in and out
	EgressBits  float64 `json:"egress_bits"` // a second
	MaxMeetings int     `json:"max_meetings"`
	MaxSessions int     `json:"max_sessions"`
	Drops       uint64  `json:"drops"` // datagrams of media that the kernel dropped in the last minute
}

// RungState is one way of media into the box.
type RungState struct {
	Rung   string `json:"rung"`   // udp, tcp or tls
	Listen string `json:"listen"` // address; empty: nothing listens
	Now    uint64 `json:"now"`    // transports of people in meetings that stand on it
}

// Marking is the DSCP profile, and whether the kernel holds all to it.
type Marking struct {
	Profile  string `json:"profile"`
	Wanted   bool   `json:"wanted"`   // the kernel is to enforce it
	Enforced bool   `json:"enforced"` // it does
	Differs  int    `json:"differs"`  // places where the kernel is not as wanted
	Drifted  uint64 `json:"drifted"`  // changes by others since the start
}

// CertificateLife says until when the certificate that is shown is good.
type CertificateLife struct {
	Name     string    `json:"name"`
	NotAfter time.Time `json:"not_after,omitzero"`
	DaysLeft int       `json:"days_left"`
}

// Clock is what the kernel says of its clock.
type Clock struct {
	Time         time.Time `json:"time"`
	Synchronised bool      `json:"synchronised"`
	OffsetMS     float64   `json:"offset_ms"` // that is still being corrected
	ErrorMS      float64   `json:"error_ms"`  // the kernel's bound of its error
}

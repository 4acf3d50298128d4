package adminapi

import "time"

// PathMarkPaths is where the marks of media die.
const PathMarkPaths = "/admin/v1/dscp/paths" // GET → MarkPaths

// MarkPaths is what arrived, by subnet of clients, medium and direction.
type MarkPaths struct {
	Paths []MarkPath `json:"paths"`
}

// MarkPath is one medium in one direction. What is counted are samples: one of each session about every five seconds.
type MarkPath struct {
	Subnet    string        `json:"subnet"`
	Medium    string        `json:"medium"`
	Direction string        `json:"direction"` // up: to the box; down: from it, as clients report it
	Policy    CodePoint     `json:"policy"`    // what the box sends with, and what clients should
	Verdict   string        `json:"verdict"`   // on the latest sample: kept, bleached, remarked; up also unmarked, since a client may not mark at all
	Latest    CodePoint     `json:"latest"`
	Seen      []MarkSamples `json:"seen"`
	Last      time.Time     `json:"last"`
}

// MarkSamples is how often a code point was seen.
type MarkSamples struct {
	Point   CodePoint `json:"point"`
	Samples uint32    `json:"samples"`
}

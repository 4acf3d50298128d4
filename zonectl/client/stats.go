package client

import (
	"slices"
	"strings"
	"time"

	"meetzone/zonectl/wire"
)

// Stats is what a session has seen so far.
type Stats struct {
	Began  time.Time // when joining began
	Stages map[Stage]time.Duration
	Way    string    // of all TCP connections: direct, proxy HOST or tunnel HOST
	Tried  []Attempt // in the order in which they ended
	Zone   string
	Router string
	Media  [numMedia]MediumStats
	Slots  []SlotStats
	Ping   time.Duration // round trip of the control channel, 0 unknown
	// Intercepted is a sentence that says that a proxy on the way opens TLS connections; "": nothing looks like it.
	Intercepted string
}

// MediumStats tells how one medium travels, and what came of it.
type MediumStats struct {
	Medium    wire.Medium
	Rung      string // "udp", "tcp", "tls"; empty without a transport
	Local     string // the client's address
	Remote    string // the router's address
	Cipher    string // SRTP protection profile, as the router tells
	Sent      uint64 // packets
	FarLost   int64  // packets sent that the router says it never got
	Received  uint64 // packets, without duplicates
	Bytes     uint64
	Lost      uint64 // packets that never came
	Jitter    time.Duration
	RoundTrip time.Duration
	DSCP      int // code point of what last arrived, -1 unknown
	// Attempts is what came of each rung, best first, of the transport in use or the one that is being made.
	Attempts []RungAttempt
}

// SlotStats tells what arrived in one slot.
type SlotStats struct {
	wire.Slot
	Received uint64
	Bytes    uint64
	Lost     uint64
	Jitter   time.Duration
	Frames   uint64        // of pictures
	Freezes  uint64        // gaps between frames that a person would notice
	Frozen   time.Duration // how long they took in all
	First    time.Time     // when the first packet came; zero: nothing came
	Last     time.Time
}

// Attempts lists what came of each rung for each medium.
func (s *Stats) Attempts() (list []RungAttempt) {
	for _, m := range s.Media {
		list = append(list, m.Attempts...)
	}
	return list
}

// FirstMedia is when the first packet came in any slot, zero when nothing came.
func (s *Stats) FirstMedia() (first time.Time) {
	for _, slot := range s.Slots {
		if !slot.First.IsZero() && (first.IsZero() || slot.First.Before(first)) {
			first = slot.First
		}
	}
	return first
}

// Stats asks for everything at once.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	all := Stats{Began: s.began, Stages: make(map[Stage]time.Duration), Zone: s.zone.Zone.ID, Router: s.route.Router, Ping: s.pingTrip, Way: s.web.way.String(), Tried: slices.Clone(s.attempts),
		Intercepted: s.interception}
	for stage, took := range s.stages {
		all.Stages[stage] = took
	}
	peers, transports, filled := s.peers, s.transports, s.filled
	slots := make([]*slot, 0, len(s.slots))
	for _, one := range s.slots {
		slots = append(slots, one)
	}
	s.mu.Unlock()
	for i, medium := range wire.Media {
		all.Media[i] = s.mediumStats(medium, peers[i], transports)
	}
	for _, one := range slots {
		stats := one.stats(filled)
		all.Slots = append(all.Slots, stats)
		m := &all.Media[mediumIndex(one.medium)]
		m.Received += stats.Received
		m.Bytes += stats.Bytes
		m.Lost += stats.Lost
		m.Jitter = max(m.Jitter, stats.Jitter)
	}
	slices.SortFunc(all.Slots, func(a, b SlotStats) int {
		if d := mediumIndex(a.Medium) - mediumIndex(b.Medium); d != 0 {
			return d
		}
		if d := len(a.Mid) - len(b.Mid); d != 0 {
			return d // video10 after video9
		}
		return strings.Compare(a.Mid, b.Mid)
	})
	return all
}

// mediumStats tells what is known of a medium without its slots.
func (s *Session) mediumStats(medium wire.Medium, p *peer, transports []wire.TransportState) MediumStats {
	m := MediumStats{Medium: medium, DSCP: -1}
	if sender := s.Sender(medium); sender != nil {
		m.Sent, m.FarLost = sender.packets(), sender.farLost.Load()
	}
	if p != nil {
		t := p.travel()
		m.Rung, m.Local, m.Remote, m.RoundTrip = t.rung, t.local, t.remote, t.roundTrip
		m.Attempts = p.sockets.journal.attempts(t.rung)
		if t.rung == rungUDP {
			m.DSCP = p.sockets.codePoint()
		}
	}
	for _, transport := range transports {
		if transport.Medium == medium {
			m.Cipher = transport.Cipher
		}
	}
	return m
}

// stats tells what arrived in the slot, and who is in it now.
func (s *slot) stats(filled []wire.Slot) SlotStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.reception
	stats := SlotStats{Slot: wire.Slot{Mid: s.mid, Medium: s.medium}, Received: r.received, Bytes: r.bytes, Lost: r.lost(),
		Jitter: r.jitterTime(), Frames: s.motion.frames, Freezes: s.motion.freezes, Frozen: s.motion.frozen, First: s.first, Last: s.last}
	if i := slices.IndexFunc(filled, func(f wire.Slot) bool { return f.Mid == s.mid }); i >= 0 {
		stats.Slot = filled[i]
		stats.Slot.Medium = s.medium
	}
	return stats
}

package mmr

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/twcc"
)

// tracks is the forwarding half of an endpoint, embedded in it: what it sends, what it is sent.
type tracks struct {
	up    [NumMedia]*upTrack     // nil for media that it does not send
	slots [NumMedia][]*downTrack // receive slots, by index

	views      []View // what it asked to see; nil: it has not asked
	changed    bool   // SlotsChanged is due
	switches   uint64
	budget     budget
	recorder   *twcc.Recorder // of what comes over all transports
	apart      bool           // each transport is numbered by itself
	repeats    bucket
	lookups    bucket
	wished     uint64 // what could be sent if the path carried it, in bit/s, 0 no pictures
	terse      bool   // speech goes without redundancy
	allocated  uint64 // what budget.available said when it was last divided
	reporter   uint32 // SSRC of what is sent about its own streams
	toldCodecs CodecsWanted
	toldRates  []Ceiling
	ratesDue   bool // a source that had a ceiling has ended: what is told in its place is not what was told
	senderTime senderTime
	nextReport dataplane.Instant
	// nextAllocation is when the budget is divided again.
	nextAllocation dataplane.Instant
}

// newEndpointTracks makes the tracks that the configuration asks for, with the SSRCs that the offer announces.
func newEndpointTracks(cfg EndpointConfig) tracks {
	t := tracks{budget: newBudget()}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	t.reporter = binary.BigEndian.Uint32(b[:]) | 1
	counts := cfg.slots()
	for m := Medium(0); int(m) < NumMedia; m++ {
		if cfg.Send[m] {
			t.up[m] = &upTrack{medium: m, kind: codec.VP8, mid: upMidOf(m)}
			if m == Audio {
				t.up[m].kind = codec.Opus
			}
		}
		for i := range counts[m] {
			t.slots[m] = append(t.slots[m], newDownTrack(m, i))
		}
	}
	return t
}

// attach tells the tracks whose they are.
func (t *tracks) attach(e *endpoint) {
	for m := range t.up {
		if t.up[m] != nil {
			t.up[m].e = e
		}
		for _, d := range t.slots[m] {
			d.e = e
		}
	}
}

// answered is what forwarding needs of an answer, one entry for each section of the offer that the client accepted.
type answered struct {
	Medium Medium
	Mid    string // where the client chose it
	Up     bool   // "<medium>-up", else receive slot Slot
	Slot   int
	// SSRC and RTXSSRC are what the client says that it sends with, 0 unknown.
	SSRC, RTXSSRC uint32
	// RIDs are the encodings of simulcast that the client sends, the smallest first; nil without simulcast.
	RIDs []string
	// Formats are the accepted codecs, with the client's payload types; without RTX where the client refused it.
	Formats formats
	// Numbering is the id of the extension for transport-wide numbers on what is sent into the slot, 0 when the client gives no feedback
	// about them.
	Numbering uint8
	// Dependency is the id of the dependency descriptor on what is sent into the slot, 0 when the client does not take it.
	Dependency uint8
}

// trackStats fills in media, slots and switches.
func (e *endpoint) trackStats(s *EndpointStats) {
	s.Switches = e.switches
	s.Slots = e.slotList()
	s.Estimate = e.budget.estimate()
	for m := range s.Media {
		ms := &s.Media[m]
		ms.Medium = Medium(m)
		if u := e.up[m]; u != nil {
			ms.Up = u.directionStats()
		}
		for _, d := range e.slots[m] {
			ms.Down.Packets += d.packets
			ms.Down.Bytes += d.bytes
			ms.Down.Lost += d.stats.Lost
			ms.Down.NACKs += d.stats.NACKs
			ms.Down.Resent += d.stats.Resent
			ms.Down.Keyframes += d.stats.Keyframes
			ms.Down.Jitter = max(ms.Down.Jitter, d.stats.Jitter)
			ms.Down.RoundTrip = max(ms.Down.RoundTrip, d.stats.RoundTrip)
		}
	}
}

func (u *upTrack) directionStats() DirectionStats {
	n := u.past
	for _, st := range u.streams {
		if st != nil && st.rx != nil {
			n = addStats(n, st.rx.Stats())
		}
	}
	s := DirectionStats{
		Packets: u.packets, Bytes: u.bytes, Lost: n.Lost, NACKs: n.Asked, Resent: n.Repaired,
		Keyframes: u.keyframes, Jitter: n.Jitter, Frames: u.frames.count, Freezes: u.frames.freezes, Frozen: time.Duration(u.frames.frozen),
	}
	if t := u.e.transports[u.medium]; t != nil {
		s.RoundTrip = t.roundTrip
	}
	return s
}

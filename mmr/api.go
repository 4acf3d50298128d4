package mmr

import (
	"net/netip"
	"time"

	"meetzone/dataplane"
	"meetzone/dscp"
)

// Medium is one of the three kinds of media of a meeting.
type Medium uint8

// The media, in the order of their priority.
const (
	Audio Medium = iota
	Video
	Content
	NumMedia int = iota
)

// String returns the name that SDP groups and mids use.
func (m Medium) String() string {
	return [...]string{"audio", "video", "content", "unknown"}[min(m, 3)]
}

// Class returns the medium's class of the DSCP policy.
func (m Medium) Class() dscp.Class {
	return [...]dscp.Class{dscp.Audio, dscp.Video, dscp.Content, dscp.Signalling}[min(m, 3)]
}

// Bounds of one endpoint, see DESIGN section 3.
const (
	AudioSlots    = 3
	ContentSlots  = 1
	MaxVideoSlots = 49
)

// Mids of the box's offer: for each medium "<medium>-up" is what the client sends, and "<medium><n>" is receive slot n. The BUNDLE group of a
// medium holds exactly its mids, so a PeerConnection has three transports.
const upMid = "-up"

// EndpointID names an endpoint in its meeting; the caller chooses it.
type EndpointID string

// EndpointConfig says what an endpoint may send and how much it wants to see.
type EndpointConfig struct {
	ID         EndpointID
	Send       [NumMedia]bool // media for which the offer has an "up" section
	VideoSlots int            // 0 to MaxVideoSlots
	// ClientOffers says that the client makes the offer (Endpoint.Accept), as WHIP and WHEP have it. Then all media travel on one transport,
	// and whoever sends nothing is sent one voice, the loudest, and VideoSlots pictures; whoever sends is sent nothing.
	ClientOffers bool
	// Adapts says that the client sends pictures no larger than it is told: by RatesWanted, or with ClientOffers by REMB.
	Adapts bool
	// Notify takes the endpoint's events. It is called on a worker's thread: it must hand the value on and return at once.
	Notify func(Event)
}

// Event is something that the owner of an endpoint wants to know. The dynamic types are SlotsChanged, TransportsChanged, SpeakerChanged,
// EncodingsWanted, RatesWanted, CodecsWanted and Gone.
type Event any

// SlotsChanged says who is in which slot; it is always whole.
type SlotsChanged struct{ Slots []Slot }

// TransportsChanged says how each medium travels; it is always whole.
type TransportsChanged struct{ Transports []Transport }

// SpeakerChanged names the loudest speaker of the meeting after hysteresis; "" for nobody.
type SpeakerChanged struct{ Speaker EndpointID }

// EncodingsWanted names the encodings of simulcast that somebody needs at present, by their RIDs, always whole; the others need not be sent.
// Until the first such event all are to be sent. It holds over ICE restarts and fresh offers.
type EncodingsWanted struct {
	Medium Medium
	RIDs   []string
}

// Gone says that all transports of the endpoint were lost: consent expired, DTLS closed, or nothing came for too long. The endpoint
// stays until Close, and comes back to life by an ICE restart or a fresh offer; when it is Final, DTLS has ended, and an ICE restart cannot
// do that.
type Gone struct {
	Reason string
	Final  bool
}

// Slot is one receive slot of an endpoint.
type Slot struct {
	Medium Medium
	Index  int
	Source EndpointID // "" when empty
	Paused bool       // filled, but nothing is sent at present, and that is meant
}

// TransportState is the life of a transport.
type TransportState uint8

// The states of a transport.
const (
	TransportNew       TransportState = iota // offered, nothing authentic has come
	TransportChecking                        // ICE or DTLS under way
	TransportConnected                       // SRTP keys are there
	TransportLost                            // was connected, consent expired or DTLS closed
)

// String returns "new", "checking", "connected" or "lost".
func (s TransportState) String() string {
	return [...]string{"new", "checking", "connected", "lost"}[min(s, 3)]
}

// Transport is how one medium travels.
type Transport struct {
	Medium Medium
	State  TransportState
	Rung   dataplane.Rung
	Local  netip.AddrPort
	Remote netip.AddrPort
	Cipher string // SRTP protection profile, IANA name
	DSCP   int    // code point of what last arrived, -1 unknown
	Silent bool   // it brought something steadily, and for 1.3 s nothing
}

// View asks for a picture in a video slot.
type View struct {
	Slot     int
	Source   EndpointID // "" for nobody
	Height   int        // pixels, 0 as large as there is
	Priority int
	Content  bool // what the source shares, in place of its camera
}

// MediumStats counts one medium of one endpoint, since it joined.
type MediumStats struct {
	Medium Medium
	Up     DirectionStats // client to router
	Down   DirectionStats // router to client, loss and round trip as the client reports them
}

// DirectionStats counts one direction.
type DirectionStats struct {
	Packets, Bytes uint64
	Lost           uint64 // packets that never came, after repair
	NACKs          uint64 // packets asked for again
	Resent         uint64 // packets sent again
	Keyframes      uint64 // requests for one
	Frames         uint64 // of pictures, up only, each once in however many encodings it came
	Freezes        uint64 // gaps between frames that a person would notice, up only
	Frozen         time.Duration
	Jitter         time.Duration
	RoundTrip      time.Duration
}

// Estimate is what is known of the path to an endpoint, all its transports together.
type Estimate struct {
	Available uint64  // bit/s of IP packets that it carries, 0 unknown
	Sending   uint64  // bit/s that are sent
	Loss      float64 // share of packets, as reported of late
	Numbered  bool    // the endpoint gives transport-wide feedback; else its reports and REMB have to do
	Probes    uint64  // bursts that looked for more
	Waiting   int     // packets that wait for their turn
	Abandoned uint64  // packets that were left out because they had waited too long
}

// EndpointStats is what Stats returns.
type EndpointStats struct {
	ID         EndpointID
	Media      [NumMedia]MediumStats
	Transports []Transport
	Slots      []Slot
	Switches   uint64 // slot switches so far
	Estimate   Estimate
}

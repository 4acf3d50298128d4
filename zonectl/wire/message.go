package wire

// Message is one message of the control channel: a JSON object whose member "type" names its Go type below. Messages of the server that
// change the client's picture of the meeting carry a state number, so that a resumed session gets exactly what it missed.
type Message interface {
	// Type is the value of the member "type".
	Type() string
}

// Client → server.
type (
	// Hello is the first message of a client: a new session, or the resumption of one.
	Hello struct {
		MinVersion int      `json:"min_version"`
		MaxVersion int      `json:"max_version"`
		Client     string   `json:"client"`           // name and version of the software
		Token      string   `json:"token"`            // join token
		Name       string   `json:"name"`             // of the person
		Send       []Medium `json:"send,omitempty"`   // media that the client may send; content may be offered and unused
		VideoSlots int      `json:"video_slots"`      // 0 to MaxVideoSlots
		Adapts     bool     `json:"adapts,omitempty"` // the client obeys SendRates
		Resume     *Resume  `json:"resume,omitempty"` // instead of a new session
	}

	// Resume names the session to go on with.
	Resume struct {
		Session string `json:"session"`
		Secret  string `json:"secret"`
		State   uint64 `json:"state"` // last state number seen
	}

	// Answer answers the Offer of the same generation.
	Answer struct {
		Generation int    `json:"generation"`
		SDP        string `json:"sdp"`
	}

	// Negotiate asks for a new Offer: an ICE restart of the present PeerConnection, or a fresh one.
	Negotiate struct {
		Fresh bool `json:"fresh"`
	}

	// SetViews says which pictures are wanted in which video slots; slots that are not named stay as they are.
	SetViews struct {
		Views []View `json:"views"`
	}

	// SetMute says that the client itself stopped or started sending a medium.
	SetMute struct {
		Medium Medium `json:"medium"`
		Muted  bool   `json:"muted"`
	}

	// SetShare takes or gives back the content slot.
	SetShare struct {
		On bool `json:"on"`
	}

	// SendChat sends text to everybody, at most MaxChat bytes.
	SendChat struct {
		Text string `json:"text"`
	}

	// HostMute mutes a participant's medium at the router, or asks to unmute.
	HostMute struct {
		Participant string `json:"participant"`
		Medium      Medium `json:"medium"`
		Muted       bool   `json:"muted"`
	}

	// HostRemove removes a participant; their token is worth nothing afterwards.
	HostRemove struct {
		Participant string `json:"participant"`
	}

	// HostLock locks the meeting against newcomers, or opens it.
	HostLock struct {
		Locked bool `json:"locked"`
	}

	// HostEnd ends the meeting for everybody.
	HostEnd struct{}

	// ClaimHost makes the session one of a host.
	ClaimHost struct {
		Key string `json:"key"`
	}

	// Report tells the server what the client measured of its downlink.
	Report struct {
		Media []MediumReport `json:"media"`
	}

	// Ping asks for a Pong; it also keeps middle boxes from forgetting the connection.
	Ping struct {
		Sent int64 `json:"sent"` // client's clock, returned unchanged
	}

	// Leave ends the session.
	Leave struct{}
)

// MediumReport is what a client measured of one medium's downlink since it joined.
type MediumReport struct {
	Medium   Medium  `json:"medium"`
	Received uint64  `json:"received"` // packets
	Lost     uint64  `json:"lost"`     // packets
	JitterMS float64 `json:"jitter_ms"`
	RTTMS    float64 `json:"rtt_ms"`
	DSCP     int     `json:"dscp"` // code point of what last arrived; -1 unknown

	// What follows is of the time since the report before; it is left out where the client cannot tell.
	Bitrate   float64        `json:"bitrate,omitempty"`   // bit/s that arrived
	Concealed *float64       `json:"concealed,omitempty"` // share of the sound that was made up, 0 to 1
	Picture   *PictureReport `json:"picture,omitempty"`   // what was shown
	Sent      *PictureReport `json:"sent,omitempty"`      // what was encoded
}

// PictureReport is what a client measured of pictures.
type PictureReport struct {
	FPS     float64 `json:"fps"`               // frames per second of one picture, the mean of those that play
	Pixels  float64 `json:"pixels"`            // per second, of all pictures
	Freezes uint64  `json:"freezes,omitempty"` // since joining
	Frozen  float64 `json:"frozen,omitempty"`  // share of the time that pictures stood still, 0 to 1
}

// Server → client.
type (
	// Welcome answers Hello.
	Welcome struct {
		Version     int     `json:"version"`
		Session     string  `json:"session"`
		Secret      string  `json:"secret"` // for Resume; changes with every Welcome
		Participant string  `json:"participant"`
		Role        Role    `json:"role"`
		Resumed     bool    `json:"resumed"`
		Router      string  `json:"router"`
		Meeting     Meeting `json:"meeting"`
	}

	// Offer is the SDP of the router, always the offerer. A higher generation replaces a lower one; Fresh asks for a new PeerConnection.
	Offer struct {
		Generation int     `json:"generation"`
		Fresh      bool    `json:"fresh"`
		SDP        string  `json:"sdp"`
		Relays     []Relay `json:"relays,omitempty"` // for the PeerConnections that answer
	}

	// Participants is everybody in the meeting, sent whole at the start.
	Participants struct {
		State        uint64        `json:"state"`
		Participants []Participant `json:"participants"`
	}

	// Joined is a new participant, or one whose entry changed.
	Joined struct {
		State       uint64      `json:"state"`
		Participant Participant `json:"participant"`
	}

	// Left is a participant who is gone.
	Left struct {
		State       uint64 `json:"state"`
		Participant string `json:"participant"`
	}

	// MeetingChanged is a new title or lock.
	MeetingChanged struct {
		State   uint64  `json:"state"`
		Meeting Meeting `json:"meeting"`
	}

	// Slots says who is in which receive slot of this client, always whole.
	Slots struct {
		Slots []Slot `json:"slots"`
	}

	// SendCodecs says in which codec pictures are to be sent, since everybody who may see them decodes it. Always whole.
	SendCodecs struct {
		Media []MediumCodec `json:"media"`
	}

	// SendLayers says which encodings of simulcast somebody needs; the client may stop the others. Always whole.
	SendLayers struct {
		Media []MediumLayers `json:"media"`
	}

	// SendRates says of which encodings there is no use for more than so much. Always whole: what is not named has no ceiling.
	SendRates struct {
		Ceilings []Ceiling `json:"ceilings"`
	}

	// Speaker is the participant who speaks loudest, after hysteresis; empty for nobody.
	Speaker struct {
		Participant string `json:"participant"`
	}

	// Transports tells how each medium travels, always whole.
	Transports struct {
		Transports []TransportState `json:"transports"`
	}

	// Quality tells the client how good its own media are, as the box judges them; it is always whole.
	Quality struct {
		Media []MediumQuality `json:"media"`
	}

	// Chat is a text that somebody sent.
	Chat struct {
		State       uint64 `json:"state"`
		Participant string `json:"participant"`
		Name        string `json:"name"`
		Text        string `json:"text"`
		Sent        int64  `json:"sent"` // Unix milliseconds
	}

	// Muted tells the client that a host muted or unmuted it.
	Muted struct {
		Medium Medium `json:"medium"`
		Muted  bool   `json:"muted"`
		By     string `json:"by"` // participant id of the host
	}

	// RoleChanged tells the client its new role.
	RoleChanged struct {
		Role Role `json:"role"`
	}

	// Drain says ahead that the box will send everybody away, when, and why. Not On: it will not, after all.
	Drain struct {
		On     bool   `json:"on"`
		Reason string `json:"reason,omitempty"` // as the administrator wrote it
		LeftS  int    `json:"left_s,omitempty"` // seconds until then, from the moment of sending; 1 to MaxLeftS while On
	}

	// Failure says that a message could not be obeyed; the session goes on.
	Failure struct {
		About string `json:"about"` // type of the message that failed
		Error Error  `json:"error"`
	}

	// Bye is the last message of the server; the reason is for the person.
	Bye struct {
		Error Error `json:"error"`
	}

	// Pong answers Ping.
	Pong struct {
		Sent int64 `json:"sent"`
	}
)

// MediumQuality is how good one medium was in the last seconds.
type MediumQuality struct {
	Medium Medium       `json:"medium"`
	Up     *FlowQuality `json:"up,omitempty"`   // client to router; absent: nothing was sent
	Down   *FlowQuality `json:"down,omitempty"` // router to client
}

// FlowQuality is how good one direction of a medium was. The score is 0 where nothing came of what should have, else 1 (bad) to 5.
type FlowQuality struct {
	Score     float64  `json:"score"`
	Loss      *float64 `json:"loss,omitempty"` // share of the packets, 0 to 1
	JitterMS  float64  `json:"jitter_ms"`
	RTTMS     float64  `json:"rtt_ms"` // 0: not measured
	Bitrate   float64  `json:"bitrate"`
	FPS       *float64 `json:"fps,omitempty"`
	Freezes   uint64   `json:"freezes,omitempty"`
	Frozen    *float64 `json:"frozen,omitempty"`    // share of the time, 0 to 1
	Concealed *float64 `json:"concealed,omitempty"` // share of the sound, 0 to 1
}

// MaxChat and MaxName bound what people type, in bytes.
const (
	MaxChat  = 4000
	MaxName  = 120
	MaxTitle = 200
)

// MaxLeftS bounds Drain.LeftS: a week.
const MaxLeftS = 7 * 24 * 3600

// MaxVideoSlots is the largest number of video slots a client may ask for.
const MaxVideoSlots = 49

func (Hello) Type() string          { return "hello" }
func (Answer) Type() string         { return "answer" }
func (Negotiate) Type() string      { return "negotiate" }
func (SetViews) Type() string       { return "set-views" }
func (SetMute) Type() string        { return "set-mute" }
func (SetShare) Type() string       { return "set-share" }
func (SendChat) Type() string       { return "send-chat" }
func (HostMute) Type() string       { return "host-mute" }
func (HostRemove) Type() string     { return "host-remove" }
func (HostLock) Type() string       { return "host-lock" }
func (HostEnd) Type() string        { return "host-end" }
func (ClaimHost) Type() string      { return "claim-host" }
func (Report) Type() string         { return "report" }
func (Ping) Type() string           { return "ping" }
func (Leave) Type() string          { return "leave" }
func (Welcome) Type() string        { return "welcome" }
func (Offer) Type() string          { return "offer" }
func (Participants) Type() string   { return "participants" }
func (Joined) Type() string         { return "joined" }
func (Left) Type() string           { return "left" }
func (MeetingChanged) Type() string { return "meeting-changed" }
func (Slots) Type() string          { return "slots" }
func (SendCodecs) Type() string     { return "send-codecs" }
func (SendLayers) Type() string     { return "send-layers" }
func (SendRates) Type() string      { return "send-rates" }
func (Speaker) Type() string        { return "speaker" }
func (Transports) Type() string     { return "transports" }
func (Quality) Type() string        { return "quality" }
func (Chat) Type() string           { return "chat" }
func (Muted) Type() string          { return "muted" }
func (RoleChanged) Type() string    { return "role-changed" }
func (Drain) Type() string          { return "drain" }
func (Failure) Type() string        { return "failure" }
func (Bye) Type() string            { return "bye" }
func (Pong) Type() string           { return "pong" }

package wire

// Versions of the control channel that this code speaks. Hello carries the client's range, Welcome the version chosen: the
// highest that both know.
const (
	MinVersion  = 1
	MaxVersion  = 1
	Subprotocol = "meetzone.control"
)

// MaxMessage is the largest message taken from the control channel, in bytes. An offer of 56 media sections stays below a third of it.
const MaxMessage = 256 << 10

// Role is what a session may do.
type Role string

// The roles. A viewer only receives, a publisher only sends; what comes by WHIP is a publisher, what watches by WHEP is no participant at all.
const (
	RoleHost        Role = "host"
	RoleParticipant Role = "participant"
	RoleViewer      Role = "viewer"
	RolePublisher   Role = "publisher"
)

// Medium is one of the three kinds of media, each with a transport of its own.
type Medium string

// The media; the names are the BUNDLE group's and the mid's prefix in the SDP too.
const (
	Audio   Medium = "audio"
	Video   Medium = "video"
	Content Medium = "content"
)

// Media lists all media in the order in which they are shown.
var Media = [...]Medium{Audio, Video, Content}

// Participant is one person of the meeting as the others see them.
type Participant struct {
	ID      string `json:"id"` // unique in the meeting, kept over a resume
	Name    string `json:"name"`
	Role    Role   `json:"role"`
	Audio   bool   `json:"audio"`          // sends audio and is not muted
	Video   bool   `json:"video"`          // sends video and is not muted
	Sharing bool   `json:"sharing"`        // holds the content slot
	Away    bool   `json:"away,omitempty"` // lost the control channel and may resume
}

// Slot says who is in one receive slot.
type Slot struct {
	Mid         string `json:"mid"` // of the SDP: "audio0", "video3", "content0"
	Medium      Medium `json:"medium"`
	Participant string `json:"participant,omitempty"` // empty: nobody
	Paused      bool   `json:"paused,omitempty"`      // filled, but nothing is sent at present, and that is meant
}

// MediumCodec is the codec in which a medium is to be sent.
type MediumCodec struct {
	Medium Medium `json:"medium"`
	Codec  string `json:"codec"` // "vp8", "vp9", "h264", "av1"; there may be others later
}

// MediumLayers names the encodings of one medium that are needed.
type MediumLayers struct {
	Medium Medium   `json:"medium"`
	RIDs   []string `json:"rids"` // as the answer named them; empty: none
}

// Ceiling is how much of one encoding there is use for.
type Ceiling struct {
	Medium  Medium `json:"medium"`
	RID     string `json:"rid,omitempty"` // empty without simulcast
	Bitrate uint64 `json:"bitrate"`       // bit/s of RTP
}

// View asks for a picture in a video slot.
type View struct {
	Slot        int    `json:"slot"`                  // 0 to slots-1
	Participant string `json:"participant,omitempty"` // "": whoever speaks, once only; "-": nobody
	Height      int    `json:"height,omitempty"`      // wanted, in pixels; 0 is as large as there is
	Priority    int    `json:"priority,omitempty"`    // higher is served first
}

// TransportState tells how one medium travels, as the router sees it.
type TransportState struct {
	Medium Medium `json:"medium"`
	State  string `json:"state"`            // "new", "checking", "connected", "lost"
	Rung   string `json:"rung,omitempty"`   // "udp", "tcp", "tls"
	Local  string `json:"local,omitempty"`  // the router's address
	Remote string `json:"remote,omitempty"` // the client's address as it arrives
	Cipher string `json:"cipher,omitempty"` // SRTP protection profile
	DSCP   int    `json:"dscp"`             // code point of what last arrived from the client; -1 unknown
	Silent bool   `json:"silent,omitempty"` // it brought something steadily, and for 1.3 s nothing
}

// Relay is a way to the router's media through the HTTPS port: TURN over TLS.
type Relay struct {
	Medium     Medium   `json:"medium,omitempty"` // whose traffic it marks; none: any, for a PeerConnection with all media
	URLs       []string `json:"urls"`             // of one relay: use the first that the client can
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

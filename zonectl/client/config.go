package client

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// Config says which meeting to join and how. The zero value of a field is its default.
type Config struct {
	URL      string    // base URL of any member, https://host[:port], or a whole join link, https://host/j/NUMBER
	Meeting  string    // number; default: the link's
	Passcode string    // of the meeting, if it has one
	HostKey  string    // makes the session one of a host
	Role     wire.Role // default participant
	Name     string    // of the person
	Software string    // name and version; default "meetzone client"

	Send       []wire.Medium // media that will be sent
	VideoSlots int           // video slots to receive, 0 to 49; the zone fills them, wire.SetViews chooses
	Encodings  int           // of the camera\'s picture, 1 to 3, each with a Sender of its own (Sender.Encoding); default 1; VP8 alone
	Decode     []media.Codec // codecs of pictures that may be received, VP8 in any case; default: all
	Encode     []media.Codec // codecs of pictures that Sender.SendAs is given, VP8 in any case; default: VP8

	Roots    *x509.CertPool // authorities to trust; default: the system's
	Insecure bool           // trust any certificate
	// Proxy is the HTTP proxy for all connections, http://[USER:PASSWORD@]HOST:PORT; default: that of the environment, "none" for none.
	Proxy string
	// PAC is a file that says which proxy to use, an http or https URL or a path; it counts alone. ProxyLogin is USER:PASSWORD for its proxies.
	PAC, ProxyLogin string
	Cache           string // folder that keeps what lookups said and which zone was best; default: nothing is kept
	Profile         string // DSCP profile of what is sent; default rfc4594
	Light           bool   // no NACK and no transport-wide feedback: cheaper, for generating load

	JoinTimeout time.Duration // of all stages together; default 20 s
	ResumeFor   time.Duration // how long a lost control channel is tried again; default 60 s

	Receive        func(packet Packet)                    // takes what arrives in the slots
	KeyframeWanted func(medium wire.Medium, encoding int) // somebody needs a keyframe of an encoding that is sent; 0 without simulcast
	Progress       func(Progress)                         // tells the stages of Join
	Event          func(wire.Message)                     // takes what the server says of the meeting
	Logger         *slog.Logger                           // default: none
}

// Packet is an RTP packet that arrived in a slot. Data is valid during the call only.
type Packet struct {
	Slot string // mid
	Data []byte
	At   time.Time

	Codec media.Codec // of pictures; Opus of sound
}

// Progress tells of a stage of Join that begins or has ended.
type Progress struct {
	Stage  Stage
	Done   bool
	Took   time.Duration
	Detail string // for a person
}

// Stage is a part of the connection process.
type Stage string

// The stages. Router and Control are the two halves of the white paper's third.
const (
	StageLookup  Stage = "lookup"
	StageTunnel  Stage = "tunnel" // within the first two, when nothing has answered
	StageZone    Stage = "zone"
	StageRouter  Stage = "router"
	StageControl Stage = "control"
	StageMedia   Stage = "media"
)

// Stages lists the stages in their order.
var Stages = [...]Stage{StageLookup, StageZone, StageRouter, StageControl, StageMedia}

// Validate names everything that is wrong at once.
func (c Config) Validate() error {
	var wrong []error
	base, meeting, err := c.target()
	if err != nil {
		wrong = append(wrong, err)
	} else if base != "" && meeting == "" {
		wrong = append(wrong, errors.New("no meeting number, neither alone nor in the link"))
	}
	if len(c.Name) > wire.MaxName {
		wrong = append(wrong, fmt.Errorf("name longer than %d bytes", wire.MaxName))
	}
	if c.Encodings < 0 || c.Encodings > len(Encodings) {
		wrong = append(wrong, fmt.Errorf("%d encodings: 1 to %d are possible", c.Encodings, len(Encodings)))
	}
	if c.Encodings > 1 && slices.ContainsFunc(c.Encode, func(codec media.Codec) bool { return codec != media.VP8 }) {
		wrong = append(wrong, errors.New("several encodings: of VP8 alone"))
	}
	if c.VideoSlots < 0 || c.VideoSlots > wire.MaxVideoSlots {
		wrong = append(wrong, fmt.Errorf("%d video slots: 0 to %d are possible", c.VideoSlots, wire.MaxVideoSlots))
	}
	for _, codec := range append(slices.Clone(c.Decode), c.Encode...) {
		if !slices.Contains(media.Pictures[:], codec) {
			wrong = append(wrong, fmt.Errorf("codec %s of pictures: unknown", codec))
		}
	}
	for i, medium := range c.Send {
		if mediumIndex(medium) < 0 || slices.Contains(c.Send[:i], medium) {
			wrong = append(wrong, fmt.Errorf("medium %q to send: unknown or twice", medium))
		}
	}
	if c.Proxy != "" && c.Proxy != ProxyNone {
		if _, err := ParseProxy(c.Proxy); err != nil {
			wrong = append(wrong, err)
		}
	}
	if c.PAC != "" && c.Proxy != "" {
		wrong = append(wrong, errors.New("a proxy and a PAC file: one of them"))
	}
	if _, err := dscp.ShippedProfile(c.Profile); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// target takes the base URL and the meeting's number out of URL and Meeting.
func (c Config) target() (base, meeting string, err error) {
	address := c.URL
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" {
		return "", "", fmt.Errorf("URL %q: use https://HOST[:PORT] or a join link", c.URL)
	}
	meeting = c.Meeting
	if rest, found := strings.CutPrefix(parsed.Path, wire.PathJoin); found && meeting == "" {
		meeting, _, _ = strings.Cut(rest, "/")
	}
	return "https://" + parsed.Host, meeting, nil
}

// doors is what a link says of further ways to the zone.
type doors struct{ hosts, tunnels []string }

// furtherDoors takes it out of the link. What is no host there is passed over.
func (c Config) furtherDoors() (d doors) {
	parsed, err := url.Parse(c.URL)
	if err != nil {
		return d
	}
	list := func(name string, ok func(string) bool) (out []string) {
		for one := range strings.SplitSeq(parsed.Query().Get(name), ",") {
			if ok(one) && len(out) < maxDoors {
				out = append(out, one)
			}
		}
		return out
	}
	d.hosts = list(wire.LinkHosts, func(host string) bool { return isBase("https://" + host) })
	d.tunnels = list(wire.LinkTunnels, isBase)
	return d
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	if c.Role == "" {
		c.Role = wire.RoleParticipant
	}
	if c.Decode == nil {
		c.Decode = media.Pictures[:]
	}
	c.Decode, c.Encode = withVP8(c.Decode), withVP8(c.Encode)
	if c.Software == "" {
		c.Software = "meetzone client"
	}
	if c.JoinTimeout == 0 {
		c.JoinTimeout = 20 * time.Second
	}
	if c.ResumeFor == 0 {
		c.ResumeFor = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Receive == nil {
		c.Receive = func(Packet) {}
	}
	if c.KeyframeWanted == nil {
		c.KeyframeWanted = func(wire.Medium, int) {}
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Event == nil {
		c.Event = func(wire.Message) {}
	}
	return c
}

// withVP8 puts VP8 first, which everybody has.
func withVP8(list []media.Codec) []media.Codec {
	return append([]media.Codec{media.VP8}, slices.DeleteFunc(slices.Clone(list), func(c media.Codec) bool { return c == media.VP8 })...)
}

// marks returns the code points that the profile gives the classes.
func (c Config) marks() dscp.Marks {
	profile, err := dscp.ShippedProfile(c.Profile)
	if err != nil {
		return dscp.Marks{} // Validate has refused it
	}
	return profile.Points()
}

// numMedia is how many media there are.
const numMedia = len(wire.Media)

// mediumIndex is the medium's place in wire.Media, -1 for something that is none.
func mediumIndex(medium wire.Medium) int { return slices.Index(wire.Media[:], medium) }

// mediumClass is the medium's class of the DSCP policy.
func mediumClass(medium wire.Medium) dscp.Class {
	switch medium {
	case wire.Audio:
		return dscp.Audio
	case wire.Video:
		return dscp.Video
	case wire.Content:
		return dscp.Content
	}
	return dscp.Signalling
}

package description

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Bounds of what is read.
const (
	MaxAnswer     = 256 << 10
	MaxSections   = 64
	maxSources    = 16   // SSRCs of one section
	maxFormats    = 64   // payload types of one section
	maxParameters = 1024 // bytes of a=fmtp; longer ones, which hold parameter sets, are passed over
	maxRIDs       = 8    // encodings of one section; more are passed over

	maxFingerprints = 8 // of one section; more are passed over
)

// Why a description was refused.
var (
	ErrTooLarge  = errors.New("description is too large")
	ErrSyntax    = errors.New("description is not SDP")
	ErrDuplicate = errors.New("description has two sections of the same mid")
	ErrFragment  = errors.New("fragment cannot be read")
)

// Answer is what a client accepted.
type Answer struct {
	Sections []Accepted
}

// Accepted is one section of an answer. What stands at the session level is filled in.
type Accepted struct {
	Mid            string
	Kind           string // "audio", "video" or what else stands there
	Rejected       bool   // port 0, and not for the sake of bundling
	Sends, Gets    bool   // direction, as the client sees it
	Ufrag, Pwd     string
	Setup          string
	Fingerprints   []Fingerprint // of hashes that are good enough
	Codecs         []Codec       // in order of preference
	Extensions     []Extension
	Mixed          bool              // one-byte and two-byte header extensions together (a=extmap-allow-mixed)
	RIDs           []string          // of the encodings that the client sends, in its order; nil without simulcast
	SSRCs          []uint32          // in order of appearance
	Retransmission map[uint32]uint32 // SSRC → SSRC of its RTX (ssrc-group FID), nil for none
}

// Codec returns the codec of a payload type.
func (s *Accepted) Codec(pt uint8) (Codec, bool) {
	for _, c := range s.Codecs {
		if c.PayloadType == pt {
			return c, true
		}
	}
	return Codec{}, false
}

// Section returns the section of a mid, nil when there is none.
func (a *Answer) Section(mid string) *Accepted {
	for i := range a.Sections {
		if a.Sections[i].Mid == mid {
			return &a.Sections[i]
		}
	}
	return nil
}

// ParseAnswer reads an answer.
func ParseAnswer(text string) (*Answer, error) {
	d, err := parse(text)
	if err != nil {
		return nil, err
	}
	return answerOf(d)
}

// parse reads a description of any kind.
func parse(text string) (*sdp.SessionDescription, error) {
	if len(text) > MaxAnswer {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(text))
	}
	d := new(sdp.SessionDescription)
	if err := d.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if len(d.MediaDescriptions) > MaxSections {
		return nil, fmt.Errorf("%w: %d sections", ErrTooLarge, len(d.MediaDescriptions))
	}
	return d, nil
}

// answerOf reads the sections.
func answerOf(d *sdp.SessionDescription) (*Answer, error) {
	session := Accepted{Sends: true, Gets: true} // sendrecv, RFC 8866 section 6.7
	for _, attr := range d.Attributes {
		session.takeShared(attr)
	}
	a := &Answer{}
	for _, m := range d.MediaDescriptions {
		s, err := parseSection(m, &session)
		if err != nil {
			return nil, err
		}
		if s.Mid != "" && a.Section(s.Mid) != nil {
			return nil, fmt.Errorf("%w: %q", ErrDuplicate, s.Mid)
		}
		a.Sections = append(a.Sections, s)
	}
	return a, nil
}

// parseSection reads one m= section.
func parseSection(m *sdp.MediaDescription, session *Accepted) (Accepted, error) {
	s := Accepted{Kind: m.MediaName.Media, Rejected: m.MediaName.Port.Value == 0, Mixed: session.Mixed, Sends: session.Sends, Gets: session.Gets}
	if _, bundled := m.Attribute("bundle-only"); bundled {
		s.Rejected = false // RFC 9143, section 6
	}
	if len(m.MediaName.Formats) > maxFormats {
		return s, fmt.Errorf("%w: %d payload types in one section", ErrTooLarge, len(m.MediaName.Formats))
	}
	for _, f := range m.MediaName.Formats {
		if pt, err := strconv.ParseUint(f, 10, 7); err == nil {
			s.Codecs = append(s.Codecs, Codec{PayloadType: uint8(pt)})
		}
	}
	for _, attr := range m.Attributes {
		s.takeShared(attr)
		s.take(attr)
		if len(s.SSRCs) > maxSources || len(s.Retransmission) > maxSources {
			return s, fmt.Errorf("%w: more than %d sources in one section", ErrTooLarge, maxSources)
		}
	}
	if s.Ufrag == "" {
		s.Ufrag, s.Pwd = session.Ufrag, session.Pwd
	}
	if s.Setup == "" {
		s.Setup = session.Setup
	}
	if len(s.Fingerprints) == 0 {
		s.Fingerprints = session.Fingerprints
	}
	return s, nil
}

// takeShared reads an attribute that may stand at both levels.
func (s *Accepted) takeShared(attr sdp.Attribute) {
	switch attr.Key {
	case "ice-ufrag":
		s.Ufrag = attr.Value
	case "ice-pwd":
		s.Pwd = attr.Value
	case "setup":
		s.Setup = attr.Value
	case "fingerprint":
		if f, ok := parseFingerprint(attr.Value); ok && len(s.Fingerprints) < maxFingerprints {
			s.Fingerprints = append(s.Fingerprints, f)
		}
	case "extmap-allow-mixed":
		s.Mixed = true
	case "sendrecv", "sendonly", "recvonly", "inactive":
		s.Sends = attr.Key == "sendrecv" || attr.Key == "sendonly"
		s.Gets = attr.Key == "sendrecv" || attr.Key == "recvonly"
	}
}

// take reads an attribute of a section. What is damaged counts for nothing.
func (s *Accepted) take(attr sdp.Attribute) {
	switch attr.Key {
	case "mid":
		s.Mid = attr.Value
	case "rtpmap":
		s.takeName(attr.Value)
	case "fmtp":
		s.takeParameters(attr.Value)
	case "rtcp-fb":
		s.takeFeedback(attr.Value)
	case "extmap":
		s.takeExtension(attr.Value)
	case "ssrc":
		s.takeSource(attr.Value)
	case "ssrc-group":
		s.takeGroup(attr.Value)
	case "simulcast":
		s.takeSimulcast(attr.Value)
	}
}

// takeSimulcast reads what the client sends, RFC 8853 section 5.1: "send l;m;~h", each an encoding, or alternatives separated by commas,
// of which the first counts. An encoding that begins with a tilde is paused at first.
func (s *Accepted) takeSimulcast(value string) {
	fields := strings.Fields(value)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] != "send" {
			continue
		}
		for _, encoding := range strings.Split(fields[i+1], ";") {
			rid, _, _ := strings.Cut(encoding, ",")
			if rid = strings.TrimPrefix(rid, "~"); rid != "" && len(s.RIDs) < maxRIDs {
				s.RIDs = append(s.RIDs, rid)
			}
		}
	}
}

// codecsOf calls f for the codecs that a payload type in an attribute means, "*" being all.
func (s *Accepted) codecsOf(format string, f func(*Codec)) {
	for i := range s.Codecs {
		if c := &s.Codecs[i]; format == "*" || format == strconv.Itoa(int(c.PayloadType)) {
			f(c)
		}
	}
}

func (s *Accepted) takeName(value string) {
	format, encoding, _ := strings.Cut(value, " ")
	parts := strings.Split(encoding, "/")
	if len(parts) < 2 {
		return
	}
	rate, err := strconv.ParseUint(parts[1], 10, 32)
	if err != nil {
		return
	}
	channels := uint64(0)
	if len(parts) > 2 {
		if channels, err = strconv.ParseUint(parts[2], 10, 16); err != nil {
			return
		}
	}
	s.codecsOf(format, func(c *Codec) { c.Name, c.ClockRate, c.Channels = parts[0], uint32(rate), uint16(channels) })
}

func (s *Accepted) takeParameters(value string) {
	format, parameters, _ := strings.Cut(value, " ")
	if len(parameters) <= maxParameters {
		s.codecsOf(format, func(c *Codec) { c.Parameters = parameters })
	}
	for _, p := range strings.Split(parameters, ";") {
		if digits, ok := strings.CutPrefix(strings.TrimSpace(p), "apt="); ok {
			if pt, err := strconv.ParseUint(digits, 10, 7); err == nil {
				s.codecsOf(format, func(c *Codec) { c.Repairs = uint8(pt) })
			}
		}
	}
}

func (s *Accepted) takeFeedback(value string) {
	format, feedback, _ := strings.Cut(value, " ")
	s.codecsOf(format, func(c *Codec) {
		if len(c.Feedback) < maxFormats {
			c.Feedback = append(c.Feedback, feedback)
		}
	})
}

func (s *Accepted) takeExtension(value string) {
	id, uri, _ := strings.Cut(value, " ")
	id, _, _ = strings.Cut(id, "/") // a direction
	uri, _, _ = strings.Cut(uri, " ")
	if n, err := strconv.ParseUint(id, 10, 8); err == nil && n > 0 && len(s.Extensions) < maxFormats {
		s.Extensions = append(s.Extensions, Extension{ID: int(n), URI: uri})
	}
}

func (s *Accepted) takeSource(value string) {
	digits, _, _ := strings.Cut(value, " ")
	ssrc, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return
	}
	for _, known := range s.SSRCs {
		if known == uint32(ssrc) {
			return
		}
	}
	s.SSRCs = append(s.SSRCs, uint32(ssrc))
}

func (s *Accepted) takeGroup(value string) {
	fields := strings.Fields(value)
	if len(fields) != 3 || fields[0] != "FID" {
		return
	}
	media, err1 := strconv.ParseUint(fields[1], 10, 32)
	repair, err2 := strconv.ParseUint(fields[2], 10, 32)
	if err1 != nil || err2 != nil {
		return
	}
	if s.Retransmission == nil {
		s.Retransmission = map[uint32]uint32{}
	}
	s.Retransmission[uint32(media)] = uint32(repair)
}

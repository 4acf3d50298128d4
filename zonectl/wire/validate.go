package wire

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// More bounds of what a message may hold, in bytes or entries.
const (
	MaxID           = 64 // of a participant, session or secret
	MaxSDP          = 200 << 10
	MaxToken        = 2048
	MaxPasscode     = 64
	MaxHostKey      = 64
	MaxSoftware     = 120 // Hello.Client
	MaxParticipants = 1000
	MaxHeight       = 8192 // View.Height
	MaxPriority     = 1000 // View.Priority
	MaxSlots        = MaxVideoSlots + 4
	MaxScore        = 5 // FlowQuality.Score
	MaxRelays       = 8
	MaxRelayURLs    = 20  // of one relay
	MaxRIDs         = 8   // MediumLayers.RIDs
	maxLine         = 400 // addresses, ciphers, sentences
)

// CleanLine makes one line of what a person typed: no control or invisible formatting characters, no spaces at its ends or in rows,
// at most max bytes and cut between characters.
func CleanLine(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return printable(r)
	}, s)
	return strings.TrimSpace(shorten(strings.Join(strings.Fields(s), " "), max))
}

// CleanText is CleanLine for text of several lines: line breaks and tabs stay.
func CleanText(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return printable(r)
	}, strings.ReplaceAll(s, "\r\n", "\n"))
	return strings.TrimSpace(shorten(s, max))
}

// printable drops control characters and those that turn the direction of the text around them, with which a name can pretend to be
// another. Joiners stay: emoji and several scripts need them.
func printable(r rune) rune {
	switch {
	case r == utf8.RuneError || unicode.IsControl(r):
		return -1
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\u200e', r == '\u200f', r == '\ufeff':
		return -1
	case r == '\u2028', r == '\u2029':
		return -1
	}
	return r
}

func shorten(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}

// Number returns the digits of a meeting number as people type or paste it, "" when it is none.
func Number(typed string) string {
	if len(typed) > 4*maxNumber {
		return ""
	}
	s := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' || r == '\u2010' || r == '\u2011' || r == '.' {
			return -1
		}
		return r
	}, typed)
	if len(s) < minNumber || len(s) > maxNumber || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

// Digits of a meeting number.
const (
	minNumber = 4
	maxNumber = 16
)

func (m *Hello) clean() {
	m.Name = CleanLine(m.Name, MaxName)
	m.Client = CleanLine(m.Client, MaxSoftware)
}

func (m *SendChat) clean()       { m.Text = CleanText(m.Text, len(m.Text)) }
func (m *Chat) clean()           { m.Text, m.Name = CleanText(m.Text, MaxChat), CleanLine(m.Name, MaxName) }
func (m *Welcome) clean()        { m.Meeting.Title = CleanLine(m.Meeting.Title, MaxTitle) }
func (m *MeetingChanged) clean() { m.Meeting.Title = CleanLine(m.Meeting.Title, MaxTitle) }
func (m *Drain) clean()          { m.Reason = CleanLine(m.Reason, MaxTitle) }
func (m *Joined) clean()         { m.Participant.Name = CleanLine(m.Participant.Name, MaxName) }

func (m *Participants) clean() {
	for i := range m.Participants {
		m.Participants[i].Name = CleanLine(m.Participants[i].Name, MaxName)
	}
}

// checks collects what is wrong.
type checks []error

func (c *checks) that(ok bool, format string, args ...any) {
	if !ok {
		*c = append(*c, fmt.Errorf(format, args...))
	}
}

func (c *checks) length(name, s string, min, max int) {
	c.that(len(s) >= min && len(s) <= max, "%s: %d bytes, must be %d to %d", name, len(s), min, max)
}

func (c *checks) between(name string, n, min, max int) {
	c.that(n >= min && n <= max, "%s: %d, must be %d to %d", name, n, min, max)
}

func (c *checks) share(name string, v *float64) {
	c.that(v == nil || *v >= 0 && *v <= 1, "%s: must be 0 to 1", name)
}

func (c *checks) medium(m Medium) { c.that(slices.Contains(Media[:], m), "medium: %q is none", m) }

func (c *checks) role(r Role) { c.that(r.Valid(), "role: %q is none", r) }

func (c *checks) err() error { return errors.Join(*c...) }

// Valid says that the role is one of the four.
func (r Role) Valid() bool {
	return r == RoleHost || r == RoleParticipant || r == RoleViewer || r == RolePublisher
}

func (m Hello) validate() error {
	var c checks
	c.that(m.MinVersion >= 1 && m.MaxVersion >= m.MinVersion, "versions: %d to %d is no range", m.MinVersion, m.MaxVersion)
	c.length("client", m.Client, 0, MaxSoftware)
	c.length("token", m.Token, 0, MaxToken)
	c.length("name", m.Name, 0, MaxName)
	c.between("video_slots", m.VideoSlots, 0, MaxVideoSlots)
	c.between("send: entries", len(m.Send), 0, len(Media))
	for i, medium := range m.Send {
		c.medium(medium)
		c.that(!slices.Contains(m.Send[:i], medium), "send: %s twice", medium)
	}
	if m.Resume != nil {
		c.length("resume.session", m.Resume.Session, 1, MaxID)
		c.length("resume.secret", m.Resume.Secret, 1, MaxID)
	}
	return c.err()
}

func (m Answer) validate() error {
	var c checks
	c.that(m.Generation >= 0, "generation: %d is negative", m.Generation)
	c.length("sdp", m.SDP, 1, MaxSDP)
	return c.err()
}

func (m SetViews) validate() error {
	var c checks
	c.between("views: entries", len(m.Views), 0, MaxVideoSlots)
	for i := range min(len(m.Views), MaxVideoSlots) {
		v := m.Views[i]
		c.between("slot", v.Slot, 0, MaxVideoSlots-1)
		c.length("participant", v.Participant, 0, MaxID)
		c.between("height", v.Height, 0, MaxHeight)
		c.between("priority", v.Priority, -MaxPriority, MaxPriority)
	}
	return c.err()
}

func (m SetMute) validate() error {
	var c checks
	c.medium(m.Medium)
	return c.err()
}

func (m SendChat) validate() error {
	var c checks
	c.length("text", m.Text, 1, MaxChat)
	return c.err()
}

func (m HostMute) validate() error {
	var c checks
	c.length("participant", m.Participant, 1, MaxID)
	c.medium(m.Medium)
	return c.err()
}

func (m HostRemove) validate() error {
	var c checks
	c.length("participant", m.Participant, 1, MaxID)
	return c.err()
}

func (m ClaimHost) validate() error {
	var c checks
	c.length("key", m.Key, 1, MaxHostKey)
	return c.err()
}

func (m Report) validate() error {
	var c checks
	c.between("media: entries", len(m.Media), 0, len(Media))
	for i := range min(len(m.Media), len(Media)) {
		r := m.Media[i]
		c.medium(r.Medium)
		c.between("dscp", r.DSCP, -1, 63)
		c.that(r.JitterMS >= 0 && r.RTTMS >= 0, "%s: negative time", r.Medium)
		c.that(r.Bitrate >= 0, "%s: negative bitrate", r.Medium)
		c.share("concealed", r.Concealed)
		r.Picture.check(&c)
		r.Sent.check(&c)
	}
	return c.err()
}

func (p *PictureReport) check(c *checks) {
	if p != nil {
		c.that(p.FPS >= 0 && p.Pixels >= 0, "picture: negative rate")
		c.share("frozen", &p.Frozen)
	}
}

func (m Quality) validate() error {
	var c checks
	c.between("media: entries", len(m.Media), 0, len(Media))
	for i := range min(len(m.Media), len(Media)) {
		c.medium(m.Media[i].Medium)
		for _, f := range []*FlowQuality{m.Media[i].Up, m.Media[i].Down} {
			if f != nil {
				c.that(f.Score >= 0 && f.Score <= MaxScore, "score: %v, must be 0 to %d", f.Score, MaxScore)
				c.share("loss", f.Loss)
				c.share("frozen", f.Frozen)
				c.share("concealed", f.Concealed)
			}
		}
	}
	return c.err()
}

func (m Welcome) validate() error {
	var c checks
	c.that(m.Version >= 1, "version: %d", m.Version)
	c.length("session", m.Session, 1, MaxID)
	c.length("secret", m.Secret, 1, MaxID)
	c.length("participant", m.Participant, 1, MaxID)
	c.role(m.Role)
	return c.err()
}

func (m Offer) validate() error {
	var c checks
	c.between("relays: entries", len(m.Relays), 0, MaxRelays)
	for i := range min(len(m.Relays), MaxRelays) {
		r := &m.Relays[i]
		c.that(r.Medium == "" || slices.Contains(Media[:], r.Medium), "relay: medium %q is none", r.Medium)
		c.between("relay: urls", len(r.URLs), 1, MaxRelayURLs)
		for j := range min(len(r.URLs), MaxRelayURLs) {
			c.length("relay: url", r.URLs[j], 1, maxLine)
		}
		c.length("relay: username", r.Username, 1, maxLine)
		c.length("relay: credential", r.Credential, 1, maxLine)
	}
	return errors.Join(c.err(), Answer{Generation: m.Generation, SDP: m.SDP}.validate())
}

func (p Participant) check(c *checks) {
	c.length("participant id", p.ID, 1, MaxID)
	c.length("participant name", p.Name, 0, MaxName)
	c.role(p.Role)
}

func (m Participants) validate() error {
	var c checks
	c.between("participants: entries", len(m.Participants), 0, MaxParticipants)
	for i := range min(len(m.Participants), MaxParticipants) {
		m.Participants[i].check(&c)
	}
	return c.err()
}

func (m Joined) validate() error {
	var c checks
	m.Participant.check(&c)
	return c.err()
}

func (m Left) validate() error {
	var c checks
	c.length("participant", m.Participant, 1, MaxID)
	return c.err()
}

func (m Slots) validate() error {
	var c checks
	c.between("slots: entries", len(m.Slots), 0, MaxSlots)
	for i := range min(len(m.Slots), MaxSlots) {
		c.length("mid", m.Slots[i].Mid, 1, MaxID)
		c.medium(m.Slots[i].Medium)
		c.length("participant", m.Slots[i].Participant, 0, MaxID)
	}
	return c.err()
}

func (m SendCodecs) validate() error {
	var c checks
	c.between("media: entries", len(m.Media), 0, len(Media))
	for i := range min(len(m.Media), len(Media)) {
		c.medium(m.Media[i].Medium)
		c.length("codec", m.Media[i].Codec, 1, MaxID)
	}
	return c.err()
}

func (m SendLayers) validate() error {
	var c checks
	c.between("media: entries", len(m.Media), 0, len(Media))
	for i := range min(len(m.Media), len(Media)) {
		c.medium(m.Media[i].Medium)
		c.between("rids: entries", len(m.Media[i].RIDs), 0, MaxRIDs)
		for _, rid := range m.Media[i].RIDs[:min(len(m.Media[i].RIDs), MaxRIDs)] {
			c.length("rid", rid, 1, MaxID)
		}
	}
	return c.err()
}

func (m SendRates) validate() error {
	var c checks
	most := len(Media) * MaxRIDs
	c.between("ceilings: entries", len(m.Ceilings), 0, most)
	for _, one := range m.Ceilings[:min(len(m.Ceilings), most)] {
		c.medium(one.Medium)
		c.length("rid", one.RID, 0, MaxID)
		c.that(one.Bitrate > 0, "bitrate: 0 is no ceiling")
	}
	return c.err()
}

func (m Speaker) validate() error {
	var c checks
	c.length("participant", m.Participant, 0, MaxID)
	return c.err()
}

func (m Transports) validate() error {
	var c checks
	c.between("transports: entries", len(m.Transports), 0, len(Media))
	for i := range min(len(m.Transports), len(Media)) {
		t := m.Transports[i]
		c.medium(t.Medium)
		c.length("state", t.State, 1, MaxID)
		c.length("local", t.Local, 0, maxLine)
		c.length("remote", t.Remote, 0, maxLine)
		c.between("dscp", t.DSCP, -1, 63)
	}
	return c.err()
}

func (m Chat) validate() error {
	var c checks
	c.length("participant", m.Participant, 1, MaxID)
	c.length("name", m.Name, 0, MaxName)
	c.length("text", m.Text, 1, MaxChat)
	return c.err()
}

func (m Muted) validate() error {
	var c checks
	c.medium(m.Medium)
	c.length("by", m.By, 0, MaxID)
	return c.err()
}

func (m RoleChanged) validate() error {
	var c checks
	c.role(m.Role)
	return c.err()
}

func (m Drain) validate() error {
	var c checks
	c.length("reason", m.Reason, 0, MaxTitle)
	if m.On {
		c.between("left_s", m.LeftS, 1, MaxLeftS)
	} else {
		c.that(m.LeftS == 0 && m.Reason == "", "reason and left_s: only while on")
	}
	return c.err()
}

func (m Failure) validate() error {
	var c checks
	c.length("about", m.About, 0, MaxID)
	c.length("code", string(m.Error.Code), 1, MaxID)
	return c.err()
}

func (m Bye) validate() error {
	var c checks
	c.length("code", string(m.Error.Code), 1, MaxID)
	return c.err()
}

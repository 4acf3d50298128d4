package description

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Offer is a session description to be made.
type Offer struct {
	Session     uint64 // o= line, the same in all offers of a session
	Version     uint64 // grows with each offer
	Fingerprint Fingerprint
	Candidates  []netip.AddrPort // of the box, best first
	TCP         bool             // the same addresses take ICE-TCP
	Groups      []Group

	muxOnly bool // says so, RFC 8858
}

// Group is one BUNDLE group, which becomes one transport.
type Group struct {
	Ufrag, Pwd string
	Sections   []Section
}

// Section is one m= section.
type Section struct {
	Mid        string
	Stream     string // of the msid: sections of one stream are played in sync; default is Mid
	Kind       string // "audio" or "video"
	Send       bool   // the box sends (sendonly), else it receives (recvonly)
	Codecs     []Codec
	Extensions []Extension
	Encodings  []string // RIDs of the simulcast that the box takes, the smallest encoding first; nil for one encoding alone
	SSRC       uint32   // of what the box sends
	RTXSSRC    uint32   // of its retransmissions, 0 without
}

// Codec is one payload type.
type Codec struct {
	PayloadType uint8
	Name        string // encoding name
	ClockRate   uint32
	Channels    uint16 // 0 for what is not audio
	Parameters  string // a=fmtp
	Feedback    []string
	Repairs     uint8 // payload type that this one retransmits (a=fmtp apt), 0 for none
}

// Parameter returns the value of one of the parameters, "" without it.
func (c *Codec) Parameter(name string) string {
	for _, p := range strings.Split(c.Parameters, ";") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(p), name+"="); ok {
			return value
		}
	}
	return ""
}

// Extension is one a=extmap.
type Extension struct {
	ID  int
	URI string
}

// Marshal writes the offer. The box is an ICE-lite agent and, with a=setup:passive, the DTLS server.
func (o Offer) Marshal() (string, error) { return o.marshal(true) }

// marshal writes offers and answers, which differ in little.
func (o Offer) marshal(mixed bool) (string, error) {
	if len(o.Candidates) == 0 {
		return "", errors.New("write offer: no address to offer")
	}
	d := sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: o.Session, SessionVersion: o.Version,
			NetworkType: "IN", AddressType: "IP4", UnicastAddress: "127.0.0.1",
		},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	for _, g := range o.Groups {
		mids := make([]string, 0, len(g.Sections))
		for _, s := range g.Sections {
			mids = append(mids, s.Mid)
		}
		d.Attributes = append(d.Attributes, sdp.NewAttribute("group", "BUNDLE "+strings.Join(mids, " ")))
	}
	d.Attributes = append(d.Attributes,
		sdp.NewPropertyAttribute("ice-lite"),
		sdp.NewAttribute("msid-semantic", "WMS *"))
	if mixed {
		d.Attributes = append(d.Attributes, sdp.NewPropertyAttribute("extmap-allow-mixed"))
	}
	for _, g := range o.Groups {
		for i := range g.Sections {
			d.MediaDescriptions = append(d.MediaDescriptions, o.section(&g, i))
		}
	}
	b, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("write offer: %w", err)
	}
	return string(b), nil
}

// section writes one m= section. Candidates stand only in the first of a group, RFC 9143 section 7.2.
func (o *Offer) section(g *Group, i int) *sdp.MediaDescription {
	s := &g.Sections[i]
	m := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: s.Kind, Port: sdp.RangedPort{Value: 9}, Protos: []string{"UDP", "TLS", "RTP", "SAVPF"},
		},
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"},
		},
	}
	a := attributes{m}
	a.add("mid", s.Mid)
	a.add("ice-ufrag", g.Ufrag)
	a.add("ice-pwd", g.Pwd)
	a.add("fingerprint", o.Fingerprint.String())
	a.add("setup", "passive")
	a.flag("rtcp-mux")
	if o.muxOnly {
		a.flag("rtcp-mux-only")
	}
	a.flag("rtcp-rsize")
	if s.Send {
		a.flag("sendonly")
	} else {
		a.flag("recvonly")
	}
	for _, e := range s.Extensions {
		a.add("extmap", fmt.Sprintf("%d %s", e.ID, e.URI))
	}
	common := s.commonFeedback()
	for _, f := range common {
		a.add("rtcp-fb", "* "+f)
	}
	for i := range s.Codecs {
		a.codec(&s.Codecs[i], common == nil)
	}
	a.simulcast(s.Encodings)
	a.sources(s)
	if i == 0 {
		a.candidates(o.Candidates, o.TCP)
	}
	return m
}

// attributes writes attributes of one section.
type attributes struct{ m *sdp.MediaDescription }

func (a attributes) add(key, value string) {
	a.m.Attributes = append(a.m.Attributes, sdp.NewAttribute(key, value))
}

func (a attributes) flag(key string) {
	a.m.Attributes = append(a.m.Attributes, sdp.NewPropertyAttribute(key))
}

// commonFeedback returns what all of several codecs have, which is then written once: a page full of pictures makes long offers. It is nil
// when there is one codec, or they differ.
func (s *Section) commonFeedback() (common []string) {
	n := 0
	for i := range s.Codecs {
		c := &s.Codecs[i]
		if c.Repairs != 0 {
			continue
		}
		if n++; n > 1 && !slices.Equal(common, c.Feedback) {
			return nil
		}
		common = c.Feedback
	}
	if n < 2 {
		return nil
	}
	return common
}

func (a attributes) codec(c *Codec, feedback bool) {
	pt := strconv.Itoa(int(c.PayloadType))
	a.m.MediaName.Formats = append(a.m.MediaName.Formats, pt)
	name := fmt.Sprintf("%s %s/%d", pt, c.Name, c.ClockRate)
	if c.Channels > 0 {
		name += fmt.Sprintf("/%d", c.Channels)
	}
	a.add("rtpmap", name)
	for _, f := range c.Feedback {
		if feedback {
			a.add("rtcp-fb", pt+" "+f)
		}
	}
	switch {
	case c.Repairs != 0:
		a.add("fmtp", fmt.Sprintf("%s apt=%d", pt, c.Repairs))
	case c.Parameters != "":
		a.add("fmtp", pt+" "+c.Parameters)
	}
}

// simulcast offers to take several encodings of one picture. RFC 8853, section 5.1.
func (a attributes) simulcast(rids []string) {
	if len(rids) == 0 {
		return
	}
	for _, rid := range rids {
		a.add("rid", rid+" recv")
	}
	a.add("simulcast", "recv "+strings.Join(rids, ";"))
}

// cname is the same for all slots: they share the box's clock.
const cname = "meetzone"

func (a attributes) sources(s *Section) {
	if !s.Send {
		return
	}
	stream := s.Stream
	if stream == "" {
		stream = s.Mid
	}
	a.add("msid", stream+" "+s.Mid)
	if s.RTXSSRC != 0 {
		a.add("ssrc-group", fmt.Sprintf("FID %d %d", s.SSRC, s.RTXSSRC))
	}
	for _, ssrc := range []uint32{s.SSRC, s.RTXSSRC} {
		if ssrc != 0 {
			a.add("ssrc", fmt.Sprintf("%d cname:%s", ssrc, cname))
		}
	}
}

// candidates writes host candidates with the priorities of RFC 8445, section 5.1.2; those of TCP are passive and come after all of UDP
// (RFC 6544, section 4.2), and every relayed pair comes after them.
func (a attributes) candidates(list []netip.AddrPort, tcp bool) {
	const host, tcpHost, passive = 126, 105, 4 << 13
	for i, c := range list {
		priority := uint32(host)<<24 | uint32(max(0, 65535-i))<<8 | 255
		a.add("candidate", fmt.Sprintf("%d 1 udp %d %s %d typ host", i+1, priority, c.Addr().Unmap().WithZone(""), c.Port()))
	}
	for i, c := range list {
		if !tcp {
			break
		}
		priority := uint32(tcpHost)<<24 | uint32(passive+max(0, 8191-i))<<8 | 255
		a.add("candidate", fmt.Sprintf("%d 1 tcp %d %s %d typ host tcptype passive", len(list)+i+1, priority, c.Addr().Unmap().WithZone(""), c.Port()))
	}
	a.flag("end-of-candidates")
}

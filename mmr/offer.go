package mmr

import (
	"fmt"
	"strconv"
	"strings"

	"meetzone/dataplane"
	"meetzone/mmr/internal/description"
)

// The box offers, but to clients that do it themselves (clientoffer.go). Payload types and extension ids are the same for every client, so that
// nothing needs to be translated between them.

// transportSequenceURI names the extension for transport-wide numbers.
const transportSequenceURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

// dependencyURI names the dependency descriptor.
const dependencyURI = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

// extensionsOf returns the header extensions that a client puts on what it sends.
func extensionsOf(m Medium) []description.Extension {
	list := []description.Extension{
		{ID: extAbsSendTime, URI: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"},
		{ID: extTransportSequence, URI: transportSequenceURI},
		{ID: extMID, URI: "urn:ietf:params:rtp-hdrext:sdes:mid"},
	}
	if m != Audio {
		list = append(list, description.Extension{ID: extDependency, URI: dependencyURI})
	}
	switch m {
	case Audio:
		list = append(list, description.Extension{ID: extAudioLevel, URI: "urn:ietf:params:rtp-hdrext:ssrc-audio-level"})
	case Video:
		list = append(list,
			description.Extension{ID: extRID, URI: "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"},
			description.Extension{ID: extRepairedRID, URI: "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"})
	}
	return list
}

// slotExtensions returns the header extensions that the box puts on what it sends.
func slotExtensions(m Medium) []description.Extension {
	list := []description.Extension{{ID: extTransportSequence, URI: transportSequenceURI}}
	if m != Audio {
		list = append(list, description.Extension{ID: extDependency, URI: dependencyURI})
	}
	return list
}

// ridsOf returns the encodings of simulcast that the box takes of a medium, the smallest first. What is shared comes in one: it has to be
// readable.
func ridsOf(m Medium) []string {
	if m == Video {
		return []string{"l", "m", "h"}
	}
	return nil
}

// kindOf returns the kind of SDP section a medium has.
func kindOf(m Medium) string {
	if m == Audio {
		return "audio"
	}
	return "video"
}

// upMidOf and slotMid name the sections of a medium; parseMid reads them.
func upMidOf(m Medium) string { return m.String() + upMid }

// streamOf names the stream of a slot: the first pictures share one with a voice each, see place.
func streamOf(m Medium, i int) string {
	if m == Content || i >= AudioSlots {
		return slotMid(m, i)
	}
	return "person" + strconv.Itoa(i)
}

func slotMid(m Medium, index int) string { return m.String() + strconv.Itoa(index) }

// midOf is what a mid means.
type midOf struct {
	medium Medium
	up     bool
	slot   int
}

func parseMid(mid string) (is midOf, ok bool) {
	for m := Medium(0); int(m) < NumMedia; m++ {
		rest, found := strings.CutPrefix(mid, m.String())
		if !found {
			continue
		}
		if rest == upMid {
			return midOf{medium: m, up: true}, true
		}
		n, err := strconv.ParseUint(rest, 10, 8)
		return midOf{medium: m, slot: int(n)}, err == nil && slotMid(m, int(n)) == mid
	}
	return is, false
}

// offer prepares the next offer: see Endpoint.Offer.
func (e *endpoint) offer(now dataplane.Instant, fresh bool) (description.Offer, error) {
	ts := &e.transports
	switch {
	case e.cfg.ClientOffers:
		return description.Offer{}, ErrClientOffers
	case e.offers == 0: // as they were made
	case fresh:
		if e.next != nil {
			closeTransports(now, e.next)
		}
		next := e.newTransports(now)
		e.next, ts = &next, &next
	default:
		if e.next != nil {
			ts = e.next
		}
		for _, t := range distinct(ts) {
			if t.dtlsEnded {
				return description.Offer{}, fmt.Errorf("%w: %s", ErrNeedsFresh, t.media[0])
			}
		}
		for _, t := range distinct(ts) {
			t.restart()
		}
	}
	e.offers++
	return e.describe(ts), nil
}

// describe writes the offer of a set of transports as plain data.
func (e *endpoint) describe(ts *[NumMedia]*transport) description.Offer {
	o := description.Offer{Session: e.session, Version: e.offers, Fingerprint: e.m.r.identity.fingerprint}
	for _, t := range distinct(ts) {
		g := description.Group{Ufrag: t.creds.ufrag, Pwd: t.creds.pwd}
		for _, m := range t.media {
			g.Sections = append(g.Sections, e.sections(m)...)
		}
		o.Groups = append(o.Groups, g)
	}
	return o
}

// sections returns what the client may send of a medium, then its receive slots.
func (e *endpoint) sections(m Medium) (list []description.Section) {
	if e.up[m] != nil {
		list = append(list, description.Section{
			Mid: upMidOf(m), Kind: kindOf(m), Codecs: codecsOf(m, e.m.codecs), Extensions: extensionsOf(m), Encodings: ridsOf(m),
		})
	}
	for i, d := range e.slots[m] {
		list = append(list, description.Section{
			Mid: slotMid(m, i), Stream: streamOf(m, i), Kind: kindOf(m), Send: true, Codecs: codecsOf(m, e.m.codecs), Extensions: slotExtensions(m), SSRC: d.ssrc,
			RTXSSRC: d.rtxSSRC,
		})
	}
	return list
}

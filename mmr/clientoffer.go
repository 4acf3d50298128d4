package mmr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/description"
	"meetzone/mmr/internal/packet"
)

// Clients that make the offer themselves, as WHIP (RFC 9725) and WHEP have it: ReadOffer looks at what they want, Endpoint.Accept answers it,
// Endpoint.Restart restarts ICE. Mids, payload types, ids of header extensions and SSRCs are the client's; all media share one transport.

// ErrOffer says that an offer cannot be read, ErrUnacceptable that the box does not do what it asks for.
var (
	ErrOffer        = errors.New("mmr: the offer cannot be read")
	ErrUnacceptable = errors.New("mmr: the offer cannot be accepted")
)

// ICE is what a peer says of itself: the pair that names its ICE session. Another pair is a restart.
type ICE struct{ Ufrag, Pwd string }

// ClientOffer is an offer that the box can accept.
type ClientOffer struct {
	offer    *description.ClientOffer
	sections []offeredSection
}

// offeredSection is what will be done with one section.
type offeredSection struct {
	medium Medium
	codecs []description.Codec // under the client's payload types
	ids    []description.Extension
}

// ReadOffer reads an offer of a client that publishes, or that only watches. Errors wrap ErrOffer or ErrUnacceptable.
func ReadOffer(sdp string, publishes bool) (*ClientOffer, error) {
	parsed, err := description.ParseClientOffer(sdp)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOffer, err)
	}
	o := &ClientOffer{offer: parsed}
	seen := [NumMedia]bool{}
	for i := range parsed.Sections {
		s := &parsed.Sections[i]
		section, err := readSection(s, publishes)
		if err == nil && seen[section.medium] {
			err = fmt.Errorf("there is more than one section of %s, and one is taken", s.Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: section %q: %w", ErrUnacceptable, s.Mid, err)
		}
		seen[section.medium] = true
		o.sections = append(o.sections, section)
	}
	return o, nil
}

// readSection finds what can be done with a section.
func readSection(s *description.Accepted, publishes bool) (section offeredSection, err error) {
	switch s.Kind {
	case "audio":
		section.medium = Audio
	case "video":
		section.medium = Video
	default:
		return section, fmt.Errorf("the box takes audio and video, and no %q", s.Kind)
	}
	switch {
	case s.Rejected:
		return section, errors.New("its port is 0")
	case publishes && !s.Sends:
		return section, errors.New("who publishes must send, so that the direction has to be sendonly")
	case !publishes && !s.Gets:
		return section, errors.New("who watches must receive, so that the direction has to be recvonly")
	case s.Setup != "actpass" && s.Setup != "active":
		return section, fmt.Errorf("a=setup is %q; it has to be actpass or active, since the box is the DTLS server", s.Setup)
	case len(s.Fingerprints) == 0:
		return section, errors.New("it has no fingerprint of SHA-256 or better")
	}
	if section.codecs = commonCodecs(section.medium, s, publishes); len(section.codecs) == 0 {
		return section, fmt.Errorf("the box forwards %s here, and the offer has %s", codecNames(codecsOf(section.medium, allCodecs)), codecNames(s.Codecs))
	}
	section.ids = commonExtensions(slotExtensions(section.medium), s)
	if publishes {
		section.ids = slices.DeleteFunc(commonExtensions(extensionsOf(section.medium), s), func(x description.Extension) bool {
			return (x.URI == dependencyURI) != (x.ID == extDependency) // it is passed on as it comes, so that its id has to be the box's
		})
	}
	return section, nil
}

// commonCodecs returns the codecs that the box and the client have, with their retransmissions, under the client's payload types. Of a
// publisher it is the best, so that it sends no other; a watcher may be sent all.
func commonCodecs(m Medium, s *description.Accepted, publishes bool) (list []description.Codec) {
	for _, ours := range codecsOf(m, allCodecs) {
		if ours.Repairs != 0 || publishes && len(list) > 0 && kindNamed(list[0].Name) != codec.RED {
			continue
		}
		i := slices.IndexFunc(s.Codecs, func(theirs description.Codec) bool { return compatible(&ours, &theirs) })
		if i < 0 {
			continue
		}
		theirs := s.Codecs[i]
		if kindNamed(ours.Name) == codec.RED {
			if !prefersRED(s.Codecs, i, publishes) {
				continue
			}
			ours.Parameters = theirs.Parameters
		}
		ours.PayloadType = theirs.PayloadType
		ours.Feedback = slices.DeleteFunc(slices.Clone(ours.Feedback), func(f string) bool { return !slices.Contains(theirs.Feedback, f) })
		list = append(list, ours)
		for _, c := range s.Codecs {
			if strings.EqualFold(c.Name, "rtx") && c.Repairs == theirs.PayloadType && c.ClockRate == ours.ClockRate {
				list = append(list, description.Codec{PayloadType: c.PayloadType, Name: c.Name, ClockRate: c.ClockRate, Repairs: c.Repairs})
				break
			}
		}
	}
	return list
}

// prefersRED tells whether redundant speech is to be agreed on: with who watches, if they have Opus too, and with who publishes, if they
// would rather send that.
func prefersRED(theirs []description.Codec, red int, publishes bool) bool {
	opus := slices.IndexFunc(theirs, func(c description.Codec) bool { return kindNamed(c.Name) == codec.Opus })
	return opus >= 0 && (!publishes || red < opus)
}

// formatsOf returns codecs under their payload types.
func formatsOf(list []description.Codec) (f formats) {
	for _, c := range list {
		if c.Repairs == 0 {
			f[kindNamed(c.Name)] = format{pt: c.PayloadType, nack: slices.Contains(c.Feedback, "nack")}
		}
	}
	for _, c := range list {
		if kind, rtx := f.find(c.Repairs); c.Repairs != 0 && kind != codec.Unknown && !rtx {
			f[kind].rtx = c.PayloadType
		}
	}
	return f
}

// codecNames lists codecs for a person.
func codecNames(list []description.Codec) string {
	var names []string
	for _, c := range list {
		if c.Name != "" && !strings.EqualFold(c.Name, "rtx") && !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names[:min(len(names), 8)], ", ")
}

// commonExtensions returns the extensions that the router knows and the client has too, under the client's ids.
func commonExtensions(known []description.Extension, s *description.Accepted) (list []description.Extension) {
	for _, ours := range known {
		i := slices.IndexFunc(s.Extensions, func(theirs description.Extension) bool { return theirs.URI == ours.URI })
		if i >= 0 && s.Extensions[i].ID <= packet.MaxOneByteID { // larger ones need two-byte elements, which would have to be agreed on
			list = append(list, s.Extensions[i])
		}
	}
	return list
}

// ICE returns the client's part of the ICE session that the offer begins.
func (o *ClientOffer) ICE() ICE { return ICE{o.offer.Ufrag, o.offer.Pwd} }

// Media says which media the offer has: of a publisher what it sends, of a watcher what it wants to be sent.
func (o *ClientOffer) Media() (media [NumMedia]bool) {
	for _, s := range o.sections {
		media[s.medium] = true
	}
	return media
}

// ReadFragment reads what a client says later of its ICE (application/trickle-ice-sdpfrag, RFC 8840). Its candidates need not be known: an
// ICE-lite agent answers checks and sends none. Errors wrap ErrOffer.
func ReadFragment(text string) (ICE, error) {
	f, err := description.ParseFragment(text)
	if err != nil {
		return ICE{}, fmt.Errorf("%w: %w", ErrOffer, err)
	}
	return ICE(f), nil
}

// Accept takes the client's offer and returns the answer. To be called once.
func (p *Endpoint) Accept(ctx context.Context, o *ClientOffer) (string, error) {
	candidates := p.m.r.candidates()
	replied := make(chan description.Reply, 1)
	err := p.do(ctx, func(now dataplane.Instant) error {
		reply, err := p.e.acceptOffer(now, o)
		reply.Candidates, reply.TCP = candidates, p.m.r.cfg.TCP
		replied <- reply
		return err
	})
	if err != nil {
		return "", fmt.Errorf("accept offer: %w", err)
	}
	return (<-replied).Marshal()
}

// acceptOffer makes the endpoint's tracks those of the offer.
func (e *endpoint) acceptOffer(now dataplane.Instant, o *ClientOffer) (description.Reply, error) {
	if !e.cfg.ClientOffers || e.offers > 0 {
		return description.Reply{}, ErrClientOffers
	}
	t := e.live()[0]
	group := description.Group{Ufrag: t.creds.ufrag, Pwd: t.creds.pwd}
	t.ids = extensionIDs{}
	var list []answered
	for i := range o.sections {
		s, theirs := &o.sections[i], &o.offer.Sections[i]
		entry := answered{Medium: s.medium, Mid: theirs.Mid, Up: e.up[s.medium] != nil, Formats: formatsOf(s.codecs)}
		section := description.Section{Mid: theirs.Mid, Kind: theirs.Kind, Codecs: s.codecs}
		switch {
		case entry.Up:
			e.cfg.Adapts = e.cfg.Adapts || slices.Contains(s.codecs[0].Feedback, "goog-remb")
			section.Extensions = t.ids.agree(s.ids)
			if section.Encodings = t.ids.encodings(s.medium, theirs); section.Encodings != nil {
				entry.RIDs = section.Encodings
			} else {
				entry.takeSource(theirs)
			}
		case len(e.slots[s.medium]) > 0:
			d := e.slots[s.medium][0]
			section.Extensions, entry.Numbering = s.ids, numberingOf(theirs, &s.codecs[0])
			section.Send, section.Stream, section.SSRC = true, streamOf(s.medium, 0), d.ssrc
			if o.offer.Mixed {
				entry.Dependency = extensionID(theirs, dependencyURI)
			}
			if slices.ContainsFunc(s.codecs, func(c description.Codec) bool { return c.Repairs != 0 }) {
				section.RTXSSRC = d.rtxSSRC
			}
		default:
			return description.Reply{}, fmt.Errorf("%w: the endpoint has no %s", ErrUnacceptable, s.medium)
		}
		list = append(list, entry)
		group.Sections = append(group.Sections, section)
	}
	e.offers++
	e.firstMid, e.firstKind = group.Sections[0].Mid, group.Sections[0].Kind
	e.applyAnswer(now, list)
	t.accept(o.offer.Sections[0].Fingerprints)
	reply := description.Reply{Mixed: o.offer.Mixed}
	reply.Session, reply.Version, reply.Fingerprint, reply.Groups = e.session, e.offers, e.m.r.identity.fingerprint, []description.Group{group}
	return reply, nil
}

// agree notes the ids of extensions, and returns those that are the same in all sections of the transport. RFC 9143, section 8.
func (ids *extensionIDs) agree(list []description.Extension) (agreed []description.Extension) {
	for _, x := range list {
		id := ids.of(x.URI)
		if id == nil {
			agreed = append(agreed, x) // for its sender alone
			continue
		}
		if *id == 0 {
			*id = uint8(x.ID)
		}
		if *id == uint8(x.ID) {
			agreed = append(agreed, x)
		}
	}
	return agreed
}

// encodings returns the RIDs of a client's simulcast that are taken: as many as there are encodings, in its order, which is taken to begin with
// the smallest. nil without simulcast, and where packets would not say what they are of.
func (ids *extensionIDs) encodings(m Medium, s *description.Accepted) []string {
	if m != Video || ids.rid == 0 || len(s.RIDs) < 2 {
		return nil
	}
	return s.RIDs[:min(len(s.RIDs), maxEncodings)]
}

// of returns where the id of an extension is kept, nil for one that the router does not read.
func (ids *extensionIDs) of(uri string) *uint8 {
	for _, x := range append(extensionsOf(Audio), extensionsOf(Video)...) {
		if x.URI != uri {
			continue
		}
		switch x.ID {
		case extAudioLevel:
			return &ids.audioLevel
		case extTransportSequence:
			return &ids.transportSequence
		case extMID:
			return &ids.mid
		case extRID:
			return &ids.rid
		case extRepairedRID:
			return &ids.repairedRID
		case extDependency:
			return &ids.dependency
		}
	}
	return nil
}

// Restart restarts ICE at the wish of a client that offers, and returns the answer as a fragment. ErrNeedsFresh says that it cannot be
// done, and that the client has to begin anew.
func (p *Endpoint) Restart(ctx context.Context) (string, error) {
	candidates := p.m.r.candidates()
	restarted := make(chan description.Restart, 1)
	err := p.do(ctx, func(dataplane.Instant) error {
		r, err := p.e.restartOffered()
		r.Candidates, r.TCP = candidates, p.m.r.cfg.TCP
		restarted <- r
		return err
	})
	if err != nil {
		return "", fmt.Errorf("restart ICE: %w", err)
	}
	return (<-restarted).Marshal(), nil
}

// restartOffered gives the endpoint's transport new credentials.
func (e *endpoint) restartOffered() (description.Restart, error) {
	if !e.cfg.ClientOffers || e.offers == 0 {
		return description.Restart{}, ErrClientOffers
	}
	t := e.live()[0]
	if t.dtlsEnded {
		return description.Restart{}, ErrNeedsFresh
	}
	t.restart()
	return description.Restart{Ufrag: t.creds.ufrag, Pwd: t.creds.pwd, Mid: e.firstMid, Kind: e.firstKind}, nil
}

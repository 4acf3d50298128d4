package mmr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/description"
	"meetzone/mmr/internal/packet"
)

// answer takes what the client answered to the latest offer. Nothing changes unless all of it can be used.
func (e *endpoint) answer(now dataplane.Instant, a *description.Answer) error {
	ts := &e.transports
	if e.next != nil {
		ts = e.next
	}
	if e.offers == 0 {
		return ErrNotOffered
	}
	sections, err := e.acceptedSections(a)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	peers, err := peersOf(ts, a)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if e.next != nil {
		e.retire(now)
		e.transports, e.next = *ts, nil
	}
	e.applyAnswer(now, sections)
	for t, fingerprints := range peers {
		t.accept(fingerprints)
	}
	return nil
}

// retireWithin is how long transports go on while their successors connect.
const retireWithin = dataplane.Instant(5 * time.Second)

// retire gives the present transports to their successors: those that work go on sending until these are connected.
func (e *endpoint) retire(now dataplane.Instant) {
	closeTransports(now, &e.former)
	e.former = e.transports
	for _, t := range distinct(&e.former) {
		if t.ready() {
			t.retired = now + retireWithin
		} else {
			t.close(now)
		}
	}
}

// succeeded ends what a transport that has connected took the place of.
func (e *endpoint) succeeded(now dataplane.Instant, t *transport) {
	for _, m := range t.media {
		if old := e.former[m]; old != nil && old != t {
			old.close(now)
			e.former[m] = nil
		}
	}
}

// acceptedSections translates the accepted sections for forwarding.
func (e *endpoint) acceptedSections(a *description.Answer) (list []answered, err error) {
	for i := range a.Sections {
		s := &a.Sections[i]
		is, ok := parseMid(s.Mid)
		if !ok || is.up && e.up[is.medium] == nil || !is.up && is.slot >= len(e.slots[is.medium]) {
			return nil, fmt.Errorf("mid %q was not offered", s.Mid)
		}
		if s.Rejected || is.up && !s.Sends || !is.up && !s.Gets {
			continue
		}
		entry := answered{Medium: is.medium, Up: is.up, Slot: is.slot}
		if err := entry.takeCodecs(s); err != nil {
			return nil, fmt.Errorf("mid %q: %w", s.Mid, err)
		}
		if is.up {
			entry.takeSources(s)
		}
		list = append(list, entry)
	}
	if len(list) == 0 {
		return nil, errors.New("it accepts nothing")
	}
	return list, nil
}

// takeCodecs finds the payload types that were offered, and their retransmissions.
func (x *answered) takeCodecs(s *description.Accepted) error {
	for i := range s.Codecs {
		c := &s.Codecs[i]
		kind := kindNamed(c.Name)
		offered := &offeredFormats[kind]
		if kind == codec.Unknown || kind.Video() == (x.Medium == Audio) || c.PayloadType != offered.pt || c.ClockRate != kind.ClockRate() {
			continue
		}
		f := format{pt: offered.pt, nack: slices.Contains(c.Feedback, "nack")}
		if rtx, ok := s.Codec(offered.rtx); ok && offered.rtx != 0 && strings.EqualFold(rtx.Name, "rtx") && rtx.Repairs == offered.pt {
			f.rtx = offered.rtx
		}
		x.Formats[kind] = f
		if x.Numbering == 0 {
			x.Numbering = numberingOf(s, c)
		}
	}
	if x.Formats[codec.Opus].pt == 0 {
		x.Formats[codec.RED] = format{}
	}
	if x.Formats.set() == 0 {
		return errors.New("no codec in common")
	}
	if s.Mixed && !x.Up {
		x.Dependency = extensionID(s, dependencyURI)
	}
	return nil
}

// numberingOf returns the id under which a client takes transport-wide numbers, 0 when it gives no feedback about them.
func numberingOf(s *description.Accepted, c *description.Codec) uint8 {
	if !slices.Contains(c.Feedback, "transport-cc") {
		return 0
	}
	return extensionID(s, transportSequenceURI)
}

// extensionID returns the id under which a client takes an extension, 0 when it does not.
func extensionID(s *description.Accepted, uri string) uint8 {
	for _, x := range s.Extensions {
		if x.URI == uri && x.ID <= packet.MaxOneByteID {
			return uint8(x.ID)
		}
	}
	return 0
}

// takeSources finds the encodings that the client sends, or without simulcast the SSRC: the one that is not a retransmission.
func (x *answered) takeSources(s *description.Accepted) {
	for _, rid := range ridsOf(x.Medium) {
		if slices.Contains(s.RIDs, rid) {
			x.RIDs = append(x.RIDs, rid)
		}
	}
	if len(x.RIDs) == 0 {
		x.takeSource(s)
	}
}

// takeSource finds the SSRC that is sent without simulcast.
func (x *answered) takeSource(s *description.Accepted) {
	repairs := map[uint32]bool{}
	for _, r := range s.Retransmission {
		repairs[r] = true
	}
	for _, ssrc := range s.SSRCs {
		if !repairs[ssrc] {
			x.SSRC, x.RTXSSRC = ssrc, s.Retransmission[ssrc]
			return
		}
	}
}

// peersOf finds the fingerprint of the peer of each transport that the answer accepts.
func peersOf(ts *[NumMedia]*transport, a *description.Answer) (map[*transport][]description.Fingerprint, error) {
	peers := map[*transport][]description.Fingerprint{}
	for i := range a.Sections {
		s := &a.Sections[i]
		is, ok := parseMid(s.Mid)
		if !ok || s.Rejected || ts[is.medium] == nil {
			continue
		}
		t := ts[is.medium]
		if _, known := peers[t]; known {
			continue // the sections of one group share a transport, RFC 9143 section 7.4
		}
		if s.Setup != "active" {
			return nil, fmt.Errorf("mid %q: a=setup is %q and must be active", s.Mid, s.Setup)
		}
		if len(s.Fingerprints) == 0 {
			return nil, fmt.Errorf("mid %q: no fingerprint of SHA-256 or better", s.Mid)
		}
		if t.answered && !slices.EqualFunc(t.fingerprints, s.Fingerprints, description.Fingerprint.Equal) {
			return nil, fmt.Errorf("mid %q: an ICE restart cannot change the fingerprint", s.Mid)
		}
		peers[t] = s.Fingerprints
	}
	return peers, nil
}

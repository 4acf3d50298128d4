package client

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"meetzone/zonectl/wire"
)

// maxSections bounds the media sections of a description: three to send, three audio slots, one of content and the video slots, with some room.
const maxSections = 64

var (
	errDescription = errors.New("unusable description")
	errNoCandidate = errors.New("the router offers no UDP address")
)

// description is an SDP taken apart into lines: those of the session, and the media sections. Nothing is understood but what splitting and merging need.
type description struct {
	session  []string
	sections []section
}

// section is one media section: its lines, beginning with "m=", and its mid.
type section struct {
	lines []string
	mid   string
}

// part is what one PeerConnection sees of an offer: one BUNDLE group.
type part struct {
	medium wire.Medium
	sdp    string
}

// parseDescription takes an SDP apart.
func parseDescription(sdp string) (description, error) {
	var d description
	if len(sdp) > wire.MaxMessage {
		return d, fmt.Errorf("%w: %d bytes", errDescription, len(sdp))
	}
	for line := range strings.Lines(sdp) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "m=") {
			if len(d.sections) == maxSections {
				return d, fmt.Errorf("%w: more than %d media sections", errDescription, maxSections)
			}
			d.sections = append(d.sections, section{})
		}
		if len(d.sections) == 0 {
			d.session = append(d.session, line)
			continue
		}
		s := &d.sections[len(d.sections)-1]
		s.lines = append(s.lines, line)
		if mid, found := strings.CutPrefix(line, "a=mid:"); found {
			s.mid = mid
		}
	}
	if len(d.session) == 0 || !strings.HasPrefix(d.session[0], "v=") {
		return d, fmt.Errorf("%w: does not begin with v=", errDescription)
	}
	return d, d.checkMids()
}

// checkMids makes sure that every section can be told by its mid.
func (d description) checkMids() error {
	seen := make(map[string]bool, len(d.sections))
	for i, s := range d.sections {
		if s.mid == "" || strings.ContainsAny(s.mid, " \t") || seen[s.mid] {
			return fmt.Errorf("%w: section %d has no mid of its own", errDescription, i)
		}
		seen[s.mid] = true
	}
	return nil
}

// bundles returns the mids of each BUNDLE group.
func (d description) bundles() [][]string {
	var groups [][]string
	for _, line := range d.session {
		if group, found := strings.CutPrefix(line, bundlePrefix); found {
			groups = append(groups, strings.Fields(group))
		}
	}
	return groups
}

const bundlePrefix = "a=group:BUNDLE"

// String writes the description with CRLF after each line.
func (d description) String() string {
	var b strings.Builder
	for _, line := range d.session {
		b.WriteString(line + "\r\n")
	}
	for _, s := range d.sections {
		for _, line := range s.lines {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}

// splitOffer cuts the router's offer into one description per BUNDLE group, which is one per medium, in the order of the groups.
func splitOffer(sdp string) ([]part, error) {
	offer, err := parseDescription(sdp)
	if err != nil {
		return nil, err
	}
	var parts []part
	taken := 0
	for _, group := range offer.bundles() {
		one := description{session: withGroups(offer.session, [][]string{group})}
		for _, s := range offer.sections {
			if slices.Contains(group, s.mid) {
				one.sections = append(one.sections, s)
			}
		}
		if len(one.sections) == 0 || len(one.sections) != len(group) {
			return nil, fmt.Errorf("%w: group %v names sections that are not there", errDescription, group)
		}
		medium, err := groupMedium(group)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(parts, func(p part) bool { return p.medium == medium }) {
			return nil, fmt.Errorf("%w: two groups of %s", errDescription, medium)
		}
		taken += len(one.sections)
		parts = append(parts, part{medium: medium, sdp: one.String()})
	}
	if taken != len(offer.sections) {
		return nil, fmt.Errorf("%w: sections outside of the groups", errDescription)
	}
	return parts, nil
}

// groupMedium is the medium whose name begins all mids of a group.
func groupMedium(group []string) (wire.Medium, error) {
	var medium wire.Medium
	for i, mid := range group {
		of := midMedium(mid)
		if of == "" || (i > 0 && of != medium) {
			return "", fmt.Errorf("%w: group %v is not of one medium", errDescription, group)
		}
		medium = of
	}
	return medium, nil
}

// midMedium is the medium that a mid begins with: "audio-up" and "audio0" are audio.
func midMedium(mid string) wire.Medium {
	for _, medium := range wire.Media {
		rest, found := strings.CutPrefix(mid, string(medium))
		if !found {
			continue
		}
		if _, err := strconv.ParseUint(rest, 10, 8); err == nil || rest == "-up" {
			return medium
		}
	}
	return ""
}

// withGroups returns the session's lines with other BUNDLE groups.
func withGroups(session []string, groups [][]string) []string {
	lines := slices.DeleteFunc(slices.Clone(session), func(line string) bool { return strings.HasPrefix(line, bundlePrefix) })
	at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "a=") })
	if at < 0 {
		at = len(lines)
	}
	var add []string
	for _, group := range groups {
		add = append(add, bundlePrefix+" "+strings.Join(group, " "))
	}
	return slices.Insert(lines, at, add...)
}

// perTransport are the attributes that differ between the answers and may stand at session level there.
var perTransport = []string{"a=fingerprint:", "a=setup:", "a=ice-ufrag:", "a=ice-pwd:", "a=ice-options:"}

// mergeAnswers puts the answers of the PeerConnections together to the answer to the whole offer: its sections in its order, its groups.
func mergeAnswers(offerSDP string, answers []string) (string, error) {
	offer, err := parseDescription(offerSDP)
	if err != nil {
		return "", err
	}
	found := make(map[string]section)
	var merged description
	var groups [][]string
	for _, sdp := range answers {
		answer, err := parseDescription(sdp)
		if err != nil {
			return "", err
		}
		if merged.session == nil {
			merged.session = slices.DeleteFunc(slices.Clone(answer.session), isPerTransport)
		}
		groups = append(groups, answer.bundles()...)
		for _, s := range answer.sections {
			if _, twice := found[s.mid]; twice {
				return "", fmt.Errorf("%w: two answers to section %s", errDescription, s.mid)
			}
			found[s.mid] = s.inherit(answer.session)
		}
	}
	for _, s := range offer.sections {
		answer, ok := found[s.mid]
		if !ok {
			return "", fmt.Errorf("%w: no answer to section %s", errDescription, s.mid)
		}
		merged.sections = append(merged.sections, answer)
	}
	if len(found) != len(offer.sections) {
		return "", fmt.Errorf("%w: answers to sections that were not offered", errDescription)
	}
	merged.session = withGroups(merged.session, groups)
	return merged.String(), nil
}

func isPerTransport(line string) bool {
	return slices.ContainsFunc(perTransport, func(prefix string) bool { return strings.HasPrefix(line, prefix) })
}

// inherit moves what the session says of its transport into the section, unless the section says so itself.
func (s section) inherit(session []string) section {
	lines := slices.Clone(s.lines)
	for _, prefix := range perTransport {
		has := func(line string) bool { return strings.HasPrefix(line, prefix) }
		if i := slices.IndexFunc(session, has); i >= 0 && !slices.ContainsFunc(s.lines, has) {
			lines = append(lines, session[i])
		}
	}
	return section{lines: lines, mid: s.mid}
}

// withoutNames takes candidates out of an answer that are no addresses but the names of stream sockets.
func withoutNames(sdp string) string {
	var b strings.Builder
	for line := range strings.Lines(sdp) {
		fields := strings.Fields(line)
		if strings.HasPrefix(line, "a=candidate:") && len(fields) > 5 && (fields[5] == strconv.Itoa(tcpName) || fields[5] == strconv.Itoa(tlsName)) {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// candidates returns the router's addresses of a protocol that an offer names, each once.
func candidates(sdp, protocol string) []netip.AddrPort {
	var found []netip.AddrPort
	for line := range strings.Lines(sdp) {
		rest, is := strings.CutPrefix(line, "a=candidate:")
		fields := strings.Fields(rest)
		if !is || len(fields) < 6 || !strings.EqualFold(fields[2], protocol) || len(found) == maxSections {
			continue
		}
		address, err := netip.ParseAddr(fields[4])
		port, errPort := strconv.ParseUint(fields[5], 10, 16)
		if err != nil || errPort != nil || port == 0 {
			continue
		}
		if remote := netip.AddrPortFrom(address, uint16(port)); !slices.Contains(found, remote) {
			found = append(found, remote)
		}
	}
	return found
}

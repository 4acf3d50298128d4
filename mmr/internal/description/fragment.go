package description

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/pion/sdp/v3"
)

// Fragment is a piece of a description that carries ICE alone: more candidates, or an ICE restart. RFC 8840, section 9.
type Fragment struct {
	Ufrag, Pwd string
}

// Bounds of what is read.
const (
	MaxFragment      = 64 << 10
	maxFragmentLines = 1024
	maxICEValue      = 256 // RFC 8839, section 5.4
)

// ParseFragment reads a fragment. The candidates in it are looked at by nobody: the client reaches the box, never the other way round.
func ParseFragment(text string) (Fragment, error) {
	var f Fragment
	if len(text) > MaxFragment {
		return f, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(text))
	}
	lines := 0
	for line := range strings.Lines(text) {
		if lines++; lines > maxFragmentLines {
			return f, fmt.Errorf("%w: more than %d lines", ErrTooLarge, maxFragmentLines)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		kind, value, ok := strings.Cut(line, "=")
		if !ok || len(kind) != 1 || kind[0] < 'a' || kind[0] > 'z' {
			return f, fmt.Errorf("%w: line %d", ErrFragment, lines)
		}
		if kind == "a" {
			f.take(value)
		}
	}
	if f.Ufrag == "" || f.Pwd == "" || len(f.Ufrag) > maxICEValue || len(f.Pwd) > maxICEValue {
		return Fragment{}, fmt.Errorf("%w: %w", ErrFragment, ErrNoICE)
	}
	return f, nil
}

// take reads an attribute. What stands first counts: the sections of a bundle have the same.
func (f *Fragment) take(attribute string) {
	key, value, _ := strings.Cut(attribute, ":")
	switch {
	case key == "ice-ufrag" && f.Ufrag == "":
		f.Ufrag = value
	case key == "ice-pwd" && f.Pwd == "":
		f.Pwd = value
	}
}

// Restart is the answer to an ICE restart: the box's new credentials, and its candidates, which stay the same.
type Restart struct {
	Ufrag, Pwd string
	Mid, Kind  string // of the section that carries the candidates
	Candidates []netip.AddrPort
	TCP        bool // the same addresses take ICE-TCP
}

// Marshal writes the fragment.
func (r Restart) Marshal() string {
	m := &sdp.MediaDescription{}
	a := attributes{m}
	a.add("mid", r.Mid)
	a.candidates(r.Candidates, r.TCP)
	var b strings.Builder
	b.WriteString("a=ice-lite\r\na=ice-ufrag:" + r.Ufrag + "\r\na=ice-pwd:" + r.Pwd + "\r\nm=" + r.Kind + " 9 RTP/AVP 0\r\n")
	for _, attr := range m.Attributes {
		b.WriteString("a=" + attr.String() + "\r\n")
	}
	return b.String()
}

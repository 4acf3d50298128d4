package description

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Why the offer of a client was refused.
var (
	ErrNotBundled = errors.New("the sections are not all in one BUNDLE group")
	ErrNoICE      = errors.New("there is no ice-ufrag or ice-pwd")
)

// ClientOffer is the offer of a client that makes the offers itself: its sections are read like those of an answer, and all of them are in
// one BUNDLE group, so that they become one transport.
type ClientOffer struct {
	Sections []Accepted
	// Ufrag and Pwd are the client's. They are only compared: an ICE-lite agent sends no checks.
	Ufrag, Pwd string
	// Mixed tells that the client takes one-byte and two-byte header extensions together (a=extmap-allow-mixed).
	Mixed bool
}

// ParseClientOffer reads an offer.
func ParseClientOffer(text string) (*ClientOffer, error) {
	d, err := parse(text)
	if err != nil {
		return nil, err
	}
	a, err := answerOf(d)
	if err != nil {
		return nil, err
	}
	o := &ClientOffer{Sections: a.Sections}
	if len(o.Sections) == 0 {
		return nil, fmt.Errorf("%w: it has no section", ErrSyntax)
	}
	_, o.Mixed = d.Attribute("extmap-allow-mixed")
	for i := range o.Sections {
		if o.Sections[i].Mid == "" {
			return nil, fmt.Errorf("%w: section %d has no a=mid", ErrSyntax, i)
		}
	}
	if !o.bundled(d.Attribute("group")) && len(o.Sections) > 1 {
		return nil, ErrNotBundled
	}
	first := &o.Sections[0]
	if o.Ufrag, o.Pwd = first.Ufrag, first.Pwd; o.Ufrag == "" || o.Pwd == "" {
		return nil, ErrNoICE
	}
	return o, nil
}

// bundled tells whether a group holds all sections.
func (o *ClientOffer) bundled(group string, _ bool) bool {
	fields := strings.Fields(group)
	if len(fields) == 0 || fields[0] != "BUNDLE" {
		return false
	}
	return !slices.ContainsFunc(o.Sections, func(s Accepted) bool { return !slices.Contains(fields[1:], s.Mid) })
}

// Reply is the answer to a client's offer. Its sections are those of the offer, in their order.
type Reply struct {
	Offer
	Mixed bool
}

// Marshal writes the answer.
func (r Reply) Marshal() (string, error) {
	r.muxOnly = true
	return r.Offer.marshal(r.Mixed)
}

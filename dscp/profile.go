package dscp

import (
	"errors"
	"fmt"
)

// Mark is how the network is to treat one class.
type Mark struct {
	CodePoint CodePoint
	Priority  uint8 // IEEE 802.1p, 0 to 7
	Band      uint8 // of the box's own queues, 0 is served first
}

// Profile is a named policy.
type Profile struct {
	Name  string
	Marks [NumClasses]Mark
}

// The names of the profiles.
const (
	ProfileRFC4594 = "rfc4594"
	ProfileWebex   = "webex"
	ProfileZoom    = "zoom"
	ProfileOff     = "off"
	ProfileCustom  = "custom"
)

// ProfileNames lists the names in the order in which they are offered.
var ProfileNames = []string{ProfileRFC4594, ProfileWebex, ProfileZoom, ProfileOff, ProfileCustom}

// ErrProfile says that a name is no profile.
var ErrProfile = errors.New("unknown DSCP profile: use rfc4594, webex, zoom, off or custom")

// ShippedProfile returns the profile of that name; "" is rfc4594. A custom profile starts as a copy of rfc4594, see With.
func ShippedProfile(name string) (Profile, error) {
	p := rfc4594()
	switch name {
	case "", ProfileRFC4594:
		return p, nil
	case ProfileCustom:
		p.Name = name
		return p, nil
	case ProfileWebex: // the marks of Webex's media node: content shares the video's point
		p.Name = name
		return p.With(map[Class]CodePoint{Signalling: CS3, Content: AF41})
	case ProfileZoom: // what Zoom's administrators are told to expect of its clients
		p.Name = name
		return p.With(map[Class]CodePoint{Audio: CS7, Video: CS5, Content: CS5})
	case ProfileOff:
		p.Name = name
		for c := range p.Marks {
			p.Marks[c] = Mark{Band: p.Marks[c].Band}
		}
		return p, nil
	}
	return Profile{}, fmt.Errorf("%q: %w", name, ErrProfile)
}

// rfc4594 has three distinct points for the three media: telephony EF, multimedia conferencing AF41, and AF42 for
// content, which a network drops before the faces when it must (RFC 4594, sections 4.1 and 4.3).
func rfc4594() Profile {
	var p Profile
	p.Name = ProfileRFC4594
	p.Marks[Audio] = Mark{EF, 6, 0}
	p.Marks[Video] = Mark{AF41, 5, 2}
	p.Marks[Content] = Mark{AF42, 5, 2}
	p.Marks[Signalling] = Mark{CS5, 3, 1}
	p.Marks[Cluster] = Mark{CS3, 3, 1}
	p.Marks[Management] = Mark{CS2, 2, 3}
	p.Marks[Bulk] = Mark{LE, 1, 4}
	return p
}

// With returns the profile with other code points for some classes.
func (p Profile) With(points map[Class]CodePoint) (Profile, error) {
	for class, point := range points {
		if int(class) >= NumClasses {
			return Profile{}, fmt.Errorf("class %d does not exist", class)
		}
		if point > MaxCode {
			return Profile{}, fmt.Errorf("%s %d: %w", class, point, ErrCodePoint)
		}
		p.Marks[class].CodePoint = point
	}
	return p, nil
}

// Points returns what a sender needs.
func (p Profile) Points() Marks {
	var m Marks
	for c := range p.Marks {
		m[c] = p.Marks[c].CodePoint
	}
	return m
}

// Warnings names what is unwise about a custom profile, each as a sentence with its reason. Shipped profiles have none:
// their oddities are what the networks they are made for expect.
func (p Profile) Warnings() []string {
	if p.Name != ProfileCustom {
		return nil
	}
	var out []string
	for c, m := range p.Marks {
		if m.CodePoint == CS6 || m.CodePoint == CS7 {
			out = append(out, fmt.Sprintf("%s on %s: switches and routers keep this point for their own control traffic (RFC 4594, section 3.2) and may police or erase it",
				Class(c), m.CodePoint))
		}
	}
	out = append(out, p.orderWarnings()...)
	media := []Class{Audio, Video, Content}
	for i, a := range media {
		for _, b := range media[i+1:] {
			if p.Marks[a].CodePoint == p.Marks[b].CodePoint {
				out = append(out, fmt.Sprintf("%s and %s share %s: the network cannot tell them apart", a, b, p.Marks[a].CodePoint))
			}
		}
	}
	return out
}

// orderWarnings names what is unwise about 802.1p priorities and bands.
func (p Profile) orderWarnings() (out []string) {
	for c, m := range p.Marks {
		if m.Priority == 7 {
			out = append(out, fmt.Sprintf("%s has the 802.1p priority 7: switches keep it for their own control traffic (IEEE 802.1Q, annex I)", Class(c)))
		}
		if Class(c) != Audio && m.Band < p.Marks[Audio].Band {
			out = append(out, fmt.Sprintf("%s is in band %d and served before audio in band %d: speech suffers first when the link is full", Class(c), m.Band, p.Marks[Audio].Band))
		}
	}
	return out
}

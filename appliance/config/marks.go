package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"meetzone/dscp"
)

// DSCP is the marking policy.
type DSCP struct {
	Profile    string          `yaml:"profile" values:"rfc4594|webex|zoom|off|custom" help:"rfc4594, webex, zoom, off or custom"`
	Custom     ClassMark       `yaml:"custom" help:"code points of the profile custom; empty: as rfc4594. A number from 0 to 63 or a name such as EF"`
	Priority   ClassNumber     `yaml:"priority" help:"802.1p priorities of the profile custom, 0 to 7; empty: as rfc4594"`
	Band       ClassNumber     `yaml:"band" help:"bands of the box's queues with the profile custom, 0 to 7, 0 is served first; empty: as rfc4594"`
	Exceptions []MarkException `yaml:"exceptions" help:"other profiles for some interfaces or destinations; the first that fits holds. Needs enforce"`
	Enforce    bool            `yaml:"enforce" help:"the kernel sets, clamps and counts the marks of what leaves the box; only with --own-host. false takes that away"`
}

// ClassMark is a code point for each class, as people write it.
type ClassMark struct {
	Signalling string `yaml:"signalling" help:"control channel, HTTPS, connectivity checks"`
	Audio      string `yaml:"audio" help:"voices"`
	Video      string `yaml:"video" help:"faces"`
	Content    string `yaml:"content" help:"shared screens"`
	Cluster    string `yaml:"cluster" help:"between boxes of the zone"`
	Management string `yaml:"management" help:"metrics and administration"`
	Bulk       string `yaml:"bulk" help:"updates and backups"`
}

// ClassNumber is a small number for each class, as people write it.
type ClassNumber struct {
	Signalling string `yaml:"signalling" help:"control channel, HTTPS, connectivity checks"`
	Audio      string `yaml:"audio" help:"voices"`
	Video      string `yaml:"video" help:"faces"`
	Content    string `yaml:"content" help:"shared screens"`
	Cluster    string `yaml:"cluster" help:"between boxes of the zone"`
	Management string `yaml:"management" help:"metrics and administration"`
	Bulk       string `yaml:"bulk" help:"updates and backups"`
}

// MarkException marks some of the traffic after another profile.
type MarkException struct {
	Interface string `yaml:"interface" help:"what leaves by it; empty: by any"`
	Prefix    string `yaml:"prefix" help:"what goes to it; empty: anywhere"`
	Profile   string `yaml:"profile" values:"rfc4594|webex|zoom|off|custom" help:"rfc4594, webex, zoom, off or custom"`
}

// Link is an interface whose queues are the box's.
type Link struct {
	Interface string `yaml:"interface" help:"its name"`
	Rate      Rate   `yaml:"rate" help:"what it really carries, such as 100Mbit: the box sends no faster, so that its own queue is the one that orders. 0: as fast as it is"`
}

// Bounds of these lists, and of a link's rate.
const (
	maxMarkExceptions = 16
	maxLinks          = 32
	minRate           = Rate(1_000_000)
	maxRate           = Rate(400_000_000_000)
)

// Points returns what is set of the custom profile, by class.
func (d DSCP) Points() (map[dscp.Class]dscp.CodePoint, error) {
	points := map[dscp.Class]dscp.CodePoint{}
	for class, text := range d.Custom.byClass() {
		if text == "" {
			continue
		}
		point, err := dscp.ParseCodePoint(text)
		if err != nil {
			return nil, err
		}
		points[dscp.Class(class)] = point
	}
	return points, nil
}

// Policy returns the marking policy that the section asks for.
func (d DSCP) Policy() (dscp.Profile, error) { return d.profile(d.Profile) }

// ProfileOf returns the profile of an exception.
func (d DSCP) ProfileOf(e MarkException) (dscp.Profile, error) { return d.profile(e.Profile) }

// profile returns a profile by name, custom with what is set of it.
func (d DSCP) profile(name string) (dscp.Profile, error) {
	p, err := dscp.ShippedProfile(name)
	if err != nil || name != dscp.ProfileCustom {
		return p, err
	}
	points, err := d.Points()
	if err != nil {
		return p, err
	}
	if p, err = p.With(points); err != nil {
		return p, err
	}
	for class := range p.Marks {
		if err := smallNumber(d.Priority.byClass()[class], &p.Marks[class].Priority); err != nil {
			return p, err
		}
		if err := smallNumber(d.Band.byClass()[class], &p.Marks[class].Band); err != nil {
			return p, err
		}
	}
	return p, nil
}

// smallNumber reads 0 to 7; nothing leaves the value as it is.
func smallNumber(text string, to *uint8) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n > 7 {
		return fmt.Errorf("%q is not between 0 and 7", text)
	}
	*to = uint8(n)
	return nil
}

func (m ClassMark) byClass() [dscp.NumClasses]string {
	return [dscp.NumClasses]string{
		dscp.Signalling: m.Signalling, dscp.Audio: m.Audio, dscp.Video: m.Video, dscp.Content: m.Content,
		dscp.Cluster: m.Cluster, dscp.Management: m.Management, dscp.Bulk: m.Bulk,
	}
}

func (m ClassNumber) byClass() [dscp.NumClasses]string { return ClassMark(m).byClass() }

func (d DSCP) check(c *checker) {
	c.oneOf("dscp.profile", d.Profile, dscp.ProfileNames...)
	for class, text := range d.Custom.byClass() {
		if text == "" {
			continue
		}
		_, err := dscp.ParseCodePoint(text)
		c.that(err == nil, "dscp.custom."+dscp.Class(class).String(), "%q is no code point: use 0 to 63 or a name such as EF, AF41 or CS3", text)
	}
	for path, numbers := range map[string]ClassNumber{"dscp.priority.": d.Priority, "dscp.band.": d.Band} {
		for class, text := range numbers.byClass() {
			err := smallNumber(text, new(uint8))
			c.that(err == nil, path+dscp.Class(class).String(), "%q is not between 0 and 7", text)
		}
	}
	c.that(len(d.Exceptions) <= maxMarkExceptions, "dscp.exceptions", "there are more than %d", maxMarkExceptions)
	for i, e := range d.Exceptions {
		at := fmt.Sprintf("dscp.exceptions[%d]", i)
		c.that(e.Interface != "" || e.Prefix != "", at, "it has neither interface nor prefix; change dscp.profile for everything")
		if e.Interface != "" {
			c.interfaceName(at+".interface", e.Interface)
		}
		if e.Prefix != "" {
			c.subnet(at+".prefix", e.Prefix)
		}
		c.oneOf(at+".profile", e.Profile, dscp.ProfileNames...)
	}
}

func (b Box) checkLinks(c *checker) {
	c.that(len(b.Links) <= maxLinks, "box.links", "there are more than %d", maxLinks)
	seen := map[string]bool{}
	for i, l := range b.Links {
		at := fmt.Sprintf("box.links[%d]", i)
		c.interfaceName(at+".interface", l.Interface)
		c.that(!seen[l.Interface], at+".interface", "%q is there twice", l.Interface)
		seen[l.Interface] = true
		c.that(l.Rate == 0 || l.Rate >= minRate && l.Rate <= maxRate, at+".rate", "the rate must be between 1Mbit and 400Gbit, or 0 for the interface's own")
	}
}

// interfaceName wants what the kernel takes as a name (dev_valid_name).
func (c *checker) interfaceName(path, name string) {
	ok := name != "" && len(name) <= 15 && name != "." && name != ".." && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("/:%*", r)
	})
	c.that(ok, path, "%q is no name of an interface, such as eth0", name)
}

// Destination returns the prefix of an exception; invalid for everywhere.
func (e MarkException) Destination() (netip.Prefix, error) {
	if e.Prefix == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(e.Prefix)
	return p.Masked(), err
}

// Rate is in bits a second, written with a decimal unit where one fits: 20Mbit, 1Gbit.
type Rate int64

var rateUnits = []struct {
	name string
	bits int64
}{{"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}}

// MarshalText writes the rate with the largest unit that divides it.
func (r Rate) MarshalText() ([]byte, error) {
	for _, u := range rateUnits {
		if r != 0 && int64(r)%u.bits == 0 {
			return fmt.Appendf(nil, "%d%s", int64(r)/u.bits, u.name), nil
		}
	}
	return strconv.AppendInt(nil, int64(r), 10), nil
}

// UnmarshalText reads bits a second with or without unit.
func (r *Rate) UnmarshalText(text []byte) error {
	digits, factor := string(text), int64(1)
	for _, u := range rateUnits {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, factor = strings.TrimSpace(rest), u.bits
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return fmt.Errorf("%q is no rate: write it like 20Mbit or 1Gbit, or 0", text)
	}
	*r = Rate(n * factor)
	return nil
}

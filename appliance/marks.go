package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/dscp"
	"meetzone/dscp/enforce"
)

// marksPart has the plane and the HTTPS listener mark what they send, and the kernel hold all to it.
type marksPart struct{ d *daemon }

var (
	_ config.Observer = marksPart{}
	_ admin.Marks     = marksPart{}
)

func (marksPart) Name() string { return "dscp" }

// Check implements config.Part.
func (marksPart) Check(doc config.Document) error {
	wanted, err := wantedMarks(doc)
	if err != nil {
		return err
	}
	return wanted.Validate()
}

// wantedMarks is what the document asks of the kernel.
func wantedMarks(doc config.Document) (w enforce.Wanted, err error) {
	if w.Profile, err = doc.DSCP.Policy(); err != nil {
		return w, err
	}
	for i, e := range doc.DSCP.Exceptions {
		one := enforce.Exception{Interface: e.Interface}
		var errPrefix, errProfile error
		one.Prefix, errPrefix = e.Destination()
		one.Profile, errProfile = doc.DSCP.ProfileOf(e)
		if err := errors.Join(errPrefix, errProfile); err != nil {
			return w, fmt.Errorf("dscp.exceptions[%d]: %w", i, err)
		}
		w.Exceptions = append(w.Exceptions, one)
	}
	for _, l := range doc.Box.Links {
		w.Links = append(w.Links, enforce.Link{Interface: l.Interface, Rate: uint64(l.Rate)})
	}
	return w, nil
}

// Apply implements config.Part. That the kernel cannot be brought to agree is no reason to refuse a policy: the sender marks anyway. It is
// shown by status until it has been put right.
func (p marksPart) Apply(_ context.Context, doc config.Document) (config.Actual, error) {
	wanted, err := wantedMarks(doc)
	if err != nil {
		return nil, err
	}
	points := wanted.Profile.Points()
	p.d.plane.SetMarks(points)
	if err := p.d.https.setMark(points[dscp.Signalling]); err != nil {
		return nil, err
	}
	if l := p.d.metrics.Load(); l != nil {
		if err := l.setMark(points[dscp.Management]); err != nil {
			return nil, err
		}
	}
	p.d.plane.SetSuperPacket(superPacket(doc))
	if p.d.flags.ownHost {
		if err := p.enforce(doc, wanted); err != nil {
			p.d.log.Error("the kernel does not enforce the marks", "err", err)
		}
	}
	return p.Observe(doc), nil
}

// superPacket is the bound of the slowest link: the plane does not know by which one a datagram will leave.
func superPacket(doc config.Document) int {
	least := uint32(0)
	for _, l := range doc.Box.Links {
		if l.Rate == 0 {
			continue
		}
		if s := enforce.SuperPacket(uint64(l.Rate)); least == 0 || s < least {
			least = s
		}
	}
	return int(least)
}

func (p marksPart) enforce(doc config.Document, wanted enforce.Wanted) error {
	if !doc.DSCP.Enforce {
		return p.d.enforcer.Remove()
	}
	_, err := p.d.enforcer.Apply(wanted)
	return err
}

// Observe implements config.Observer.
func (p marksPart) Observe(doc config.Document) config.Actual {
	profile, err := doc.DSCP.Policy()
	if err != nil {
		return config.Actual{{Key: "dscp.profile", Wanted: doc.DSCP.Profile, Note: err.Error()}}
	}
	facts := config.Actual{{Key: "dscp.profile", Wanted: doc.DSCP.Profile, Actual: profile.Name}}
	for class, point := range profile.Points() {
		facts = append(facts, config.Fact{Key: "dscp." + dscp.Class(class).String(), Wanted: point.String(), Actual: point.String()})
	}
	return append(facts, p.enforced(doc))
}

// enforced says whether the kernel agrees.
func (p marksPart) enforced(doc config.Document) config.Fact {
	f := config.Fact{Key: "dscp.enforce", Wanted: yesNo(doc.DSCP.Enforce && p.d.flags.ownHost)}
	a := p.d.enforcer.Observe()
	f.Actual = yesNo(a.Enforced && a.Agrees())
	switch {
	case !p.d.flags.ownHost:
		f.Note = "the host is not the appliance's own: see --own-host"
	case a.Enforced && !a.Agrees():
		f.Note = strings.Join(a.Missing, "; ")
	}
	return f
}

// Marks implements admin.Marks.
func (p marksPart) Marks() (adminapi.Marks, error) {
	doc := p.d.flags.override(p.d.revisions.Running().Document)
	profile, err := doc.DSCP.Policy()
	if err != nil {
		return adminapi.Marks{}, err
	}
	a := p.d.enforcer.Observe()
	out := adminapi.Marks{Profile: profile.Name, Warnings: profile.Warnings(), Lost: a.Lost, OwnHost: p.d.flags.ownHost, Wanted: doc.DSCP.Enforce, Enforced: a.Enforced && a.Agrees(), Differs: a.Missing,
		Classes: classesOf(profile), Drifted: a.Drifted}
	for _, e := range doc.DSCP.Exceptions {
		other, err := doc.DSCP.ProfileOf(e)
		if err != nil {
			return out, err
		}
		out.Exceptions = append(out.Exceptions, adminapi.MarkException{Interface: e.Interface, Prefix: e.Prefix, Profile: e.Profile, Classes: classesOf(other)})
	}
	for _, e := range a.Events {
		out.Events = append(out.Events, adminapi.MarkEvent{Time: e.Time, Object: e.Object, Healed: e.Healed, TookMS: float64(e.Took.Microseconds()) / 1000, Error: e.Error})
	}
	for _, l := range doc.Box.Links {
		rate, _ := l.Rate.MarshalText() // cannot fail
		out.Links = append(out.Links, adminapi.MarkedLink{Interface: l.Interface, Rate: string(rate)})
	}
	out.Interfaces = interfacesOf(a.Counters)
	for _, s := range p.d.plane.Stats() {
		for class := range out.Classes {
			out.Classes[class].SentDatagrams += s.OutByClass[class].Datagrams
			out.Classes[class].SentBytes += s.OutByClass[class].Bytes
		}
	}
	return out, nil
}

func classesOf(p dscp.Profile) (out []adminapi.MarkedClass) {
	for class, m := range p.Marks {
		out = append(out, adminapi.MarkedClass{Class: dscp.Class(class).String(), Point: pointOf(m.CodePoint), Priority: int(m.Priority), Band: int(m.Band)})
	}
	return out
}

func pointOf(p dscp.CodePoint) adminapi.CodePoint {
	return adminapi.CodePoint{Decimal: int(p), Name: p.Name(), TOS: fmt.Sprintf("0x%02x", p.TOS())}
}

// interfacesOf lists what the kernel has counted.
func interfacesOf(c enforce.Counters) (out []adminapi.MarkedInterface) {
	byName := map[string]*adminapi.MarkedInterface{}
	at := func(name string) *adminapi.MarkedInterface {
		if byName[name] == nil {
			byName[name] = &adminapi.MarkedInterface{Name: name, Sent: map[string]adminapi.Traffic{}}
		}
		return byName[name]
	}
	for name, counts := range c.Sent {
		for class, n := range counts {
			if n.Packets > 0 {
				at(name).Sent[dscp.Class(class).String()] = adminapi.Traffic(n)
			}
		}
	}
	for name, n := range c.Cleared {
		at(name).Cleared = adminapi.Traffic(n)
	}
	for name, counts := range c.Arrived {
		for point, n := range counts {
			if n.Packets > 0 {
				at(name).Arrived = append(at(name).Arrived, adminapi.MarkedTraffic{Point: pointOf(dscp.CodePoint(point)), Traffic: adminapi.Traffic(n)})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, *byName[name])
	}
	return out
}

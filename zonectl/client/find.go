package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"meetzone/zonectl/wire"
)

// Stage 1, meeting lookup. The link's host is asked first; when it does not answer, further hosts: those of the link, and the controllers of the host's own zone
// that its last package named. No other zone gets to see the passcode, but the one that an answer says holds the meeting: that one is asked next,
// once. Where nothing answers, turning.go turns to tunnels.

const (
	// nextDoor is how long one host may take before the next one is asked too.
	nextDoor = 1200 * time.Millisecond
	// maxDoors bounds how many hosts, and how many tunnels, are tried.
	maxDoors = 16
)

// Attempt is one try to get somewhere, for whoever wants to know the reason.
type Attempt struct {
	Stage  Stage
	Way    string // "direct", "proxy HOST", "tunnel HOST"
	Host   string
	Took   time.Duration
	Result string // "answered", or why not: refused, silent, certificate, …
}

func (s *Session) note(stage Stage, w way, base string, start time.Time, err error) {
	a := Attempt{Stage: stage, Way: w.String(), Host: hostOf(base), Took: time.Since(start), Result: "answered"}
	if err != nil {
		a.Result = Reason(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.attempts) < 4*maxDoors {
		s.attempts = append(s.attempts, a)
	}
}

// doors lists the hosts to ask, the link's own first.
func (s *Session) doors(base string) []string {
	list := []string{base}
	for _, host := range s.further.hosts {
		list = append(list, "https://"+host)
	}
	for _, z := range s.known.Zones {
		if z.ID == s.known.Zone && z.ID != "" || slices.Contains(z.Controllers, base) {
			list = append(list, z.Controllers...)
		}
	}
	var unique []string
	for _, door := range list {
		if !slices.Contains(unique, door) && len(unique) < maxDoors {
			unique = append(unique, door)
		}
	}
	return unique
}

// tunnels lists the tunnels that are known: of the link, of the last package, and of this one.
func (s *Session) tunnels() (list []string) {
	for _, url := range slices.Concat(s.lookup.Tunnels, s.further.tunnels, s.known.Tunnels) {
		if isBase(url) && !slices.Contains(list, url) && len(list) < maxDoors {
			list = append(list, url)
		}
	}
	return list
}

// found is an answer to a lookup.
type found struct {
	base   string
	lookup wire.Lookup
	by     shown
	err    error
	// elsewhere says that another zone has answered than the one that was asked first.
	elsewhere bool
}

// final says that an answer ends the search: somebody has said yes or no, rather than nothing.
func (f found) final(base string) bool {
	var said *wire.Error
	return f.err == nil || f.base == base && errors.As(f.err, &said) || holder(f.err) != nil
}

// holder is the zone that an answer says holds the meeting; nil where it does not say so.
func holder(err error) *wire.Zone {
	var said *wire.Error
	if !errors.As(err, &said) || said.Code != wire.CodeElsewhere || said.Zone == nil {
		return nil
	}
	zone := *said.Zone
	if zone.Controllers = bases(zone.Controllers); len(zone.Controllers) == 0 {
		return nil
	}
	return &zone
}

// follow looks the meeting up in the zone that holds it, where an answer names one. What that zone says is the last word: nobody is sent round in circles.
func (s *Session) follow(ctx context.Context, w *web, f found, err error, request wire.LookupRequest) (found, error) {
	zone := holder(err)
	if zone == nil {
		return f, err
	}
	f, err = s.find(ctx, w, zone.Controllers, request)
	f.elsewhere = true
	if turns(err) {
		err = &heldError{Zone: *zone, Err: err}
	}
	return f, err
}

// heldError says that the zone that holds the meeting is known, and cannot be reached.
type heldError struct {
	Zone wire.Zone
	Err  error
}

// Error says which zone it is.
func (e *heldError) Error() string {
	return fmt.Sprintf("the meeting is held in the zone %s: %v", e.Zone.ID, e.Err)
}

// Unwrap returns why it was not reached.
func (e *heldError) Unwrap() error { return e.Err }

// find asks doors for the meeting, one after the other, by one way. The error is that of the first door, which is the one that the person named.
func (s *Session) find(ctx context.Context, w *web, doors []string, request wire.LookupRequest) (found, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	base, next, open := doors[0], 0, 0
	answers := make(chan found, len(doors))
	ask := func() {
		door := doors[next]
		next, open = next+1, open+1
		go func() {
			f := found{base: door}
			start := time.Now()
			f.by, f.err = w.ask(ctx, door, wire.PathLookup, request, &f.lookup)
			if ctx.Err() == nil || f.err == nil {
				s.note(StageLookup, w.way, door, start, f.err)
			}
			answers <- f
		}()
	}
	ask()
	patience := time.NewTicker(nextDoor)
	defer patience.Stop()
	var first error
	for open > 0 {
		select {
		case f := <-answers:
			open--
			if f.final(base) {
				return f, f.err
			}
			if f.base == base || first == nil {
				first = f.err
			}
			if next < len(doors) {
				ask()
			}
		case <-patience.C:
			if next < len(doors) {
				ask()
			}
		case <-ctx.Done():
			if first == nil {
				first = ctx.Err()
			}
			return found{}, first
		}
	}
	return found{}, first
}

// lookUp is stage 1.
func (s *Session) lookUp(ctx context.Context, base, number string) (string, error) {
	request := wire.LookupRequest{Meeting: number, Passcode: s.cfg.Passcode, HostKey: s.cfg.HostKey, Role: s.cfg.Role}
	s.began = time.Now()
	var err error
	if s.known, err = recall(s.cfg.Cache, base, s.began); err != nil {
		s.log.Warn("what was remembered of the zone cannot be read and is not used", "err", err)
	}
	doors := s.doors(base)
	answer, err := byAnyWay(ctx, s, StageLookup, base, s.began, func(ctx context.Context, w *web) (found, error) {
		f, err := s.find(ctx, w, doors, request)
		return s.follow(ctx, w, f, err, request)
	})
	if err != nil {
		return "", err
	}
	s.lookup = answer.lookup
	if !answer.elsewhere {
		s.known.Zone = s.lookup.Zone
	}
	s.remember(base)
	title := s.lookup.Meeting.Title
	if title == "" {
		title = "meeting " + s.lookup.Meeting.Number
	}
	detail := fmt.Sprintf("%s, %d zones", title, len(s.lookup.Zones))
	if answer.elsewhere {
		detail += ", held in the zone " + s.lookup.Zone
	}
	if s.web.way.kind != WayDirect {
		detail += ", through " + s.web.way.String()
	}
	if s.interception = interception(answer.by, s.lookup.Fingerprint, hostOf(answer.base)); s.interception != "" {
		detail += "; a proxy on the way opens TLS connections"
	}
	return detail, nil
}

// remember keeps what the package says, and what was measured for it.
func (s *Session) remember(base string) {
	now := remembered{Saved: time.Now(), Zone: s.known.Zone, Zones: s.lookup.Zones, Tunnels: s.lookup.Tunnels, Network: s.known.Network, Controller: s.known.Controller, Measured: s.known.Measured}
	s.known = now
	s.base = base
	if err := keep(s.cfg.Cache, base, now); err != nil {
		s.log.Debug("not remembered", "err", err)
	}
}

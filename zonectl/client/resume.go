package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"meetzone/zonectl/wire"
)

// How a session goes on after its control channel was lost: resumed, or where the box has started anew, joined again.

// resume opens the control channel again, with back-off, and goes on with the session while media flow.
func (s *Session) resume(ctx context.Context) (*channel, error) {
	deadline := time.Now().Add(s.cfg.ResumeFor)
	wait, patience := 100*time.Millisecond, resumeFirst
	for {
		if err := s.pause(ctx, wait/2+rand.N(wait)); err != nil {
			return nil, err
		}
		opened, err := s.comeBack(ctx, patience)
		if err == nil {
			s.watch.asked = time.Time{}
			s.repair.soon()
			return opened, nil
		}
		patience = min(patience*3/2, helloTimeout)
		var said *wire.Error
		if errors.As(err, &said) && said.Retry == 0 {
			return nil, explain(StageControl, hostOf(s.route.Control), err)
		}
		if time.Now().After(deadline) {
			return nil, &Error{Stage: StageControl, Text: "The connection to the zone was lost and could not be restored.",
				Advice: "Join again when the network is back.", Err: err}
		}
		wait = min(2*wait, resumeMost)
	}
}

// Times of coming back: an attempt that meets a dead network is given up early at first, since the network may return at any moment.
const (
	resumeFirst = time.Second
	resumeMost  = time.Second
)

// comeBack opens the control channel once more and resumes the session. When the box knows it no more, it joins anew with what it joined with.
func (s *Session) comeBack(ctx context.Context, patience time.Duration) (*channel, error) {
	trying, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.web.close() // connections that are kept open may be dead
	welcome := s.Welcome()
	opened, err := s.greet(trying, &wire.Resume{Session: welcome.Session, Secret: welcome.Secret, State: s.state})
	var said *wire.Error
	if errors.As(err, &said) && (said.Code == wire.CodeSession || said.Code == wire.CodeToken) {
		opened, err = s.rejoin(trying)
	}
	if err != nil {
		return nil, err
	}
	if !s.Welcome().Resumed {
		s.renewed, s.state = true, 0
	}
	return opened, nil
}

// rejoin does the stages up to the control channel again, at the controller that was chosen before.
func (s *Session) rejoin(ctx context.Context) (*channel, error) {
	_, number, err := s.cfg.target()
	if err != nil {
		return nil, err
	}
	var lookup wire.Lookup
	var route wire.Route
	request := wire.LookupRequest{Meeting: number, Passcode: s.cfg.Passcode, HostKey: s.cfg.HostKey, Role: s.cfg.Role}
	if err := s.web.post(ctx, s.zone.Controller, wire.PathLookup, request, &lookup); err != nil {
		return nil, err
	}
	if err := s.web.post(ctx, s.zone.Controller, wire.PathRoute, wire.RouteRequest{Token: lookup.Token}, &route); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.lookup, s.route = lookup, route
	s.mu.Unlock()
	return s.greet(ctx, nil)
}

// pause waits, and meanwhile takes what peers tell.
func (s *Session) pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case change := <-s.changes:
			s.peerChanged(change)
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return errLeft
		}
	}
}

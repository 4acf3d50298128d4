package client

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"meetzone/dataplane/tunnel"
	"meetzone/zonectl/wire"
)

// Turning to tunnels. Stages 1 and 2 go the session's first way, directly or through a proxy. When nothing has answered tunnelAfter the first attempt, or that way has
// failed before, all tunnels that are known are pinged at once, and the fastest is tried beside it. Whichever answers first carries everything from then on. Where no
// tunnel is known there is nothing to turn to, and a way that is slow has all the time of the join.

const (
	// tunnelAfter is when a client turns to tunnels.
	tunnelAfter = 5500 * time.Millisecond
	// tunnelTries is how many tunnels are tried one after the other, the fastest first.
	tunnelTries = 3
)

// errNoTunnel says that no tunnel helped.
var errNoTunnel = errors.New("no tunnel helped")

// tried is what came of a way.
type tried[T any] struct {
	value T
	by    *web
	err   error
}

// byAnyWay does something of a stage the session's way, and by a tunnel where that does not answer. host and began say whom it asks and since when. try may run twice
// at the same time, and changes nothing of the session.
func byAnyWay[T any](ctx context.Context, s *Session, stage Stage, host string, began time.Time, try func(context.Context, *web) (T, error)) (T, error) {
	tunnels := s.tunnels()
	if s.web.way.kind == WayTunnel || len(tunnels) == 0 {
		return try(ctx, s.web)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, second := make(chan tried[T], 1), make(chan tried[T]) // what a tunnel has opened is taken, or closed
	go func(w *web) {
		value, err := try(ctx, w)
		first <- tried[T]{value, w, err}
	}(s.web)
	patience := time.NewTimer(time.Until(began.Add(tunnelAfter)))
	defer patience.Stop()
	var failed error
	select {
	case r := <-first:
		if !turns(r.err) {
			return r.value, r.err
		}
		first, failed = nil, r.err
	case <-patience.C:
		s.note(stage, s.web.way, host, began, context.DeadlineExceeded)
	}
	go func(w *web) {
		r := throughTunnel(ctx, s, w, tunnels, try)
		select {
		case second <- r:
		case <-ctx.Done(): // the first way has won after all
			if r.by != nil {
				r.by.close()
			}
		}
	}(s.web)
	for first != nil || second != nil {
		select {
		case r := <-first:
			if !turns(r.err) {
				return r.value, r.err
			}
			first, failed = nil, r.err
		case r := <-second:
			if r.err == nil {
				s.web.close()
				s.web = r.by
			}
			if !errors.Is(r.err, errNoTunnel) {
				return r.value, r.err
			}
			second = nil
		}
	}
	var none T
	return none, failed // why the client turned to tunnels is what is told when none helped
}

// throughTunnel tries the fastest tunnel, and when nobody answers through it the next one.
func throughTunnel[T any](ctx context.Context, s *Session, from *web, tunnels []string, try func(context.Context, *web) (T, error)) tried[T] {
	var dialers []tunnel.Dialer
	for _, url := range tunnels {
		dialers = append(dialers, tunnel.Dialer{URL: url, Dial: from.way.dial})
	}
	for range tunnelTries {
		if len(dialers) == 0 || ctx.Err() != nil {
			break
		}
		start := time.Now()
		pinging, cancel := context.WithTimeout(ctx, tunnelAfter)
		fastest, err := tunnel.Fastest(pinging, dialers)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				s.note(StageTunnel, from.way, "tunnels", start, err)
			}
			break
		}
		w := newWeb(s.cfg, s.marks, tunnelWay(fastest))
		s.note(StageTunnel, from.way, fastest.URL, start, nil)
		value, err := try(ctx, w)
		if err == nil && ctx.Err() == nil {
			return tried[T]{value, w, nil}
		}
		w.close()
		if !turns(err) {
			return tried[T]{value, nil, err} // somebody has spoken, and that is what counts
		}
		dialers = slices.DeleteFunc(dialers, func(d tunnel.Dialer) bool { return d.URL == fastest.URL })
	}
	return tried[T]{err: errNoTunnel}
}

// turns says that an error is one that another way may not have: nobody answered. Whoever answered, or has the wrong certificate, is not got around; and tunnels are
// reached through the same proxy, which wants the same credentials.
func turns(err error) bool {
	var said *wire.Error
	var proxied *ProxyError
	if errors.As(err, &proxied) && proxied.Status == http.StatusProxyAuthRequired {
		return false
	}
	return err != nil && !errors.As(err, &said) && !errors.Is(err, context.Canceled) && Reason(err) != "certificate"
}

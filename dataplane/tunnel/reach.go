package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/pires/go-proxyproto"
)

// Why a zone cannot be reached.
var (
	errBusy         = errors.New("tunnel: the zone has as many connections as it may")
	errNotConnected = errors.New("tunnel: the zone has not registered")
)

// reach opens a way to a zone, counts it, and tells the zone who the client is. leave gives it back.
func (s *Server) reach(to *destination, client net.Addr) (net.Conn, error) {
	if to.using.Add(1) > int32(s.cfg.PerZone) {
		to.using.Add(-1)
		s.stats.refused.Add(1)
		return nil, errBusy
	}
	way, err := s.openWay(to)
	if err == nil && (to.Dial == "" || s.cfg.ProxyProtocol) {
		if _, err = proxyproto.HeaderProxyFromAddrs(2, client, way.LocalAddr()).WriteTo(way); err != nil {
			_ = way.Close()
		}
	}
	if err != nil {
		to.using.Add(-1)
		s.stats.failed.Add(1)
		return nil, fmt.Errorf("reach %s: %w", to.Names[0], err)
	}
	s.hold(way)
	return way, nil
}

// openWay dials the zone, or opens a stream of the registered line that has the fewest.
func (s *Server) openWay(to *destination) (net.Conn, error) {
	if to.Dial != "" {
		ctx, cancel := context.WithTimeout(s.stopped, dialWithin)
		defer cancel()
		return s.cfg.Dial(ctx, "tcp", to.Dial)
	}
	s.mu.Lock()
	var best *line
	for _, l := range to.lines {
		if best == nil || l.session.NumStreams() < best.session.NumStreams() {
			best = l
		}
	}
	s.mu.Unlock()
	if best == nil {
		return nil, errNotConnected
	}
	return best.session.Open()
}

// hold has Close end a way too.
func (s *Server) hold(way net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[way] = struct{}{}
	if s.closed {
		_ = way.Close()
	}
}

func (s *Server) leave(to *destination, way net.Conn) {
	_ = way.Close()
	to.using.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, way)
}

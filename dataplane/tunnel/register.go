package tunnel

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/yamux"
)

// line is a connection that a zone keeps to the tunnel.
type line struct{ session *yamux.Session }

func yamuxConfig() *yamux.Config {
	cfg := yamux.DefaultConfig()
	cfg.KeepAliveInterval = 10 * time.Second
	cfg.ConnectionWriteTimeout = 10 * time.Second
	cfg.MaxStreamWindowSize = 1 << 20
	cfg.LogOutput = io.Discard // what matters comes as an error
	return cfg
}

// register takes a zone's line and keeps it until it breaks.
func (s *Server) register(conn net.Conn, secure *tls.Conn, r *http.Request) {
	to := s.registering(secure, bearer(r))
	if to == nil {
		s.stats.refused.Add(1)
		respond(conn, http.StatusForbidden, "The registration token is not one of a zone that this tunnel knows.")
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+Protocol+"\r\n\r\n"); err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	session, err := yamux.Client(conn, yamuxConfig())
	if err != nil {
		return
	}
	defer session.Close()
	l := &line{session}
	if !s.addLine(to, l) {
		return
	}
	defer s.removeLine(to, l)
	s.stats.registered.Add(1)
	s.log.Info("zone registered", "zone", to.Names[0], "from", conn.RemoteAddr())
	for { // a zone opens no streams; accepting tells when the line has ended
		stream, err := session.AcceptStream()
		if err != nil {
			s.log.Info("registered line ended", "zone", to.Names[0], "from", conn.RemoteAddr(), "err", err)
			return
		}
		_ = stream.Close()
	}
}

// registering finds the zone whose key has signed the token.
func (s *Server) registering(conn *tls.Conn, token string) *destination {
	bound, err := binding(conn.ConnectionState())
	if err != nil || token == "" || len(token) > maxAnswer {
		return nil
	}
	for _, d := range s.names {
		if d.Dial == "" && verifyToken(d.Key, bound, token) == nil {
			return d
		}
	}
	return nil
}

func (s *Server) addLine(to *destination, l *line) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(to.lines) >= linesPerZone {
		return false
	}
	to.lines = append(to.lines, l)
	return true
}

func (s *Server) removeLine(to *destination, l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to.lines = slices.DeleteFunc(to.lines, func(other *line) bool { return other == l })
}

package tunnel

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Paths of the tunnel's own HTTP.
const (
	PathPing     = "/v1/tunnel"          // GET → 200
	PathRegister = "/v1/tunnel/register" // POST, Upgrade: Protocol; Authorization: Bearer TOKEN
)

// Protocol is what a registration upgrades to: yamux, the tunnel opening streams, each beginning with a PROXY protocol header.
const Protocol = "meetzone-tunnel"

// serveHTTP ends TLS here and serves requests until one of them takes the connection.
func (s *Server) serveHTTP(raw net.Conn, client netip.Addr, waits func()) {
	conn := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: s.cfg.Certificate})
	defer conn.Close()
	if err := conn.HandshakeContext(s.stopped); err != nil {
		return
	}
	limited := &io.LimitedReader{R: conn}
	reader := bufio.NewReader(limited)
	for {
		_ = conn.SetDeadline(time.Now().Add(helloWithin))
		limited.N = maxHello
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		waits()
		switch {
		case r.Method == http.MethodConnect:
			limited.N = 1 << 62
			s.connect(&buffered{Conn: conn, reader: reader}, client, r)
			return
		case r.Method == http.MethodPost && r.URL.Path == PathRegister:
			limited.N = 1 << 62
			s.register(&buffered{Conn: conn, reader: reader}, conn, r)
			return
		case r.Method == http.MethodGet && r.URL.Path == PathPing:
			if !respond(conn, http.StatusOK, "The tunnel answers.") {
				return
			}
		default:
			respond(conn, http.StatusNotFound, "This is an HTTP tunnel of a meeting zone; there is nothing else here.")
			return
		}
	}
}

// connect is a native client's way through.
func (s *Server) connect(conn net.Conn, client netip.Addr, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	to := s.names[normal(host)]
	if to == nil {
		s.stats.refused.Add(1)
		respond(conn, http.StatusForbidden, fmt.Sprintf("This tunnel does not lead to %.100q.", host))
		return
	}
	way, err := s.reach(to, conn.RemoteAddr())
	if err != nil {
		s.log.Debug("zone not reached", "zone", to.Names[0], "client", client, "err", err)
		respond(conn, http.StatusBadGateway, "The zone cannot be reached from here.")
		return
	}
	defer s.leave(to, way)
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	s.stats.connected.Add(1)
	_ = conn.SetDeadline(time.Time{})
	join(conn, way)
}

// respond writes a whole answer and says whether the connection can go on.
func respond(conn net.Conn, status int, text string) bool {
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return false
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nCache-Control: no-store\r\n\r\n", status,
		http.StatusText(status), len(body))
	_, err = io.WriteString(conn, head+string(body))
	return err == nil
}

// bearer takes the token out of a request.
func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// buffered is a connection of which a reader may have read ahead.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (b *buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }

// CloseWrite ends the sending direction.
func (b *buffered) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return http.ErrNotSupported
}

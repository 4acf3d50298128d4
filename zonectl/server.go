package zonectl

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// newServer makes the HTTP server. Its timeouts end with the upgrade to a WebSocket, which has its own.
func (c *Controller) newServer() *http.Server {
	return &http.Server{Handler: c.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 60 * time.Second, MaxHeaderBytes: maxHeader,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug)}
}

// connKey is under what a request's context has its connection.
type connKey struct{}

// arrivedMark returns the code point with which the handshake of a request's connection arrived; nil: unknown.
func (c *Controller) arrivedMark(r *http.Request) *int {
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok || c.handshake == nil {
		return nil
	}
	tos, ok := c.handshake(conn)
	if !ok {
		return nil
	}
	point := int(dscp.OfTOS(tos))
	return &point
}

// signallingMark is the code point with which answers are sent.
func (c *Controller) signallingMark() *int {
	point := int(c.config().Marks[dscp.Signalling])
	return &point
}

// Serve serves HTTPS on a listener that yields *tls.Conn, until Close. HTTP/2 needs that they have negotiated "h2".
func (c *Controller) Serve(l net.Listener) error {
	if err := c.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return net.ErrClosed
}

// Handler returns all of the controller's HTTP.
func (c *Controller) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathStart, c.serveStart)
	mux.HandleFunc("POST "+wire.PathLookup, c.serveLookup)
	mux.HandleFunc("OPTIONS "+wire.PathLookup, c.serveLookup)
	mux.HandleFunc("POST "+wire.PathHolds, c.serveHolds)
	mux.HandleFunc("GET "+wire.PathZones, c.serveZones)
	mux.HandleFunc("GET "+wire.PathProbe, c.serveProbe)
	mux.HandleFunc("POST "+wire.PathRoute, c.serveRoute)
	mux.HandleFunc("OPTIONS "+wire.PathRoute, c.serveRoute)
	mux.HandleFunc("GET "+wire.PathControl, c.serveControl)
	c.handleGear(mux)
	c.handleAPI(mux)
	mux.HandleFunc("/v1/", serveUnknown)
	mux.HandleFunc("/api/", serveUnknown)
	if c.web != nil {
		mux.Handle("/", c.web)
	} else {
		mux.HandleFunc("/", serveUnknown)
	}
	return withHeaders(mux)
}

// withHeaders sets what every answer has. The web client replaces the policy, which here permits nothing, by its own. There is no
// Strict-Transport-Security: with a self-signed certificate it would lock people out, and nothing is served without TLS.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func serveUnknown(w http.ResponseWriter, _ *http.Request) { writeError(w, errUnknown) }

// readBody reads one JSON object of bounded size.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	// A page of another origin cannot send this type without asking first, and only those of zones that are trusted are allowed to.
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		told := *errBody
		told.Advice = "Send it as application/json."
		return &told
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := d.Decode(into); err != nil {
		return errors.Join(errBody, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errBody
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who is gone needs no answer
}

func writeError(w http.ResponseWriter, err error) {
	told := tell(err)
	if told.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(told.Retry))
	}
	writeJSON(w, statuses[told.Code], told)
}

// own is the address of this box as the client reached it: it works for that client, and to a browser it is the page's own origin.
func own(r *http.Request) string { return "https://" + r.Host }

// link is what people pass on: under the first configured address, or the one that the client used.
func (c *Controller) link(r *http.Request, number string) string {
	base := own(r)
	if urls := c.config().URLs; len(urls) > 0 {
		base = urls[0]
	}
	return base + wire.PathJoin + number + c.config().furtherDoors()
}

// mediaAddress is where media goes: as configured, with the host that the client used if none is.
func (c *Controller) mediaAddress(r *http.Request) string {
	host, port, _ := net.SplitHostPort(c.config().Media) // validated
	if host != "" {
		return c.config().Media
	}
	host = r.Host
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		host = name
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

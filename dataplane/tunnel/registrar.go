package tunnel

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/pires/go-proxyproto"
)

// RegistrarConfig says with which tunnel a zone registers, and how. Zero values mean the documented default.
type RegistrarConfig struct {
	URL string             // of the tunnel, https://host[:port]
	Key ed25519.PrivateKey // of the zone
	// Fingerprint is that of the tunnel's certificate; nil: one of Roots must have issued it for the host of URL.
	Fingerprint *Fingerprint
	Roots       *x509.CertPool // default those of the host
	Lines       int            // connections that are kept, so that one that is lost or full does not hold up all; default 2
	// Dial opens TCP connections; default net.Dialer. It may mark them.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger *slog.Logger // default slog.Default
}

// Validate names everything that is wrong with the configuration.
func (c RegistrarConfig) Validate() error {
	var errs []error
	if _, err := hostPort(c.URL); err != nil {
		errs = append(errs, err)
	}
	if len(c.Key) != ed25519.PrivateKeySize {
		errs = append(errs, errors.New("key: missing"))
	}
	return errors.Join(errs...)
}

// hostPort returns the address of a base URL.
func hostPort(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return "", fmt.Errorf("url %q: must be https://host or https://host:port", base)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// Registrar keeps a zone registered with a tunnel. It is a net.Listener: what clients open through the tunnel is accepted from it.
type Registrar struct {
	cfg     RegistrarConfig
	address string
	conns   chan net.Conn
	life    context.Context
	end     context.CancelFunc
	up      atomic.Int32

	mu    sync.Mutex // guards what follows
	cause error      // why there is no line, nil while there is one
	since time.Time
}

var _ net.Listener = (*Registrar)(nil)

// Times of a line.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 15 * time.Second
	backlog    = 64
)

// NewRegistrar makes a registrar; Run registers.
func NewRegistrar(cfg RegistrarConfig) (*Registrar, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("tunnel: registrar: %w", err)
	}
	if cfg.Lines == 0 {
		cfg.Lines = 2
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	r := &Registrar{cfg: cfg, conns: make(chan net.Conn, backlog), cause: errNotConnected, since: time.Now()}
	r.address, _ = hostPort(cfg.URL) // validated
	r.life, r.end = context.WithCancel(context.Background())
	return r, nil
}

// Run keeps the lines until Close.
func (r *Registrar) Run() error {
	var lines sync.WaitGroup
	for range r.cfg.Lines {
		lines.Go(r.runLine)
	}
	lines.Wait()
	return net.ErrClosed
}

// Accept returns the next connection of a client. Its RemoteAddr is the client's.
func (r *Registrar) Accept() (net.Conn, error) {
	select {
	case conn := <-r.conns:
		return conn, nil
	case <-r.life.Done():
		return nil, net.ErrClosed
	}
}

// Addr returns the tunnel's address.
func (r *Registrar) Addr() net.Addr { return address(r.address) }

// address is one that is not resolved.
type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// Close ends the registration.
func (r *Registrar) Close() error {
	r.end()
	return nil
}

// Problem says since when the zone is not registered and why; nil while it is.
func (r *Registrar) Problem() (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since, r.cause
}

func (r *Registrar) note(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if (cause == nil) != (r.cause == nil) {
		r.since = time.Now()
	}
	r.cause = cause
}

// runLine keeps one line: it registers again when it breaks, more slowly each time that does not succeed.
func (r *Registrar) runLine() {
	for wait := firstRetry; r.life.Err() == nil; {
		began := time.Now()
		err := r.serveLine()
		if r.life.Err() != nil {
			return
		}
		if r.up.Load() == 0 {
			r.note(err)
		}
		if time.Since(began) > lastRetry {
			wait = firstRetry
		}
		r.cfg.Logger.Info("not registered with the tunnel", "tunnel", r.cfg.URL, "err", err, "again_in", wait)
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-r.life.Done():
		}
		wait = min(2*wait, lastRetry)
	}
}

// serveLine is one line from dialling to its end.
func (r *Registrar) serveLine() error {
	ctx, cancel := context.WithTimeout(r.life, dialWithin)
	conn, err := r.register(ctx)
	cancel()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(r.life, func() { _ = conn.Close() })
	defer stop()
	session, err := yamux.Server(conn, yamuxConfig())
	if err != nil {
		_ = conn.Close()
		return err
	}
	defer session.Close()
	r.up.Add(1)
	defer r.up.Add(-1)
	r.note(nil)
	r.cfg.Logger.Info("registered with the tunnel", "tunnel", r.cfg.URL)
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return err
		}
		go r.runGreeting(stream)
	}
}

// runGreeting reads who the client is, and hands the stream to whoever accepts.
func (r *Registrar) runGreeting(stream net.Conn) {
	_ = stream.SetReadDeadline(time.Now().Add(helloWithin))
	reader := bufio.NewReader(stream)
	header, err := proxyproto.Read(reader)
	_ = stream.SetReadDeadline(time.Time{})
	if err != nil || header.SourceAddr == nil {
		_ = stream.Close()
		return
	}
	select {
	case r.conns <- &fromClient{buffered{Conn: stream, reader: reader}, header.SourceAddr}:
	case <-r.life.Done():
		_ = stream.Close()
	}
}

// fromClient is a stream of a client.
type fromClient struct {
	buffered
	client net.Addr
}

// Read implements net.Conn. A deadline must look like one of the net package, or crypto/tls takes it for the end of the connection.
func (f *fromClient) Read(b []byte) (int, error) {
	n, err := f.buffered.Read(b)
	if errors.Is(err, yamux.ErrTimeout) {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// RemoteAddr is the client's.
func (f *fromClient) RemoteAddr() net.Addr { return f.client }

// register dials the tunnel and asks it to take the line.
func (r *Registrar) register(ctx context.Context) (net.Conn, error) {
	secure, err := dialTLS(ctx, r.cfg.Dial, r.address, r.cfg.trusting)
	if err != nil {
		return nil, err
	}
	bound, err := binding(secure.ConnectionState())
	if err == nil {
		var token string
		if token, err = signToken(r.cfg.Key, bound, time.Now()); err == nil {
			_, err = fmt.Fprintf(secure, "POST %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n",
				PathRegister, r.address, Protocol, token)
		}
	}
	if err != nil {
		_ = secure.Close()
		return nil, err
	}
	return answered(ctx, secure, http.MethodPost, http.StatusSwitchingProtocols)
}

// answered reads the answer to a request that takes the connection over. On any other status the connection is closed.
func answered(ctx context.Context, conn net.Conn, method string, want int) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, &http.Request{Method: method})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil && answer.StatusCode != want {
		err = &StatusError{Status: answer.StatusCode}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &buffered{Conn: conn, reader: reader}, nil
}

// StatusError says that a tunnel refuses.
type StatusError struct{ Status int }

// Error returns what the tunnel said.
func (e *StatusError) Error() string {
	switch e.Status {
	case http.StatusForbidden:
		return "the tunnel does not lead there, or does not know this zone's key"
	case http.StatusBadGateway:
		return "the tunnel cannot reach the zone"
	}
	return fmt.Sprintf("the tunnel answers with status %d", e.Status)
}

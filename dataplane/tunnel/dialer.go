package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Dialer opens connections through a tunnel. The zero value of Dial is net.Dialer.
type Dialer struct {
	URL  string // of the tunnel
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DialContext opens a connection to a zone's host:port by way of the tunnel. What is inside, TLS with the zone, is the caller's.
func (d Dialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	secure, err := d.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("tunnel %s: %w", d.URL, err)
	}
	if _, err := fmt.Fprintf(secure, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address); err != nil {
		_ = secure.Close()
		return nil, fmt.Errorf("tunnel %s: %w", d.URL, err)
	}
	conn, err := answered(ctx, secure, http.MethodConnect, http.StatusOK)
	if err != nil {
		return nil, fmt.Errorf("tunnel %s: %w", d.URL, err)
	}
	return conn, nil
}

func (d Dialer) open(ctx context.Context) (net.Conn, error) {
	address, err := hostPort(d.URL)
	if err != nil {
		return nil, err
	}
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dialTLS(ctx, dial, address, careless)
}

// Ping measures one round trip to the tunnel, without the opening of the connection.
func (d Dialer) Ping(ctx context.Context) (time.Duration, error) {
	conn, err := d.open(ctx)
	if err != nil {
		return 0, fmt.Errorf("tunnel %s: %w", d.URL, err)
	}
	defer conn.Close()
	start := time.Now()
	if _, err := io.WriteString(conn, "GET "+PathPing+" HTTP/1.1\r\nHost: tunnel\r\n\r\n"); err != nil {
		return 0, fmt.Errorf("tunnel %s: %w", d.URL, err)
	}
	if _, err := answered(ctx, conn, http.MethodGet, http.StatusOK); err != nil {
		return 0, fmt.Errorf("tunnel %s: %w", d.URL, err)
	}
	return time.Since(start), nil
}

// maxPinged bounds how many tunnels are pinged at once.
const maxPinged = 16

// Fastest pings all tunnels at once and returns the one whose answer came first.
func Fastest(ctx context.Context, dialers []Dialer) (Dialer, error) {
	if len(dialers) == 0 {
		return Dialer{}, errors.New("no tunnel is known")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		dialer Dialer
		err    error
	}
	dialers = dialers[:min(len(dialers), maxPinged)]
	results := make(chan result, len(dialers))
	for _, d := range dialers {
		go func() {
			_, err := d.Ping(ctx)
			results <- result{d, err}
		}()
	}
	var errs []error
	for range dialers {
		r := <-results
		if r.err == nil {
			return r.dialer, nil
		}
		errs = append(errs, r.err)
	}
	return Dialer{}, errors.Join(errs...)
}

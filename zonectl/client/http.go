package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// maxAnswer bounds what is read of an HTTP answer.
const maxAnswer = 1 << 20

// web is the HTTP half of the client. Its connections are marked as signalling. It speaks HTTP/1.1, which the control channel needs anyway.
type web struct {
	client *http.Client
	way    way
	marks  dscp.Marks
	trust  *tls.Config
	direct bool // no proxy and no tunnel is on the way: UDP and TCP of the media port may be tried
}

func newWeb(cfg Config, marks dscp.Marks, by way) *web {
	trust := &tls.Config{RootCAs: cfg.Roots, InsecureSkipVerify: cfg.Insecure, MinVersion: tls.VersionTLS12}
	return &web{way: by, marks: marks, trust: trust, direct: by.kind == WayDirect, client: &http.Client{Transport: &http.Transport{
		DialContext:         by.dial,
		TLSClientConfig:     trust.Clone(),
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		MaxIdleConnsPerHost: 2,
	}}}
}

// dial opens a connection to the zone for a medium, the way that everything goes, with the medium's mark.
func (w *web) dial(ctx context.Context, address string, mark dscp.CodePoint) (net.Conn, error) {
	if w.direct {
		return (&net.Dialer{Control: markControl(mark)}).DialContext(ctx, "tcp", address)
	}
	conn, err := w.way.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	remark(conn, mark)
	return conn, nil
}

// remark gives a connection another mark; one that cannot be marked carries media all the same.
func remark(conn net.Conn, mark dscp.CodePoint) {
	for range 4 {
		switch c := conn.(type) {
		case *net.TCPConn:
			if raw, err := c.SyscallConn(); err == nil {
				_ = markControl(mark)(networkOf(c), "", raw)
			}
			return
		case *readAhead:
			conn = c.Conn
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return
		}
	}
}

// networkOf tells the family of a connection.
func networkOf(c *net.TCPConn) string {
	if local, ok := c.LocalAddr().(*net.TCPAddr); ok && local.IP.To4() == nil {
		return "tcp6"
	}
	return "tcp4"
}

// tlsConfig is how the zone's certificate is checked for a host.
func (w *web) tlsConfig(host string) *tls.Config {
	cfg := w.trust.Clone()
	cfg.ServerName = host
	return cfg
}

// close gives up the connections that are kept open.
func (w *web) close() { w.client.CloseIdleConnections() }

// post sends a request and decodes the answer into out.
func (w *web) post(ctx context.Context, base, path string, in, out any) error {
	_, err := w.ask(ctx, base, path, in, out)
	return err
}

// ask is post that also tells who has answered.
func (w *web) ask(ctx context.Context, base, path string, in, out any) (shown, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return shown{}, fmt.Errorf("encode request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader(body))
	if err != nil {
		return shown{}, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	return w.do(request, out)
}

// get asks for a resource and decodes the answer into out.
func (w *web) get(ctx context.Context, base, path string, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	_, err = w.do(request, out)
	return err
}

// do returns a *wire.Error when the server says why not.
func (w *web) do(request *http.Request, out any) (by shown, err error) {
	response, err := w.client.Do(request)
	if err != nil {
		return shown{}, err
	}
	defer response.Body.Close()
	by = shownBy(response)
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return by, fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode/100 != 2 {
		var said wire.Error
		if json.Unmarshal(body, &said) == nil && said.Text != "" {
			return by, &said
		}
		return by, &notZoneError{Host: request.URL.Host, Answer: response.Status, shown: by}
	}
	if err := json.Unmarshal(body, out); err != nil {
		return by, &notZoneError{Host: request.URL.Host, Answer: "with something else", shown: by}
	}
	return by, nil
}

// Start starts a meeting, where the zone's policy permits it to anyone on the network. Of the configuration it uses what says how to reach the zone.
func Start(ctx context.Context, cfg Config, request wire.StartRequest) (wire.Started, error) {
	cfg = cfg.withDefaults()
	base, _, err := cfg.target()
	if err != nil {
		return wire.Started{}, &Error{Text: err.Error() + ".", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.JoinTimeout)
	defer cancel()
	first, err := firstWay(ctx, cfg, cfg.marks(), base)
	if err != nil {
		return wire.Started{}, &Error{Text: capital(err.Error()) + ".", Err: err}
	}
	w := newWeb(cfg, cfg.marks(), first)
	defer w.close()
	var started wire.Started
	if err := w.post(ctx, base, wire.PathStart, request, &started); err != nil {
		return wire.Started{}, explain(StageLookup, hostOf(base), err)
	}
	return started, nil
}

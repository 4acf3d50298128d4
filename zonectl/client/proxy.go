package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/icholy/digest"
)

// proxyDialer opens connections through an HTTP proxy by CONNECT (RFC 9110, section 9.3.6), with Basic (RFC 7617) or Digest (RFC 7616) credentials where the
// proxy asks for them and its URL has some.
type proxyDialer struct {
	url   *url.URL
	roots *x509.CertPool // for proxies that speak TLS
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	mu        sync.Mutex // guards what follows
	challenge *digest.Challenge
	basic     bool // the proxy asked for Basic
	count     int  // of uses of the challenge
}

// maxProxyHead bounds what is read of a proxy's answer.
const maxProxyHead = 64 << 10

// DialContext opens a connection to an address. The proxy is asked a second time when it wants credentials.
func (p *proxyDialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	conn, answer, err := p.try(ctx, address)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusProxyAuthRequired && p.url.User != nil && p.learn(answer) {
		_ = conn.Close()
		if conn, answer, err = p.try(ctx, address); err != nil {
			return nil, err
		}
	}
	if answer.StatusCode/100 != 2 {
		_ = conn.Close()
		return nil, &ProxyError{Proxy: p.url.Host, Status: answer.StatusCode}
	}
	return conn, nil
}

// learn takes the proxy's challenge; false: it asks for something that is not spoken here.
func (p *proxyDialer) learn(answer *http.Response) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, value := range answer.Header.Values("Proxy-Authenticate") {
		if c, err := digest.ParseChallenge(value); err == nil && digest.CanDigest(c) {
			p.challenge, p.basic, p.count = c, false, 0
			return true
		}
		if scheme, _, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "Basic") {
			p.basic = true
		}
	}
	return p.basic
}

// try sends one CONNECT and reads the answer. The connection is closed where there is an error.
func (p *proxyDialer) try(ctx context.Context, address string) (net.Conn, *http.Response, error) {
	conn, err := p.open(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("proxy %s: %w", p.url.Host, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	buffered, answer, err := p.ask(conn, address)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("proxy %s: %w", p.url.Host, err)
	}
	return buffered, answer, nil
}

func (p *proxyDialer) ask(conn net.Conn, address string) (net.Conn, *http.Response, error) {
	authorization, err := p.authorization(address)
	if err != nil {
		return nil, nil, err
	}
	if _, err := io.WriteString(conn, "CONNECT "+address+" HTTP/1.1\r\nHost: "+address+"\r\n"+authorization+"\r\n"); err != nil {
		return nil, nil, err
	}
	limited := &io.LimitedReader{R: conn, N: maxProxyHead}
	reader := bufio.NewReader(limited)
	answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, nil, err
	}
	limited.N = 1<<63 - 1
	return &readAhead{Conn: conn, reader: reader}, answer, nil
}

// open opens a connection to the proxy itself.
func (p *proxyDialer) open(ctx context.Context) (net.Conn, error) {
	port := p.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[p.url.Scheme]
	}
	conn, err := p.dial(ctx, "tcp", net.JoinHostPort(p.url.Hostname(), port))
	if err != nil || p.url.Scheme == "http" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{ServerName: p.url.Hostname(), RootCAs: p.roots, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// authorization is the header line for what the proxy has asked for; none before it has asked.
func (p *proxyDialer) authorization(address string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.url.User == nil {
		return "", nil
	}
	password, _ := p.url.User.Password()
	switch {
	case p.challenge != nil:
		p.count++
		c, err := digest.Digest(p.challenge, digest.Options{Method: http.MethodConnect, URI: address, Count: p.count, Username: p.url.User.Username(), Password: password})
		if err != nil {
			return "", err
		}
		return "Proxy-Authorization: " + c.String() + "\r\n", nil
	case p.basic:
		return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.url.User.Username()+":"+password)) + "\r\n", nil
	}
	return "", nil
}

// readAhead is a connection of which a reader may have read ahead.
type readAhead struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (r *readAhead) Read(b []byte) (int, error) { return r.reader.Read(b) }

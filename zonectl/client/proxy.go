package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// proxyDialer opens connections through an HTTP proxy by CONNECT (RFC 9110, section 9.3.6), with credentials (proxyauth.go) where the proxy asks for them and its URL
// has some.
type proxyDialer struct {
	url   *url.URL
	roots *x509.CertPool // for proxies that speak TLS
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	auth  proxyAuth
}

// maxProxyHead bounds what is read of one answer of a proxy, its body included.
const maxProxyHead = 64 << 10

// DialContext opens a connection to an address. The proxy is asked a second time when it wants credentials, and not at all where it has refused them.
func (p *proxyDialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	if p.url.User != nil {
		ended, refused := p.auth.begin(ctx)
		defer ended()
		if refused {
			return nil, &ProxyError{Proxy: p.url.Host, Status: http.StatusProxyAuthRequired}
		}
	}
	conn, answer, err := p.try(ctx, address)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusProxyAuthRequired && p.auth.learn(p.url.User, answer.Header) {
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

// try asks for a connection, and reads the answer. The connection is closed where there is an error.
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

// ask sends CONNECT, and once more on the same connection where the credentials answer what the proxy says first.
func (p *proxyDialer) ask(conn net.Conn, address string) (net.Conn, *http.Response, error) {
	limited := &io.LimitedReader{R: conn}
	reader := bufio.NewReader(limited)
	authorization, err := p.auth.first(p.url.User, address)
	if err != nil {
		return nil, nil, err
	}
	answer, err := connect(conn, limited, reader, address, authorization)
	if err != nil {
		return nil, nil, err
	}
	shown := strings.HasPrefix(authorization, "Basic ") || strings.HasPrefix(authorization, "Digest ") // NTLM has only said hello
	if authorization, err = p.auth.second(p.url.User, answer); err != nil {
		return nil, nil, err
	}
	if authorization != "" && !answer.Close {
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return nil, nil, err
		}
		if answer, err = connect(conn, limited, reader, address, authorization); err != nil {
			return nil, nil, err
		}
		shown = true
	}
	if shown || answer.StatusCode/100 == 2 {
		p.auth.judge(answer)
	}
	limited.N = 1<<63 - 1
	return &readAhead{Conn: conn, reader: reader}, answer, nil
}

// connect sends one CONNECT and reads the answer's head.
func connect(conn net.Conn, limited *io.LimitedReader, reader *bufio.Reader, address, authorization string) (*http.Response, error) {
	if authorization != "" {
		authorization = "Proxy-Authorization: " + authorization + "\r\n"
	}
	if _, err := io.WriteString(conn, "CONNECT "+address+" HTTP/1.1\r\nHost: "+address+"\r\n"+authorization+"\r\n"); err != nil {
		return nil, err
	}
	limited.N = maxProxyHead
	return http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
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

// readAhead is a connection of which a reader may have read ahead.
type readAhead struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (r *readAhead) Read(b []byte) (int, error) { return r.reader.Read(b) }

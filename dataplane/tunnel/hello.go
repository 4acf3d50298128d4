package tunnel

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
)

// errHello ends the handshake that only served to read the ClientHello.
var errHello = errors.New("tunnel: hello read")

// readHello reads a ClientHello and returns its server name, and the connection as if nothing had been read.
func readHello(conn net.Conn) (replayed net.Conn, name string, err error) {
	r := &recorder{Conn: conn}
	err = tls.Server(r, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name = hello.ServerName
		return nil, errHello
	}}).Handshake()
	if !errors.Is(err, errHello) {
		if err == nil {
			err = errHello
		}
		return nil, "", err
	}
	return &replay{Conn: conn, first: bytes.NewReader(r.seen.Bytes())}, name, nil
}

// recorder keeps what is read and writes nothing.
type recorder struct {
	net.Conn
	seen bytes.Buffer
}

// Read reads on, up to a bound.
func (r *recorder) Read(b []byte) (int, error) {
	if r.seen.Len() >= maxHello {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := r.Conn.Read(b[:min(len(b), maxHello-r.seen.Len())])
	r.seen.Write(b[:n])
	return n, err
}

// Write drops the alert with which crypto/tls says goodbye.
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }

// replay reads what was read before once more, and then goes on.
type replay struct {
	net.Conn
	first *bytes.Reader
}

// Read implements net.Conn.
func (r *replay) Read(b []byte) (int, error) {
	if r.first.Len() > 0 {
		return r.first.Read(b)
	}
	return r.Conn.Read(b)
}

// CloseWrite ends the sending direction.
func (r *replay) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

package syslog

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Times of a connection.
const (
	dialWithin  = 10 * time.Second
	writeWithin = 10 * time.Second
	firstRetry  = 500 * time.Millisecond
	lastRetry   = 30 * time.Second
)

// Config says where messages go.
type Config struct {
	Address string      // HOST:PORT
	TLS     *tls.Config // nil: plain TCP
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Queue   int          // messages that may wait; default 256
	Logger  *slog.Logger // default slog.Default; must not lead back here
}

// Validate names everything that is wrong.
func (c Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		return fmt.Errorf("syslog: address %q: write it like log.example:6514", c.Address)
	}
	if c.Queue < 0 {
		return fmt.Errorf("syslog: queue: %d messages cannot wait", c.Queue)
	}
	return nil
}

// Status is how it goes.
type Status struct {
	Connected bool
	Since     time.Time // of being connected, or of not being
	Err       error     // why it is not connected
	Sent      uint64
	Dropped   uint64 // messages for which there was no room
}

// Sender sends to one server.
type Sender struct {
	cfg   Config
	queue chan Message

	mu     sync.Mutex // guards status
	status Status
}

// New returns a sender; Run connects.
func New(cfg Config) (*Sender, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Sender{cfg: cfg, queue: make(chan Message, cmp.Or(cfg.Queue, 256)), status: Status{Since: time.Now()}}, nil
}

// Offer gives a message to the sender without waiting; where too many wait already, it is dropped and counted.
func (s *Sender) Offer(m Message) {
	select {
	case s.queue <- m:
	default:
		s.mu.Lock()
		s.status.Dropped++
		s.mu.Unlock()
	}
}

// Send waits until there is room for a message.
func (s *Sender) Send(ctx context.Context, m Message) error {
	select {
	case s.queue <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status tells how it goes.
func (s *Sender) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Run keeps a connection and sends what there is, until ctx ends. A message that could not be written is sent again on the next connection.
func (s *Sender) Run(ctx context.Context) error {
	var unsent *Message
	wait := firstRetry
	for {
		conn, err := s.connect(ctx)
		if err == nil {
			wait = firstRetry
			s.note(true, nil)
			unsent, err = s.serve(ctx, conn, unsent)
		}
		if ctx.Err() != nil {
			return nil
		}
		s.note(false, err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, lastRetry)
	}
}

// note keeps how it goes, and logs changes.
func (s *Sender) note(connected bool, err error) {
	s.mu.Lock()
	changed := s.status.Connected != connected || s.status.Err == nil && err != nil
	if s.status.Connected != connected {
		s.status.Since = time.Now()
	}
	s.status.Connected, s.status.Err = connected, err
	s.mu.Unlock()
	switch {
	case changed && connected:
		s.cfg.Logger.Info("syslog server reached", "address", s.cfg.Address)
	case changed:
		s.cfg.Logger.Warn("syslog server not reached; it is tried again", "address", s.cfg.Address, "err", err)
	}
}

func (s *Sender) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	conn, err := s.cfg.Dial(ctx, "tcp", s.cfg.Address)
	if err != nil || s.cfg.TLS == nil {
		return conn, err
	}
	cfg := s.cfg.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(s.cfg.Address)
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// serve sends on one connection until it breaks. It returns the message that was not written.
func (s *Sender) serve(ctx context.Context, conn net.Conn, unsent *Message) (*Message, error) {
	gone := make(chan error, 1)
	go runReader(conn, gone)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close(); <-gone }()
	var frame []byte
	for {
		if unsent == nil {
			select {
			case m := <-s.queue:
				unsent = &m
			case err := <-gone:
				gone <- err
				return nil, err
			case <-ctx.Done():
				return nil, nil
			}
		}
		select {
		case err := <-gone: // what is written now would be lost
			gone <- err
			return unsent, err
		default:
		}
		frame = appendFrame(frame[:0], *unsent)
		if err := conn.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
			return unsent, err
		}
		if _, err := conn.Write(frame); err != nil {
			return unsent, err
		}
		s.mu.Lock()
		s.status.Sent++
		s.mu.Unlock()
		if unsent.Sent != nil {
			unsent.Sent()
		}
		unsent = nil
	}
}

// runReader reads what no server should say, and tells when the connection has ended.
func runReader(conn net.Conn, gone chan<- error) {
	_, err := io.Copy(io.Discard, conn)
	if err == nil {
		err = errors.New("the server has closed the connection")
	}
	gone <- err
}

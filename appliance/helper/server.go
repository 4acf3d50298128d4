package helper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Config says whom a Server obeys.
type Config struct {
	// UID is the user whose requests are obeyed beside root's: the daemon's.
	UID uint32
	// IdleAfter is how long the server waits for a request before Run returns; 0: for ever.
	IdleAfter time.Duration
	Logger    *slog.Logger // default slog.Default
}

// Bounds of what is served.
const (
	maxConns       = 4
	requestTimeout = 10 * time.Second // from connection to answer
)

// Server answers requests.
type Server struct{ cfg Config }

// New returns a server; Run serves.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Server{cfg: cfg}
}

// answer is what a request comes to.
type answer struct {
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

// Run serves the listener, which it closes, until ctx ends or nobody has asked for IdleAfter, and then the requests under way.
func (s *Server) Run(ctx context.Context, l *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer l.Close()
	var serving errgroup.Group
	serving.SetLimit(maxConns)
	for {
		if s.cfg.IdleAfter > 0 && ctx.Err() == nil {
			if err := l.SetDeadline(time.Now().Add(s.cfg.IdleAfter)); err != nil {
				return errors.Join(fmt.Errorf("helper: %w", err), serving.Wait())
			}
		}
		conn, err := l.AcceptUnix()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ECONNABORTED) {
			continue
		}
		if err != nil {
			err = errors.Join(quiet(err), serving.Wait())
			return err
		}
		serving.Go(func() error { s.serve(ctx, conn); return nil })
	}
}

// quiet is nil for the ends of Run that are meant.
func quiet(err error) error {
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("helper: accept: %w", err)
}

// serve answers the one request of a connection.
func (s *Server) serve(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a connection without deadline ends with its peer
	}
	said := answer{Done: true}
	if err := s.obey(ctx, conn); err != nil {
		said = answer{Error: err.Error()}
	}
	line, err := json.Marshal(said)
	if err != nil {
		return
	}
	_, _ = conn.Write(append(line, '\n')) // whoever asked may have gone
}

// obey reads the request and does it.
func (s *Server) obey(ctx context.Context, conn *net.UnixConn) error {
	// The request is read before anything is refused: a socket that is closed with unread data loses the answer.
	line, err := bufio.NewReaderSize(conn, maxLine).ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("%w: a request is one line of at most %d bytes", ErrRequest, maxLine)
	}
	uid, err := peer(conn)
	if err != nil {
		return err
	}
	if uid != 0 && uid != s.cfg.UID {
		s.cfg.Logger.Warn("request of a stranger refused", "uid", uid)
		return fmt.Errorf("%w: only the daemon may ask", ErrRequest)
	}
	r, err := decode(line)
	if err != nil {
		return err
	}
	if err := perform(ctx, r); err != nil {
		s.cfg.Logger.Error("request failed", "verb", r.verb(), "err", err)
		return err
	}
	s.cfg.Logger.Info("request done", "verb", r.verb(), "uid", uid, "values", r)
	return nil
}

// peer returns the user at the other end.
func peer(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(controlErr, err); err != nil {
		return 0, fmt.Errorf("asking who asks: %w", err)
	}
	return cred.Uid, nil
}

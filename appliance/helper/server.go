package helper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"meetzone/appliance/update"
)

// Config says whom a Server obeys.
type Config struct {
	// UID is the user whose requests are obeyed beside root's: the daemon's.
	UID uint32
	// IdleAfter is how long the server waits for a request before Run returns; 0: for ever.
	IdleAfter time.Duration
	// Machine opens what updates change; default OpenMachine.
	Machine func() (*update.Machine, error)
	Logger  *slog.Logger // default slog.Default
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
	if cfg.Machine == nil {
		cfg.Machine = OpenMachine
	}
	return &Server{cfg: cfg}
}

// answer is what a request comes to: lines with progress, as many as there are, and one without it at the end.
type answer struct {
	Done     bool            `json:"done"`
	Error    string          `json:"error,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Progress json.RawMessage `json:"progress,omitempty"`
}

// line is an answer on the wire.
func (a answer) line() []byte {
	line, err := json.Marshal(a)
	if err != nil || len(line) >= maxAnswer {
		line = []byte(`{"done":false,"error":"the answer cannot be written"}`)
	}
	return append(line, '\n')
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = conn.SetDeadline(time.Now().Add(requestTimeout)) // a connection without deadline ends with its peer
	said := answer{Done: true}
	var rights []byte
	result, err := s.obey(ctx, cancel, conn)
	if file, is := result.(*os.File); is && file != nil {
		defer file.Close()
		rights, result = unix.UnixRights(int(file.Fd())), nil
	}
	if err == nil && result != nil {
		said.Result, err = json.Marshal(result)
	}
	if err != nil {
		said, rights = answer{Error: err.Error()}, nil
	}
	_, _, _ = conn.WriteMsgUnix(said.line(), rights, nil) // whoever asked may have gone
}

// obey reads the request and does it. What takes long is given up when whoever asked has gone.
func (s *Server) obey(ctx context.Context, cancel func(), conn *net.UnixConn) (any, error) {
	// The request is read before anything is refused: a socket that is closed with unread data loses the answer.
	line, file, err := receive(conn)
	if file != nil {
		defer file.Close()
	}
	if err != nil {
		return nil, err
	}
	uid, err := peer(conn)
	if err != nil {
		return nil, err
	}
	if uid != 0 && uid != s.cfg.UID {
		s.cfg.Logger.Warn("request of a stranger refused", "uid", uid)
		return nil, fmt.Errorf("%w: only the daemon may ask", ErrRequest)
	}
	r, err := decode(line)
	if err != nil {
		return nil, err
	}
	within := timeoutOf(r)
	ctx, cancelTime := context.WithTimeout(ctx, within)
	defer cancelTime()
	_ = conn.SetDeadline(time.Now().Add(within))
	if within > requestTimeout {
		go runGone(conn, cancel)
	}
	tell := teller(func(raw []byte) { _, _ = conn.Write(answer{Progress: raw}.line()) })
	result, err := s.perform(ctx, r, call{file, tell})
	if err != nil {
		s.cfg.Logger.Error("request failed", "verb", r.verb(), "err", err)
		return nil, err
	}
	s.cfg.Logger.Info("request done", "verb", r.verb(), "uid", uid, "values", r)
	return result, nil
}

// runGone cancels when the other end is closed. It ends with the connection.
func runGone(conn *net.UnixConn, cancel func()) {
	_, _ = conn.Read(make([]byte, 1))
	cancel()
}

// timeoutOf is how long a request may take.
func timeoutOf(r Request) time.Duration {
	if _, long := r.(UpdateInstall); long {
		return installTimeout
	}
	return requestTimeout
}

// receive reads the line of a request, and the file that may come with it (SCM_RIGHTS).
func receive(conn *net.UnixConn) (line []byte, file *os.File, err error) {
	refused := fmt.Errorf("%w: a request is one line of at most %d bytes", ErrRequest, maxLine)
	buffer, control := make([]byte, maxLine), make([]byte, unix.CmsgSpace(4))
	for len(line) < maxLine {
		n, controls, _, _, err := conn.ReadMsgUnix(buffer[:maxLine-len(line)], control)
		if got := fileOf(control[:controls]); got != nil {
			if file != nil {
				_ = got.Close()
			} else {
				file = got
			}
		}
		line = append(line, buffer[:n]...)
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			return line[:end+1], file, nil
		}
		if err != nil || n == 0 {
			break
		}
	}
	return nil, file, refused
}

// fileOf takes the one file out of a control message.
func fileOf(control []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return nil
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "bundle")
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

package helper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultSocket is where systemd listens for the helper.
const DefaultSocket = "/run/meetzone-helper.sock"

// ErrUnreachable says that nobody listens: the box runs without the helper.
var ErrUnreachable = errors.New("the helper cannot be reached")

// Client asks a helper.
type Client struct {
	Socket string // default DefaultSocket
}

// Do sends a request and waits for the answer. Errors are ErrUnreachable, ErrRequest before anything was sent, or the helper's own words.
func (c Client) Do(ctx context.Context, r Request) error { return c.Ask(ctx, r, With{}) }

// With is what goes along with a request, and where its answer goes.
type With struct {
	File     *os.File     // handed over
	Result   any          // a pointer, filled with the answer
	Progress func([]byte) // told progress, as JSON
	Open     **os.File    // filled with the file that comes with the answer; whoever asks closes it
}

// Ask is Do for requests that have more than values.
func (c Client) Ask(ctx context.Context, r Request, with With) error {
	if err := r.Validate(); err != nil {
		return err
	}
	line, err := encode(r)
	if err != nil {
		return err
	}
	socket := c.Socket
	if socket == "" {
		socket = DefaultSocket
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(r))
	defer cancel()
	opened, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer opened.Close()
	conn, ok := opened.(*net.UnixConn)
	if !ok {
		return ErrUnreachable
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var rights []byte
	if with.File != nil {
		rights = unix.UnixRights(int(with.File.Fd()))
	}
	if _, _, err := conn.WriteMsgUnix(line, rights, nil); err != nil {
		return fmt.Errorf("asking the helper for %s: %w", r.verb(), err)
	}
	var said answer
	if with.Open == nil {
		said, err = listen(conn, with.Progress)
	} else if line, *with.Open, err = receive(conn); err == nil {
		err = json.Unmarshal(line, &said)
	}
	if err != nil {
		return fmt.Errorf("asking the helper for %s: %w", r.verb(), err)
	}
	if !said.Done {
		return fmt.Errorf("%s: %s", r.verb(), said.Error)
	}
	if with.Open != nil && *with.Open == nil {
		return errNoFile
	}
	if with.Result != nil {
		return json.Unmarshal(said.Result, with.Result)
	}
	return nil
}

// listen reads lines until the one that is no progress.
func listen(conn net.Conn, progress func([]byte)) (said answer, err error) {
	lines := bufio.NewReaderSize(conn, maxAnswer)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return said, fmt.Errorf("no answer: %w", err)
		}
		said = answer{}
		if err := json.Unmarshal(line, &said); err != nil {
			return said, err
		}
		if said.Progress == nil {
			return said, nil
		}
		if progress != nil {
			progress(said.Progress)
		}
	}
}

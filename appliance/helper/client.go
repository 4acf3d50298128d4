package helper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
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
func (c Client) Do(ctx context.Context, r Request) error {
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
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(line); err != nil {
		return fmt.Errorf("asking the helper for %s: %w", r.verb(), err)
	}
	reply, err := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("asking the helper for %s: no answer: %w", r.verb(), err)
	}
	var said answer
	if err := json.Unmarshal(reply, &said); err != nil {
		return fmt.Errorf("asking the helper for %s: %w", r.verb(), err)
	}
	if !said.Done {
		return fmt.Errorf("%s: %s", r.verb(), said.Error)
	}
	return nil
}

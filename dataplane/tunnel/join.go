package tunnel

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// join copies in both directions until both have ended, one has failed, or nothing has come either way for idleFor.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	alive := new(pulse)
	alive.beat()
	both.Go(func() { runCopy(a, b, alive) })
	runCopy(b, a, alive)
	both.Wait()
}

// pulse is when something was last copied, in either direction.
type pulse struct {
	mu sync.Mutex // guards last
	at time.Time
}

func (p *pulse) beat() {
	p.mu.Lock()
	p.at = time.Now()
	p.mu.Unlock()
}

func (p *pulse) idle() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.at)
}

// buffers are those of copies. TLS records fit.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// runCopy copies one direction. Its end is told the other side as an end of stream; an error ends both.
func runCopy(to, from net.Conn, alive *pulse) {
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for {
		_ = from.SetReadDeadline(time.Now().Add(idleFor))
		n, err := from.Read(buffer[:])
		if n > 0 {
			alive.beat()
			_ = to.SetWriteDeadline(time.Now().Add(idleFor))
			if _, writeErr := to.Write(buffer[:n]); writeErr != nil {
				err = writeErr
			}
		}
		var timeout net.Error
		switch {
		case err == nil:
		case errors.As(err, &timeout) && timeout.Timeout() && alive.idle() < idleFor:
		case errors.Is(err, io.EOF) && closeWrite(to):
			return
		default:
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

// closeWrite ends one direction of a connection, where it can be ended alone.
func closeWrite(c net.Conn) bool {
	half, ok := c.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

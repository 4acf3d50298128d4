package zonectl

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"meetzone/zonectl/wire"
)

// What a control channel takes off the wire, packed. A message that unpacks to nothing is never whole and has no size, so that neither the count of messages nor
// the limit of their size sees it, while unpacking it costs a core. A client says some kB when it joins, and some hundred bytes a second later.
const (
	intakePerSecond = 64 << 10
	intakeBurst     = 2 * wire.MaxMessage
)

// measured hands a request's connection over as one that takes no more than that.
type measured struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (m measured) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(m.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &intake{Conn: conn, bytes: rate.NewLimiter(intakePerSecond, intakeBurst)}, buffered, nil
}

// intake is a connection that ends when more comes than a channel may say. It is read by one goroutine at a time.
type intake struct {
	net.Conn
	bytes *rate.Limiter
}

// Read implements net.Conn.
func (i *intake) Read(b []byte) (int, error) {
	n, err := i.Conn.Read(b)
	if !i.bytes.AllowN(time.Now(), n) {
		_ = i.Close()
		return 0, fmt.Errorf("more than %d bytes in a second: %w", intakePerSecond, errFlood)
	}
	return n, err
}

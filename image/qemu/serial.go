package qemu

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Serial is a machine's serial console. What the machine says is collected by runSerial, without the sequences that ask a terminal for its size and colours.
type Serial struct {
	t     testing.TB
	conn  net.Conn
	ended chan struct{}
	more  chan struct{} // of one place: there is more to read

	mu   sync.Mutex // guards said
	said strings.Builder
	read int // up to where Expect has looked; its caller's
}

func newSerial(m *Machine, conn net.Conn) *Serial {
	s := &Serial{t: m.t, conn: conn, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	go s.runSerial()
	return s
}

// runSerial ends when QEMU closes its end.
func (s *Serial) runSerial() {
	defer close(s.ended)
	defer s.conn.Close()
	buf := make([]byte, 4096)
	for {
		n, err := s.conn.Read(buf)
		s.mu.Lock()
		s.said.Write(buf[:n])
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Write types something.
func (s *Serial) Write(p []byte) (int, error) { return s.conn.Write(p) }

// controls are the escape sequences of ECMA-48, and the titles that systemd sets (OSC).
var controls = regexp.MustCompile("\x1b\\[[0-9;?!]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)|\x1b[PX^_][^\x1b]*\x1b\\\\|\x1b[()][0-9A-B]|\x1b[=>78cM]|\r")

// Text is what was said so far as plain text.
func (s *Serial) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return controls.ReplaceAllString(s.said.String(), "")
}

// Expect waits until the machine says something that it has not said when Expect returned the last time, and returns what the groups of the expression match.
func (s *Serial) Expect(expression string, within time.Duration) []string {
	s.t.Helper()
	wanted := regexp.MustCompile(expression)
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		text := s.Text()
		if found := wanted.FindStringSubmatchIndex(text[min(s.read, len(text)):]); found != nil {
			base := min(s.read, len(text))
			groups := make([]string, 0, len(found)/2)
			for i := 0; i < len(found); i += 2 {
				group := ""
				if found[i] >= 0 {
					group = text[base+found[i] : base+found[i+1]]
				}
				groups = append(groups, group)
			}
			s.read = base + found[1]
			return groups
		}
		select {
		case <-s.more:
		case <-s.ended:
			s.t.Fatalf("the machine went off before it said %q; its console ends with:\n%s", expression, s.tail())
		case <-deadline.C:
			s.t.Fatalf("the machine has not said %q within %v; its console ends with:\n%s", expression, within, s.tail())
		}
	}
}

// tail is the end of what was said.
func (s *Serial) tail() string {
	text := s.Text()
	return fmt.Sprintf("…%s", text[max(0, len(text)-6000):])
}

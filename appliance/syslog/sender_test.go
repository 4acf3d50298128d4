package syslog

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// readFrame reads one message as a server does.
func readFrame(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	length, err := r.ReadString(' ')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSenderComesBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Address: l.Addr().String(), Queue: 2, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // nobody is there: two wait, three are dropped
		s.Offer(Message{Text: "early"})
	}
	if got := s.Status(); got.Dropped != 3 || got.Connected {
		t.Errorf("%+v", got)
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for round := range 2 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		if round == 0 {
			for range 2 {
				if got := readFrame(t, r); !strings.HasSuffix(got, "early") {
					t.Errorf("got %q", got)
				}
			}
		}
		sent := make(chan struct{})
		if err := s.Send(t.Context(), Message{Text: "round" + strconv.Itoa(round), Sent: func() { close(sent) }}); err != nil {
			t.Fatal(err)
		}
		if got := readFrame(t, r); !strings.HasSuffix(got, "round"+strconv.Itoa(round)) {
			t.Errorf("got %q", got)
		}
		<-sent
		conn.Close() // the server goes: the sender notices without having anything to say
		limit := time.After(10 * time.Second)
		for s.Status().Connected && s.Status().Sent == uint64(3+round) {
			select {
			case <-limit:
				t.Fatal("the end of a connection was not noticed")
			case <-time.After(time.Millisecond):
			}
		}
	}
	if got := s.Status(); got.Sent != 4 {
		t.Errorf("%+v", got)
	}
	l.Close()
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

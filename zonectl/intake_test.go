package zonectl

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"meetzone/zonectl/wire"
)

// dialPacked opens a channel that may pack its messages, and hands over the connection beneath.
func (z *zone) dialPacked() (*testClient, net.Conn) {
	z.t.Helper()
	inner := z.web.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	inner.NextProtos = []string{"http/1.1"}
	var beneath net.Conn
	client := &http.Client{Transport: &http.Transport{DialTLSContext: func(ctx context.Context, network, to string) (conn net.Conn, err error) {
		conn, err = (&tls.Dialer{Config: inner}).DialContext(ctx, network, to)
		beneath = conn
		return conn, err
	}}}
	socket, _, err := websocket.Dial(z.t.Context(), z.web.URL+wire.PathControl, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{wire.Subprotocol},
		CompressionMode: websocket.CompressionNoContextTakeover})
	if err != nil {
		z.t.Fatal(err)
	}
	socket.SetReadLimit(wire.MaxMessage)
	z.t.Cleanup(func() { socket.CloseNow() })
	return &testClient{t: z.t, socket: socket}, beneath
}

// TestMessageThatUnpacksToNothing: a message of empty blocks (RFC 1951, section 3.2.6), which has no end and no size, ends its channel before it costs much, whether or not
// its sender has joined.
func TestMessageThatUnpacksToNothing(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	for _, joined := range []bool{false, true} {
		c, conn := z.dialPacked()
		if joined {
			c.send(hello(z.token(wire.LookupRequest{Meeting: number}), "Alice"))
			expect[wire.Participants](c)
		}
		// The first frame of a text message, packed (RSV1), of a terabyte, masked with nothing (RFC 6455, section 5.2).
		frame := []byte{0x41, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		blocks := bytes.Repeat([]byte{0x02, 0x08, 0x20, 0x80, 0x00}, 13<<10) // four blocks of ten bits: not the last one, fixed codes, end
		if err := conn.SetWriteDeadline(time.Now().Add(60 * time.Second)); err != nil {
			t.Fatal(err)
		}
		sent, err := conn.Write(frame)
		for ; err == nil && sent < 32<<20; sent += len(blocks) {
			_, err = conn.Write(blocks)
		}
		var late net.Error
		if err == nil || errors.As(err, &late) && late.Timeout() {
			t.Errorf("joined %v: %d bytes are taken: %v", joined, sent, err)
		}
	}
}

// TestLargestMessage: what a client may say at once, it may say at once.
func TestLargestMessage(t *testing.T) {
	z := openZone(t, Config{})
	c := z.enter(hello(z.token(wire.LookupRequest{Meeting: z.create(MeetingSpec{}).Number}), "Alice"))
	expect[wire.Participants](c)
	large := append([]byte(`{"type":"ping","x":"`), bytes.Repeat([]byte("x"), wire.MaxMessage-64)...)
	if err := c.socket.Write(t.Context(), websocket.MessageText, append(large, `"}`...)); err != nil {
		t.Fatal(err)
	}
	c.send(wire.SendChat{Text: "still here"})
	expect(c, func(m wire.Chat) bool { return m.Text == "still here" })
}

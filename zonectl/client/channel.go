package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"meetzone/zonectl/wire"
)

// Times of the control channel.
const (
	sendTimeout  = 5 * time.Second
	helloTimeout = 10 * time.Second
	pingEvery    = 10 * time.Second
	silentAfter  = 25 * time.Second // two pings without any message: the channel is dead
)

// channel is one WebSocket to the router. One goroutine reads it, one writes.
type channel struct{ socket *websocket.Conn }

// openChannel opens the control channel; nothing has been said yet.
func (w *web) openChannel(ctx context.Context, address string) (*channel, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	socket, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: w.client, Subprotocols: []string{wire.Subprotocol}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			return nil, fmt.Errorf("open control channel: %w (%s)", errNotZone, response.Status)
		}
		return nil, fmt.Errorf("open control channel: %w", err)
	}
	if socket.Subprotocol() != wire.Subprotocol {
		socket.CloseNow()
		return nil, fmt.Errorf("open control channel: %w: no %s", errNotZone, wire.Subprotocol)
	}
	socket.SetReadLimit(wire.MaxMessage)
	return &channel{socket: socket}, nil
}

// send writes one message. That the context ends does not interrupt it, since half a message would cost the channel, and with it the goodbye.
func (c *channel) send(ctx context.Context, message wire.Message) error {
	data, err := wire.Encode(message)
	if err != nil {
		return fmt.Errorf("encode %s: %w", message.Type(), err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	if err := c.socket.Write(ctx, websocket.MessageText, data); err != nil {
		return fmt.Errorf("send %s: %w", message.Type(), err)
	}
	return nil
}

// receive reads one message. Messages of a type that is not known are passed over, as the protocol wants it.
func (c *channel) receive(ctx context.Context) (wire.Message, error) {
	for {
		kind, data, err := c.socket.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("read control channel: %w", err)
		}
		if kind != websocket.MessageText {
			return nil, fmt.Errorf("read control channel: %w: binary message", errNotZone)
		}
		message, err := wire.Decode(data)
		if errors.Is(err, wire.ErrUnknownType) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read control channel: %w", err)
		}
		return message, nil
	}
}

// drop closes without a word.
func (c *channel) drop() { _ = c.socket.CloseNow() }

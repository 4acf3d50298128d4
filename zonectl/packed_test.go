package zonectl

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// metered is a connection that counts what comes.
type metered struct {
	net.Conn
	bytes *atomic.Int64
}

func (c metered) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes.Add(int64(n))
	return n, err
}

// TestChannelIsPacked: a list of all slots costs a slow link a fraction of its length.
func TestChannelIsPacked(t *testing.T) {
	z := openZone(t, Config{})
	number := z.create(MeetingSpec{}).Number
	var came atomic.Int64
	inner := z.web.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	inner.NextProtos = []string{"http/1.1"}
	client := &http.Client{Transport: &http.Transport{DialTLSContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		conn, err := (&tls.Dialer{Config: inner}).DialContext(ctx, network, to)
		if err != nil {
			return nil, err
		}
		return metered{conn, &came}, nil
	}}}
	socket, _, err := websocket.Dial(t.Context(), z.web.URL+wire.PathControl, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{wire.Subprotocol},
		CompressionMode: websocket.CompressionNoContextTakeover})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.CloseNow() })
	socket.SetReadLimit(wire.MaxMessage)
	alice := &testClient{t: t, socket: socket}
	alice.send(hello(z.token(wire.LookupRequest{Meeting: number}), "Alice"))
	expect[wire.Participants](alice)
	var slots []mmr.Slot
	for i := range mmr.MaxVideoSlots {
		slots = append(slots, mmr.Slot{Medium: mmr.Video, Index: i})
	}
	e := z.router.only(t, func(c mmr.EndpointConfig) bool { return !c.ClientOffers })
	before := came.Load()
	e.cfg.Notify(mmr.SlotsChanged{Slots: slots})
	list := expect(alice, func(s wire.Slots) bool { return len(s.Slots) == mmr.MaxVideoSlots })
	text, err := wire.Encode(list)
	if err != nil {
		t.Fatal(err)
	}
	if n := came.Load() - before; n > int64(len(text))/3 {
		t.Errorf("%d bytes came for a message of %d: %.60s…", n, len(text), strings.TrimSpace(string(text)))
	}
}

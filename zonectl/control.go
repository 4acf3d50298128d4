package zonectl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// How much a client may say.
const (
	messagesPerSecond  = 20
	messagesBurst      = 60
	chatsPerSecond     = 1
	chatsBurst         = 10
	exchangesPerSecond = 0.5
	exchangesBurst     = 6
	maxExcess          = 100 // messages above the rate until the channel is closed
)

// channel is one WebSocket. The path of a control channel, in the order of the functions below: serveControl accepts it, greet takes
// the hello and gets a session, runChannel obeys one message after the other, and at last the meeting learns that the channel is lost.
// runWriter and runPulse run beside it, from the welcome to the end.
type channel struct {
	c        *Controller
	log      *slog.Logger
	socket   *websocket.Conn
	remote   string // address
	source   string // what guesses are counted by
	host     string // of this box, as the client reached it
	welcomed func() // once there is a session
	out      *outbox
	meeting  *meeting
	session  *session

	messages  *rate.Limiter
	chats     *rate.Limiter
	exchanges *rate.Limiter
	excess    int
}

func (c *Controller) serveControl(w http.ResponseWriter, r *http.Request) {
	source := c.sourceOfRequest(r)
	if !c.takeChannel(source) {
		writeError(w, errBusy)
		return
	}
	defer c.giveChannel()
	welcomed := sync.OnceFunc(func() { c.welcomed(source) })
	defer welcomed()
	// A list of slots is some kB, and would hold speech up on a slow link; each message is packed by itself, so that one does not tell of another.
	socket, err := websocket.Accept(measured{w}, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol},
		OriginPatterns: originsOf(c.config().pages()), CompressionMode: websocket.CompressionNoContextTakeover})
	if err != nil {
		return // Accept has answered
	}
	defer socket.CloseNow()
	if socket.Subprotocol() != wire.Subprotocol {
		socket.Close(websocket.StatusPolicyViolation, "subprotocol "+wire.Subprotocol+" expected")
		return
	}
	socket.SetReadLimit(wire.MaxMessage)
	ch := &channel{c: c, log: c.log.With("source", c.seen(r)), socket: socket, remote: c.seen(r), source: source, welcomed: welcomed, host: r.Host, out: newOutbox(),
		messages: rate.NewLimiter(messagesPerSecond, messagesBurst), chats: rate.NewLimiter(chatsPerSecond, chatsBurst),
		exchanges: rate.NewLimiter(exchangesPerSecond, exchangesBurst)}
	ctx, cancel := context.WithCancel(c.life)
	defer cancel()
	ch.run(ctx)
}

// originsOf are the hosts whose pages may open a control channel, beside the one that was asked.
func originsOf(urls []string) []string {
	var hosts []string
	for _, u := range urls {
		if parsed, err := url.Parse(u); err == nil {
			hosts = append(hosts, parsed.Host)
		}
	}
	return hosts
}

// run is the whole life of a channel.
func (ch *channel) run(ctx context.Context) {
	reply, err := ch.greet(ctx)
	if err != nil {
		ch.log.Info("hello refused", "error", err)
		ch.refuse(ctx, tell(err))
		return
	}
	ch.welcomed()
	ch.session = reply.session
	ch.log = ch.log.With("meeting", ch.meeting.number, "participant", ch.session.participant)
	ctx, cancel := context.WithCancel(ctx)
	written := make(chan struct{})
	pulsed := make(chan struct{})
	go func() { defer close(written); defer cancel(); ch.runWriter(ctx) }()
	go func() { defer close(pulsed); defer cancel(); ch.runPulse(ctx) }()
	if err := ch.open(ctx, reply.resumed); err != nil {
		ch.session.fail(wire.Negotiate{}.Type(), err)
		ch.log.Warn("no offer", "error", err)
	}
	err = ch.runChannel(ctx)
	level := slog.LevelDebug
	if errors.Is(err, errFlood) {
		level = slog.LevelInfo
	}
	ch.log.Log(ctx, level, "channel ended", "error", err)
	ch.out.finish()
	cancelAfter := time.AfterFunc(time.Second, cancel) // what is last written may take that long
	<-written
	cancelAfter.Stop()
	cancel()
	<-pulsed
	// A meeting that has ended needs not to be told.
	_ = ch.meeting.send(context.WithoutCancel(ctx), lost{ch.session, ch})
}

// refuse says why there is no session.
func (ch *channel) refuse(ctx context.Context, why *wire.Error) {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	if data, err := wire.Encode(wire.Bye{Error: *why}); err == nil && ch.socket.Write(ctx, websocket.MessageText, data) == nil {
		ch.socket.Close(websocket.StatusNormalClosure, string(why.Code))
	}
}

// greet takes the hello and asks the meeting to admit its sender.
func (ch *channel) greet(ctx context.Context) (admitted, error) {
	ctx, cancel := context.WithTimeout(ctx, helloWithin)
	defer cancel()
	message, err := ch.read(ctx)
	if err != nil {
		return admitted{}, fmt.Errorf("%w: %w", errHello, err)
	}
	hello, ok := message.(wire.Hello)
	if !ok {
		return admitted{}, errHello
	}
	version := min(hello.MaxVersion, wire.MaxVersion)
	if version < max(hello.MinVersion, wire.MinVersion) {
		return admitted{}, errVersion
	}
	if hello.Resume != nil {
		return ch.resume(ctx, hello, version)
	}
	claims, err := ch.c.verify(hello.Token)
	if err != nil {
		return admitted{}, err
	}
	return ch.join(ctx, hello, version, claims, nil)
}

func (ch *channel) resume(ctx context.Context, hello wire.Hello, version int) (admitted, error) {
	from := *hello.Resume
	if ch.meeting = ch.c.meetingOf(from.Session); ch.meeting == nil {
		claims, back, err := ch.c.comesBack(hello)
		if err != nil {
			return admitted{}, err
		}
		return ch.join(ctx, hello, version, claims, back)
	}
	reply := make(chan admitted, 1)
	answer, err := ask(ctx, ch.meeting, reply, resume{ch, from, version, reply})
	if err != nil { // it may be resumed after all, with nobody to take the reply
		_ = ch.meeting.send(context.WithoutCancel(ctx), abandonedResume{from.Session, ch})
	}
	return answer, errors.Join(err, answer.err)
}

func (ch *channel) join(ctx context.Context, hello wire.Hello, version int, claims wire.Claims, back *returnee) (admitted, error) {
	open := ch.c.open
	if back != nil {
		open = ch.c.reopen
	}
	for {
		var err error
		if ch.meeting, err = open(claims.Meeting); err != nil {
			return admitted{}, err
		}
		reply := make(chan admitted, 1)
		answer, err := ask(ctx, ch.meeting, reply, join{ch, hello, version, claims, back, reply})
		if ctx.Err() != nil { // it may be admitted after all, with nobody to take the reply
			_ = ch.meeting.send(context.WithoutCancel(ctx), abandoned{ch})
		}
		if errors.Is(err, errEnded) && ch.meeting.room && ctx.Err() == nil {
			continue // the room has just emptied; it opens again
		}
		return answer, errors.Join(err, answer.err)
	}
}

// open starts the exchange of descriptions, or goes on with it.
func (ch *channel) open(ctx context.Context, resumed bool) error {
	if resumed {
		ch.session.repeatOffer()
		return nil
	}
	return ch.offer(ctx, false)
}

// offer sends an offer, with the ways that there are for its media.
func (ch *channel) offer(ctx context.Context, fresh bool) error {
	return ch.session.offer(ctx, fresh, ch.c.relays(ch.host, ch.session.participant))
}

// runChannel obeys what the client says until the channel ends.
func (ch *channel) runChannel(ctx context.Context) error {
	for first := true; ; first = false {
		message, err := ch.read(ctx)
		if first && err == nil {
			err = ch.meeting.send(ctx, confirmed{ch.session, ch})
		}
		if about, refused := refusedMessage(err); refused {
			if err := ch.admonish(about, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := ch.obey(ctx, message); err != nil {
			return err
		}
	}
}

// read reads one message.
func (ch *channel) read(ctx context.Context) (wire.Message, error) {
	kind, data, err := ch.socket.Read(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, fmt.Errorf("%w: %w", wire.ErrMalformed, errBinary)
	}
	return wire.Decode(data)
}

// refusedMessage says whether an error of read is about one message, after which the next may be good, and about which type.
func refusedMessage(err error) (about string, refused bool) {
	var unknown *wire.UnknownTypeError
	var value *wire.ValueError
	switch {
	case errors.As(err, &unknown):
		return unknown.Name, true
	case errors.As(err, &value):
		return value.Name, true
	}
	return "", errors.Is(err, wire.ErrMalformed)
}

// admonish answers a message that cannot be obeyed; it ends the channel when there are too many.
func (ch *channel) admonish(about string, cause error) error {
	if !ch.messages.Allow() {
		return ch.flooded()
	}
	ch.log.Debug("message refused", "about", about, "error", cause)
	told := *errMessage
	var value *wire.ValueError
	if errors.As(cause, &value) {
		told.Advice = wire.CleanLine(value.Err.Error(), 300)
	}
	ch.session.put(wire.Failure{About: about, Error: told})
	return nil
}

// obey has a message's handler do what it asks.
func (ch *channel) obey(ctx context.Context, m wire.Message) error {
	_, chats := m.(wire.SendChat)
	if !ch.messages.Allow() || chats && !ch.chats.Allow() {
		if err := ch.flooded(); err != nil {
			return err
		}
		ch.session.fail(m.Type(), errRate)
		return nil
	}
	handle, known := handlers[m.Type()]
	if !known { // hello again, or a message that only servers send
		return ch.admonish(m.Type(), errMessage)
	}
	err := handle(ctx, ch, m)
	if errors.Is(err, errLeave) || errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		ch.log.Info("message not obeyed", "about", m.Type(), "error", err)
		ch.session.fail(m.Type(), err)
	}
	return nil
}

// flooded counts a message above the rate.
func (ch *channel) flooded() error {
	if ch.excess++; ch.excess < maxExcess {
		return nil
	}
	if data, err := wire.Encode(wire.Bye{Error: *errFlood}); err == nil {
		ch.out.finish(data)
	}
	return errFlood
}

// runWriter writes what is in the outbox, until the channel ends or the last message is written.
func (ch *channel) runWriter(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch.out.wake:
		}
		b := ch.out.take()
		for _, data := range b.messages {
			if ch.write(ctx, data) != nil {
				return
			}
		}
		for _, e := range b.news {
			if ch.writeNews(ctx, e) != nil {
				return
			}
		}
		if b.overflow {
			ch.log.Warn("the client does not read; its channel is closed")
			ch.socket.Close(websocket.StatusTryAgainLater, "too slow")
			return
		}
		if b.finished {
			ch.socket.Close(websocket.StatusNormalClosure, "")
			return
		}
	}
}

func (ch *channel) write(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	return ch.socket.Write(ctx, websocket.MessageText, data)
}

func (ch *channel) writeNews(ctx context.Context, e mmr.Event) error {
	m := message(e)
	if m == nil {
		return nil
	}
	data, err := wire.Encode(m)
	if err != nil {
		ch.log.Error("news cannot be encoded", "error", err)
		return nil
	}
	return ch.write(ctx, data)
}

// runPulse asks whether the client is alive.
func (ch *channel) runPulse(ctx context.Context) {
	ticker := time.NewTicker(pulseEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		within, cancel := context.WithTimeout(ctx, pulseWithin)
		err := ch.socket.Ping(within)
		cancel()
		if err != nil {
			return
		}
	}
}

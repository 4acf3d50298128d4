package mmr

import (
	"context"
	"errors"
	"fmt"
	"net"

	"meetzone/dataplane"
	"meetzone/mmr/internal/description"
)

// endpoint is one peer of a meeting, on the thread of its shard's worker.
type endpoint struct {
	tracks
	id         EndpointID
	sh         *shard
	cfg        EndpointConfig
	transports [NumMedia]*transport // by medium; bundled media share one

	m       *Meeting
	next    *[NumMedia]*transport // those of a fresh offer that is not answered yet
	former  [NumMedia]*transport  // those that go on until their successors are connected
	offers  uint64                // made so far
	gone    bool                  // told
	left    bool
	session uint64 // o= line

	firstMid, firstKind string // of the client's offer, if it is the client that offers
}

// maxIDBytes bounds EndpointID; it appears in no packet, only in maps and logs.
const maxIDBytes = 128

func (c *EndpointConfig) validate() error {
	var errs []error
	if c.ID == "" || len(c.ID) > maxIDBytes {
		errs = append(errs, fmt.Errorf("id: must have 1 to %d bytes", maxIDBytes))
	}
	if c.VideoSlots < 0 || c.VideoSlots > MaxVideoSlots {
		errs = append(errs, fmt.Errorf("video slots: %d is not between 0 and %d", c.VideoSlots, MaxVideoSlots))
	}
	return errors.Join(errs...)
}

// slots returns how many receive slots there are of each medium.
func (c *EndpointConfig) slots() [NumMedia]int {
	switch {
	case !c.ClientOffers:
		return [NumMedia]int{Audio: AudioSlots, Video: c.VideoSlots, Content: ContentSlots}
	case c.Send == [NumMedia]bool{}:
		return [NumMedia]int{Audio: 1, Video: c.VideoSlots}
	}
	return [NumMedia]int{}
}

func newEndpoint(m *Meeting, cfg EndpointConfig) *endpoint {
	if cfg.Notify == nil {
		cfg.Notify = func(Event) {}
	}
	return &endpoint{tracks: newEndpointTracks(cfg), id: cfg.ID, sh: m.sh, cfg: cfg, m: m, session: randomSession()}
}

// The life of an endpoint, on the worker's thread: enter, then offers and answers, then leave.

func (e *endpoint) enter(now dataplane.Instant) error {
	if e.m.closed.Load() {
		return net.ErrClosed
	}
	if e.sh.byID[e.id] != nil {
		return fmt.Errorf("%w: %q", ErrExists, e.id)
	}
	e.transports = e.newTransports(now)
	e.sh.addEndpoint(now, e)
	return nil
}

// newTransports makes a transport for each medium that has a section in the offer, or one for all of them when the client offers.
func (e *endpoint) newTransports(now dataplane.Instant) (ts [NumMedia]*transport) {
	var media []Medium
	for m := Medium(0); int(m) < NumMedia; m++ {
		if e.cfg.Send[m] || len(e.slots[m]) > 0 {
			media = append(media, m)
		}
	}
	if !e.cfg.ClientOffers {
		for _, m := range media {
			ts[m] = newTransport(now, e, m)
		}
		return ts
	}
	t := newTransport(now, e, media...)
	for _, m := range media {
		ts[m] = t
	}
	return ts
}

func (e *endpoint) leave(now dataplane.Instant) {
	if e.left {
		return
	}
	e.left = true
	closeTransports(now, &e.transports)
	closeTransports(now, &e.former)
	if e.next != nil {
		closeTransports(now, e.next)
		e.next = nil
	}
	e.sh.removeEndpoint(now, e)
	e.m.givePlace()
}

func closeTransports(now dataplane.Instant, ts *[NumMedia]*transport) {
	for _, t := range ts {
		if t != nil {
			t.close(now) // a shared one is closed once
		}
	}
}

// live lists the endpoint's transports, each once.
func (e *endpoint) live() []*transport { return distinct(&e.transports) }

func distinct(ts *[NumMedia]*transport) (list []*transport) {
	for m, t := range ts {
		if t != nil && t.media[0] == Medium(m) {
			list = append(list, t)
		}
	}
	return list
}

// transportsChanged tells the owner how the media travel, and when all that ever travelled were lost.
func (e *endpoint) transportsChanged(reason string) {
	if e.left {
		return
	}
	e.cfg.Notify(TransportsChanged{Transports: e.transportList()})
	lost, alive, final := 0, 0, true
	for _, t := range e.live() {
		switch t.state {
		case TransportLost:
			lost++
			final = final && t.dtlsEnded
		case TransportConnected, TransportChecking:
			alive++
		}
	}
	if alive > 0 {
		e.gone = false
		return
	}
	if lost > 0 && !e.gone {
		e.gone = true
		e.cfg.Notify(Gone{Reason: reason, Final: final})
	}
}

func (e *endpoint) transportList() (list []Transport) {
	for m, t := range e.transports {
		if t != nil {
			list = append(list, t.describe(Medium(m)))
		}
	}
	return list
}

// Endpoint is one peer of a meeting, as its owner sees it.
type Endpoint struct {
	m *Meeting
	e *endpoint
}

// ID returns what the endpoint was joined with.
func (p *Endpoint) ID() EndpointID { return p.e.id }

// do has f run on the worker's thread unless the endpoint has left. What f returns comes back only when do waited for it.
func (p *Endpoint) do(ctx context.Context, f func(now dataplane.Instant) error) error {
	result := make(chan error, 1)
	err := p.m.h.w.Do(ctx, func(now dataplane.Instant) {
		if p.e.left {
			result <- net.ErrClosed
			return
		}
		result <- f(now)
	})
	if err != nil {
		return err
	}
	return <-result
}

// post is do for what nobody waits for.
func (p *Endpoint) post(f func(now dataplane.Instant)) error {
	return p.m.h.w.Post(dataplane.TaskFunc(func(now dataplane.Instant) {
		if !p.e.left {
			f(now)
		}
	}))
}

// Offer returns the session description that the client has to answer: at first, the one of all three transports; later, one that
// restarts ICE on them, or with fresh, one of three new transports for a new PeerConnection, which take over when it is answered.
func (p *Endpoint) Offer(ctx context.Context, fresh bool) (string, error) {
	candidates := p.m.r.candidates()
	offered := make(chan description.Offer, 1)
	err := p.do(ctx, func(now dataplane.Instant) error {
		o, err := p.e.offer(now, fresh)
		o.Candidates, o.TCP = candidates, p.m.r.cfg.TCP
		offered <- o
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make offer: %w", err)
	}
	offer := <-offered
	return offer.Marshal()
}

// Answer takes the client's answer to the latest offer.
func (p *Endpoint) Answer(ctx context.Context, sdp string) error {
	a, err := description.ParseAnswer(sdp)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	err = p.do(ctx, func(now dataplane.Instant) error { return p.e.answer(now, a) })
	if err != nil {
		return fmt.Errorf("take answer: %w", err)
	}
	return nil
}

// SetViews says which pictures the endpoint wants to see, always whole.
func (p *Endpoint) SetViews(views []View) error {
	views = append([]View(nil), views...)
	return p.post(func(now dataplane.Instant) { p.e.setViews(now, views) })
}

// SetMuted drops what the endpoint sends of a medium at the router's door, or lets it in again.
func (p *Endpoint) SetMuted(m Medium, muted bool) error {
	if int(m) >= NumMedia {
		return fmt.Errorf("set muted: there is no medium %d", m)
	}
	return p.post(func(now dataplane.Instant) { p.e.setMuted(now, m, muted) })
}

// Stats returns what was counted since the endpoint joined.
func (p *Endpoint) Stats(ctx context.Context) (EndpointStats, error) {
	counted := make(chan EndpointStats, 1)
	err := p.do(ctx, func(dataplane.Instant) error {
		s := EndpointStats{ID: p.e.id, Transports: p.e.transportList()}
		p.e.trackStats(&s)
		counted <- s
		return nil
	})
	if err != nil {
		return EndpointStats{}, fmt.Errorf("endpoint statistics: %w", err)
	}
	return <-counted, nil
}

// Close takes the endpoint out of its meeting and tells its peer by DTLS. It waits until that is done, unless the plane has ended.
func (p *Endpoint) Close() error {
	err := p.do(context.Background(), func(now dataplane.Instant) error {
		p.e.leave(now)
		return nil
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

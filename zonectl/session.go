package zonectl

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// session is one participant's connection to a meeting.
type session struct {
	id          string // for resuming; only its client knows it
	participant string
	name        string
	client      string      // software
	source      string      // address of the first channel
	claims      wire.Claims // of the join token
	joined      time.Time
	send        [mmr.NumMedia]bool
	videoSlots  int
	endpoint    RouterEndpoint
	ways        *wayBook
	gear        *gear // in place of a channel; nil for people

	// What follows belongs to runMeeting.
	role      wire.Role
	secret    string // of the latest welcome
	former    string // the one before, good until the client shows that it knows the new one
	selfMuted [mmr.NumMedia]bool
	hostMuted [mmr.NumMedia]bool
	sharing   bool
	channel   *channel    // nil while away
	expiry    *time.Timer // while away
	wishes    []wire.View // by slot
	shown     []mmr.View  // by slot, as the router was told
	reports   reports

	// mu guards what events of the router need, which come on workers' threads.
	mu       sync.Mutex
	out      *outbox // of the channel, nil while away
	news     [numLatest]mmr.Event
	standing standing // as the book of ways has it

	// exchange is held through one exchange of descriptions and guards what is known of it.
	exchange   sync.Mutex
	generation int    // of the latest offer
	pending    []byte // the offer, encoded, until it is answered
}

// notify takes an event of the router on a worker's thread: it only puts it where others find it.
func (s *session) notify(e mmr.Event) {
	kind, known := kindOf(e)
	if !known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news[kind] = e
	if t, ok := e.(mmr.TransportsChanged); ok {
		s.noteWays(s.ways, t.Transports)
	}
	if s.out != nil {
		s.out.tell(kind, e)
	}
}

// transports returns how the session's media travel, as last heard.
func (s *session) transports() []mmr.Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, _ := s.news[latestTransports].(mmr.TransportsChanged)
	return t.Transports
}

// attach makes the outbox the one that the session's messages go to, after the given ones, and returns the one before.
func (s *session) attach(out *outbox, first ...[]byte) (before *outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.out = s.out, out
	if out == nil {
		return before
	}
	for _, data := range first {
		out.put(data)
	}
	for kind, e := range s.news {
		if e != nil {
			out.tell(latest(kind), e)
		}
	}
	return before
}

// putData sends an encoded message, or drops it while the session is away.
func (s *session) putData(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != nil {
		s.out.put(data)
	}
}

// put sends a message.
func (s *session) put(m wire.Message) {
	if data, err := wire.Encode(m); err == nil {
		s.putData(data)
	}
}

// fail tells the client that a message could not be obeyed.
func (s *session) fail(about string, err error) {
	s.put(wire.Failure{About: about, Error: *tell(err)})
}

// offer asks the router for a description and sends it.
func (s *session) offer(ctx context.Context, fresh bool, relays []wire.Relay) error {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	ctx, cancel := context.WithTimeout(ctx, mediaWithin)
	defer cancel()
	sdp, err := s.endpoint.Offer(ctx, fresh)
	if errors.Is(err, mmr.ErrNeedsFresh) && !fresh {
		fresh = true
		sdp, err = s.endpoint.Offer(ctx, fresh)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errMedia, err)
	}
	data, err := wire.Encode(wire.Offer{Generation: s.generation + 1, Fresh: fresh || s.generation == 0, SDP: sdp, Relays: relays})
	if err != nil {
		return fmt.Errorf("%w: %w", errMedia, err)
	}
	s.generation++
	s.pending = data
	s.putData(data)
	return nil
}

// repeatOffer sends the latest offer again when it has not been answered.
func (s *session) repeatOffer() {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	if s.pending != nil {
		s.putData(s.pending)
	}
}

// answer passes the client's description on. One that answers an older offer comes late and means nothing.
func (s *session) answer(ctx context.Context, a wire.Answer) error {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	switch {
	case a.Generation < s.generation || s.pending == nil:
		return nil
	case a.Generation > s.generation:
		return errGeneration
	}
	ctx, cancel := context.WithTimeout(ctx, mediaWithin)
	defer cancel()
	if err := s.endpoint.Answer(ctx, a.SDP); err != nil {
		return fmt.Errorf("%w: %w", errMedia, err)
	}
	s.pending = nil
	return nil
}

// The functions below are called by runMeeting only.

// knows says whether somebody who wants to resume is who they say.
func (s *session) knows(secret string) bool {
	current := subtle.ConstantTimeCompare([]byte(secret), []byte(s.secret))
	former := subtle.ConstantTimeCompare([]byte(secret), []byte(s.former))
	return current == 1 || s.former != "" && former == 1
}

// sends says whether others can hear or see a medium of the session.
func (s *session) sends(m mmr.Medium) bool { return s.send[m] && !s.selfMuted[m] && !s.hostMuted[m] }

// entry is what the others know of the session.
func (s *session) entry() wire.Participant {
	return wire.Participant{ID: s.participant, Name: s.name, Role: s.role, Audio: s.sends(mmr.Audio), Video: s.sends(mmr.Video),
		Sharing: s.sharing, Away: s.away()}
}

// away says whether the session waits for its client to come back.
func (s *session) away() bool { return s.channel == nil && s.gear == nil }

// sendList is what the client said it may send, as far as its role permits.
func sendList(role wire.Role, list []wire.Medium) (send [mmr.NumMedia]bool) {
	for _, m := range list {
		send[mediumOf(m)] = role != wire.RoleViewer
	}
	return send
}

// slotsFor is how many pictures a session receives.
func slotsFor(role wire.Role, wanted, limit int) int {
	if role == wire.RolePublisher {
		return 0
	}
	return min(wanted, limit)
}

// wish takes what the client wants to see.
func (s *session) wish(views []wire.View) error {
	for _, v := range views {
		if v.Slot >= s.videoSlots {
			return fmt.Errorf("%w: slot %d of %d", errSlot, v.Slot, s.videoSlots)
		}
	}
	for _, v := range views {
		s.wishes[v.Slot] = v
	}
	return nil
}

// show tells the router what the session sees, if that has changed.
func (s *session) show(views []mmr.View) {
	if !slices.Equal(views, s.shown) {
		s.shown = views
		// An endpoint that has ended needs no views.
		_ = s.endpoint.SetViews(views)
	}
}

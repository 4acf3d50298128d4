package zonectl

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// Gear is equipment that speaks WHIP or WHEP in place of the control channel: encoders, players, screens, web pages (whip.go is their HTTP).
// A publisher is a participant like others, but for the channel. A watcher is none: nobody sees it, it keeps no meeting alive, and it has
// a limit of its own. Both are gone when their media have not been connected for a while.

const (
	// gearConnectsWithin is how long gear may take to connect after its offer was accepted.
	gearConnectsWithin = 20 * time.Second
	patchesPerSecond   = 5
	patchesBurst       = 50
)

// gear is what a session has in place of a channel.
type gear struct {
	publishes bool
	content   bool // is shown what is shared while something is
	meeting   *meeting
	patches   *rate.Limiter
	over      atomic.Bool // its DTLS has ended, so that nothing brings it back
	was       atomic.Bool // connected, since idle was last set

	idle *time.Timer // while its media are not connected, nil else; owned by runMeeting

	// mu is held through an ICE restart and guards what names the ICE session.
	mu  sync.Mutex
	ice mmr.ICE
	tag uint64 // of the entity-tag; grows with every restart
}

// joinGear asks for a session without a channel.
type joinGear struct {
	offer                *mmr.ClientOffer
	publishes, content   bool
	claims               wire.Claims
	name, client, source string
	reply                chan admitted
}

func (j joinGear) do(m *meeting) {
	s, err := m.admitGear(j)
	if err != nil {
		j.reply <- admitted{err: err}
		return
	}
	m.log.Info("gear joined", "participant", s.participant, "publishes", j.publishes, "client", s.client, "source", s.source, "people", len(m.sessions))
	j.reply <- admitted{session: s}
}

// admitGear makes a session of gear that has shown what it has to.
func (m *meeting) admitGear(j joinGear) (*session, error) {
	limits := m.c.config().Limits
	if err := m.bars(j.claims); err != nil {
		return nil, err
	}
	s := &session{id: newSecret(), participant: newParticipantID(), name: j.name, client: j.client, source: j.source, claims: j.claims,
		joined: time.Now(), role: wire.RoleViewer,
		gear: &gear{publishes: j.publishes, content: j.content, meeting: m, patches: rate.NewLimiter(patchesPerSecond, patchesBurst), ice: j.offer.ICE(), tag: 1}}
	cfg := mmr.EndpointConfig{ClientOffers: true}
	switch {
	case j.publishes && len(m.sessions) >= limits.Participants:
		return nil, errFull
	case !j.publishes && len(m.sessions) == 0:
		return nil, errNobodyThere
	case j.publishes:
		s.role, s.send = wire.RolePublisher, j.offer.Media()
		cfg.Send = s.send
	default:
		s.videoSlots = min(1, limits.VideoSlots)
		s.wishes = make([]wire.View, s.videoSlots)
		cfg.VideoSlots = s.videoSlots
	}
	if err := m.equip(s, cfg); err != nil {
		return nil, err
	}
	if j.publishes {
		m.enter(s)
	} else {
		m.watchers[s.id] = s
	}
	m.waitFor(s, gearConnectsWithin)
	m.direct()
	return s, nil
}

// gearLeaves says that gear has ended its session, or that it never came to be.
type gearLeaves struct{ session *session }

func (g gearLeaves) do(m *meeting) {
	if m.has(g.session) {
		m.dismiss(g.session, nil)
	}
}

// has tells whether the session is in the meeting, as a participant or as a watcher.
func (m *meeting) has(s *session) bool { return m.sessions[s.id] == s || m.watchers[s.id] == s }

// dismiss takes any session out of the meeting.
func (m *meeting) dismiss(s *session, why *wire.Error) {
	if s.gear != nil {
		s.gear.stopWaiting()
	}
	if m.watchers[s.id] != s {
		m.leave(s, why)
		return
	}
	delete(m.watchers, s.id)
	// An endpoint that its router has already closed is closed.
	_ = s.endpoint.Close()
	m.c.giveSession(s.id)
	m.log.Info("watcher left", "client", s.client, "source", s.source)
}

// lookAtGear sees which gear is connected, and gives the rest a time to come back.
func (m *meeting) lookAtGear() {
	var over []*session
	look := func(s *session) {
		switch {
		case s.gear == nil:
		case s.gear.over.Load():
			over = append(over, s)
		case s.connected():
			s.gear.stopWaiting()
		case s.gear.was.Swap(false):
			m.waitFor(s, m.c.config().Limits.ResumeWithin)
		}
	}
	for _, s := range m.order {
		look(s)
	}
	for _, s := range m.watchers {
		look(s)
	}
	for _, s := range over {
		m.dismiss(s, nil)
	}
}

// waitFor has the gear taken out of the meeting unless it is connected within a time.
func (m *meeting) waitFor(s *session, within time.Duration) {
	s.gear.stopWaiting()
	s.gear.idle = time.AfterFunc(within, func() { _ = m.send(context.Background(), gearIdle{s}) }) // a meeting that has ended has no gear
}

func (g *gear) stopWaiting() {
	if g.idle != nil {
		g.idle.Stop()
		g.idle = nil
	}
}

// gearIdle says that gear has not been connected for long enough.
type gearIdle struct{ session *session }

func (g gearIdle) do(m *meeting) {
	if m.has(g.session) && !g.session.connected() {
		m.log.Info("gear is gone", "participant", g.session.participant, "source", g.session.source)
		m.dismiss(g.session, nil)
	}
}

// connected tells whether the session's media travel.
func (s *session) connected() bool {
	for _, t := range s.transports() {
		if t.State == mmr.TransportConnected {
			return true
		}
	}
	return false
}

// notifyGear takes an event of gear's endpoint on a worker's thread.
func (m *meeting) notifyGear(s *session, e mmr.Event) {
	switch e := e.(type) {
	case mmr.TransportsChanged:
		if s.connected() {
			s.gear.was.Store(true)
		}
	case mmr.Gone:
		if !e.Final {
			return
		}
		s.gear.over.Store(true)
	default:
		return
	}
	select {
	case m.gearMoved <- struct{}{}:
	default:
	}
}

// bars says why somebody with a good token may not come in, nil when they may.
func (m *meeting) bars(claims wire.Claims) error {
	switch {
	case m.isRevoked(claims):
		return errRemoved
	case m.locked && claims.Role != wire.RoleHost:
		return errLocked
	}
	return nil
}

// equip gives a session its endpoint at the router, if there is room for one more.
func (m *meeting) equip(s *session, cfg mmr.EndpointConfig) error {
	if err := m.openMedia(m.c.config().Limits); err != nil {
		return err
	}
	if !m.c.takeSession(s, m) {
		return errBusy
	}
	cfg.ID = mmr.EndpointID(s.participant)
	cfg.Notify = func(e mmr.Event) { m.notify(s, e) }
	endpoint, err := m.media.Join(cfg)
	if err != nil {
		m.c.giveSession(s.id)
		if errors.Is(err, mmr.ErrFull) {
			return fmt.Errorf("%w: %w", errBusy, err)
		}
		return fmt.Errorf("%w: %w", errMedia, err)
	}
	s.endpoint = endpoint
	return nil
}

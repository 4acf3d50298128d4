package zonectl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// maxRevoked bounds the tokens of removed participants that a meeting remembers; each is forgotten when nobody can come back with it any more.
const maxRevoked = 4096

// meeting is one meeting that runs. What is below the line belongs to runMeeting; others send it a command.
type meeting struct {
	c       *Controller
	log     *slog.Logger
	number  string
	room    bool
	lock    lock
	created time.Time
	before  string // the run of the daemon from which the meeting was brought back; "": it began in this one

	inbox chan command
	spoke chan struct{} // has a value when speaker has changed
	// gearMoved has a value when the transports of some gear have changed.
	gearMoved chan struct{}
	speaker   atomic.Pointer[mmr.EndpointID]
	public    atomic.Pointer[wire.Meeting]         // what lookups tell
	entered   atomic.Bool                          // somebody has come in this run of the daemon
	barred    atomic.Pointer[map[string]time.Time] // a copy of revoked, which the keeper reads
	done      chan struct{}                        // closed when the meeting has ended

	// ---- owned by runMeeting
	title     string
	locked    bool
	started   time.Time
	ended     *wire.Error // why, nil while it runs
	suspended bool        // its number stays good
	media     RouterMeeting
	sessions  map[string]*session // by session id
	people    map[string]*session // by participant id
	order     []*session          // in the order of joining
	watchers  map[string]*session // gear that only watches, by session id; in none of the above
	roster    roster
	recent    []*session // those who have spoken, latest first
	sharing   *session
	revoked   map[string]time.Time // by token id: until when it is remembered
	empty     *time.Timer          // while nobody is there
}

// command is something that others ask of a meeting; it runs in runMeeting.
type command interface{ do(m *meeting) }

// spec says what a new meeting is like.
type spec struct {
	number, title string
	room, locked  bool
	lock          lock
	created       time.Time // zero: now
	started       time.Time // zero: nobody has come yet
	before        string    // run of the daemon that it comes from, if not from this one
	revoked       map[string]time.Time
}

// newMeeting makes a meeting; runMeeting brings it to life.
func newMeeting(c *Controller, s spec) *meeting {
	m := &meeting{c: c, log: c.log.With("meeting", s.number), number: s.number, room: s.room, lock: s.lock, created: s.created, started: s.started, before: s.before,
		inbox: make(chan command, 64), spoke: make(chan struct{}, 1), gearMoved: make(chan struct{}, 1), done: make(chan struct{}),
		title: s.title, locked: s.locked, sessions: map[string]*session{}, people: map[string]*session{}, watchers: map[string]*session{},
		revoked: map[string]time.Time{}}
	if m.created.IsZero() {
		m.created = time.Now()
	}
	maps.Copy(m.revoked, s.revoked)
	m.barred.Store(&s.revoked)
	m.roster.chatLimit = c.config().Limits.Chat
	m.publish()
	return m
}

// runMeeting owns the meeting until it has ended.
func (m *meeting) runMeeting() {
	defer m.c.meetingEnded(m)
	defer close(m.done)
	wait := m.c.config().Limits.UnusedAfter
	if m.room {
		wait = m.c.config().Limits.EmptyAfter
	}
	m.empty = time.NewTimer(wait)
	defer m.empty.Stop()
	for m.ended == nil {
		select {
		case c := <-m.inbox:
			c.do(m)
		case <-m.spoke:
			m.speakerChanged()
		case <-m.gearMoved:
			m.lookAtGear()
		case <-m.empty.C:
			if len(m.sessions) == 0 {
				m.end(errEnded)
			}
		}
	}
	if m.media != nil {
		m.media.Close()
	}
}

// send gives the meeting a command, unless it has ended.
func (m *meeting) send(ctx context.Context, c command) error {
	select {
	case m.inbox <- c:
		return nil
	case <-m.done:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask sends a command and waits for what it replies.
func ask[T any](ctx context.Context, m *meeting, reply chan T, c command) (answer T, err error) {
	if err := m.send(ctx, c); err != nil {
		return answer, err
	}
	select {
	case answer = <-reply:
		return answer, nil
	case <-ctx.Done():
		return answer, ctx.Err()
	case <-m.done:
	}
	select { // it may have been the last thing the meeting did
	case answer = <-reply:
		return answer, nil
	default:
		return answer, errEnded
	}
}

// info is what every participant may know of the meeting.
func (m *meeting) info() wire.Meeting {
	info := wire.Meeting{Number: m.number, Title: m.title, Locked: m.locked}
	if !m.started.IsZero() {
		info.Started = m.started.Unix()
	}
	return info
}

func (m *meeting) publish() {
	info := m.info()
	m.public.Store(&info)
	m.c.keeper.touch(m.number)
}

// admitted is the reply to join and resume.
type admitted struct {
	session *session
	resumed bool
	err     error
}

// join asks for a new session.
type join struct {
	channel *channel
	hello   wire.Hello
	version int
	claims  wire.Claims
	returns *returnee // after a restart; nil: somebody new
	reply   chan admitted
}

func (j join) do(m *meeting) {
	s, err := m.admit(j)
	if err != nil {
		j.reply <- admitted{err: err}
		return
	}
	m.log.Info("joined", "participant", s.participant, "role", s.role, "client", s.client, "source", s.source, "people", len(m.sessions))
	j.reply <- admitted{session: s}
}

// admit makes a session of somebody who has a token, in this order: is the token good, is there room, is there media.
func (m *meeting) admit(j join) (*session, error) {
	limits := m.c.config().Limits
	if err := m.bars(j.claims); err != nil && (j.returns == nil || !errors.Is(err, errLocked)) {
		return nil, err // who was in a locked meeting before a restart is nobody new
	}
	if len(m.sessions) >= limits.Participants {
		return nil, errFull
	}
	s := &session{ways: m.c.ways, id: newSecret(), participant: newParticipantID(), name: j.hello.Name, client: j.hello.Client, source: j.channel.remote,
		claims: j.claims, joined: time.Now(), role: j.claims.Role, send: sendList(j.claims.Role, j.hello.Send),
		videoSlots: slotsFor(j.claims.Role, j.hello.VideoSlots, limits.VideoSlots)}
	if s.name == "" {
		s.name = "Guest"
	}
	if back := j.returns; back != nil {
		s.role = back.role
		if m.people[back.participant] == nil {
			s.participant = back.participant
		}
	}
	s.wishes = make([]wire.View, s.videoSlots)
	if err := m.equip(s, mmr.EndpointConfig{Send: s.send, VideoSlots: s.videoSlots, Adapts: j.hello.Adapts}); err != nil {
		return nil, err
	}
	s.channel = j.channel
	m.enter(s)
	if f := m.c.forewarned.Load(); f != nil {
		s.forewarn(f)
	}
	s.attach(j.channel.out, append([][]byte{m.welcome(s, j.version, false)}, m.roster.snapshot(m.entries(), 0, m.encode)...)...)
	m.direct()
	return s, nil
}

// openMedia opens the meeting's media when the first one comes.
func (m *meeting) openMedia(limits Limits) error {
	if m.media != nil {
		return nil
	}
	media, err := m.c.router.Open(mmr.MeetingConfig{MaxEndpoints: limits.Participants + limits.Watchers, Codecs: m.c.config().Codecs})
	if err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	m.media = media
	return nil
}

// enter puts the session into the meeting: the others are told that it came.
func (m *meeting) enter(s *session) {
	if m.started.IsZero() {
		m.started = time.Now()
	}
	m.sessions[s.id], m.people[s.participant] = s, s
	m.order = append(m.order, s)
	m.empty.Stop()
	m.entered.Store(true)
	m.publish()
	m.tellEntry(s)
}

// welcome encodes the answer to a hello, and changes the secret for the next one.
func (m *meeting) welcome(s *session, version int, resumed bool) []byte {
	s.former, s.secret = s.secret, m.c.returnSecret(s, m)
	return m.encode(wire.Welcome{Version: version, Session: s.id, Secret: s.secret, Participant: s.participant, Role: s.role, Resumed: resumed,
		Router: m.c.config().Member, Meeting: m.info()})
}

// resume asks to go on with a session over another channel.
type resume struct {
	channel *channel
	from    wire.Resume
	version int
	reply   chan admitted
}

func (r resume) do(m *meeting) {
	s := m.sessions[r.from.Session]
	if s == nil || s.gear != nil || !s.knows(r.from.Secret) {
		r.reply <- admitted{err: errSession}
		return
	}
	was := s.channel
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	s.channel = r.channel
	if was == nil {
		m.tellEntry(s)
	}
	first := [][]byte{m.welcome(s, r.version, true)}
	missed, whole := m.roster.since(r.from.State)
	if !whole {
		missed = m.roster.snapshot(m.entries(), min(r.from.State, m.roster.state), m.encode)
	}
	first = append(first, missed...)
	for medium, muted := range s.hostMuted {
		if muted {
			first = append(first, m.encode(wire.Muted{Medium: nameOf(mmr.Medium(medium)), Muted: true}))
		}
	}
	if before := s.attach(r.channel.out, first...); before != nil {
		before.finish()
	}
	m.log.Info("resumed", "participant", s.participant, "source", r.channel.remote, "replayed", whole)
	r.reply <- admitted{session: s, resumed: true}
}

// confirmed says that the client has heard the welcome, so that the secret before it is worth nothing any more.
type confirmed struct {
	session *session
	channel *channel
}

func (c confirmed) do(*meeting) {
	if c.session.channel == c.channel {
		c.session.former = ""
	}
}

// abandoned says that a channel has ended without waiting for the reply to its join.
type abandoned struct{ channel *channel }

func (a abandoned) do(m *meeting) {
	for _, s := range m.order {
		if s.channel == a.channel {
			m.leave(s, nil)
			return
		}
	}
}

// abandonedResume says that a channel has ended without waiting for the reply to its resume: the session waits again.
type abandonedResume struct {
	session string
	channel *channel
}

func (a abandonedResume) do(m *meeting) {
	if s := m.sessions[a.session]; s != nil {
		lost{s, a.channel}.do(m)
	}
}

// lost says that a channel has ended; the session waits for its client to come back.
type lost struct {
	session *session
	channel *channel
}

func (l lost) do(m *meeting) {
	s := l.session
	if s.channel != l.channel || m.sessions[s.id] != s {
		return // resumed over another channel, or left
	}
	s.channel = nil
	s.attach(nil)
	s.expiry = time.AfterFunc(m.c.config().Limits.ResumeWithin, func() { _ = m.send(context.Background(), expired{s}) })
	m.tellEntry(s)
	m.log.Info("away", "participant", s.participant)
}

// expired says that a session has waited long enough.
type expired struct{ session *session }

func (e expired) do(m *meeting) {
	if e.session.channel == nil && m.sessions[e.session.id] == e.session {
		m.leave(e.session, nil)
	}
}

// leave takes a session out of the meeting. Its client is told why, unless it asked for it.
func (m *meeting) leave(s *session, why *wire.Error) {
	delete(m.sessions, s.id)
	delete(m.people, s.participant)
	m.order = without(m.order, s)
	m.recent = without(m.recent, s)
	if s.expiry != nil {
		s.expiry.Stop()
	}
	if m.sharing == s {
		m.share(nil)
	}
	if out := s.attach(nil); out != nil && why != nil {
		out.finish(m.encode(wire.Bye{Error: *why}))
	} else if out != nil {
		out.finish()
	}
	// An endpoint that its router has already closed is closed.
	_ = s.endpoint.Close()
	s.gone()
	m.c.giveSession(s.id)
	m.log.Info("left", "participant", s.participant, "people", len(m.sessions))
	if m.ended != nil {
		return
	}
	m.changed(func(state uint64) wire.Message { return wire.Left{State: state, Participant: s.participant} })
	m.direct()
	if len(m.sessions) == 0 {
		m.locked = false
		m.publish()
		m.empty.Reset(m.c.config().Limits.EmptyAfter)
	}
}

// end ends the meeting for everybody.
func (m *meeting) end(why *wire.Error) {
	m.ended = why
	for len(m.order) > 0 {
		m.dismiss(m.order[0], why)
	}
	for _, s := range m.watchers {
		m.dismiss(s, why)
	}
}

// endAll is end as a command.
type endAll struct{ why *wire.Error }

func (e endAll) do(m *meeting) { m.end(e.why) }

// sendAway is endAll for a meeting that somebody is in. The reply says whether it was.
type sendAway struct {
	why   *wire.Error
	reply chan bool
}

func (s sendAway) do(m *meeting) {
	used := len(m.sessions)+len(m.watchers) > 0
	if used {
		m.end(s.why)
	}
	s.reply <- used
}

// entries is everybody.
func (m *meeting) entries() []wire.Participant {
	list := make([]wire.Participant, 0, len(m.order))
	for _, s := range m.order {
		list = append(list, s.entry())
	}
	return list
}

// changed tells everybody something that belongs to the numbered log.
func (m *meeting) changed(make func(state uint64) wire.Message) {
	data := m.roster.add(make, m.encode)
	for _, s := range m.order {
		s.putData(data)
	}
}

// tellEntry tells everybody that what they know of the session has changed.
func (m *meeting) tellEntry(s *session) {
	m.changed(func(state uint64) wire.Message { return wire.Joined{State: state, Participant: s.entry()} })
}

// encode encodes what the meeting itself has made; that it cannot be encoded is a fault of this program.
func (m *meeting) encode(message wire.Message) []byte {
	data, err := wire.Encode(message)
	if err != nil {
		m.log.Error("message cannot be encoded", "error", err)
		data, _ = wire.Encode(wire.Failure{Error: *errServer})
	}
	return data
}

func (m *meeting) isRevoked(c wire.Claims) bool {
	_, revoked := m.revoked[c.ID]
	return revoked
}

// revoke makes a token worth nothing for as long as it would have been good, also for coming back after a restart.
func (m *meeting) revoke(claims wire.Claims) {
	now := time.Now()
	var first string // to be forgotten
	for other, until := range m.revoked {
		if now.After(until) {
			delete(m.revoked, other)
		} else if first == "" || until.Before(m.revoked[first]) {
			first = other
		}
	}
	if len(m.revoked) >= maxRevoked {
		delete(m.revoked, first)
	}
	m.revoked[claims.ID] = claims.Expires.Add(returnTokens + time.Second) // it is good to the second
	barred := maps.Clone(m.revoked)
	m.barred.Store(&barred)
	m.c.keeper.touch(m.number)
}

// notify takes an event of the session's endpoint on a worker's thread.
func (m *meeting) notify(s *session, e mmr.Event) {
	s.notify(e)
	if s.gear != nil {
		m.notifyGear(s, e)
	}
	if speaker, ok := e.(mmr.SpeakerChanged); ok {
		if before := m.speaker.Swap(&speaker.Speaker); before == nil || *before != speaker.Speaker {
			select {
			case m.spoke <- struct{}{}:
			default:
			}
		}
	}
}

func without(list []*session, s *session) []*session {
	kept := list[:0:0]
	for _, other := range list {
		if other != s {
			kept = append(kept, other)
		}
	}
	return kept
}

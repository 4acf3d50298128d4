package zonectl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// What clients may ask for after the welcome, a handler for each type of message. Those of a session run on the goroutine that reads
// the channel; those of a meeting run in runMeeting. A handler's error becomes a Failure, and the session goes on.
var handlers = map[string]handler{
	wire.Answer{}.Type():     ofSession(answerOffer),
	wire.Negotiate{}.Type():  ofSession(negotiate),
	wire.Ping{}.Type():       ofSession(pong),
	wire.Leave{}.Type():      ofSession(leaveMeeting),
	wire.ClaimHost{}.Type():  ofSession(claimHost),
	wire.SetViews{}.Type():   ofMeeting(setViews),
	wire.SetMute{}.Type():    ofMeeting(setMute),
	wire.SetShare{}.Type():   ofMeeting(setShare),
	wire.SendChat{}.Type():   ofMeeting(sendChat),
	wire.Report{}.Type():     ofMeeting(takeReport),
	wire.HostMute{}.Type():   ofHost(hostMute),
	wire.HostRemove{}.Type(): ofHost(hostRemove),
	wire.HostLock{}.Type():   ofHost(hostLock),
	wire.HostEnd{}.Type():    ofHost(hostEnd),
}

// handler obeys one message of a channel.
type handler func(ctx context.Context, ch *channel, m wire.Message) error

// errLeave ends the channel without a fault.
var errLeave = errors.New("the client leaves")

func ofSession[M wire.Message](f func(context.Context, *channel, M) error) handler {
	return func(ctx context.Context, ch *channel, m wire.Message) error { return f(ctx, ch, m.(M)) }
}

func ofMeeting[M wire.Message](f func(*meeting, *session, M) error) handler {
	return func(ctx context.Context, ch *channel, m wire.Message) error {
		return ch.meeting.send(ctx, request{ch.session, m.Type(), func(mt *meeting, s *session) error { return f(mt, s, m.(M)) }})
	}
}

func ofHost[M wire.Message](f func(*meeting, *session, M) error) handler {
	return ofMeeting(func(m *meeting, s *session, message M) error {
		if s.role != wire.RoleHost {
			return errNoHostOK
		}
		return f(m, s, message)
	})
}

// request is a message on its way to runMeeting.
type request struct {
	session *session
	about   string
	obey    func(*meeting, *session) error
}

func (r request) do(m *meeting) {
	if m.sessions[r.session.id] != r.session {
		return
	}
	if err := r.obey(m, r.session); err != nil {
		m.log.Debug("request refused", "participant", r.session.participant, "about", r.about, "error", err)
		r.session.fail(r.about, err)
	}
}

// ---- handlers of a session

func answerOffer(ctx context.Context, ch *channel, a wire.Answer) error {
	return ch.session.answer(ctx, a)
}

func negotiate(ctx context.Context, ch *channel, n wire.Negotiate) error {
	if !ch.exchanges.Allow() {
		return errRate
	}
	return ch.offer(ctx, n.Fresh)
}

func pong(_ context.Context, ch *channel, p wire.Ping) error {
	ch.session.put(wire.Pong(p))
	return nil
}

func leaveMeeting(ctx context.Context, ch *channel, _ wire.Leave) error {
	if err := ch.meeting.send(ctx, gone{ch.session}); err != nil {
		return err
	}
	return errLeave
}

// gone says that a participant has left by themselves.
type gone struct{ session *session }

func (g gone) do(m *meeting) {
	if m.sessions[g.session.id] == g.session {
		m.leave(g.session, nil)
	}
}

// claimHost is limited like a lookup, since it is a way to guess the host key.
func claimHost(ctx context.Context, ch *channel, claim wire.ClaimHost) error {
	c, m := ch.meeting.c, ch.meeting
	if err := c.tryHostKey(ch.source, m, claim.Key); err != nil {
		return err
	}
	return m.send(ctx, request{ch.session, claim.Type(), func(m *meeting, s *session) error {
		m.promote(s)
		return nil
	}})
}

func (m *meeting) promote(s *session) {
	if s.role == wire.RoleHost {
		return
	}
	s.role = wire.RoleHost
	m.log.Info("is a host now", "participant", s.participant)
	s.put(wire.RoleChanged{Role: s.role})
	m.tellEntry(s)
}

// ---- handlers of a meeting

func setViews(m *meeting, s *session, v wire.SetViews) error {
	err := s.wish(v.Views)
	m.directOne(s)
	return err
}

// setMute takes what a client says of itself. A host's mute stays until a host lifts it.
func setMute(m *meeting, s *session, set wire.SetMute) error {
	medium := mediumOf(set.Medium)
	if !s.send[medium] && !set.Muted {
		return errNotSending
	}
	was := s.selfMuted[medium]
	s.selfMuted[medium] = set.Muted
	if was != set.Muted {
		m.mutesChanged(s, medium)
	}
	if !set.Muted && s.hostMuted[medium] {
		return errHostMuted
	}
	return nil
}

// mutesChanged makes router and people agree with the session's mutes.
func (m *meeting) mutesChanged(s *session, medium mmr.Medium) {
	if err := s.endpoint.SetMuted(medium, s.selfMuted[medium] || s.hostMuted[medium]); err != nil {
		m.log.Warn("router did not mute", "participant", s.participant, "medium", medium, "error", err)
	}
	m.tellEntry(s)
	if medium == mmr.Video {
		m.direct()
	}
}

// setShare takes or gives back the content slot. A host may take it from somebody.
func setShare(m *meeting, s *session, set wire.SetShare) error {
	switch {
	case !set.On && m.sharing == s:
		m.share(nil)
	case !set.On || m.sharing == s:
	case !s.send[mmr.Content]:
		return errNotSending
	case s.hostMuted[mmr.Content]:
		return errHostMuted
	case m.sharing != nil && s.role != wire.RoleHost:
		return errSharing
	default:
		m.share(s)
	}
	return nil
}

// share gives the content slot to a session, or to nobody.
func (m *meeting) share(s *session) {
	before := m.sharing
	m.sharing = s
	var id mmr.EndpointID
	if s != nil {
		id = mmr.EndpointID(s.participant)
	}
	if err := m.media.SetContent(id); err != nil {
		m.log.Warn("router did not change the content", "error", err)
	}
	if before != nil {
		before.sharing = false
		if m.sessions[before.id] == before {
			m.tellEntry(before)
		}
	}
	if s != nil {
		s.sharing = true
		m.tellEntry(s)
	}
	m.direct() // gear may be shown what is shared
}

func sendChat(m *meeting, s *session, c wire.SendChat) error {
	if s.role == wire.RoleViewer || s.role == wire.RolePublisher {
		return errSilent
	}
	m.changed(func(state uint64) wire.Message {
		return wire.Chat{State: state, Participant: s.participant, Name: s.name, Text: c.Text, Sent: time.Now().UnixMilli()}
	})
	return nil
}

func takeReport(_ *meeting, s *session, r wire.Report) error {
	s.reports.take(r.Media, time.Now())
	return nil
}

// ---- handlers of a host

func (m *meeting) person(id string) (*session, error) {
	if s := m.people[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %q", errNobody, id)
}

// hostMute mutes somebody at the router, or lifts that again and so asks them to unmute.
func hostMute(m *meeting, host *session, h wire.HostMute) error {
	s, err := m.person(h.Participant)
	if err != nil {
		return err
	}
	medium := mediumOf(h.Medium)
	was := s.hostMuted[medium]
	s.hostMuted[medium] = h.Muted
	s.put(wire.Muted{Medium: h.Medium, Muted: h.Muted, By: host.participant})
	if medium == mmr.Content && h.Muted && m.sharing == s {
		m.share(nil)
	}
	if was != h.Muted {
		m.mutesChanged(s, medium)
	}
	return nil
}

// hostRemove takes somebody out, with all that came in by the same token or, of gear by passcode, from the same source.
func hostRemove(m *meeting, host *session, h wire.HostRemove) error {
	s, err := m.person(h.Participant)
	switch {
	case err != nil:
		return err
	case s == host:
		return errSelf
	}
	m.revoke(s.claims)
	m.log.Info("removed", "participant", s.participant, "by", host.participant)
	for _, other := range append(slices.Clone(m.order), slices.Collect(maps.Values(m.watchers))...) {
		if other != host && other.claims.ID == s.claims.ID {
			m.dismiss(other, errRemoved)
		}
	}
	return nil
}

func hostLock(m *meeting, _ *session, h wire.HostLock) error {
	if m.locked != h.Locked {
		m.locked = h.Locked
		m.publish()
		m.changed(func(state uint64) wire.Message { return wire.MeetingChanged{State: state, Meeting: m.info()} })
	}
	return nil
}

func hostEnd(m *meeting, host *session, _ wire.HostEnd) error {
	m.log.Info("ended by a host", "participant", host.participant)
	m.end(errEnded)
	return nil
}

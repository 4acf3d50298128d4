package zonectl

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// What administration and the API for integrators do: meetings, rooms, API tokens, counters. Errors for people are *wire.Error.

// MeetingSpec asks for a meeting or a room.
type MeetingSpec struct {
	Number   string `json:"number,omitempty"` // of a room; chosen at random if empty
	Title    string `json:"title,omitempty"`
	Passcode string `json:"passcode,omitempty"`
	Locked   bool   `json:"locked,omitempty"` // only a host can come in, until one unlocks it; not for rooms
}

// MeetingInfo is what administration sees of a meeting or a room.
type MeetingInfo struct {
	Number       string            `json:"number"`
	Title        string            `json:"title"`
	Link         string            `json:"link,omitempty"`     // where an address of the zone is configured or known
	HostKey      string            `json:"host_key,omitempty"` // only when it is made
	Passcode     bool              `json:"passcode"`           // it has one
	Room         bool              `json:"room"`
	Locked       bool              `json:"locked"`
	Created      time.Time         `json:"created"`
	Started      time.Time         `json:"started,omitzero"`
	Count        int               `json:"count"` // participants
	Watchers     int               `json:"watchers,omitempty"`
	Participants []ParticipantInfo `json:"participants,omitempty"`
}

// ParticipantInfo is what administration sees of a participant.
type ParticipantInfo struct {
	ID         string                `json:"id"`
	Name       string                `json:"name"`
	Role       wire.Role             `json:"role"`
	Client     string                `json:"client,omitempty"`
	Source     string                `json:"source"` // address of the control channel
	Joined     time.Time             `json:"joined"`
	Away       bool                  `json:"away,omitempty"`
	Transports []wire.TransportState `json:"transports,omitempty"`
	Report     []wire.MediumReport   `json:"report,omitempty"`  // the client's own figures
	Quality    []wire.MediumQuality  `json:"quality,omitempty"` // as last judged
}

// secretsOf makes the lock of a new meeting.
func (c *Controller) secretsOf(number, passcode string) (l lock, hostKey string) {
	hostKey = newSecret()
	l.hostKey = c.pepper.digest(ofHostKey, number, hostKey)
	if passcode != "" {
		l.passcode = c.pepper.digest(ofPasscode, number, passcode)
	}
	return l, hostKey
}

// CreateMeeting makes a meeting, which ends some time after everybody has left.
func (c *Controller) CreateMeeting(s MeetingSpec) (MeetingInfo, error) {
	if len(s.Passcode) > wire.MaxPasscode {
		return MeetingInfo{}, errPasscode
	}
	if why := c.drained(); why != nil {
		return MeetingInfo{}, why
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	number := c.freeNumberLocked()
	l, hostKey := c.secretsOf(number, s.Passcode)
	m, err := c.startLocked(spec{number: number, title: wire.CleanLine(s.Title, wire.MaxTitle), locked: s.Locked, lock: l})
	if err != nil {
		return MeetingInfo{}, err
	}
	info := c.withLink(MeetingInfo{Number: number, Title: m.public.Load().Title, Passcode: l.passcode != nil, Locked: s.Locked, Created: m.created})
	info.HostKey = hostKey
	return info, nil
}

// CreateRoom makes a permanent room.
func (c *Controller) CreateRoom(ctx context.Context, s MeetingSpec) (MeetingInfo, error) {
	number := ""
	if s.Number != "" {
		if number = wire.Number(s.Number); number == "" {
			return MeetingInfo{}, errNumber
		}
	}
	if len(s.Passcode) > wire.MaxPasscode {
		return MeetingInfo{}, errPasscode
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	taken, full := c.takenLocked(number), len(c.rooms) >= c.config().Limits.Rooms
	if number == "" {
		number, taken = c.freeNumberLocked(), false
	}
	c.mu.Unlock()
	switch {
	case taken:
		return MeetingInfo{}, errTaken
	case full:
		return MeetingInfo{}, errBusy
	}
	l, hostKey := c.secretsOf(number, s.Passcode)
	room := Room{Number: number, Title: wire.CleanLine(s.Title, wire.MaxTitle), Passcode: l.passcode, HostKey: l.hostKey, Created: time.Now()}
	if err := c.putRoom(ctx, room); err != nil {
		return MeetingInfo{}, err
	}
	info := c.withLink(infoOfRoom(room))
	info.HostKey = hostKey
	return info, nil
}

// RoomChange says what of a room is to be another; nil stays.
type RoomChange struct {
	Title    *string `json:"title,omitempty"`
	Passcode *string `json:"passcode,omitempty"` // "" for none
}

// ChangeRoom changes a room. A meeting that runs in it keeps what it has until it ends.
func (c *Controller) ChangeRoom(ctx context.Context, number string, change RoomChange) (MeetingInfo, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	room, found := c.rooms[number]
	c.mu.Unlock()
	if !found {
		return MeetingInfo{}, errUnknown
	}
	if change.Title != nil {
		room.Title = wire.CleanLine(*change.Title, wire.MaxTitle)
	}
	if change.Passcode != nil {
		if len(*change.Passcode) > wire.MaxPasscode {
			return MeetingInfo{}, errPasscode
		}
		room.Passcode = nil
		if *change.Passcode != "" {
			room.Passcode = c.pepper.digest(ofPasscode, number, *change.Passcode)
		}
	}
	return c.withLink(infoOfRoom(room)), c.putRoom(ctx, room)
}

// putRoom stores a room, then lets it be found. Holds no lock but changing while it waits for the disk.
func (c *Controller) putRoom(ctx context.Context, room Room) error {
	if err := c.store.Rooms.Put(ctx, room.Number, room); err != nil {
		c.log.Error("room not stored", "error", err)
		return fmt.Errorf("%w: %w", errStore, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rooms[room.Number] = room
	return nil
}

// DeleteRoom removes a room and ends the meeting in it.
func (c *Controller) DeleteRoom(ctx context.Context, number string) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	_, found := c.rooms[number]
	c.mu.Unlock()
	if !found {
		return errUnknown
	}
	if err := c.store.Rooms.Delete(ctx, number); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	c.mu.Lock()
	delete(c.rooms, number)
	m := c.meetings[number]
	c.mu.Unlock()
	if m != nil {
		_ = m.send(ctx, endAll{errEnded}) // it may have ended by itself
	}
	return nil
}

// EndMeeting ends a meeting for everybody. A room stays.
func (c *Controller) EndMeeting(ctx context.Context, number string) error {
	c.mu.Lock()
	m := c.meetings[number]
	c.mu.Unlock()
	if m == nil {
		return errUnknown
	}
	if err := m.send(ctx, endAll{errEnded}); err != nil {
		return err
	}
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Meetings returns all meetings that run, and all rooms, by number and without their participants.
func (c *Controller) Meetings(ctx context.Context) []MeetingInfo {
	c.mu.Lock()
	running := c.aliveLocked()
	var list []MeetingInfo
	for number, room := range c.rooms {
		if c.meetings[number] == nil {
			list = append(list, c.withLink(infoOfRoom(room)))
		}
	}
	c.mu.Unlock()
	for _, m := range running {
		if info, err := m.describe(ctx); err == nil {
			info.Participants = nil
			list = append(list, c.withLink(info))
		}
	}
	slices.SortFunc(list, func(a, b MeetingInfo) int { return strings.Compare(a.Number, b.Number) })
	return list
}

// Meeting returns one meeting or room with its participants.
func (c *Controller) Meeting(ctx context.Context, number string) (MeetingInfo, error) {
	c.mu.Lock()
	m, room := c.meetings[number], c.rooms[number]
	c.mu.Unlock()
	if m != nil {
		if info, err := m.describe(ctx); err == nil {
			return c.withLink(info), nil
		}
	}
	if room.Number == "" {
		return MeetingInfo{}, errUnknown
	}
	return c.withLink(infoOfRoom(room)), nil
}

func infoOfRoom(r Room) MeetingInfo {
	return MeetingInfo{Number: r.Number, Title: r.Title, Room: true, Passcode: len(r.Passcode) > 0, Created: r.Created}
}

// withLink adds the link, where an address of the zone is configured.
func (c *Controller) withLink(info MeetingInfo) MeetingInfo {
	if urls := c.config().URLs; len(urls) > 0 {
		info.Link = urls[0] + wire.PathJoin + info.Number + c.config().furtherDoors()
	}
	return info
}

// describe asks the meeting about itself.
func (m *meeting) describe(ctx context.Context) (MeetingInfo, error) {
	reply := make(chan MeetingInfo, 1)
	return ask(ctx, m, reply, describe{reply})
}

type describe struct{ reply chan MeetingInfo }

func (d describe) do(m *meeting) {
	info := MeetingInfo{Number: m.number, Title: m.title, Room: m.room, Locked: m.locked, Passcode: m.lock.passcode != nil, Created: m.created,
		Started: m.started, Count: len(m.order), Watchers: len(m.watchers)}
	for _, s := range m.order {
		p := ParticipantInfo{ID: s.participant, Name: s.name, Role: s.role, Client: s.client, Source: s.source, Joined: s.joined,
			Away: s.away(), Report: s.reports.media, Quality: s.quality()}
		for _, t := range s.transports() {
			p.Transports = append(p.Transports, transportOf(t))
		}
		info.Participants = append(info.Participants, p)
	}
	d.reply <- info
}

// EndpointStats returns the router's figures of one participant.
func (c *Controller) EndpointStats(ctx context.Context, number, participant string) (mmr.EndpointStats, error) {
	c.mu.Lock()
	m := c.meetings[number]
	c.mu.Unlock()
	if m == nil {
		return mmr.EndpointStats{}, errUnknown
	}
	reply := make(chan RouterEndpoint, 1)
	endpoint, err := ask(ctx, m, reply, endpointOf{participant, reply})
	if err != nil {
		return mmr.EndpointStats{}, err
	}
	if endpoint == nil {
		return mmr.EndpointStats{}, errNobody
	}
	return endpoint.Stats(ctx)
}

type endpointOf struct {
	participant string
	reply       chan RouterEndpoint
}

func (e endpointOf) do(m *meeting) {
	if s := m.people[e.participant]; s != nil {
		e.reply <- s.endpoint
		return
	}
	e.reply <- nil
}

// ---- API tokens

// CreateToken makes an API token. It is shown once: the store has only its digest.
func (c *Controller) CreateToken(ctx context.Context, name string, scopes []Scope, expires time.Time) (token string, info APIToken, err error) {
	for _, s := range scopes {
		if !slices.Contains(Scopes[:], s) {
			return "", info, fmt.Errorf("there is no scope %q", s)
		}
	}
	id, token, digest := newAPIToken()
	info = APIToken{ID: id, Name: wire.CleanLine(name, wire.MaxName), Digest: digest, Scopes: slices.Clone(scopes), Created: time.Now(), Expires: expires}
	c.changing.Lock()
	defer c.changing.Unlock()
	if err := c.store.Tokens.Put(ctx, id, info); err != nil {
		return "", info, fmt.Errorf("%w: %w", errStore, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens[id] = info
	return token, info, nil
}

// Tokens returns all API tokens, by name.
func (c *Controller) Tokens() []APIToken {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]APIToken, 0, len(c.tokens))
	for _, t := range c.tokens {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b APIToken) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return list
}

// DeleteToken makes an API token worth nothing.
func (c *Controller) DeleteToken(ctx context.Context, id string) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if err := c.store.Tokens.Delete(ctx, id); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tokens, id)
	return nil
}

// ---- counters

type counters struct {
	lookups, refused, blocked, meetings, joins atomic.Uint64
}

// Stats counts what there is, and what happened since New.
type Stats struct {
	Meetings, Sessions, Channels, Rooms int
	Watchers                            int    // gear that only watches, not among the sessions
	Lookups, Refused, Blocked           uint64 // lookups in all; of them the refused, and besides these the ones after too many wrong attempts
	Started, Joins                      uint64 // meetings and sessions
	Draining                            bool
}

// Stats returns the counters.
func (c *Controller) Stats() Stats {
	c.mu.Lock()
	s := Stats{Meetings: len(c.meetings), Sessions: len(c.sessions), Watchers: c.watchers, Channels: c.channels, Rooms: len(c.rooms)}
	c.mu.Unlock()
	s.Blocked, s.Refused = c.counters.blocked.Load(), c.counters.refused.Load()
	s.Lookups = c.counters.lookups.Load() // last, so that it is never less than the others together
	s.Started, s.Joins = c.counters.meetings.Load(), c.counters.joins.Load()
	_, s.Draining = c.Draining()
	return s
}

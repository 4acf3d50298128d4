package zonectl

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"meetzone/zonectl/wire"
)

// Kept is what is remembered of a meeting over a restart of the daemon, so that whoever was in it comes back to it by themselves: the session is
// gone, the number and its secrets are not.
type Kept struct {
	Number   string    `json:"number"`
	Title    string    `json:"title,omitempty"`
	Locked   bool      `json:"locked,omitempty"`
	Passcode []byte    `json:"passcode,omitempty"` // digest; empty: none is needed
	HostKey  []byte    `json:"host_key"`           // digest
	Created  time.Time `json:"created"`
	Started  time.Time `json:"started,omitzero"` // zero: nobody has come yet
	// Room says that the meeting is in a room, which has its title and its secrets itself.
	Room bool `json:"room,omitempty"`
	// Run is the last one of the daemon in which somebody came; what it gave people to come back with is good in the next one.
	Run     string               `json:"run,omitempty"`
	Revoked map[string]time.Time `json:"revoked,omitempty"` // tokens of those who were removed, and until when they are remembered
}

// keeper brings the table of kept meetings up to date. Nobody waits for it: a meeting goes on while the disk is silent or full.
type keeper struct {
	table Table[Kept]
	log   *slog.Logger
	state func(number string) (Kept, bool) // of a meeting that is to be kept
	wake  chan struct{}

	mu    sync.Mutex // guards what follows
	dirty map[string]bool
}

func newKeeper(table Table[Kept], log *slog.Logger, state func(string) (Kept, bool)) *keeper {
	return &keeper{table: table, log: log, state: state, wake: make(chan struct{}, 1), dirty: map[string]bool{}}
}

// touch notes that a meeting has begun, changed or ended.
func (k *keeper) touch(number string) {
	if k.table == nil {
		return
	}
	k.mu.Lock()
	k.dirty[number] = true
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// keepAgain is how long after a failure the keeper tries again.
const keepAgain = 10 * time.Second

// runKeeper writes until the context ends, and then what is left.
func (k *keeper) runKeeper(ctx context.Context) {
	again := time.NewTicker(keepAgain)
	defer again.Stop()
	for {
		select {
		case <-k.wake:
			k.write(ctx)
		case <-again.C:
			k.write(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), farewellWithin)
			defer cancel()
			k.write(last)
			return
		}
	}
}

// write brings every meeting up to date that was touched. What fails stays to be done.
func (k *keeper) write(ctx context.Context) {
	k.mu.Lock()
	dirty := k.dirty
	k.dirty = map[string]bool{}
	k.mu.Unlock()
	for number := range dirty {
		kept, ok := k.state(number)
		var err error
		if ok {
			err = k.table.Put(ctx, number, kept)
		} else {
			err = k.table.Delete(ctx, number)
		}
		if err == nil {
			continue
		}
		k.mu.Lock()
		k.dirty[number] = true
		k.mu.Unlock()
		if ctx.Err() == nil {
			k.log.Warn("a meeting would not survive a restart", "meeting", number, "error", err)
		}
	}
}

// kept is what the keeper writes of a meeting; false when there is nothing to keep.
func (c *Controller) kept(number string) (Kept, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.meetings[number]
	if m == nil {
		return Kept{}, false
	}
	info := m.public.Load()
	kept := Kept{Number: number, Locked: info.Locked, Created: m.created, Room: m.room, Run: c.run, Revoked: *m.barred.Load()}
	if m.before != "" && !m.entered.Load() {
		kept.Run = m.before // a start that fails makes nobody's secret worthless
	}
	if !m.room {
		kept.Title, kept.Passcode, kept.HostKey = info.Title, m.lock.passcode, m.lock.hostKey
	}
	if info.Started != 0 {
		kept.Started = time.Unix(info.Started, 0)
	}
	return kept, true
}

// recallMeetings brings the meetings of the last run back to life. To be called by New.
func (c *Controller) recallMeetings() {
	if c.store.Meetings == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for number, k := range c.store.Meetings.All() {
		room, isRoom := c.rooms[number]
		switch {
		case k.Room && !isRoom:
			c.keeper.touch(number) // deleted meanwhile
			continue
		case wire.Number(number) != number || isRoom != k.Room:
			continue
		}
		s := spec{number: number, title: k.Title, locked: k.Locked, lock: lock{k.Passcode, k.HostKey}, created: k.Created, started: k.Started,
			room: k.Room, before: k.Run, revoked: k.Revoked}
		if k.Room {
			s.title, s.lock = room.Title, lock{room.Passcode, room.HostKey}
		}
		if _, err := c.startLocked(s); err != nil {
			c.log.Warn("a meeting of the last run is given up", "meeting", number, "error", err)
			c.keeper.touch(number)
		}
	}
}

// suspendAll ends all meetings in silence: their people come back when the daemon does.
func (c *Controller) suspendAll() {
	c.mu.Lock()
	var list []*meeting
	for _, m := range c.meetings {
		list = append(list, m)
	}
	c.mu.Unlock()
	for _, m := range list {
		_ = m.send(context.Background(), suspend{}) // one that has ended meanwhile is no matter
	}
	for _, m := range list {
		<-m.done
	}
}

// suspend ends a meeting whose number stays good.
type suspend struct{}

func (suspend) do(m *meeting) {
	m.suspended, m.ended = true, errEnded
	for len(m.order) > 0 {
		m.leave(m.order[0], nil)
	}
}

// ---- coming back after a restart

// returnWithin is how long after the start of the daemon people come back by the secret of a session that it does not know any more.
const returnWithin = 10 * time.Minute

// returnee is who comes back.
type returnee struct {
	participant string
	role        wire.Role
}

// returnTokens is how old the join token may be of somebody who comes back.
const returnTokens = 7 * 24 * time.Hour

// returnSecret is the secret of a welcome: random, and signed with who the session is, so that the next run of the daemon knows it again.
// Participant ids and roles are no secrets.
func (c *Controller) returnSecret(s *session, m *meeting) string {
	said := strings.Join([]string{s.participant, string(s.role), newSecret()[:12]}, ".")
	return said + "." + c.signReturn(said, s.id, s.claims.ID, c.run, m)
}

// signReturn signs what a secret says: for one session of one token, given by one run, in one meeting as long as it is locked with the same
// passcode and host key.
func (c *Controller) signReturn(said, session, token, run string, m *meeting) string {
	mac := hmac.New(sha256.New, c.returns)
	fmt.Fprintf(mac, "%s\x00%s\x00%d\x00%x\x00%x\x00%s\x00%s\x00%s\x00%s", c.config().Zone, m.number, m.created.UnixNano(), m.lock.passcode, m.lock.hostKey,
		run, token, session, said)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:15])
}

// comesBack tells whether somebody who names a session of the last run was in it. The join token says where, and may have expired; whether it
// was revoked is for the meeting to say.
func (c *Controller) comesBack(hello wire.Hello) (wire.Claims, *returnee, error) {
	if time.Since(c.opened) > returnWithin {
		return wire.Claims{}, nil, errSession
	}
	claims, err := wire.VerifyTokenLate(c.key.Public().(ed25519.PublicKey), c.config().Zone, hello.Token, returnTokens)
	if err != nil {
		return claims, nil, errSession
	}
	m := c.inProgress(claims.Meeting)
	if m == nil || m.before == "" {
		return claims, nil, errSession // it is none of the last run
	}
	at := strings.LastIndexByte(hello.Resume.Secret, '.')
	parts := strings.Split(hello.Resume.Secret, ".")
	if at < 0 || len(parts) != 4 {
		return claims, nil, errSession
	}
	want := c.signReturn(hello.Resume.Secret[:at], hello.Resume.Session, claims.ID, m.before, m)
	if subtle.ConstantTimeCompare([]byte(want), []byte(parts[3])) != 1 {
		return claims, nil, errSession
	}
	return claims, &returnee{participant: parts[0], role: wire.Role(parts[1])}, nil
}

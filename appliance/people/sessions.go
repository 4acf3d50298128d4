package people

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// Session is one person's login.
type Session struct {
	Token      string // only from Login and ChangePassword
	User       string
	Role       Role
	MustChange bool
	Idle       time.Duration
}

// session is kept under the hash of its token.
type session struct {
	user string
	used time.Time
}

// failure counts wrong passwords of a name since the last right one.
type failure struct {
	count int
	last  time.Time
}

// When a name is locked.
const (
	freeFailures = 5
	firstLock    = 2 * time.Second
	longestLock  = 5 * time.Minute
	maxFailures  = 1000 // names that are remembered
)

// left is for how long no password is looked at.
func (f *failure) left(now time.Time) time.Duration {
	if f == nil || f.count < freeFailures {
		return 0
	}
	lock := longestLock
	if over := f.count - freeFailures; over < 10 {
		lock = min(longestLock, firstLock<<over)
	}
	return max(0, lock-now.Sub(f.last))
}

// dummyHash is what an unknown name's password is compared with, so that it takes as long.
var dummyHash = encode(wanted, make([]byte, saltSize), make([]byte, hashSize))

// Login begins a session. The errors that a person is told are ErrWrong, ErrBusy and *LockedError.
func (u *Users) Login(ctx context.Context, name, password string) (Session, error) {
	if err := u.try(ctx, name, password); err != nil {
		return Session{}, err
	}
	return u.begin(name)
}

// try checks a password and counts what is wrong.
func (u *Users) try(ctx context.Context, name, password string) error {
	if checkName(name) != nil || len(password) > MaxPassword {
		return ErrWrong
	}
	if left := u.count(name); left > 0 {
		return &LockedError{Left: left}
	}
	// The attempt is counted as wrong until it is known to be right: guesses made at once are all counted.
	r, known, err := u.table.Get(name)
	if err != nil {
		return err
	}
	stored := r.Hash
	if !known {
		stored = dummyHash
	}
	var ok, old bool
	if busy := u.compute(ctx, func() { ok, old, err = matches(stored, password) }); busy != nil {
		return busy
	}
	if err != nil {
		return err
	}
	if !ok || !known {
		if known {
			u.note(ctx, name)
		}
		return ErrWrong
	}
	return u.right(ctx, name, stored, password, old)
}

// count counts an attempt, or returns for how long the name is locked.
func (u *Users) count(name string) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	f := u.failures[name]
	if left := f.left(now); left > 0 {
		return left
	}
	if f == nil {
		if len(u.failures) >= maxFailures {
			u.forgetOldest()
		}
		f = new(failure)
		u.failures[name] = f
	}
	f.count++
	f.last = now
	return 0
}

// forgetOldest makes room for another name.
func (u *Users) forgetOldest() {
	oldest := ""
	for name, f := range u.failures {
		if oldest == "" || f.last.Before(u.failures[oldest].last) {
			oldest = name
		}
	}
	delete(u.failures, oldest)
}

// note stores how often it went wrong. A disk that refuses makes nobody's guesses free: they are counted in memory too.
func (u *Users) note(ctx context.Context, name string) {
	u.changing.Lock()
	defer u.changing.Unlock()
	r, known, err := u.table.Get(name)
	if !known || err != nil {
		return
	}
	u.mu.Lock()
	if f := u.failures[name]; f != nil {
		r.Failures = f.count
	}
	u.mu.Unlock()
	_ = u.table.Put(ctx, name, r)
}

// right forgets what went wrong, and keeps the password with today's parameters. A disk that refuses keeps nobody out.
func (u *Users) right(ctx context.Context, name, stored, password string, old bool) error {
	u.changing.Lock()
	defer u.changing.Unlock()
	r, known, err := u.table.Get(name)
	if err != nil {
		return err
	}
	if !known || r.Hash != stored { // removed or changed meanwhile
		return ErrWrong
	}
	r.Failures, r.LastLogin = 0, time.Now().UTC()
	if old {
		if err := u.compute(ctx, func() { r.Hash = hash(password) }); err != nil {
			return err
		}
	}
	_ = u.table.Put(ctx, name, r)
	u.forgive(name)
	return nil
}

func (u *Users) forgive(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.failures, name)
}

// begin makes a session of a user.
func (u *Users) begin(name string) (Session, error) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	token := base64.RawURLEncoding.EncodeToString(raw)
	u.mu.Lock()
	u.makeRoom(name)
	u.sessions[sha256.Sum256([]byte(token))] = &session{user: name, used: time.Now()}
	u.mu.Unlock()
	s, err := u.Session(token, true)
	s.Token = token
	return s, err
}

// makeRoom ends what is idle, and where there are too many sessions the one that was idle for longest. To be called with mu held.
func (u *Users) makeRoom(name string) {
	var oldest, own [32]byte
	var first, ownFirst *session
	owned := 0
	for key, s := range u.sessions {
		if time.Since(s.used) >= u.idle {
			delete(u.sessions, key)
			continue
		}
		if first == nil || s.used.Before(first.used) {
			oldest, first = key, s
		}
		if s.user != name {
			continue
		}
		owned++
		if ownFirst == nil || s.used.Before(ownFirst.used) {
			own, ownFirst = key, s
		}
	}
	if owned >= perUser {
		delete(u.sessions, own)
	} else if len(u.sessions) >= maxSessions {
		delete(u.sessions, oldest)
	}
}

// Session returns the session of a token, with the role that the user has now. With use, it is used: its time begins anew.
func (u *Users) Session(token string, use bool) (Session, error) {
	key := sha256.Sum256([]byte(token))
	u.mu.Lock()
	s, found := u.sessions[key]
	if found && time.Since(s.used) >= u.idle {
		delete(u.sessions, key)
		found = false
	}
	if found && use {
		s.used = time.Now()
	}
	u.mu.Unlock()
	if !found {
		return Session{}, ErrNoSession
	}
	r, known, err := u.table.Get(s.user)
	if err != nil || !known {
		return Session{}, errors.Join(err, ErrNoSession)
	}
	return Session{User: s.user, Role: r.Role, MustChange: r.MustChange, Idle: u.idle}, nil
}

// Logout ends a session.
func (u *Users) Logout(token string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.sessions, sha256.Sum256([]byte(token)))
}

// end ends all sessions of a user.
func (u *Users) end(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, s := range u.sessions {
		if s.user == name {
			delete(u.sessions, key)
		}
	}
}

// ChangePassword changes the password of the one whose session it is. All their sessions end, and a fresh one begins.
func (u *Users) ChangePassword(ctx context.Context, token, old, fresh string) (Session, error) {
	s, err := u.Session(token, true)
	if err != nil {
		return Session{}, err
	}
	if err := checkPassword(s.User, fresh); err != nil {
		return Session{}, err
	}
	if old == fresh {
		return Session{}, fmt.Errorf("%w: it is the old one", ErrPassword)
	}
	if err := u.try(ctx, s.User, old); err != nil {
		return Session{}, err
	}
	if _, err := u.Change(ctx, s.User, Change{Password: fresh}); err != nil {
		return Session{}, err
	}
	return u.begin(s.User)
}

package people

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"meetzone/storage"
)

// Role says what somebody may do.
type Role string

// The roles.
const (
	View    Role = "view"    // sees everything but secrets, changes nothing
	Operate Role = "operate" // may do everything
)

// Bounds.
const (
	MaxUsers    = 200
	maxName     = 32
	maxSessions = 100 // in all; the one idle for longest goes first
	perUser     = 10
)

// What cannot be done.
var (
	ErrName     = errors.New("not a usable name: up to 32 small letters, digits, dots, hyphens and underscores, beginning with a letter")
	ErrRole     = errors.New("not a role: view or operate")
	ErrPassword = errors.New("not a usable password")
	ErrExists   = errors.New("there is a user of that name")
	ErrNoUser   = errors.New("there is no such user")
	ErrLast     = errors.New("nobody would be left who operates the box")
	ErrMany     = errors.New("there are too many users")
)

// Logging in.
var (
	// ErrWrong does not tell whether name or password is wrong.
	ErrWrong = errors.New("name or password is wrong")
	// ErrBusy says that too many passwords are being looked at.
	ErrBusy = errors.New("too many people log in at once")
	// ErrNoSession says that a token is of no session, or of one that has ended.
	ErrNoSession = errors.New("there is no such session")
)

// LockedError says that a name is locked for a time.
type LockedError struct{ Left time.Duration }

// Error implements error.
func (e *LockedError) Error() string {
	return fmt.Sprintf("locked after wrong passwords, for %v", e.Left.Round(time.Second))
}

// record is a user as stored.
type record struct {
	Role       Role      `json:"role"`
	Hash       string    `json:"hash"`
	Created    time.Time `json:"created"`
	Changed    time.Time `json:"changed"`
	LastLogin  time.Time `json:"last_login,omitzero"`
	MustChange bool      `json:"must_change,omitempty"`
	Failures   int       `json:"failures,omitempty"`
}

// User is what is told of a person.
type User struct {
	Name                        string
	Role                        Role
	Created, Changed, LastLogin time.Time
	MustChange                  bool
	Failures                    int
	Locked                      time.Duration
	Sessions                    int
}

// Config says how people are kept.
type Config struct {
	Store *storage.Store
	Idle  time.Duration // a session that nobody uses for so long ends; default 15 min
}

// Validate names what is missing.
func (c Config) Validate() error {
	if c.Store == nil {
		return errors.New("people: store: missing")
	}
	if c.Idle < 0 {
		return fmt.Errorf("people: idle: %v is no time to wait", c.Idle)
	}
	return nil
}

// DefaultIdle is how long a session lasts that nobody uses.
const DefaultIdle = 15 * time.Minute

// Users is everybody who may administer the box.
type Users struct {
	table  *storage.Table[string, record]
	idle   time.Duration
	costly chan struct{} // one for each password that is computed; its room bounds their memory

	changing sync.Mutex // held while users are changed, so that rules over all of them hold

	mu       sync.Mutex // guards what follows
	sessions map[[32]byte]*session
	failures map[string]*failure // by name, known or not
}

// New opens the table.
func New(cfg Config) (*Users, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	table, err := storage.OpenTable[string, record](cfg.Store, "users")
	if err != nil {
		return nil, err
	}
	u := &Users{table: table, idle: cmp.Or(cfg.Idle, DefaultIdle), costly: make(chan struct{}, 2),
		sessions: map[[32]byte]*session{}, failures: map[string]*failure{}}
	now := time.Now()
	for name, r := range table.All() {
		if r.Failures > 0 {
			u.failures[name] = &failure{count: r.Failures, last: now}
		}
	}
	return u, nil
}

// None says that there are no users yet.
func (u *Users) None() bool { return u.table.Len() == 0 }

// List returns everybody by name.
func (u *Users) List() []User {
	var list []User
	for name, r := range u.table.All() {
		list = append(list, u.describe(name, r))
	}
	return list
}

func (u *Users) describe(name string, r record) User {
	out := User{Name: name, Role: r.Role, Created: r.Created, Changed: r.Changed, LastLogin: r.LastLogin, MustChange: r.MustChange}
	u.mu.Lock()
	defer u.mu.Unlock()
	if f := u.failures[name]; f != nil {
		out.Failures, out.Locked = f.count, f.left(time.Now())
	}
	for _, s := range u.sessions {
		if s.user == name && time.Since(s.used) < u.idle {
			out.Sessions++
		}
	}
	return out
}

// Add makes a user. mustChange has them choose a password of their own at the first login.
func (u *Users) Add(ctx context.Context, name string, role Role, password string, mustChange bool) (User, error) {
	return u.add(ctx, name, role, password, mustChange, false)
}

// First makes the first user, who operates the box. Where there is one already, it is refused with ErrExists.
func (u *Users) First(ctx context.Context, name, password string) (User, error) {
	return u.add(ctx, name, Operate, password, false, true)
}

func (u *Users) add(ctx context.Context, name string, role Role, password string, mustChange, first bool) (User, error) {
	if err := errors.Join(checkName(name), checkRole(role)); err != nil {
		return User{}, err
	}
	if err := checkPassword(name, password); err != nil {
		return User{}, err
	}
	u.changing.Lock()
	defer u.changing.Unlock()
	switch _, exists, err := u.table.Get(name); {
	case exists || err != nil || first && !u.None():
		return User{}, ErrExists
	case u.table.Len() >= MaxUsers:
		return User{}, fmt.Errorf("%w: %d", ErrMany, MaxUsers)
	}
	now := time.Now().UTC()
	r := record{Role: role, Created: now, Changed: now, MustChange: mustChange}
	if err := u.compute(ctx, func() { r.Hash = hash(password) }); err != nil {
		return User{}, err
	}
	if err := u.table.Put(ctx, name, r); err != nil {
		return User{}, err
	}
	u.forgive(name)
	return u.describe(name, r), nil
}

// Change is what is to be changed of a user; what is empty stays.
type Change struct {
	Role       Role
	Password   string
	MustChange bool // with Password: the person has to choose another at the next login
	Unlock     bool
}

// Change changes a user. A new password ends all of their sessions.
func (u *Users) Change(ctx context.Context, name string, c Change) (User, error) {
	u.changing.Lock()
	defer u.changing.Unlock()
	r, found, err := u.table.Get(name)
	if err != nil || !found {
		return User{}, errors.Join(err, ErrNoUser)
	}
	if c.Role != "" {
		if err := checkRole(c.Role); err != nil {
			return User{}, err
		}
		if c.Role != Operate && u.lastOperator(name) {
			return User{}, ErrLast
		}
		r.Role = c.Role
	}
	if c.Password != "" {
		if err := checkPassword(name, c.Password); err != nil {
			return User{}, err
		}
		if err := u.compute(ctx, func() { r.Hash = hash(c.Password) }); err != nil {
			return User{}, err
		}
		r.Changed, r.MustChange = time.Now().UTC(), c.MustChange
	}
	if c.Password != "" || c.Unlock {
		r.Failures = 0
	}
	if err := u.table.Put(ctx, name, r); err != nil {
		return User{}, err
	}
	if c.Password != "" {
		u.end(name)
	}
	if c.Password != "" || c.Unlock {
		u.forgive(name)
	}
	return u.describe(name, r), nil
}

// Remove removes a user and ends their sessions.
func (u *Users) Remove(ctx context.Context, name string) error {
	u.changing.Lock()
	defer u.changing.Unlock()
	if _, found, _ := u.table.Get(name); !found {
		return ErrNoUser
	}
	if u.lastOperator(name) {
		return ErrLast
	}
	if err := u.table.Delete(ctx, name); err != nil {
		return err
	}
	u.end(name)
	u.forgive(name)
	return nil
}

// lastOperator says that nobody else operates the box.
func (u *Users) lastOperator(name string) bool {
	operates := false
	for other, r := range u.table.All() {
		if other == name {
			operates = r.Role == Operate
		} else if r.Role == Operate {
			return false
		}
	}
	return operates
}

// compute runs what takes the memory of a password, with at most so many at once as there is room for.
func (u *Users) compute(ctx context.Context, do func()) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case u.costly <- struct{}{}:
	case <-ctx.Done():
		return ErrBusy
	}
	defer func() { <-u.costly }()
	do()
	return nil
}

func checkName(name string) error {
	const first, rest = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz0123456789._-"
	if name == "" || len(name) > maxName || !strings.Contains(first, name[:1]) || strings.Trim(name, rest) != "" {
		return ErrName
	}
	return nil
}

func checkRole(role Role) error {
	if !slices.Contains([]Role{View, Operate}, role) {
		return ErrRole
	}
	return nil
}

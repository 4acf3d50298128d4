package adminapi

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Paths of people and their sessions.
const (
	PathHome     = "/admin/v1/home"             // GET → Home, also without a session
	PathLogin    = "/admin/v1/login"            // POST Login → Session
	PathFirst    = "/admin/v1/login/first"      // POST Login → Session: the first user of a box that has none
	PathSession  = "/admin/v1/session"          // GET → Session; DELETE: log out
	PathPassword = "/admin/v1/session/password" // POST ChangePassword → Session
	PathUsers    = "/admin/v1/users"            // GET → Users; POST NewUser → User
	PathUser     = "/admin/v1/users/"           // + name: PATCH UserChange → User; DELETE
)

// The roles.
const (
	RoleView    = "view"    // sees everything but secrets, changes nothing
	RoleOperate = "operate" // may do everything
)

// HeaderPoll marks a request that a program makes by itself, as against one that a person asked for: it does not keep a session awake.
const HeaderPoll = "Meetzone-Poll"

// Home is what everybody sees who stands before the box.
type Home struct {
	Version     string    `json:"version"`
	Hostname    string    `json:"hostname"`
	Zone        string    `json:"zone"`
	Name        string    `json:"name"` // of the zone, for people
	URL         string    `json:"url"`
	Fingerprint string    `json:"fingerprint"`
	Time        time.Time `json:"time"`
	NoUsers     bool      `json:"no_users,omitempty"` // PathFirst makes the first one
	Alarms      []Alarm   `json:"alarms"`
}

// Login proves who somebody is.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Session is what a person may do until they log out or are idle for IdleS seconds.
type Session struct {
	Token string `json:"token,omitempty"` // only in the answer that begins it
	User  string `json:"user"`
	Role  string `json:"role"`
	// MustChange: before anything else, the password has to be changed.
	MustChange bool `json:"must_change,omitempty"`
	// IdleS is 0 for who needs no session: root, and the daemon's own user.
	IdleS int64 `json:"idle_s,omitempty"`
}

// ChangePassword is the person's own doing. It ends their other sessions.
type ChangePassword struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// User is one person.
type User struct {
	Name       string    `json:"name"`
	Role       string    `json:"role"`
	Created    time.Time `json:"created"`
	Changed    time.Time `json:"changed"` // when the password was
	LastLogin  time.Time `json:"last_login,omitzero"`
	MustChange bool      `json:"must_change,omitempty"`
	Failures   int       `json:"failures,omitempty"` // wrong passwords since the last right one
	LockedS    int64     `json:"locked_s,omitempty"` // for so long no password is looked at
	Sessions   int       `json:"sessions,omitempty"`
}

// Users are all of them.
type Users struct {
	Users []User `json:"users"`
}

// NewUser is a person to be. They change the password at their first login unless Keep is set.
type NewUser struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Password string `json:"password"`
	Keep     bool   `json:"keep,omitempty"`
}

// UserChange changes what is not empty. A new password is changed by the person at the next login, unless Keep is set; it ends their sessions
// and their being locked out.
type UserChange struct {
	Role     string `json:"role,omitempty"`
	Password string `json:"password,omitempty"`
	Keep     bool   `json:"keep,omitempty"`
	Unlock   bool   `json:"unlock,omitempty"`
}

// SetSession has all further requests be those of a session; "" is none.
func (c *Client) SetSession(token string) { c.token.Store(&token) }

type pollKey struct{}

// Polling returns a context whose requests do not keep the session awake.
func Polling(ctx context.Context) context.Context { return context.WithValue(ctx, pollKey{}, true) }

// identify says whose request it is.
func (c *Client) identify(request *http.Request) {
	if token := c.token.Load(); token != nil && *token != "" {
		request.Header.Set("Authorization", "Bearer "+*token)
	}
	if request.Context().Value(pollKey{}) != nil {
		request.Header.Set(HeaderPoll, "1")
	}
}

// Home returns what everybody may see.
func (c *Client) Home(ctx context.Context) (Home, error) {
	return call[Home](ctx, c, http.MethodGet, PathHome, nil)
}

// Login begins a session; the client's further requests are made in it.
func (c *Client) Login(ctx context.Context, login Login) (Session, error) {
	return c.begin(ctx, PathLogin, login)
}

// First makes the first user of a box that has none, who operates it, and begins a session.
func (c *Client) First(ctx context.Context, login Login) (Session, error) {
	return c.begin(ctx, PathFirst, login)
}

// ChangePassword changes the person's own password and goes on in a fresh session.
func (c *Client) ChangePassword(ctx context.Context, change ChangePassword) (Session, error) {
	return c.begin(ctx, PathPassword, change)
}

func (c *Client) begin(ctx context.Context, path string, body any) (Session, error) {
	session, err := call[Session](ctx, c, http.MethodPost, path, body)
	if err == nil {
		c.SetSession(session.Token)
	}
	return session, err
}

// Session tells who the client is to the daemon.
func (c *Client) Session(ctx context.Context) (Session, error) {
	return call[Session](ctx, c, http.MethodGet, PathSession, nil)
}

// Logout ends the session.
func (c *Client) Logout(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, PathSession, nil)
	c.SetSession("")
	return err
}

// Users returns all users.
func (c *Client) Users(ctx context.Context) (Users, error) {
	return call[Users](ctx, c, http.MethodGet, PathUsers, nil)
}

// AddUser makes a user.
func (c *Client) AddUser(ctx context.Context, user NewUser) (User, error) {
	return call[User](ctx, c, http.MethodPost, PathUsers, user)
}

// ChangeUser changes one.
func (c *Client) ChangeUser(ctx context.Context, name string, change UserChange) (User, error) {
	return call[User](ctx, c, http.MethodPatch, PathUser+url.PathEscape(name), change)
}

// RemoveUser removes one and ends their sessions.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, PathUser+url.PathEscape(name), nil)
	return err
}

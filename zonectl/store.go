package zonectl

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Table holds records that survive a restart. Put and Delete return when the change is on the disk, or say why it is not.
type Table[V any] interface {
	Put(ctx context.Context, key string, value V) error
	Delete(ctx context.Context, key string) error // a missing one is no error
	All() iter.Seq2[string, V]
}

// Store is where the zone keeps what is not a setting. It is read once, by New.
type Store struct {
	Rooms  Table[Room]     // by number
	Tokens Table[APIToken] // by id
	// Meetings are those that run, of rooms too, by number; nil: none survives a restart.
	Meetings Table[Kept]
}

// Room is a permanent meeting: its number stays good when everybody has left. Secrets are kept as digests, see secrets.go.
type Room struct {
	Number   string    `json:"number"`
	Title    string    `json:"title,omitempty"`
	Passcode []byte    `json:"passcode,omitempty"` // digest; empty: none is needed
	HostKey  []byte    `json:"host_key"`           // digest
	Created  time.Time `json:"created"`
}

// Scope is something that an API token permits.
type Scope string

// The scopes.
const (
	MeetingsRead  Scope = "meetings:read"
	MeetingsWrite Scope = "meetings:write"
	RoomsRead     Scope = "rooms:read"
	RoomsWrite    Scope = "rooms:write"
)

// Scopes lists all scopes.
var Scopes = [...]Scope{MeetingsRead, MeetingsWrite, RoomsRead, RoomsWrite}

// APIToken is the right of an integrator's program. The token itself is random and long, so a plain digest of it is enough.
type APIToken struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Digest  []byte    `json:"digest"`
	Scopes  []Scope   `json:"scopes"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// permits says whether the token is good for the scope at the time. Who may change something may also look at it.
func (t APIToken) permits(scope Scope, now time.Time) bool {
	if !t.Expires.IsZero() && now.After(t.Expires) {
		return false
	}
	implied := map[Scope]Scope{MeetingsRead: MeetingsWrite, RoomsRead: RoomsWrite}[scope]
	return slices.Contains(t.Scopes, scope) || implied != "" && slices.Contains(t.Scopes, implied)
}

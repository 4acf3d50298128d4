package adminapi

import (
	"context"
	"net/http"
	"time"
)

// Paths that only `appliance rescue` serves, beside those of home, login, sessions and power.
const (
	PathRescue         = "/admin/v1/rescue"          // GET → Rescue
	PathRescueCopy     = "/admin/v1/rescue/copy"     // POST: the last good copy of the store → Rescued
	PathRescuePrevious = "/admin/v1/rescue/previous" // POST: the revision before the newest → Rescued
	PathRescueNetwork  = "/admin/v1/rescue/network"  // POST RescueNetwork → Rescued
	PathRescueReset    = "/admin/v1/rescue/reset"    // POST: begin anew → Rescued
	PathRescueStart    = "/admin/v1/rescue/start"    // POST: try to start the daemon again
)

// Rescue is why the box does not start, and what could help.
type Rescue struct {
	Cause    string      `json:"cause"`
	At       time.Time   `json:"at,omitzero"`       // of the last start that failed
	Log      []string    `json:"log"`               // the end of what the daemon said
	Store    string      `json:"store"`             // what is wrong with its content; "" nothing
	Trouble  string      `json:"trouble,omitempty"` // why a store that may be whole cannot be opened
	Revision *Revision   `json:"revision,omitempty"`
	Previous *Revision   `json:"previous,omitempty"`
	Copy     *RescueCopy `json:"copy,omitempty"` // the last good copy of the store
	Open     bool        `json:"open,omitempty"` // no user can be read: everybody at the socket may do everything
}

// RescueCopy is a copy of the store that was whole when it was made.
type RescueCopy struct {
	Made     time.Time `json:"made"`
	Revision uint64    `json:"revision"`
	Problem  string    `json:"problem,omitempty"` // it is damaged itself
}

// RescueNetwork gives an interface one address, and the way out. What else the document says of it is dropped.
type RescueNetwork struct {
	Interface string `json:"interface"`
	Address   string `json:"address"` // with prefix length, such as 192.0.2.7/24
	Gateway   string `json:"gateway,omitempty"`
}

// Rescued tells what was done.
type Rescued struct {
	Text string `json:"text"`
	Lost string `json:"lost,omitempty"` // what is gone by it
}

// Rescue tells why the box does not start. A daemon that runs does not know the question.
func (c *Client) Rescue(ctx context.Context) (Rescue, error) {
	return call[Rescue](ctx, c, http.MethodGet, PathRescue, nil)
}

// RescueDo does what one of the paths without a body is for.
func (c *Client) RescueDo(ctx context.Context, path string) (Rescued, error) {
	return call[Rescued](ctx, c, http.MethodPost, path, struct{}{})
}

// RescueNetwork changes the network of the next start.
func (c *Client) RescueNetwork(ctx context.Context, n RescueNetwork) (Rescued, error) {
	return call[Rescued](ctx, c, http.MethodPost, PathRescueNetwork, n)
}

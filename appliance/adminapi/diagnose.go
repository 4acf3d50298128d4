package adminapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Paths of diagnostics.
const (
	PathDiagnose = "/admin/v1/diagnose" // POST Diagnose → Diagnosis
	PathLog      = "/admin/v1/log"      // GET ?after= &level= &match= → Log
)

// Diagnose asks the box to try something itself.
type Diagnose struct {
	Try    Trial  `json:"try"`
	Target string `json:"target"`
}

// Trial is what can be tried.
type Trial string

// The trials.
const (
	TryPing  Trial = "ping"  // a host
	TryTCP   Trial = "tcp"   // HOST:PORT
	TryDNS   Trial = "dns"   // a name or an address
	TryNTP   Trial = "ntp"   // a time server
	TryHTTPS Trial = "https" // a URL or a host
)

// MaxTarget bounds Diagnose.Target, in bytes.
const MaxTarget = 255

// Diagnosis is what came of it. A trial that fails is an answer, too, and no Error.
type Diagnosis struct {
	OK     bool     `json:"ok"`
	Text   string   `json:"text"`
	Lines  []string `json:"lines,omitempty"` // details
	TookMS float64  `json:"took_ms"`
}

// Log is the end of the daemon's log, oldest first, as far as it is kept in memory.
type Log struct {
	Lines []LogLine `json:"lines"`
	Next  uint64    `json:"next"` // to ask for what comes after these
}

// LogLine is one record.
type LogLine struct {
	Seq   uint64    `json:"seq"`
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
}

// LogQuery says which lines of the log are wanted.
type LogQuery struct {
	After uint64 // only those with a greater number
	Level string // only those of this level and above; "" is all
	Match string // only those that contain this, in whatever case
}

// Diagnose has the box try something.
func (c *Client) Diagnose(ctx context.Context, d Diagnose) (Diagnosis, error) {
	return call[Diagnosis](ctx, c, http.MethodPost, PathDiagnose, d)
}

// Log returns the end of the daemon's log.
func (c *Client) Log(ctx context.Context, q LogQuery) (Log, error) {
	query := url.Values{"after": {strconv.FormatUint(q.After, 10)}, "level": {q.Level}, "match": {q.Match}}
	return call[Log](ctx, c, http.MethodGet, PathLog+"?"+query.Encode(), nil)
}

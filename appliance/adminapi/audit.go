package adminapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// PathAudit is who did what.
const PathAudit = "/admin/v1/audit" // GET ?after= &most= &wait_s= → Audit

// Bounds of one question.
const (
	MaxAudit     = 1000 // entries
	MaxAuditWait = 30   // seconds
)

// Audit is a part of the audit log, oldest first.
type Audit struct {
	Entries []AuditEntry `json:"entries"`
	Next    uint64       `json:"next"` // to ask for what comes after these
}

// AuditEntry is something that somebody did, or was refused.
type AuditEntry struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Who     string    `json:"who"`
	From    string    `json:"from,omitempty"` // whose process asked, where that is another
	Verb    string    `json:"verb"`
	Detail  string    `json:"detail,omitempty"`
	Refused bool      `json:"refused,omitempty"` // not let in, or not permitted
	Result  string    `json:"result"`            // "done", or the code of the error
	Missed  int       `json:"missed,omitempty"`  // refusals before this one that were not written down
}

// AuditQuery says which entries are wanted.
type AuditQuery struct {
	After uint64        // only those with a greater number; 0: the newest
	Most  int           // at most so many; 0: 100
	Wait  time.Duration // where there are none, so long is waited for one
}

// Audit returns a part of the audit log.
func (c *Client) Audit(ctx context.Context, q AuditQuery) (Audit, error) {
	query := url.Values{"after": {strconv.FormatUint(q.After, 10)}}
	if q.Most > 0 {
		query.Set("most", strconv.Itoa(q.Most))
	}
	if q.Wait > 0 {
		query.Set("wait_s", strconv.Itoa(int(q.Wait.Seconds())))
	}
	return call[Audit](ctx, c, http.MethodGet, PathAudit+"?"+query.Encode(), nil)
}

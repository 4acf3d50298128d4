package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
)

// trail is what a request leaves in the audit log. Handlers add to it while it is served; nothing of it is shared.
type trail struct {
	who    string // where the request itself tells who it is
	detail string
	code   adminapi.Code // of the error; "" where it was done
}

type trailKey struct{}

// note says in the audit log what a request was about. Never with secrets, nor with what somebody types before they are known.
func note(r *http.Request, format string, args ...any) {
	if t, ok := r.Context().Value(trailKey{}).(*trail); ok {
		t.detail = fmt.Sprintf(format, args...)
	}
}

// noteWho says who it was that has just logged in.
func noteWho(r *http.Request, who string) {
	if t, ok := r.Context().Value(trailKey{}).(*trail); ok {
		t.who = who
	}
}

// fail tells the person, and the audit log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	told := s.tell(r, err)
	if t, ok := r.Context().Value(trailKey{}).(*trail); ok {
		t.code = told.Code
	}
	s.write(w, statusOf(told.Code), told)
}

// recorded has the audit log name who changed something, or tried to. Looking changes nothing, and leaves nothing there.
func (s *Server) recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		t := new(trail)
		r = r.WithContext(context.WithValue(r.Context(), trailKey{}, t))
		a, _ := s.askerOf(r, false)
		defer func() {
			e := audit.Entry{Who: a.who, Verb: verbOf(r), Detail: t.detail, Kind: audit.Done, Result: "done"}
			if t.who != "" {
				e.Who = t.who
			}
			if peer, _ := r.Context().Value(peerKey{}).(peer); peer.String() != e.Who {
				e.From = peer.String()
			}
			if t.code != "" {
				e.Result = string(t.code)
			}
			switch t.code {
			case adminapi.CodeLogin, adminapi.CodeWrong, adminapi.CodePassword, adminapi.CodeForbidden, adminapi.CodeLimit:
				e.Kind = audit.Refused
			}
			// Whoever asked may have gone; the entry is made all the same.
			if err := s.record(context.WithoutCancel(r.Context()), e); err != nil {
				s.cfg.Logger.Error("the audit log was not written", "who", e.Who, "verb", e.Verb, "result", e.Result, "err", err)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// verbOf names a request for people: "config commit", "delete meetings 1234".
func verbOf(r *http.Request) string {
	words := strings.ReplaceAll(strings.TrimPrefix(r.URL.Path, "/admin/v1/"), "/", " ")
	switch r.Method {
	case http.MethodPost:
		return words
	case http.MethodPut:
		return "set " + words
	case http.MethodPatch:
		return "change " + words
	}
	return strings.ToLower(r.Method) + " " + words
}

func (s *Server) listAudit(r *http.Request) (any, error) {
	q := r.URL.Query()
	after, err := strconv.ParseUint(valueOr(q.Get("after"), "0"), 10, 64)
	most, mostErr := strconv.Atoi(valueOr(q.Get("most"), "100"))
	wait, waitErr := strconv.Atoi(valueOr(q.Get("wait_s"), "0"))
	if err != nil || mostErr != nil || waitErr != nil || most < 1 || most > adminapi.MaxAudit || wait < 0 || wait > adminapi.MaxAuditWait {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "That is no part of the audit log.",
			Advice: fmt.Sprintf("Ask for at most %d entries behind a number, and wait at most %d s.", adminapi.MaxAudit, adminapi.MaxAuditWait)}
	}
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), time.Duration(wait)*time.Second)
		defer cancel()
		_ = s.cfg.Audit.Wait(ctx, after) // nothing in time is an answer too
	}
	list := s.cfg.Audit.After(after, most)
	if after == 0 {
		list = s.cfg.Audit.Newest(most)
	}
	out := adminapi.Audit{Entries: []adminapi.AuditEntry{}, Next: after}
	for _, e := range list {
		out.Next = e.Seq
		out.Entries = append(out.Entries, adminapi.AuditEntry{Seq: e.Seq, Time: e.Time, Who: e.Who, From: e.From, Verb: e.Verb, Detail: e.Detail,
			Refused: e.Kind == audit.Refused, Result: e.Result, Missed: e.Missed})
	}
	return out, nil
}

func valueOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
)

func (s *Server) status(*http.Request) (any, error) {
	st := s.cfg.Host.Describe()
	st.Started, st.UptimeS = s.cfg.Started, int64(time.Since(s.cfg.Started).Seconds())
	st.Revision = s.cfg.Revisions.Running().Number
	st.New = st.Revision <= 1 // the first is the daemon's own
	_, edited, err := s.cfg.Revisions.Candidate()
	st.Edited = edited && err == nil
	if w := s.cfg.Revisions.Waiting(); w.Number != 0 {
		st.Waiting = &adminapi.Waiting{Revision: w.Number, Before: w.Before, LeftS: int64(time.Until(w.Until).Seconds())}
	}
	for _, part := range s.cfg.Revisions.Parts() {
		st.Parts = append(st.Parts, partOf(part))
	}
	if st.Alarms == nil {
		st.Alarms = []adminapi.Alarm{}
	}
	return st, nil
}

func partOf(state PartState) adminapi.Part {
	p := adminapi.Part{Name: state.Name, Facts: []adminapi.Fact{}}
	if state.Err != nil {
		p.Error = state.Err.Error()
	}
	for _, f := range state.Actual {
		p.Facts = append(p.Facts, adminapi.Fact{Key: f.Key, Wanted: f.Wanted, Actual: f.Actual, Agrees: f.Agrees(), Note: f.Note})
	}
	return p
}

// getConfig answers with the running document, the candidate or the defaults, or with what is at one path of it.
func (s *Server) getConfig(r *http.Request) (any, error) {
	running := s.cfg.Revisions.Running()
	candidate, edited, err := s.cfg.Revisions.Candidate()
	if err != nil {
		return nil, err
	}
	document := running.Document
	switch source := r.FormValue("source"); source {
	case "", adminapi.SourceRunning:
	case adminapi.SourceCandidate:
		document = candidate
	case adminapi.SourceDefault:
		document = config.Default()
	default:
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "There is no source " + source + ".", Advice: "Use running, candidate or default."}
	}
	text, err := document.Get(r.FormValue("path"))
	if err != nil {
		return nil, noKey(r.FormValue("path"))
	}
	tag, err := tagOf(candidate)
	return adminapi.Document{YAML: text, Revision: running.Number, Edited: edited, Tag: tag, Warnings: document.Warnings()}, err
}

func noKey(path string) error {
	told := &adminapi.Error{Code: adminapi.CodeUnknown, Text: fmt.Sprintf("There is no key %s.", path), Advice: "`appliance config keys` lists them."}
	if near := config.Nearest(path); near != "" {
		told.Advice = fmt.Sprintf("Did you mean %s?", near)
	}
	return told
}

// tagOf tells whether a candidate is still the one that somebody has read.
func tagOf(d config.Document) (string, error) {
	text, err := d.Marshal()
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), err
}

// putCandidate replaces the candidate by a whole document, which must be valid: it was written by a person, and this is the
// moment to say what is wrong with it.
func (s *Server) putCandidate(r *http.Request) (any, error) {
	asked, err := body[adminapi.Document](r)
	if err != nil {
		return nil, err
	}
	return nil, s.cfg.Revisions.Edit(r.Context(), func(now config.Document) (config.Document, error) {
		tag, err := tagOf(now)
		if err != nil {
			return now, err
		}
		if asked.Tag != "" && asked.Tag != tag {
			return now, &adminapi.Error{Code: adminapi.CodeConflict, Text: "Somebody else has changed the configuration meanwhile.",
				Advice: "Look at `appliance config diff` and edit again."}
		}
		return config.ParseEdited([]byte(asked.YAML), now)
	})
}

// patchCandidate sets one key. A value that cannot be valid is refused here and now; what other keys say about it is for the commit.
func (s *Server) patchCandidate(r *http.Request) (any, error) {
	asked, err := body[adminapi.Change](r)
	if err != nil {
		return nil, err
	}
	note(r, "%s", asked.Path)
	return nil, s.cfg.Revisions.Edit(r.Context(), func(now config.Document) (config.Document, error) {
		if asked.Reset {
			return now.Reset(asked.Path)
		}
		next, err := now.Set(asked.Path, asked.Value)
		if err == nil {
			err = next.ProblemsAt(asked.Path)
		}
		return next, err
	})
}

func (s *Server) deleteCandidate(r *http.Request) (any, error) {
	return nil, s.cfg.Revisions.Discard(r.Context())
}

func (s *Server) getDiff(*http.Request) (any, error) {
	lines, err := s.cfg.Revisions.Diff()
	if lines == nil {
		return adminapi.Diff{Lines: []string{}}, err
	}
	candidate, _, candidateErr := s.cfg.Revisions.Candidate()
	return adminapi.Diff{Lines: lines, Warnings: candidate.Warnings()}, errors.Join(err, candidateErr)
}

func (s *Server) commit(r *http.Request) (any, error) {
	asked, err := body[adminapi.Commit](r)
	if err != nil {
		return nil, err
	}
	if asked.ConfirmS != 0 && (asked.ConfirmS < leastConfirmS || asked.ConfirmS > mostConfirmS) {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("The time to confirm is %d s.", asked.ConfirmS),
			Advice: "Use 10 s to 24 h; five minutes are a good choice."}
	}
	before := s.cfg.Revisions.Running()
	done, err := s.cfg.Revisions.Commit(r.Context(), CommitOptions{
		Who: whoAsks(r), Comment: asked.Comment, Confirm: time.Duration(asked.ConfirmS) * time.Second,
	})
	noteRevision(r, done)
	return committed(done, before.Document), err
}

// noteRevision says in the audit log which revision came of a request.
func noteRevision(r *http.Request, done config.Revision) {
	if done.Number != 0 {
		note(r, "revision %d: %s", done.Number, done.Comment)
	}
}

// Bounds of the time to confirm: shorter than it takes to type the command, or longer than anybody waits, is a mistake.
const (
	leastConfirmS = 10
	mostConfirmS  = 86_400
)

func (s *Server) confirm(r *http.Request) (any, error) {
	if _, err := body[adminapi.Confirm](r); err != nil {
		return nil, err
	}
	running, err := s.cfg.Revisions.Confirm(r.Context(), whoAsks(r))
	noteRevision(r, running)
	return revisionOf(running, running.Document, running.Number), err
}

func (s *Server) rollback(r *http.Request) (any, error) {
	asked, err := body[adminapi.Rollback](r)
	if err != nil {
		return nil, err
	}
	before := s.cfg.Revisions.Running()
	done, err := s.cfg.Revisions.Rollback(r.Context(), asked.Revision, CommitOptions{Who: whoAsks(r), Comment: asked.Comment})
	noteRevision(r, done)
	return committed(done, before.Document), err
}

// committed is the answer to what has made a revision the running one.
func committed(r config.Revision, before config.Document) adminapi.Revision {
	out := revisionOf(r, before, r.Number)
	out.Warnings = r.Document.Warnings()
	return out
}

func (s *Server) history(*http.Request) (any, error) {
	list, err := s.cfg.Revisions.History()
	if err != nil && len(list) == 0 {
		return nil, err
	}
	running := s.cfg.Revisions.Running().Number
	out := adminapi.History{Revisions: make([]adminapi.Revision, 0, len(list))}
	for i, revision := range list {
		before := config.Default()
		if i+1 < len(list) {
			before = list[i+1].Document
		}
		out.Revisions = append(out.Revisions, revisionOf(revision, before, running))
	}
	return out, nil
}

func revisionOf(r config.Revision, before config.Document, running uint64) adminapi.Revision {
	return adminapi.Revision{Number: r.Number, Time: r.Time, Who: r.Who, Comment: r.Comment, Running: r.Number == running,
		Changes: config.Diff(before, r.Document)}
}

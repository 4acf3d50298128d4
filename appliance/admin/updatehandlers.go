package admin

import (
	"context"
	"io"
	"net/http"
	"time"

	"meetzone/appliance/adminapi"
)

// Updates brings new versions into the idle image slot.
type Updates interface {
	Update(ctx context.Context) adminapi.Update
	CheckUpdate(ctx context.Context, from adminapi.UpdateFrom) (adminapi.UpdateOffer, error)
	// PutBundle keeps a bundle of that many bytes for an installation.
	PutBundle(ctx context.Context, bundle io.Reader, size int64) (adminapi.UpdateOffer, error)
	InstallUpdate(ctx context.Context, install adminapi.InstallUpdate) error
	RollbackUpdate(ctx context.Context, rollback adminapi.RollbackUpdate) error
	CancelUpdate()
}

// updateRoutes are those of updates.
func (s *Server) updateRoutes() map[string]route {
	return map[string]route{
		"GET " + adminapi.PathUpdate:          {view, s.showUpdate},
		"POST " + adminapi.PathUpdateCheck:    {operate, s.checkUpdate},
		"POST " + adminapi.PathUpdateInstall:  {operate, s.installUpdate},
		"POST " + adminapi.PathUpdateRollback: {operate, s.rollbackUpdate},
		"DELETE " + adminapi.PathUpdateJob:    {operate, s.cancelUpdate},
	}
}

func (s *Server) showUpdate(r *http.Request) (any, error) {
	return s.cfg.Updates.Update(r.Context()), nil
}

func (s *Server) checkUpdate(r *http.Request) (any, error) {
	from, err := body[adminapi.UpdateFrom](r)
	if err != nil {
		return nil, err
	}
	return s.cfg.Updates.CheckUpdate(r.Context(), from)
}

func (s *Server) installUpdate(r *http.Request) (any, error) {
	asked, err := body[adminapi.InstallUpdate](r)
	if err == nil {
		err = validRestart(asked.Restart)
	}
	if err == nil {
		err = s.cfg.Updates.InstallUpdate(r.Context(), asked)
	}
	if err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("update begun", "who", whoAsks(r))
	return s.showUpdate(r)
}

func (s *Server) rollbackUpdate(r *http.Request) (any, error) {
	asked, err := body[adminapi.RollbackUpdate](r)
	if err == nil {
		err = validRestart(asked.Restart)
	}
	if err == nil {
		err = s.cfg.Updates.RollbackUpdate(r.Context(), asked)
	}
	if err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("going back to the other image slot", "who", whoAsks(r))
	return s.showUpdate(r)
}

func validRestart(r adminapi.Restart) error {
	if r.DrainS < 0 || r.DrainS > adminapi.MaxDeadlineS {
		return &adminapi.Error{Code: adminapi.CodeBad, Text: "Meetings can go on for at most a week before a restart.", Advice: "Use drain_s between 0 and 604800."}
	}
	return nil
}

func (s *Server) cancelUpdate(*http.Request) (any, error) {
	s.cfg.Updates.CancelUpdate()
	return nil, nil
}

// uploadPatience is how long an upload may stand still.
const uploadPatience = 30 * time.Second

// putBundle takes a bundle, which is larger and slower than other requests.
func (s *Server) putBundle(w http.ResponseWriter, r *http.Request) {
	patient := &patientReader{r.Body, http.NewResponseController(w)}
	offer, err := s.cfg.Updates.PutBundle(r.Context(), patient, r.ContentLength)
	if err != nil {
		w.Header().Set("Connection", "close") // the rest of the body is not waited for
		s.fail(w, r, err)
		return
	}
	s.write(w, http.StatusOK, offer)
}

// patientReader moves the deadline of reading with each read.
type patientReader struct {
	io.Reader
	control *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(uploadPatience)) // without it, the server's own stands
	return p.Reader.Read(b)
}

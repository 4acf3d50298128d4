package admin

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"meetzone/appliance/adminapi"
)

// Diagnoses tries what a person wants to have tried, and knows the log.
type Diagnoses interface {
	// Diagnose has finished within the time of a request. Its error says that the request is none that can be tried.
	Diagnose(ctx context.Context, d adminapi.Diagnose) (adminapi.Diagnosis, error)
	Log(q adminapi.LogQuery) (adminapi.Log, error)
}

func (s *Server) diagnose(r *http.Request) (any, error) {
	asked, err := body[adminapi.Diagnose](r)
	if err != nil {
		return nil, err
	}
	asked.Target = strings.TrimSpace(asked.Target)
	if asked.Target == "" || len(asked.Target) > adminapi.MaxTarget {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "That is nothing that can be reached.", Advice: "Name a host, an address or a URL of at most 255 bytes."}
	}
	s.cfg.Logger.Info("diagnose", "try", asked.Try, "target", asked.Target, "who", whoAsks(r))
	return s.cfg.Diagnoses.Diagnose(r.Context(), asked)
}

func (s *Server) log(r *http.Request) (any, error) {
	asked := adminapi.LogQuery{Level: r.FormValue("level"), Match: r.FormValue("match")}
	if text := r.FormValue("after"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "That is no number of a line.", Advice: "Use what next was in the last answer."}
		}
		asked.After = n
	}
	return s.cfg.Diagnoses.Log(asked)
}

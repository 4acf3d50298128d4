package admin

import (
	"errors"
	"fmt"
	"net/http"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/storage"
)

// statusOf maps the codes to HTTP.
func statusOf(code adminapi.Code) int {
	switch code {
	case adminapi.CodeBad, adminapi.CodeInvalid:
		return http.StatusBadRequest
	case adminapi.CodeUnknown:
		return http.StatusNotFound
	case adminapi.CodeNothing, adminapi.CodeConflict, adminapi.CodeApply:
		return http.StatusConflict
	case adminapi.CodeLimit:
		return http.StatusTooManyRequests
	case adminapi.CodeLogin, adminapi.CodeWrong:
		return http.StatusUnauthorized
	case adminapi.CodeForbidden, adminapi.CodePassword:
		return http.StatusForbidden
	case adminapi.CodeStore:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// tell makes of an error what a person is told; the log gets the error itself where the person cannot do anything about it.
func (s *Server) tell(r *http.Request, err error) *adminapi.Error {
	var (
		told     *adminapi.Error
		problems config.Problems
		part     *PartError
		undo     *UndoError
	)
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &problems):
		return tellProblems(problems)
	case errors.As(err, &undo):
		return &adminapi.Error{Code: adminapi.CodeApply, Text: "The change failed, and so did taking it back: " + undo.Error() + ".",
			Advice: "See `appliance status` for what the box really does, and restart it."}
	case errors.As(err, &part) && part.Op == "check":
		return &adminapi.Error{Code: adminapi.CodeInvalid, Text: "The change cannot be applied: " + err.Error() + ".",
			Advice: "Nothing was changed. Correct the setting and commit again."}
	case errors.As(err, &part):
		return &adminapi.Error{Code: adminapi.CodeApply, Text: "The change failed: " + err.Error() + ".", Advice: "The box runs as before."}
	}
	if told := tellSentinel(err); told != nil {
		return told
	}
	if told := tellPeople(err); told != nil {
		return told
	}
	if told := tellBackup(err); told != nil {
		return told
	}
	s.cfg.Logger.Error("admin request failed", "method", r.Method, "path", r.URL.Path, "who", whoAsks(r), "err", err)
	return &adminapi.Error{Code: adminapi.CodeServer, Text: "The box could not do that: " + err.Error() + ".", Advice: "The log of the daemon has more."}
}

func tellProblems(problems config.Problems) *adminapi.Error {
	told := &adminapi.Error{Code: adminapi.CodeInvalid, Text: "The configuration has a mistake.", Advice: "Correct it and try again."}
	if len(problems) > 1 {
		told.Text, told.Advice = fmt.Sprintf("The configuration has %d mistakes.", len(problems)), "Correct them and try again."
	}
	for _, p := range problems {
		told.Problems = append(told.Problems, adminapi.Problem{Path: p.Path, Line: p.Line, Text: p.Text})
	}
	return told
}

func tellSentinel(err error) *adminapi.Error {
	switch {
	case errors.Is(err, ErrNothing):
		return &adminapi.Error{Code: adminapi.CodeNothing, Text: "There is nothing to commit.", Advice: "Change a setting first: `appliance config set PATH VALUE`."}
	case errors.Is(err, ErrUnconfirmed):
		return &adminapi.Error{Code: adminapi.CodeConflict, Text: "The running revision waits to be confirmed, so nothing is committed on top of it.",
			Advice: "Confirm it with `appliance config confirm`, or go back with `appliance config rollback`."}
	case errors.Is(err, ErrNotWaiting):
		return &adminapi.Error{Code: adminapi.CodeNothing, Text: "No revision waits to be confirmed.",
			Advice: "`appliance config history` shows whether it was confirmed already, or taken back."}
	case errors.Is(err, ErrNoRevision):
		return &adminapi.Error{Code: adminapi.CodeUnknown, Text: "There is no such revision.", Advice: "`appliance config history` lists them."}
	case errors.Is(err, ErrNoMeeting):
		return &adminapi.Error{Code: adminapi.CodeUnknown, Text: "There is no such meeting.", Advice: "`appliance meeting list` lists them."}
	case errors.Is(err, storage.ErrBusy):
		return &adminapi.Error{Code: adminapi.CodeStore, Text: "The disk does not answer, so nothing can be changed.", Advice: "Meetings go on. Check the disk."}
	case errors.Is(err, storage.ErrFull):
		return &adminapi.Error{Code: adminapi.CodeStore, Text: "The disk is full, so nothing was changed.", Advice: "Meetings go on. Free some space."}
	case errors.Is(err, storage.ErrFailed):
		return &adminapi.Error{Code: adminapi.CodeStore, Text: "The disk reported an error, so nothing can be changed.", Advice: "Meetings go on. Save a backup and replace the disk."}
	}
	return nil
}

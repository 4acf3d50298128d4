package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"meetzone/appliance/adminapi"
)

// Bounds of what people type.
const (
	maxTitle    = 200
	maxPasscode = 64
	maxRoom     = 16
	maxReason   = 500
)

func (s *Server) listMeetings(*http.Request) (any, error) {
	list := s.cfg.Meetings.List()
	if list == nil {
		list = []adminapi.Meeting{}
	}
	return adminapi.Meetings{Meetings: list}, nil
}

func (s *Server) listPaths(*http.Request) (any, error) {
	list := s.cfg.Networks.Networks()
	if list == nil {
		list = []adminapi.Network{}
	}
	return adminapi.Paths{Networks: list}, nil
}

func (s *Server) createMeeting(r *http.Request) (any, error) {
	spec, err := body[adminapi.MeetingSpec](r)
	if err != nil {
		return nil, err
	}
	refuse := func(text, advice string) (any, error) {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: text, Advice: advice}
	}
	switch {
	case len(spec.Title) > maxTitle:
		return refuse("The title is too long.", "Use at most 200 bytes.")
	case len(spec.Passcode) > maxPasscode:
		return refuse("The passcode is too long.", "Use at most 64 characters.")
	case spec.Room != adminapi.RoomAuto && (len(spec.Room) > maxRoom || strings.Trim(spec.Room, "0123456789") != ""):
		return refuse("That is no number for a room.", "Use at most 16 digits, or auto.")
	}
	meeting, err := s.cfg.Meetings.Create(r.Context(), spec)
	if err == nil {
		note(r, "%s", meeting.Number)
		s.cfg.Logger.Info("meeting created", "number", meeting.Number, "who", whoAsks(r))
	}
	return meeting, err
}

func (s *Server) showMeeting(r *http.Request) (any, error) {
	return s.cfg.Meetings.Show(number(r))
}

func (s *Server) meetingHistory(r *http.Request) (any, error) {
	points := adminapi.DefaultPoints
	if asked := r.URL.Query().Get("points"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 1 || n > adminapi.MaxPoints {
			return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "That is no number of points.", Advice: fmt.Sprintf("Use 1 to %d.", adminapi.MaxPoints)}
		}
		points = n
	}
	return s.cfg.Meetings.History(number(r), points)
}

func (s *Server) endMeeting(r *http.Request) (any, error) {
	err := s.cfg.Meetings.End(r.Context(), number(r))
	if err == nil {
		s.cfg.Logger.Info("meeting ended", "number", number(r), "who", whoAsks(r))
	}
	return nil, err
}

// number takes spaces and hyphens out, which people copy along.
func number(r *http.Request) string {
	return strings.NewReplacer(" ", "", "-", "").Replace(r.PathValue("n"))
}

func (s *Server) drain(r *http.Request) (any, error) {
	asked, err := body[adminapi.Drain](r)
	if err != nil {
		return nil, err
	}
	if len(asked.Reason) > maxReason {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "The reason is too long.", Advice: "Use at most 500 bytes."}
	}
	if asked.DeadlineS < 0 || asked.DeadlineS > adminapi.MaxDeadlineS {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "That is no deadline.", Advice: "Use 1 s to 168 h from now, or none."}
	}
	note(r, "on %v, deadline %d s: %s", asked.On, asked.DeadlineS, asked.Reason)
	s.cfg.Logger.Info("drain", "on", asked.On, "who", whoAsks(r), "reason", asked.Reason, "deadline_s", asked.DeadlineS)
	return nil, s.cfg.Drainer.Drain(r.Context(), asked)
}

func (s *Server) draining(r *http.Request) (any, error) {
	return s.cfg.Drainer.Draining(r.Context()), nil
}

func (s *Server) power(r *http.Request) (any, error) {
	asked, err := body[adminapi.Power](r)
	if err != nil {
		return nil, err
	}
	switch asked.Action {
	case adminapi.PowerReboot, adminapi.PowerOff, adminapi.PowerFactoryReset:
	default:
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("There is no action %q.", asked.Action), Advice: "Use reboot, off or factory-reset."}
	}
	note(r, "%s: %s", asked.Action, asked.Reason)
	s.cfg.Logger.Warn("power", "action", asked.Action, "who", whoAsks(r), "reason", asked.Reason)
	return nil, s.cfg.Machine.Power(r.Context(), asked)
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
	"meetzone/appliance/people"
)

// Rescuer is what is left of a box whose daemon does not start.
type Rescuer interface {
	Rescue() adminapi.Rescue
	Home() adminapi.Home
	UseCopy(ctx context.Context) (adminapi.Rescued, error)
	UsePrevious(ctx context.Context, who string) (adminapi.Rescued, error)
	UseNetwork(ctx context.Context, network adminapi.RescueNetwork, who string) (adminapi.Rescued, error)
	Reset(ctx context.Context) (adminapi.Rescued, error)
	// Record writes into the audit log of the store that is in place; without one there is none.
	Record(ctx context.Context, e audit.Entry) error
	// Start ends the rescue, so that the daemon is started again.
	Start()
}

// RescueConfig says what a rescue server serves.
type RescueConfig struct {
	Rescuer Rescuer
	Machine Machine
	People  *people.Users
	Open    bool         // no user can be read: everybody at the socket may do everything
	Logger  *slog.Logger // default slog.Default
}

// NewRescueServer returns a server with the reduced API of a box whose daemon does not start. Who may ask is decided as the daemon decides it, by
// the users that can still be read; where none can be, everybody at the socket may do everything, as on a box from the carton.
func NewRescueServer(cfg RescueConfig) (*Server, error) {
	if cfg.Rescuer == nil || cfg.Machine == nil || cfg.People == nil {
		return nil, errors.New("rescue: rescuer, machine or people are missing")
	}
	s := &Server{cfg: ServerConfig{Machine: cfg.Machine, People: cfg.People, Logger: cfg.Logger, Started: time.Now()}}
	if s.cfg.Logger == nil {
		s.cfg.Logger = slog.Default()
	}
	s.rescuer, s.record = cfg.Rescuer, cfg.Rescuer.Record
	s.http = newHTTPServer(s.rescueHandler(cfg.Open), s.cfg.Logger)
	return s, nil
}

// rescueRoutes are all requests that a rescue answers.
func (s *Server) rescueRoutes() map[string]route {
	do := func(verb func(*http.Request) (adminapi.Rescued, error)) handler {
		return func(r *http.Request) (any, error) {
			done, err := verb(r)
			if err == nil {
				note(r, "%s", done.Text)
				s.cfg.Logger.Warn("rescue", "verb", verbOf(r), "who", whoAsks(r), "text", done.Text, "lost", done.Lost)
			}
			return done, err
		}
	}
	return map[string]route{
		"GET " + adminapi.PathHome:        {open, func(*http.Request) (any, error) { return s.rescuer.Home(), nil }},
		"POST " + adminapi.PathLogin:      {open, s.login},
		"GET " + adminapi.PathSession:     {own, s.showSession},
		"DELETE " + adminapi.PathSession:  {own, s.logout},
		"GET " + adminapi.PathRescue:      {view, func(*http.Request) (any, error) { return s.rescuer.Rescue(), nil }},
		"POST " + adminapi.PathRescueCopy: {operate, do(func(r *http.Request) (adminapi.Rescued, error) { return s.rescuer.UseCopy(r.Context()) })},
		"POST " + adminapi.PathRescuePrevious: {operate, do(func(r *http.Request) (adminapi.Rescued, error) {
			return s.rescuer.UsePrevious(r.Context(), whoAsks(r))
		})},
		"POST " + adminapi.PathRescueNetwork: {operate, do(func(r *http.Request) (adminapi.Rescued, error) {
			asked, err := body[adminapi.RescueNetwork](r)
			if err != nil {
				return adminapi.Rescued{}, err
			}
			return s.rescuer.UseNetwork(r.Context(), asked, whoAsks(r))
		})},
		"POST " + adminapi.PathRescueReset: {operate, do(func(r *http.Request) (adminapi.Rescued, error) { return s.rescuer.Reset(r.Context()) })},
		"POST " + adminapi.PathRescueStart: {operate, func(*http.Request) (any, error) { s.rescuer.Start(); return nil, nil }},
		"POST " + adminapi.PathPower:       {operate, s.power},
	}
}

func (s *Server) rescueHandler(everybody bool) http.Handler {
	mux := http.NewServeMux()
	for pattern, r := range s.rescueRoutes() {
		if everybody {
			r.access = open
		}
		mux.Handle(pattern, s.recorded(s.guard(r.access, s.answer(r.do))))
	}
	mux.Handle("/", s.answer(func(r *http.Request) (any, error) {
		return nil, &adminapi.Error{Code: adminapi.CodeUnknown, Text: fmt.Sprintf("The box does not start, so there is no %s %s.", r.Method, r.URL.Path),
			Advice: "`appliance rescue show` tells why, and what can be done."}
	}))
	return mux
}

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
	"meetzone/appliance/people"
)

// Bounds of one request.
const (
	maxBody        = 1 << 20
	maxHeader      = 16 << 10
	requestTimeout = time.Minute // a commit on slow hardware fits
)

// Meetings is what the admin API needs of the zone controller. Its errors may be *adminapi.Error, which are told as they are.
type Meetings interface {
	Create(ctx context.Context, spec adminapi.MeetingSpec) (adminapi.Meeting, error)
	List() []adminapi.Meeting
	// Show returns one meeting with its participants, or an error that wraps ErrNoMeeting.
	Show(number string) (adminapi.Meeting, error)
	// History returns the quality of a number's meetings, or an error that wraps ErrNoMeeting where nothing is kept.
	History(number string, points int) (adminapi.MeetingHistory, error)
	// End ends a meeting, or removes a room, or returns an error that wraps ErrNoMeeting.
	End(ctx context.Context, number string) error
}

// Networks knows on which rungs the media of each client network stand.
type Networks interface {
	Networks() []adminapi.Network
}

// Places knows which zones there are.
type Places interface {
	// Zones returns them as a client at an address is told of them; the zero address is one of which nothing is known.
	Zones(client netip.Addr) []adminapi.Zone
}

// Certificates are those of the box.
type Certificates interface {
	Certificates() []adminapi.Certificate
	// RequestCertificate returns a signing request as PEM.
	RequestCertificate(request adminapi.SigningRequest) (string, error)
	InstallCertificate(certificate adminapi.InstallCertificate) error
}

// Drainer takes the box out of service and back.
type Drainer interface {
	Drain(ctx context.Context, drain adminapi.Drain) error
	// Draining tells whether it is out of service, and who is left.
	Draining(ctx context.Context) adminapi.Draining
}

// Machine restarts the machine that the box is, or switches it off.
type Machine interface {
	Power(ctx context.Context, power adminapi.Power) error
}

// Host is what status tells of the process that nobody else knows: Version, Hostname, Zone, URL, Fingerprint, Drain, Meetings,
// Sessions, its alarms, and Glance but for New. The server adds the rest.
type Host interface {
	Describe() adminapi.Status
}

// ServerConfig says what a Server serves.
type ServerConfig struct {
	Revisions    *Revisions
	Meetings     Meetings
	Places       Places
	Networks     Networks
	Certificates Certificates
	Drainer      Drainer
	Machine      Machine
	Marks        Marks
	BoxNetwork   BoxNetwork
	Host         Host
	Diagnoses    Diagnoses
	People       *people.Users
	Audit        *audit.Log
	Updates      Updates
	Backups      Backups
	Started      time.Time    // of the process; default now
	Logger       *slog.Logger // default slog.Default
}

// Validate names everything that is missing.
func (c ServerConfig) Validate() error {
	var errs []error
	for name, missing := range map[string]bool{
		"revisions":    c.Revisions == nil,
		"meetings":     c.Meetings == nil,
		"places":       c.Places == nil,
		"certificates": c.Certificates == nil,
		"networks":     c.Networks == nil,
		"drainer":      c.Drainer == nil,
		"machine":      c.Machine == nil,
		"marks":        c.Marks == nil,
		"box network":  c.BoxNetwork == nil,
		"host":         c.Host == nil,
		"diagnoses":    c.Diagnoses == nil,
		"people":       c.People == nil,
		"audit":        c.Audit == nil,
		"updates":      c.Updates == nil,
		"backups":      c.Backups == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("%s: missing", name))
		}
	}
	return errors.Join(errs...)
}

// Server answers the requests of the admin API.
type Server struct {
	cfg  ServerConfig
	http *http.Server

	rescuer Rescuer                                  // of a rescue server, and nil otherwise
	record  func(context.Context, audit.Entry) error // writes into the audit log
}

// NewServer returns a server; Run serves.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if cfg.Started.IsZero() {
		cfg.Started = time.Now()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Server{cfg: cfg, record: cfg.Audit.Append}
	s.http = newHTTPServer(s.handler(), cfg.Logger)
	return s, nil
}

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ConnContext:       withPeer,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       requestTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Run serves the listener until ctx ends, and then the requests that are under way. It closes the listener.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			s.http.Close()
		}
	})
	defer stop()
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin socket: %w", err)
	}
	return nil
}

// Close ends Run at once.
func (s *Server) Close() error { return s.http.Close() }

// routes is the whole API: who may ask for what, and what answers. What follows in the handler files is in this order.
func (s *Server) routes() map[string]route {
	all := map[string]route{
		"GET " + adminapi.PathStatus:                                 {view, s.status},
		"GET " + adminapi.PathConfig:                                 {view, s.getConfig},
		"PUT " + adminapi.PathCandidate:                              {operate, s.putCandidate},
		"PATCH " + adminapi.PathCandidate:                            {operate, s.patchCandidate},
		"DELETE " + adminapi.PathCandidate:                           {operate, s.deleteCandidate},
		"GET " + adminapi.PathDiff:                                   {view, s.getDiff},
		"POST " + adminapi.PathCommit:                                {operate, s.commit},
		"POST " + adminapi.PathConfirm:                               {operate, s.confirm},
		"POST " + adminapi.PathRollback:                              {operate, s.rollback},
		"GET " + adminapi.PathHistory:                                {view, s.history},
		"GET " + adminapi.PathPaths:                                  {view, s.listPaths},
		"GET " + adminapi.PathMeetings:                               {view, s.listMeetings},
		"POST " + adminapi.PathMeetings:                              {operate, s.createMeeting},
		"GET " + adminapi.PathMeeting + "{n}":                        {view, s.showMeeting},
		"DELETE " + adminapi.PathMeeting + "{n}":                     {operate, s.endMeeting},
		"GET " + adminapi.PathMeeting + "{n}" + adminapi.PathQuality: {view, s.meetingHistory},
		"PUT " + adminapi.PathDrain:                                  {operate, s.drain},
		"GET " + adminapi.PathDrain:                                  {view, s.draining},
		"POST " + adminapi.PathPower:                                 {operate, s.power},
		"POST " + adminapi.PathVerify:                                {operate, s.verifyMarks},
		"GET " + adminapi.PathMarkPaths:                              {view, s.showMarkPaths},
		"GET " + adminapi.PathFirewall:                               {view, s.showFirewall},
		"GET " + adminapi.PathNetwork:                                {view, s.showNetwork},
		"GET " + adminapi.PathMarks:                                  {view, s.showMarks},
		"GET " + adminapi.PathZones:                                  {view, s.listZones},
		"GET " + adminapi.PathCerts:                                  {view, s.listCertificates},
		"PUT " + adminapi.PathCerts:                                  {operate, s.installCertificate},
		"POST " + adminapi.PathCSR:                                   {operate, s.requestCertificate},

		"GET " + adminapi.PathKernel:    {view, s.showKernel},
		"POST " + adminapi.PathDiagnose: {operate, s.diagnose},
		"GET " + adminapi.PathLog:       {view, s.log},

		"GET " + adminapi.PathHome:                 {open, s.home},
		"POST " + adminapi.PathLogin:               {open, s.login},
		"POST " + adminapi.PathFirst:               {open, s.first},
		"GET " + adminapi.PathSession:              {own, s.showSession},
		"DELETE " + adminapi.PathSession:           {own, s.logout},
		"POST " + adminapi.PathPassword:            {own, s.changePassword},
		"GET " + adminapi.PathUsers:                {operate, s.listUsers},
		"POST " + adminapi.PathUsers:               {operate, s.addUser},
		"GET " + adminapi.PathBackups:              {view, s.listBackups},
		"POST " + adminapi.PathBackups:             {operate, s.makeBackup},
		"GET " + adminapi.PathBackup + "{name}":    {operate, s.getBackup},
		"DELETE " + adminapi.PathBackup + "{name}": {operate, s.removeBackup},
		"PUT " + adminapi.PathPassphrase:           {operate, s.setPassphrase},
		"POST " + adminapi.PathRestore:             {operate, s.restore},
		"GET " + adminapi.PathAudit:                {view, s.listAudit},
		"PATCH " + adminapi.PathUser + "{name}":    {operate, s.changeUser},
		"DELETE " + adminapi.PathUser + "{name}":   {operate, s.removeUser},
	}
	maps.Copy(all, s.updateRoutes())
	return all
}

// handler is the whole API over HTTP.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, r := range s.routes() {
		mux.Handle(pattern, s.recorded(s.guard(r.access, s.answer(r.do))))
	}
	mux.Handle("POST "+adminapi.PathCapture, s.recorded(s.guard(operate, http.HandlerFunc(s.capture))))
	mux.Handle("PUT "+adminapi.PathUpdateBundle, s.recorded(s.guard(operate, http.HandlerFunc(s.putBundle))))
	mux.Handle("/", s.answer(func(r *http.Request) (any, error) {
		return nil, &adminapi.Error{Code: adminapi.CodeUnknown, Text: fmt.Sprintf("There is no %s %s.", r.Method, r.URL.Path),
			Advice: "The client may be of another version than the daemon."}
	}))
	return mux
}

// handler does one request. A nil answer is 204.
type handler func(r *http.Request) (any, error)

// answer turns a handler's result into HTTP.
func (s *Server) answer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound := int64(maxBody)
		if r.URL.Path == adminapi.PathRestore {
			bound = maxLargeBody
		}
		r.Body = http.MaxBytesReader(w, r.Body, bound)
		result, err := h(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if result == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		s.write(w, http.StatusOK, result)
	})
}

func (s *Server) write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.cfg.Logger.Debug("admin answer not written", "err", err)
	}
}

// body reads a request.
func body[T any](r *http.Request) (value T, err error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&value); err != nil {
		return value, &adminapi.Error{Code: adminapi.CodeBad, Text: "The request is not what this version expects: " + err.Error() + ".",
			Advice: "The client may be of another version than the daemon."}
	}
	return value, nil
}

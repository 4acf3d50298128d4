package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/people"
)

// home is what everybody sees who stands before the box.
func (s *Server) home(*http.Request) (any, error) {
	st := s.cfg.Host.Describe()
	h := adminapi.Home{Version: st.Version, Hostname: st.Hostname, Zone: st.Zone, Name: s.cfg.Revisions.Running().Document.Zone.Name, URL: st.URL,
		Fingerprint: st.Fingerprint, Time: time.Now(), NoUsers: s.cfg.People.None(), Alarms: st.Alarms}
	if h.Alarms == nil {
		h.Alarms = []adminapi.Alarm{}
	}
	return h, nil
}

func (s *Server) login(r *http.Request) (any, error) {
	asked, err := body[adminapi.Login](r)
	if err != nil {
		return nil, err
	}
	session, err := s.cfg.People.Login(r.Context(), asked.User, asked.Password)
	if err != nil {
		s.cfg.Logger.Warn("login refused", "from", whoAsks(r), "why", err) // not the name: people type passwords there
		return nil, err
	}
	noteWho(r, session.User)
	s.cfg.Logger.Info("login", "user", session.User, "role", string(session.Role), "from", whoAsks(r))
	return sessionOf(session), nil
}

// first makes the first user of a box that has none. Whoever stands before a box from the carton is its owner.
func (s *Server) first(r *http.Request) (any, error) {
	asked, err := body[adminapi.Login](r)
	if err != nil {
		return nil, err
	}
	user, err := s.cfg.People.First(r.Context(), asked.User, asked.Password)
	if errors.Is(err, people.ErrExists) {
		return nil, &adminapi.Error{Code: adminapi.CodeConflict, Text: "The box has users already.", Advice: "Log in as one of them."}
	}
	if err != nil {
		return nil, err
	}
	noteWho(r, user.Name)
	s.cfg.Logger.Warn("first user made", "user", user.Name, "from", whoAsks(r))
	session, err := s.cfg.People.Login(r.Context(), asked.User, asked.Password)
	return sessionOf(session), err
}

func (s *Server) showSession(r *http.Request) (any, error) {
	a := asks(r)
	if a.all {
		return adminapi.Session{User: a.who, Role: adminapi.RoleOperate}, nil
	}
	return sessionOf(a.session), nil
}

func (s *Server) logout(r *http.Request) (any, error) {
	s.cfg.People.Logout(asks(r).token)
	return nil, nil
}

func (s *Server) changePassword(r *http.Request) (any, error) {
	asked, err := body[adminapi.ChangePassword](r)
	if err != nil {
		return nil, err
	}
	if asks(r).token == "" {
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "You have not logged in, so there is no password of yours to change.",
			Advice: "Name the user: `appliance user passwd NAME`."}
	}
	session, err := s.cfg.People.ChangePassword(r.Context(), asks(r).token, asked.Old, asked.New)
	if err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("password changed", "user", session.User, "who", session.User)
	return sessionOf(session), nil
}

func (s *Server) listUsers(*http.Request) (any, error) {
	list := []adminapi.User{}
	for _, u := range s.cfg.People.List() {
		list = append(list, userOf(u))
	}
	return adminapi.Users{Users: list}, nil
}

func (s *Server) addUser(r *http.Request) (any, error) {
	asked, err := body[adminapi.NewUser](r)
	if err != nil {
		return nil, err
	}
	user, err := s.cfg.People.Add(r.Context(), asked.Name, people.Role(asked.Role), asked.Password, !asked.Keep)
	if err == nil {
		note(r, "%s, %s", user.Name, user.Role)
		s.cfg.Logger.Warn("user added", "user", user.Name, "role", string(user.Role), "who", whoAsks(r))
	}
	return userOf(user), err
}

func (s *Server) changeUser(r *http.Request) (any, error) {
	asked, err := body[adminapi.UserChange](r)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	user, err := s.cfg.People.Change(r.Context(), name,
		people.Change{Role: people.Role(asked.Role), Password: asked.Password, MustChange: !asked.Keep, Unlock: asked.Unlock})
	if err == nil {
		note(r, "%s", changeText(asked))
		s.cfg.Logger.Warn("user changed", "user", user.Name, "role", string(user.Role), "password", asked.Password != "", "who", whoAsks(r))
	}
	return userOf(user), err
}

func (s *Server) removeUser(r *http.Request) (any, error) {
	name := r.PathValue("name")
	err := s.cfg.People.Remove(r.Context(), name)
	if err == nil {
		s.cfg.Logger.Warn("user removed", "user", name, "who", whoAsks(r))
	}
	return nil, err
}

// changeText says what of a user was changed.
func changeText(c adminapi.UserChange) string {
	var s []string
	if c.Role != "" {
		s = append(s, "role "+c.Role)
	}
	if c.Password != "" {
		s = append(s, "new password")
	}
	if c.Unlock {
		s = append(s, "unlocked")
	}
	return strings.Join(s, ", ")
}

func sessionOf(s people.Session) adminapi.Session {
	return adminapi.Session{Token: s.Token, User: s.User, Role: string(s.Role), MustChange: s.MustChange, IdleS: int64(s.Idle.Seconds())}
}

func userOf(u people.User) adminapi.User {
	return adminapi.User{Name: u.Name, Role: string(u.Role), Created: u.Created, Changed: u.Changed, LastLogin: u.LastLogin, MustChange: u.MustChange,
		Failures: u.Failures, LockedS: seconds(u.Locked), Sessions: u.Sessions}
}

// seconds rounds up, so that what has not passed is never 0.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// tellPeople says what is wrong about users and logins.
func tellPeople(err error) *adminapi.Error {
	var locked *people.LockedError
	switch {
	case errors.As(err, &locked):
		return &adminapi.Error{Code: adminapi.CodeLimit, Text: fmt.Sprintf("There were too many wrong passwords: none is looked at for %d s.", seconds(locked.Left)),
			Advice: "Wait, or have an operator do `appliance user passwd`."}
	case errors.Is(err, people.ErrWrong):
		return &adminapi.Error{Code: adminapi.CodeWrong, Text: "Name or password is wrong.", Advice: "Try again."}
	case errors.Is(err, people.ErrBusy):
		return &adminapi.Error{Code: adminapi.CodeLimit, Text: "Too many people log in at once.", Advice: "Try again in a moment."}
	case errors.Is(err, people.ErrNoSession):
		return &adminapi.Error{Code: adminapi.CodeLogin, Text: "Your session is over.", Advice: "Log in again."}
	case errors.Is(err, people.ErrName), errors.Is(err, people.ErrRole), errors.Is(err, people.ErrPassword):
		return &adminapi.Error{Code: adminapi.CodeBad, Text: "That cannot be used: " + err.Error() + ".", Advice: "Choose another."}
	case errors.Is(err, people.ErrExists):
		return &adminapi.Error{Code: adminapi.CodeConflict, Text: "There is a user of that name.", Advice: "`appliance user list` shows them."}
	case errors.Is(err, people.ErrNoUser):
		return &adminapi.Error{Code: adminapi.CodeUnknown, Text: "There is no such user.", Advice: "`appliance user list` shows them."}
	case errors.Is(err, people.ErrLast):
		return &adminapi.Error{Code: adminapi.CodeConflict, Text: "Nobody would be left who operates the box.", Advice: "Give somebody else the role operate first."}
	case errors.Is(err, people.ErrMany):
		return &adminapi.Error{Code: adminapi.CodeLimit, Text: fmt.Sprintf("There are %d users already.", people.MaxUsers), Advice: "Remove some first."}
	}
	return nil
}

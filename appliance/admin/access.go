package admin

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/people"
)

// access says who may make a request. Root and the daemon's own user may make all; everybody else at the socket has to log in, the console's
// user like any other.
type access int

// From the least to the most. The zero value is none of them: a route without one is found by a test, and refused.
const (
	open    access = iota + 1 // everybody who can open the socket
	own                       // who has logged in, also before a password that has to be changed was
	view                      // both roles
	operate                   // the role operate
)

// route is one request of the API.
type route struct {
	access access
	do     handler
}

// asker is who makes a request.
type asker struct {
	who     string // for logs and revisions
	token   string
	session people.Session // zero without a session
	all     bool           // root or the daemon's own user, without a session
}

type askerKey struct{}

// askerOf finds out who makes a request. A request with a token is its session's, whoever makes it. With use, the session is used.
func (s *Server) askerOf(r *http.Request, use bool) (asker, error) {
	peer, _ := r.Context().Value(peerKey{}).(peer)
	a := asker{who: peer.String()}
	token, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !has {
		a.all = peer.known && (peer.uid == 0 || peer.uid == uint32(os.Getuid()))
		return a, nil
	}
	session, err := s.cfg.People.Session(token, use && r.Header.Get(adminapi.HeaderPoll) == "")
	if err != nil {
		return a, err
	}
	a.who, a.token, a.session = session.User, token, session
	return a, nil
}

// may says whether somebody may do what needs an access, and otherwise what they are told.
func (a asker) may(needs access) *adminapi.Error {
	switch {
	case needs == open || needs >= own && a.all:
		return nil
	case a.session.User == "":
		return &adminapi.Error{Code: adminapi.CodeLogin, Text: "You have to log in first.", Advice: "Use `appliance login`, or do it as root."}
	case needs == own:
		return nil
	case a.session.MustChange:
		return &adminapi.Error{Code: adminapi.CodePassword, Text: "The password was set by somebody else and has to be changed first.",
			Advice: "Choose one of your own: `appliance user passwd`."}
	case needs == view || needs == operate && a.session.Role == people.Operate:
		return nil
	}
	return &adminapi.Error{Code: adminapi.CodeForbidden, Text: "Your role is view, which changes nothing.", Advice: "Ask somebody with the role operate."}
}

// guard lets a request through that its maker may make.
func (s *Server) guard(needs access, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := s.askerOf(r, true)
		if needs == open && errors.Is(err, people.ErrNoSession) {
			err = nil // who logs in anew may still have the token of a session that is over
		}
		if err == nil {
			if refused := a.may(needs); refused != nil {
				err = refused
			}
		}
		r = r.WithContext(context.WithValue(r.Context(), askerKey{}, a))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// asks returns who makes a request.
func asks(r *http.Request) asker {
	a, _ := r.Context().Value(askerKey{}).(asker)
	return a
}

// whoAsks returns what a revision records of its author: "ada", or "root (uid 0)" without a login.
func whoAsks(r *http.Request) string {
	if who := asks(r).who; who != "" {
		return who
	}
	return "unknown"
}

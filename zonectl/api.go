package zonectl

import (
	"crypto/subtle"
	_ "embed"
	"net/http"
	"strings"
	"time"

	"meetzone/zonectl/wire"
)

// The API for integrators: what openapi.yaml describes, behind bearer tokens with scopes.

//go:embed openapi.yaml
var openAPI []byte

// handleAPI adds the paths of the API.
func (c *Controller) handleAPI(mux *http.ServeMux) {
	handle := func(pattern string, scope Scope, status int, f func(w http.ResponseWriter, r *http.Request) (any, error)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+wire.PathAPI+path, func(w http.ResponseWriter, r *http.Request) {
			err := c.permit(r, scope)
			var answer any
			if err == nil {
				answer, err = f(w, r)
			}
			switch {
			case err != nil:
				writeError(w, err)
			case answer == nil:
				w.WriteHeader(status)
			default:
				writeJSON(w, status, answer)
			}
		})
	}
	handle("GET /meetings", MeetingsRead, http.StatusOK, c.apiMeetings)
	handle("POST /meetings", MeetingsWrite, http.StatusCreated, c.apiCreateMeeting)
	handle("GET /meetings/{number}", MeetingsRead, http.StatusOK, c.apiMeeting)
	handle("DELETE /meetings/{number}", MeetingsWrite, http.StatusNoContent, c.apiEndMeeting)
	handle("GET /rooms", RoomsRead, http.StatusOK, c.apiRooms)
	handle("POST /rooms", RoomsWrite, http.StatusCreated, c.apiCreateRoom)
	handle("GET /rooms/{number}", RoomsRead, http.StatusOK, c.apiRoom)
	handle("PATCH /rooms/{number}", RoomsWrite, http.StatusOK, c.apiChangeRoom)
	handle("DELETE /rooms/{number}", RoomsWrite, http.StatusNoContent, c.apiDeleteRoom)
	mux.HandleFunc("GET "+wire.PathAPI+"/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(openAPI)
	})
}

// permit checks the bearer token. Wrong ones are counted per source, like wrong passcodes.
func (c *Controller) permit(r *http.Request, scope Scope) error {
	source := c.sourceOfRequest(r)
	if wait := c.guesses.blockedFor(source, ""); wait > 0 {
		return guessed(wait)
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id := apiTokenID(token)
	c.mu.Lock()
	known := c.tokens[id]
	c.mu.Unlock()
	if subtle.ConstantTimeCompare(apiTokenDigest(token), padded(known.Digest)) != 1 || known.ID == "" {
		if token != "" {
			c.guesses.wrong(source, "")
		}
		told := *errToken
		told.Text, told.Advice = "The API token is missing or not valid.", "Send a valid one as Authorization: Bearer."
		return &told
	}
	if !known.permits(scope, time.Now()) {
		return errScope
	}
	return nil
}

// linked adds the link under the address that the client used, where none is configured.
func (c *Controller) linked(r *http.Request, info MeetingInfo) MeetingInfo {
	info.Link = c.link(r, info.Number)
	return info
}

func (c *Controller) list(r *http.Request, rooms bool) []MeetingInfo {
	list := []MeetingInfo{}
	for _, info := range c.Meetings(r.Context()) {
		if rooms == info.Room {
			list = append(list, c.linked(r, info))
		}
	}
	return list
}

func (c *Controller) apiMeetings(_ http.ResponseWriter, r *http.Request) (any, error) {
	return struct {
		Meetings []MeetingInfo `json:"meetings"`
	}{c.list(r, false)}, nil
}

func (c *Controller) apiRooms(_ http.ResponseWriter, r *http.Request) (any, error) {
	return struct {
		Rooms []MeetingInfo `json:"rooms"`
	}{c.list(r, true)}, nil
}

func (c *Controller) apiCreateMeeting(w http.ResponseWriter, r *http.Request) (any, error) {
	var s MeetingSpec
	if err := readBody(w, r, &s); err != nil {
		return nil, err
	}
	if s.Number != "" {
		told := *errNumber
		told.Text, told.Advice = "The number of a meeting cannot be chosen.", "Leave it out, or make a room."
		return nil, &told
	}
	info, err := c.CreateMeeting(s)
	return c.linked(r, info), err
}

func (c *Controller) apiCreateRoom(w http.ResponseWriter, r *http.Request) (any, error) {
	var s MeetingSpec
	if err := readBody(w, r, &s); err != nil {
		return nil, err
	}
	info, err := c.CreateRoom(r.Context(), s)
	return c.linked(r, info), err
}

func (c *Controller) apiMeeting(_ http.ResponseWriter, r *http.Request) (any, error) {
	return c.one(r, false)
}

func (c *Controller) apiRoom(_ http.ResponseWriter, r *http.Request) (any, error) {
	return c.one(r, true)
}

func (c *Controller) one(r *http.Request, room bool) (any, error) {
	info, err := c.Meeting(r.Context(), r.PathValue("number"))
	if err == nil && info.Room != room {
		err = errUnknown
	}
	return c.linked(r, info), err
}

func (c *Controller) apiChangeRoom(w http.ResponseWriter, r *http.Request) (any, error) {
	var change RoomChange
	if err := readBody(w, r, &change); err != nil {
		return nil, err
	}
	info, err := c.ChangeRoom(r.Context(), r.PathValue("number"), change)
	return c.linked(r, info), err
}

// apiEndMeeting also ends the meeting that runs in a room: the room stays.
func (c *Controller) apiEndMeeting(_ http.ResponseWriter, r *http.Request) (any, error) {
	return nil, c.EndMeeting(r.Context(), r.PathValue("number"))
}

func (c *Controller) apiDeleteRoom(_ http.ResponseWriter, r *http.Request) (any, error) {
	return nil, c.DeleteRoom(r.Context(), r.PathValue("number"))
}

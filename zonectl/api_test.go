package zonectl

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"meetzone/zonectl/wire"
)

// apiToken makes a token and returns the header that shows it.
func (z *zone) apiToken(scopes ...Scope) http.Header {
	z.t.Helper()
	token, _, err := z.CreateToken(z.t.Context(), "test", scopes, time.Time{})
	if err != nil {
		z.t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

func TestAPIMeetings(t *testing.T) {
	z := openZone(t, Config{})
	may := z.apiToken(MeetingsWrite)
	var made MeetingInfo
	answer, told := z.request("POST", "/api/v1/meetings", may, MeetingSpec{Title: "T", Passcode: "1"}, &made)
	if told != nil || answer.StatusCode != 201 || made.HostKey == "" || !made.Passcode || made.Link != z.web.URL+"/j/"+made.Number {
		t.Fatalf("%v %s %+v", told, answer.Status, made)
	}
	c := z.join("Anna", wire.LookupRequest{Meeting: made.Number, HostKey: made.HostKey})
	var list struct{ Meetings []MeetingInfo }
	z.request("GET", "/api/v1/meetings", may, nil, &list)
	if len(list.Meetings) != 1 || list.Meetings[0].Count != 1 || list.Meetings[0].HostKey != "" || list.Meetings[0].Participants != nil {
		t.Errorf("list %+v", list)
	}
	var one MeetingInfo
	z.request("GET", "/api/v1/meetings/"+made.Number, may, nil, &one)
	if len(one.Participants) != 1 || one.Participants[0].Name != "Anna" || one.Participants[0].Role != wire.RoleHost {
		t.Errorf("one %+v", one)
	}
	if answer, told := z.request("DELETE", "/api/v1/meetings/"+made.Number, may, nil, nil); told != nil || answer.StatusCode != 204 {
		t.Errorf("delete: %v %s", told, answer.Status)
	}
	c.expectBye(wire.CodeEnded)
	for _, method := range []string{"GET", "DELETE"} {
		if _, told := z.request(method, "/api/v1/meetings/"+made.Number, may, nil, nil); told == nil || told.Code != wire.CodeUnknown {
			t.Errorf("%s of a meeting that has ended: %v", method, told)
		}
	}
	if _, told := z.request("POST", "/api/v1/meetings", may, MeetingSpec{Number: "12345"}, nil); told == nil || told.Code != wire.CodeBad {
		t.Errorf("chosen number: %v", told)
	}
}

// TestAPIRooms makes, changes and removes a room; it survives a restart of the controller.
func TestAPIRooms(t *testing.T) {
	z := openZone(t, Config{Limits: Limits{EmptyAfter: 20 * time.Millisecond}})
	may := z.apiToken(RoomsWrite)
	var room MeetingInfo
	if _, told := z.request("POST", "/api/v1/rooms", may, MeetingSpec{Number: "55-55", Title: "Board", Passcode: "1"}, &room); told != nil || room.Number != "5555" {
		t.Fatal(told, room)
	}
	for body, code := range map[string]wire.Code{`{"number":"5555"}`: wire.CodeBad, `{"number":"x"}`: wire.CodeBad,
		`{"passcode":"` + strings.Repeat("x", 65) + `"}`: wire.CodeBad} {
		if _, told := z.request("POST", "/api/v1/rooms", may, body, nil); told == nil || told.Code != code {
			t.Errorf("%s: %v", body, told)
		}
	}
	for range 2 { // the room is there when everybody has left, and comes to life again
		c := z.join("Anna", wire.LookupRequest{Meeting: "5555", Passcode: "1"})
		c.send(wire.Leave{})
		eventually(t, "the meeting in the room has ended", func() bool { return z.Stats().Meetings == 0 })
	}
	if _, told := z.request("PATCH", "/api/v1/rooms/5555", may, `{"passcode":"2"}`, &room); told != nil || room.Title != "Board" {
		t.Fatal(told, room)
	}
	again := z.newController(Config{})
	defer again.Close()
	for passcode, want := range map[string]bool{"1": false, "2": true} {
		if _, err := again.lookup(t.Context(), wire.LookupRequest{Meeting: "5555", Passcode: passcode}, "s"); (err == nil) != want {
			t.Errorf("after a restart with passcode %s: %v", passcode, err)
		}
	}
	if _, told := z.request("GET", "/api/v1/meetings/5555", z.apiToken(MeetingsRead), nil, nil); told == nil || told.Code != wire.CodeUnknown {
		t.Errorf("a room as a meeting: %v", told)
	}
	z.rooms.err = errors.New("disk full")
	if _, told := z.request("DELETE", "/api/v1/rooms/5555", may, nil, nil); told == nil || told.Code != wire.CodeServer {
		t.Errorf("disk full: %v", told)
	}
	if _, told := z.request("POST", "/api/v1/rooms", may, MeetingSpec{}, nil); told == nil || told.Code != wire.CodeServer || told.Text != errStore.Text {
		t.Errorf("disk full: %v", told)
	}
	z.rooms.err = nil
	c := z.join("Anna", wire.LookupRequest{Meeting: "5555", Passcode: "2"})
	if _, told := z.request("DELETE", "/api/v1/rooms/5555", may, nil, nil); told != nil {
		t.Error(told)
	}
	c.expectBye(wire.CodeEnded)
	var list struct{ Rooms []MeetingInfo }
	if z.request("GET", "/api/v1/rooms", may, nil, &list); len(list.Rooms) != 0 {
		t.Errorf("rooms %+v", list)
	}
}

// TestAPIScopes: every path needs its scope, and wrong tokens are counted.
func TestAPIScopes(t *testing.T) {
	z := openZone(t, Config{Guess: GuessLimits{Attempts: 40}})
	paths := map[string]Scope{"GET /meetings": MeetingsRead, "POST /meetings": MeetingsWrite, "GET /meetings/1234": MeetingsRead,
		"DELETE /meetings/1234": MeetingsWrite, "GET /rooms": RoomsRead, "POST /rooms": RoomsWrite, "GET /rooms/1234": RoomsRead,
		"PATCH /rooms/1234": RoomsWrite, "DELETE /rooms/1234": RoomsWrite}
	for path, scope := range paths {
		method, path, _ := strings.Cut(path, " ")
		for _, has := range Scopes {
			_, told := z.request(method, "/api/v1"+path, z.apiToken(has), `{}`, nil)
			permitted := told == nil || told.Code != wire.CodeToken
			if want := has == scope || string(has) == strings.Replace(string(scope), "read", "write", 1); permitted != want {
				t.Errorf("%s %s with %s: %v", method, path, has, told)
			}
		}
	}
	_, gone, _ := z.CreateToken(t.Context(), "old", Scopes[:], time.Now().Add(-time.Second))
	if gone.permits(MeetingsRead, time.Now()) {
		t.Error("an expired token permits something")
	}
	token := z.apiToken(MeetingsRead)
	if err := z.DeleteToken(t.Context(), apiTokenID(strings.TrimPrefix(token.Get("Authorization"), "Bearer "))); err != nil {
		t.Error(err)
	}
	if len(z.Tokens()) != len(z.tokens.records) {
		t.Errorf("%d tokens, %d in the store", len(z.Tokens()), len(z.tokens.records))
	}
	for _, bad := range []http.Header{{}, {"Authorization": {"Bearer mz_x_y"}}, {"Authorization": {"Basic eA=="}}, token} {
		if answer, told := z.request("GET", "/api/v1/meetings", bad, nil, nil); told == nil || answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%v: %v", bad, told)
		}
	}
	for range 50 {
		z.request("GET", "/api/v1/meetings", token, nil, nil)
	}
	if _, told := z.request("GET", "/api/v1/meetings", token, nil, nil); told == nil || told.Code != wire.CodeGuess {
		t.Errorf("after many wrong tokens: %v", told)
	}
}

// TestOpenAPI: the document is served, and it names every path and nothing else.
func TestOpenAPI(t *testing.T) {
	z := openZone(t, Config{})
	answer, err := z.web.Client().Get(z.web.URL + "/api/v1/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	served, _ := io.ReadAll(answer.Body)
	var document struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(served, &document); err != nil {
		t.Fatal(err)
	}
	for path, operations := range document.Paths {
		for method := range operations {
			if method == "parameters" || path == wire.PathControl {
				continue
			}
			if strings.HasPrefix(path, wire.PathWHIP) || strings.HasPrefix(path, wire.PathWHEP) { // these answer with problems
				if a := z.gear(strings.ToUpper(method), strings.Replace(path, "{number}", "1234", 1), typeSDP, "", nil); a.status == http.StatusMethodNotAllowed {
					t.Errorf("%s %s is described and does not exist", method, path)
				}
				continue
			}
			_, told := z.request(strings.ToUpper(method), strings.Replace(path, "{number}", "1234", 1), nil, `{}`, nil)
			if told != nil && told.Text == errUnknown.Text {
				t.Errorf("%s %s is described and does not exist", method, path)
			}
		}
	}
	described := []string{wire.PathLookup, wire.PathProbe, wire.PathRoute, wire.PathHolds, wire.PathControl, wire.PathStart, wire.PathWHIP + "{number}", wire.PathWHEP + "{number}",
		wire.PathWHIP + "{number}/{session}", wire.PathWHEP + "{number}/{session}"}
	for _, path := range described {
		if _, found := document.Paths[path]; !found {
			t.Errorf("%s is not described", path)
		}
	}
	if n := len(document.Paths); n != len(described)+5 {
		t.Errorf("%d paths are described", n)
	}
}

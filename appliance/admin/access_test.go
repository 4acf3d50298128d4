package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/people"
)

const password = "correct horse battery"

// TestEveryRouteHasAnAccess holds that nothing is served of which nobody has decided who may ask for it, and that a view changes nothing.
func TestEveryRouteHasAnAccess(t *testing.T) {
	routes := new(Server).routes()
	if len(routes) < 30 {
		t.Fatalf("only %d routes", len(routes))
	}
	openOnes := map[string]bool{"GET " + adminapi.PathHome: true, "POST " + adminapi.PathLogin: true, "POST " + adminapi.PathFirst: true}
	for pattern, r := range routes {
		if r.access < open || r.access > operate || r.do == nil {
			t.Errorf("%s: access %d", pattern, r.access)
		}
		if (r.access == open) != openOnes[pattern] {
			t.Errorf("%s: decide here too that everybody may", pattern)
		}
		if !strings.HasPrefix(pattern, "GET ") && r.access == view {
			t.Errorf("%s changes something, and the role view may", pattern)
		}
	}
}

// TestAccessOfEveryRoute asks for each route as each kind of person.
func TestAccessOfEveryRoute(t *testing.T) {
	s := &Server{}
	for pattern, r := range s.routes() {
		for name, c := range map[string]struct {
			asker asker
			most  access
		}{
			"nobody":        {asker{}, open},
			"must change":   {asker{session: people.Session{User: "eve", Role: people.Operate, MustChange: true}}, own},
			"view":          {asker{session: people.Session{User: "bob", Role: people.View}}, view},
			"operate":       {asker{session: people.Session{User: "ada", Role: people.Operate}}, operate},
			"root":          {asker{all: true}, operate},
			"unknown roles": {asker{session: people.Session{User: "bob", Role: "admin"}}, view},
		} {
			if got, want := c.asker.may(r.access) == nil, r.access <= c.most; got != want {
				t.Errorf("%s by %s: %v", pattern, name, got)
			}
		}
	}
	if (asker{all: true}).may(0) == nil {
		t.Error("a route without access is served")
	}
}

func TestLoginAndRoles(t *testing.T) {
	c, _, socket := serve(t)
	ctx := t.Context()
	home, err := c.Home(ctx)
	if err != nil || !home.NoUsers || home.Fingerprint == "" {
		t.Errorf("home %+v, %v", home, err)
	}
	if s, err := c.Session(ctx); err != nil || s.Role != adminapi.RoleOperate || s.IdleS != 0 {
		t.Errorf("the daemon's own user is %+v, %v", s, err)
	}
	if s, err := c.First(ctx, adminapi.Login{User: "ada", Password: password}); err != nil || s.User != "ada" || s.Role != adminapi.RoleOperate || s.MustChange {
		t.Fatalf("first user %+v, %v", s, err)
	}
	if _, err := c.AddUser(ctx, adminapi.NewUser{Name: "bob", Role: adminapi.RoleView, Password: password}); err != nil {
		t.Fatal(err)
	}
	bob := adminapi.New(socket)
	defer bob.Close()
	if s, err := bob.Login(ctx, adminapi.Login{User: "bob", Password: password}); err != nil || !s.MustChange {
		t.Fatalf("%+v, %v", s, err)
	}
	_, err = bob.Status(ctx)
	if got := refusal(t, err); got != adminapi.CodePassword {
		t.Errorf("before the password was changed: %q", got)
	}
	if _, err := bob.ChangePassword(ctx, adminapi.ChangePassword{Old: password, New: password + "!"}); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Status(adminapi.Polling(ctx)); err != nil {
		t.Error(err)
	}
	if got := refusal(t, bob.Drain(ctx, adminapi.Drain{On: true})); got != adminapi.CodeForbidden {
		t.Errorf("a view drains: %q", got)
	}
	_, err = bob.Capture(ctx, adminapi.Capture{Interface: "eth0"}, httptest.NewRecorder())
	if got := refusal(t, err); got != adminapi.CodeForbidden {
		t.Errorf("a view captures: %q", got)
	}
	if err := c.Set(ctx, adminapi.Change{Path: "zone.name", Value: "Ada's"}); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Commit(ctx, adminapi.Commit{}); err != nil || r.Who != "ada" {
		t.Errorf("the revision is by %q, %v", r.Who, err)
	}
	if err := bob.Logout(ctx); err != nil {
		t.Error(err)
	}
	for name, got := range map[string]struct {
		err  error
		want adminapi.Code
	}{
		"wrong":   {errOf(bob.Login(ctx, adminapi.Login{User: "bob", Password: password})), adminapi.CodeWrong},
		"unknown": {errOf(bob.Login(ctx, adminapi.Login{User: "eve", Password: password})), adminapi.CodeWrong},
		"first":   {errOf(bob.First(ctx, adminapi.Login{User: "eve", Password: password})), adminapi.CodeConflict},
		"last":    {c.RemoveUser(ctx, "ada"), adminapi.CodeConflict},
		"none":    {c.RemoveUser(ctx, "eve"), adminapi.CodeUnknown},
		"name":    {errOf(c.AddUser(ctx, adminapi.NewUser{Name: "no name", Role: "view", Password: password})), adminapi.CodeBad},
	} {
		if code := refusal(t, got.err); code != got.want {
			t.Errorf("%s: %q, want %q (%v)", name, code, got.want, got.err)
		}
	}
	for range 5 {
		_, err = bob.Login(ctx, adminapi.Login{User: "eve", Password: password})
	}
	if got := refusal(t, err); got != adminapi.CodeLimit {
		t.Errorf("after many guesses: %q", got)
	}
	bob.SetSession("stale")
	_, err = bob.Status(ctx)
	if got := refusal(t, err); got != adminapi.CodeLogin {
		t.Errorf("with a stale token: %q", got)
	}
	if _, err := bob.Home(ctx); err != nil {
		t.Errorf("home with a stale token: %v", err)
	}
}

func errOf[T any](_ T, err error) error { return err }

const strangerVariable = "MEETZONE_ADMIN_STRANGER"

// TestNetnsStranger has another user of the machine, as the console is one, at the real socket: it sees the home screen and may log in, and
// nothing else.
func TestNetnsStranger(t *testing.T) {
	if socket := os.Getenv(strangerVariable); socket != "" {
		strange(t, socket)
		return
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root for another user")
		}
		t.Skip("needs root for another user")
	}
	c, _, socket := serve(t)
	if _, err := c.AddUser(t.Context(), adminapi.NewUser{Name: "ada", Role: adminapi.RoleOperate, Password: password, Keep: true}); err != nil {
		t.Fatal(err)
	}
	// Everything on the way is opened to the stranger, as the group of the socket does it on the box.
	folder, err := os.MkdirTemp("/tmp", "meetzone-stranger-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	program, shown := filepath.Join(folder, "admin.test"), filepath.Join(folder, "admin.sock")
	text, err := os.ReadFile(os.Args[0])
	if err := errors.Join(err, os.WriteFile(program, text, 0o755), os.Chmod(folder, 0o755), os.Link(socket, shown), os.Chmod(shown, 0o666)); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(program, "-test.run", "^TestNetnsStranger$", "-test.v")
	child.Env = []string{strangerVariable + "=" + shown, "TMPDIR=/tmp"}
	child.Dir = folder
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// strange is the other user.
func strange(t *testing.T, socket string) {
	ctx := t.Context()
	raw := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	refused := 0
	for pattern, r := range new(Server).routes() {
		method, path, _ := strings.Cut(pattern, " ")
		request, err := http.NewRequestWithContext(ctx, method, "http://box"+strings.NewReplacer("{n}", "1", "{name}", "ada").Replace(path), strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := raw.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if r.access != open {
			refused++
			if answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s by a stranger: status %d", pattern, answer.StatusCode)
			}
		}
	}
	c := adminapi.New(socket)
	if home, err := c.Home(ctx); err != nil || home.NoUsers {
		t.Errorf("home %+v, %v", home, err)
	}
	if _, err := c.Login(ctx, adminapi.Login{User: "ada", Password: password}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(ctx); err != nil {
		t.Errorf("after logging in: %v", err)
	}
	t.Logf("%d requests were refused", refused)
}

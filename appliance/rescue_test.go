package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
)

// rescued is a box whose daemon and rescue run in this process, by their real commands on a real socket.
type rescued struct {
	t      *testing.T
	flags  runFlags
	socket string
}

func newRescued(t *testing.T) *rescued {
	t.Helper()
	state := t.TempDir()
	_, port, _ := net.SplitHostPort(freePort(t))
	socket := filepath.Join(state, "admin.sock")
	return &rescued{t: t, socket: socket, flags: runFlags{state: state, https: "127.0.0.1:0", metrics: "127.0.0.1:0", media: []string{"127.0.0.1:" + port}, admin: socket, drain: time.Millisecond}}
}

func (r *rescued) until(what string, ok func() bool) {
	r.t.Helper()
	limit := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-limit:
			r.t.Fatalf("not within 60 s: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// during runs something until do has returned, and returns how it ended.
func (r *rescued) during(run func(context.Context) error, ready func(context.Context, *adminapi.Client) error, do func()) error {
	r.t.Helper()
	ctx, end := context.WithCancel(r.t.Context())
	defer end()
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	c := adminapi.New(r.socket)
	defer c.Close()
	r.until("it answers", func() bool { return ready(ctx, c) == nil })
	do()
	end()
	return <-done
}

func (r *rescued) daemon(do func()) {
	r.t.Helper()
	ready := func(ctx context.Context, c *adminapi.Client) error { _, err := c.Status(ctx); return err }
	if err := r.during(func(ctx context.Context) error { return run(ctx, r.flags) }, ready, do); err != nil {
		r.t.Error(err)
	}
}

func (r *rescued) command(args ...string) string {
	r.t.Helper()
	var out, said bytes.Buffer
	if status := execute(r.t.Context(), append(args, "--admin", r.socket), streams{strings.NewReader(""), &out, &said}); status != 0 {
		r.t.Errorf("%v: status %d: %s%s", args, status, &out, &said)
	}
	return out.String()
}

// TestRescueOfADamagedStore damages the store in several ways. The daemon does not start and says why; the rescue puts the last good copy in place and
// says what is lost; the daemon starts with it.
func TestRescueOfADamagedStore(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"flipped bytes": func(b []byte) []byte {
			for page := 0; page < len(b); page += 4096 {
				for i := range 16 {
					b[page+i] ^= 0xa5
				}
			}
			return b
		},
		"truncated":      func(b []byte) []byte { return b[:3*4096+100] },
		"another format": func([]byte) []byte { return bytes.Repeat([]byte("not a store "), 4000) },
		"empty pages":    func(b []byte) []byte { clear(b[8192:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv("MEETZONE_LONG") == "" && name != "flipped bytes" && name != "truncated" {
				t.Skip("only with MEETZONE_LONG")
			}
			r := newRescued(t)
			db := filepath.Join(r.flags.state, "meetzone.db")
			r.daemon(func() {
				r.command("config", "set", "zone.name", "Kept", "--commit")
				r.until("a good copy of it", func() bool { c, err := readCopy(r.flags.state); return err == nil && c.Revision == 2 })
			})
			text, err := os.ReadFile(db)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(db, damage(text), 0o600); err != nil {
				t.Fatal(err)
			}
			limit, end := context.WithTimeout(t.Context(), 20*time.Second)
			err = run(limit, r.flags)
			if end(); err == nil {
				t.Fatal("the daemon starts with a damaged store")
			}
			if f, err := readFailure(r.flags.state); err != nil || f.Cause == "" {
				t.Errorf("nothing says why: %+v, %v", f, err)
			}
			ready := func(ctx context.Context, c *adminapi.Client) error { _, err := c.Rescue(ctx); return err }
			err = r.during(func(ctx context.Context) error { return runRescue(ctx, r.flags.state, r.socket, "") }, ready, func() {
				if said := r.command("rescue", "show"); !strings.Contains(said, "DAMAGED") || !strings.Contains(said, "revision 2: `appliance rescue copy`") {
					t.Errorf("it says:\n%s", said)
				}
				if home, err := adminapi.New(r.socket).Home(t.Context()); err != nil || len(home.Alarms) != 1 || home.Alarms[0].Code != "rescue" {
					t.Errorf("home %+v, %v", home, err)
				}
				if said := r.command("rescue", "copy"); !strings.Contains(said, "with revision 2 is in place") || !strings.Contains(said, "LOST: Everything that was changed since") {
					t.Errorf("it says:\n%s", said)
				}
				if said := r.command("rescue", "show"); strings.Contains(said, "DAMAGED") || !strings.Contains(said, "`appliance rescue previous`") {
					t.Errorf("after it:\n%s", said)
				}
				r.command("rescue", "start")
			})
			if err != nil {
				t.Error(err)
			}
			r.daemon(func() {
				if got := strings.TrimSpace(r.command("config", "get", "zone.name")); got != "Kept" {
					t.Errorf("the zone is called %q", got)
				}
				if got := r.command("audit"); !strings.Contains(got, "rescue copy") || !strings.Contains(got, "with revision 2 is in place") {
					t.Errorf("the audit log of the copy does not say that it was put in place:\n%s", got)
				}
			})
			if _, err := readFailure(r.flags.state); err == nil {
				t.Error("the daemon starts, and the failure still stands there")
			}
		})
	}
}

// TestRescueOfAWholeStore has the daemon fail for what the configuration asks: the revision before, an address and a new beginning are there.
func TestRescueOfAWholeStore(t *testing.T) {
	r := newRescued(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(somePassword), 0o600); err != nil {
		t.Fatal(err)
	}
	r.daemon(func() {
		r.command("user", "add", "ada", "--role", "view", "--keep", "--password-file", file)
		r.command("config", "set", "zone.name", "Second", "--commit")
	})
	https := r.flags.https
	r.flags.https = taken.Addr().String()
	if err := run(t.Context(), r.flags); err == nil {
		t.Fatal("started on a port that is taken")
	}
	r.flags.https = https
	ready := func(ctx context.Context, c *adminapi.Client) error { _, err := c.Rescue(ctx); return err }
	err = r.during(func(ctx context.Context) error { return runRescue(ctx, r.flags.state, r.socket, "") }, ready, func() {
		if said := r.command("rescue", "show"); !strings.Contains(said, "address already in use") || !strings.Contains(said, "Store            whole") {
			t.Errorf("it says:\n%s", said)
		}
		ada := adminapi.New(r.socket)
		defer ada.Close()
		if _, err := ada.Login(t.Context(), adminapi.Login{User: "ada", Password: somePassword}); err != nil {
			t.Error(err)
		}
		if _, err := ada.Rescue(t.Context()); err != nil {
			t.Errorf("a view may not look: %v", err)
		}
		if _, err := ada.RescueDo(t.Context(), adminapi.PathRescueReset); err == nil || !strings.Contains(err.Error(), "role is view") {
			t.Errorf("a view resets: %v", err)
		}
		if _, err := ada.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "does not start") {
			t.Errorf("what is not there: %v", err)
		}
		r.command("rescue", "network", "eth0", "192.0.2.7/24", "--gateway", "192.0.2.1")
		r.command("rescue", "previous")
		r.command("rescue", "previous")
		r.command("rescue", "start")
	})
	if err != nil {
		t.Error(err)
	}
	r.daemon(func() {
		log := r.command("audit")
		for _, want := range []string{"rescue previous", "rescue network", "rescue start", "forbidden"} {
			if !strings.Contains(log, want) {
				t.Errorf("no %q in the audit log:\n%s", want, log)
			}
		}
		history := r.command("config", "history")
		for _, want := range []string{"rescue: network", "rescue: revision 2 again", "rescue: revision 1 again"} {
			if !strings.Contains(history, want) {
				t.Errorf("no %q in:\n%s", want, history)
			}
		}
	})
	err = r.during(func(ctx context.Context) error { return runRescue(ctx, r.flags.state, r.socket, "") }, ready, func() {
		if said := r.command("rescue", "reset"); !strings.Contains(said, "LOST: Configuration, users") {
			t.Errorf("it says:\n%s", said)
		}
		r.command("rescue", "start")
	})
	if err != nil {
		t.Error(err)
	}
	r.daemon(func() {
		if got := strings.TrimSpace(r.command("config", "get", "zone.name")); got != "Meetzone" {
			t.Errorf("after a reset the zone is called %q", got)
		}
		if got := r.command("user", "list"); !strings.Contains(got, "There are no users") {
			t.Errorf("after a reset: %s", got)
		}
	})
}

package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meetzone/storage"
	"meetzone/storage/storagetest"
)

const good = "correct horse battery"

func newUsers(t *testing.T, s *storage.Store, idle time.Duration) *Users {
	t.Helper()
	u, err := New(Config{Store: s, Idle: idle})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func add(t *testing.T, u *Users, name string, role Role, must bool) {
	t.Helper()
	if _, err := u.Add(t.Context(), name, role, good, must); err != nil {
		t.Fatal(err)
	}
}

func TestUsersOutliveTheDaemonAndSessionsDoNot(t *testing.T) {
	cfg := storage.Config{Path: t.TempDir() + "/s.db"}
	s := storagetest.Open(t, cfg)
	u := newUsers(t, s, 0)
	add(t, u, "ada", Operate, false)
	session, err := u.Login(t.Context(), "ada", good)
	if err != nil || session.Role != Operate || session.MustChange || session.Token == "" {
		t.Fatalf("%+v, %v", session, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := newUsers(t, storagetest.Open(t, cfg), 0)
	if _, err := again.Session(session.Token, true); !errors.Is(err, ErrNoSession) {
		t.Errorf("a session outlived the daemon: %v", err)
	}
	if _, err := again.Login(t.Context(), "ada", good); err != nil {
		t.Error(err)
	}
}

func TestFirstUserIsMadeOnce(t *testing.T) {
	u := newUsers(t, storagetest.Open(t, storage.Config{}), 0)
	var wg sync.WaitGroup
	results := make([]error, 4)
	for i := range results {
		wg.Go(func() { _, results[i] = u.First(context.Background(), fmt.Sprintf("user%d", i), good) })
	}
	wg.Wait()
	made := 0
	for _, err := range results {
		if err == nil {
			made++
		} else if !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	}
	if made != 1 || len(u.List()) != 1 || u.List()[0].Role != Operate {
		t.Errorf("%d first users: %+v", made, u.List())
	}
}

func TestWhatIsRefused(t *testing.T) {
	u := newUsers(t, storagetest.Open(t, storage.Config{}), 0)
	add(t, u, "ada", Operate, false)
	for _, c := range []struct {
		name, password string
		role           Role
		want           error
	}{
		{"", good, View, ErrName}, {"Ada", good, View, ErrName}, {"9ada", good, View, ErrName}, {strings.Repeat("a", 33), good, View, ErrName},
		{"a/b", good, View, ErrName}, {"bob", good, "root", ErrRole}, {"bob", "short", View, ErrPassword}, {"bobbobbobbob", "bobbobbobbob", View, ErrPassword},
		{"bob", "aaaaaaaaaaaa", View, ErrPassword}, {"bob", "with\x00zero byte", View, ErrPassword}, {"bob", strings.Repeat("ab", 200), View, ErrPassword},
		{"ada", good, View, ErrExists},
	} {
		if _, err := u.Add(t.Context(), c.name, c.role, c.password, false); !errors.Is(err, c.want) {
			t.Errorf("%q %q: %v, want %v", c.name, c.password, err, c.want)
		}
	}
	if err := u.Remove(t.Context(), "ada"); !errors.Is(err, ErrLast) {
		t.Errorf("the last operator was removed: %v", err)
	}
	if _, err := u.Change(t.Context(), "ada", Change{Role: View}); !errors.Is(err, ErrLast) {
		t.Errorf("the last operator lost the role: %v", err)
	}
	add(t, u, "bob", View, false)
	if err := u.Remove(t.Context(), "ada"); !errors.Is(err, ErrLast) {
		t.Errorf("a viewer passes for an operator: %v", err)
	}
}

// TestLockOut runs in a bubble of time without a store's goroutines in it: the failures in memory are what decides.
func TestLockOut(t *testing.T) {
	u := newUsers(t, storagetest.Open(t, storage.Config{}), 0)
	add(t, u, "ada", Operate, false)
	for _, name := range []string{"ada", "nobody"} {
		for i := range freeFailures {
			if _, err := u.Login(t.Context(), name, "wrong password"); !errors.Is(err, ErrWrong) {
				t.Fatalf("%s, attempt %d: %v", name, i, err)
			}
		}
		locked := new(LockedError)
		if _, err := u.Login(t.Context(), name, good); !errors.As(err, &locked) || locked.Left <= 0 || locked.Left > firstLock {
			t.Errorf("%s is not locked: %v", name, err)
		}
	}
	if got := u.List()[0]; got.Failures != freeFailures || got.Locked <= 0 {
		t.Errorf("told as %+v", got)
	}
	if r, _, _ := u.table.Get("ada"); r.Failures != freeFailures {
		t.Errorf("%d failures are stored", r.Failures)
	}
	if _, err := u.Change(t.Context(), "ada", Change{Unlock: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Login(t.Context(), "ada", good); err != nil {
		t.Errorf("after unlocking: %v", err)
	}
}

func TestLockGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failure{count: freeFailures, last: time.Now()}
		if got := f.left(time.Now()); got != firstLock {
			t.Errorf("first lock %v", got)
		}
		time.Sleep(firstLock)
		if got := f.left(time.Now()); got != 0 {
			t.Errorf("after it %v are left", got)
		}
		for count, want := range map[int]time.Duration{freeFailures - 1: 0, freeFailures + 3: 8 * firstLock, freeFailures + 9: longestLock, 1 << 30: longestLock} {
			if got := (&failure{count: count, last: time.Now()}).left(time.Now()); got != want {
				t.Errorf("%d failures lock for %v, want %v", count, got, want)
			}
		}
	})
}

func TestNamesAreBounded(t *testing.T) {
	u := newUsers(t, storagetest.Open(t, storage.Config{}), 0)
	for i := range maxFailures + 50 {
		u.count(fmt.Sprintf("name%d", i))
	}
	if len(u.failures) > maxFailures {
		t.Errorf("%d names are remembered", len(u.failures))
	}
}

func TestSessions(t *testing.T) {
	u := newUsers(t, storagetest.Open(t, storage.Config{}), 0)
	add(t, u, "ada", Operate, false)
	add(t, u, "bob", Operate, true)
	if s, err := u.begin("bob"); err != nil || !s.MustChange {
		t.Errorf("%+v, %v", s, err)
	}
	old, err := u.begin("ada")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Change(t.Context(), "ada", Change{Role: View}); err != nil {
		t.Fatal(err)
	}
	if s, _ := u.Session(old.Token, true); s.Role != View {
		t.Errorf("a session keeps the role that was taken: %v", s.Role)
	}
	fresh, err := u.ChangePassword(t.Context(), old.Token, good, good+" 2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Session(old.Token, true); !errors.Is(err, ErrNoSession) {
		t.Errorf("the session before the change goes on: %v", err)
	}
	if _, err := u.ChangePassword(t.Context(), fresh.Token, good, good+" 3"); !errors.Is(err, ErrWrong) {
		t.Errorf("the old password passes: %v", err)
	}
	u.Logout(fresh.Token)
	if _, err := u.Session(fresh.Token, true); !errors.Is(err, ErrNoSession) {
		t.Errorf("after logging out: %v", err)
	}
	for range perUser + 5 {
		if _, err := u.begin("ada"); err != nil {
			t.Fatal(err)
		}
	}
	if got := u.List()[0].Sessions; got != perUser {
		t.Errorf("%d sessions of one person", got)
	}
	if err := u.Remove(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	if len(u.sessions) != 1 {
		t.Errorf("%d sessions are left after the user was removed", len(u.sessions))
	}
}

func TestIdleSessionsEnd(t *testing.T) {
	u := newUsers(t, storagetest.Open(t, storage.Config{}), time.Minute)
	add(t, u, "ada", Operate, false)
	synctest.Test(t, func(t *testing.T) {
		s, err := u.begin("ada")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		if _, err := u.Session(s.Token, true); err != nil {
			t.Fatal("a session in use ended")
		}
		time.Sleep(40 * time.Second)
		if _, err := u.Session(s.Token, false); err != nil {
			t.Fatal("a session in use ended")
		}
		time.Sleep(21 * time.Second) // the look of a program did not keep it awake
		if _, err := u.Session(s.Token, true); !errors.Is(err, ErrNoSession) {
			t.Errorf("an idle session goes on: %v", err)
		}
	})
}

func TestHash(t *testing.T) {
	a, b := hash(good), hash(good)
	if a == b || strings.Contains(a, good) {
		t.Errorf("%s and %s", a, b)
	}
	if ok, old, err := matches(a, good); !ok || old || err != nil {
		t.Errorf("%v %v %v", ok, old, err)
	}
	if ok, _, err := matches(a, good+" "); ok || err != nil {
		t.Errorf("another password: %v %v", ok, err)
	}
	// Made by another implementation: `printf password | argon2 somesalt -id -t 2 -k 65536 -p 1`, from the test vectors of its reference code.
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, old, err := matches(reference, "password"); !ok || !old || err != nil {
		t.Errorf("the reference's: %v %v %v", ok, old, err)
	}
}

func FuzzHash(f *testing.F) {
	f.Add(encode(wanted, make([]byte, saltSize), make([]byte, hashSize)))
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAA$AAAA")
	f.Fuzz(func(t *testing.T, stored string) {
		p, salt, sum, err := decode(stored)
		if err != nil {
			return
		}
		if p.memoryKiB > most.memoryKiB || p.passes > most.passes || len(salt) > maxHash || len(sum) > maxHash {
			t.Errorf("%q asks for %+v", stored, p)
		}
	})
}

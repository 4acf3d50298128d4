package zonectl

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meetzone/zonectl/wire"
)

// TestSameAnswer: an unknown number, a number that is none, a wrong passcode, a missing one and a wrong host key are answered with the same
// bytes and headers.
func TestSameAnswer(t *testing.T) {
	z := openZone(t, Config{Guess: GuessLimits{Attempts: 1000}})
	number := z.create(MeetingSpec{Passcode: "1234"}).Number
	ask := func(body string) string {
		answer, err := z.web.Client().Post(z.web.URL+wire.PathLookup, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		answer.Header.Del("Date")
		return fmt.Sprintln(answer.Status, answer.Header, string(text))
	}
	want := ask(`{"meeting":"` + number + `","passcode":"4321"}`)
	if !strings.Contains(want, `"refused"`) || !strings.HasPrefix(want, "403") {
		t.Fatal(want)
	}
	for _, body := range []string{`{"meeting":"` + number + `"}`, `{"meeting":"123456789","passcode":"1234"}`, `{"meeting":"123456789"}`,
		`{"meeting":"none"}`, `{"meeting":""}`, `{"meeting":"` + number + `","host_key":"x"}`,
		`{"meeting":"` + number + `","passcode":"1234","host_key":"x"}`, `{"meeting":"999999999","host_key":"x","role":"host"}`} {
		if got := ask(body); got != want {
			t.Errorf("%s is answered with\n%s, not\n%s", body, got, want)
		}
	}
}

// TestSameWork: the check digests and compares the same whether there is a meeting or not.
func TestSameWork(t *testing.T) {
	p, err := newPepper([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	full := &lock{passcode: p.digest(ofPasscode, "1", "right"), hostKey: p.digest(ofHostKey, "1", "key")}
	open := &lock{hostKey: full.hostKey}
	for _, c := range []struct {
		name string
		lock *lock
		knock
		want admission
	}{
		{"unknown", nil, knock{"1", "right", ""}, admission{}},
		{"unknown, nothing shown", nil, knock{"1", "", ""}, admission{}},
		{"right", full, knock{"1", "right", ""}, admission{enter: true}},
		{"wrong", full, knock{"1", "wrong", ""}, admission{}},
		{"of another meeting", full, knock{"2", "right", ""}, admission{}},
		{"none shown", full, knock{"1", "", ""}, admission{}},
		{"none needed", open, knock{"1", "", ""}, admission{enter: true}},
		{"none needed, one shown", open, knock{"1", "x", ""}, admission{enter: true}},
		{"host key", full, knock{"1", "", "key"}, admission{enter: true, host: true}},
		{"wrong host key", open, knock{"1", "", "x"}, admission{}},
		{"wrong host key, right passcode", full, knock{"1", "right", "x"}, admission{}},
		{"passcode as host key", full, knock{"1", "", "right"}, admission{}},
	} {
		if got := p.check(c.lock, c.knock); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	wrong := testing.AllocsPerRun(100, func() { p.check(full, knock{"1", "wrong", ""}) })
	unknown := testing.AllocsPerRun(100, func() { p.check(nil, knock{"1", "wrong", ""}) })
	if unknown < wrong || unknown > wrong+2 {
		t.Errorf("allocations: %v for a wrong passcode, %v for an unknown number", wrong, unknown)
	}
}

// TestGuessesBlock: twenty wrong attempts in ten minutes block the source, and the meeting for everybody.
func TestGuessesBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuesses(Config{}.withDefaults().Guess)
		for i := range 19 {
			g.wrong("s1", "m1")
			if wait := g.blockedFor("s1", "m1"); wait != 0 {
				t.Fatalf("blocked for %v after %d", wait, i+1)
			}
		}
		time.Sleep(9 * time.Minute)
		g.wrong("s1", "m1")
		for source, meeting := range map[string]string{"s1": "m2", "s2": "m1", "s3": "m1"} {
			if wait := g.blockedFor(source, meeting); wait != 10*time.Minute {
				t.Errorf("source %s, meeting %s: blocked for %v", source, meeting, wait)
			}
		}
		if wait := g.blockedFor("s2", "m2"); wait != 0 {
			t.Errorf("others are blocked for %v", wait)
		}
		time.Sleep(10 * time.Minute)
		if wait := g.blockedFor("s1", "m1"); wait != 0 {
			t.Errorf("still blocked for %v", wait)
		}
		for range 19 {
			g.wrong("s1", "m1")
		}
		time.Sleep(10 * time.Minute)
		g.wrong("s1", "m1")
		if wait := g.blockedFor("s1", "m1"); wait != 0 {
			t.Error("attempts of ten minutes ago are counted")
		}
		time.Sleep(time.Hour)
		g.prune()
		if n := len(g.sources.entries) + len(g.meetings.entries); n != 0 {
			t.Errorf("%d entries are left", n)
		}
	})
}

// TestTallyBounded floods a tally and compares it with a plain map.
func TestTallyBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newTally(3, time.Minute, 2*time.Minute)
		model := map[string][]time.Time{} // when each attempt was, since the first one that counts
		random := rand.New(rand.NewPCG(1, 2))
		for range 20_000 {
			time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
			key, now := fmt.Sprint(random.IntN(200)), time.Now()
			list := model[key]
			blocked := len(list) >= 3 && now.Before(list[2].Add(2*time.Minute))
			if got := y.blockedFor(key, now) > 0; got != blocked {
				t.Fatalf("key %s: blocked is %v, must be %v", key, got, blocked)
			}
			if blocked {
				continue
			}
			if len(list) > 0 && now.Sub(list[0]) >= time.Minute {
				list = nil
			}
			model[key] = append(list, now)
			y.add(key, now)
		}
		for i := range 2 * maxCounted {
			y.add(fmt.Sprint("flood ", i), time.Now())
		}
		if len(y.entries) > maxCounted {
			t.Errorf("%d entries", len(y.entries))
		}
		time.Sleep(time.Hour)
		y.prune(time.Now())
		if len(y.entries) != 0 || y.oldest != nil {
			t.Errorf("%d entries after an hour", len(y.entries))
		}
	})
}

// TestLookupBlocked is the same through HTTPS.
func TestLookupBlocked(t *testing.T) {
	z := openZone(t, Config{Guess: GuessLimits{Attempts: 3}})
	number := z.create(MeetingSpec{Passcode: "1234"}).Number
	for range 3 {
		if _, told := z.lookUp(wire.LookupRequest{Meeting: number, Passcode: "0"}); told == nil || told.Code != wire.CodeRefused {
			t.Fatal(told)
		}
	}
	answer, told := z.request(http.MethodPost, wire.PathLookup, nil, wire.LookupRequest{Meeting: number, Passcode: "1234"}, nil)
	if told == nil || told.Code != wire.CodeGuess || told.Retry < 500 || answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("blocked: %+v, %s", told, answer.Status)
	}
	if s := z.Stats(); s.Lookups != 4 || s.Refused != 3 || s.Blocked != 1 {
		t.Errorf("%d lookups, %d refused, %d blocked", s.Lookups, s.Refused, s.Blocked)
	}
}

func TestSourceOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:99": "192.0.2.7", "[::ffff:192.0.2.7]:99": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:99": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:1": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64", "pipe": "pipe",
	} {
		if got := sourceOf(remote); got != want {
			t.Errorf("source of %s is %s, want %s", remote, got, want)
		}
	}
}

// TestSecrets: digests differ by kind, meeting and zone.
func TestSecrets(t *testing.T) {
	a, _ := newPepper([]byte("a"))
	b, _ := newPepper([]byte("b"))
	digests := [][]byte{a.digest(ofPasscode, "1", "2"), a.digest(ofPasscode, "12", ""), a.digest(ofHostKey, "1", "2"), b.digest(ofPasscode, "1", "2")}
	for i := range digests {
		for j := range i {
			if bytes.Equal(digests[i], digests[j]) {
				t.Errorf("digests %d and %d are equal", i, j)
			}
		}
	}
}

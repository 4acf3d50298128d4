package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/admin"
	"meetzone/appliance/backup"
	"meetzone/appliance/config"
	"meetzone/storage"
)

// restorable is a state folder with as much of a daemon as restores need. What it is can be read in four places, which must agree: the name of the
// zone in the document, the key of the zone, a certificate, a room.
type restorable struct {
	dir       string
	store     *storage.Store
	revisions *admin.RevisionStore
	table     *storage.Table[string, restoreRecord]
}

// openRestorable does what a start of the daemon does before it opens anything else.
func openRestorable(dir string) (*restorable, error) {
	quiet := slog.New(slog.DiscardHandler)
	store, err := storage.Open(storage.Config{Path: filepath.Join(dir, "meetzone.db"), Logger: quiet})
	if err != nil {
		return nil, err
	}
	r := &restorable{dir: dir, store: store}
	if r.revisions, err = admin.NewRevisionStore(store); err == nil {
		r.table, err = storage.OpenTable[string, restoreRecord](store, tableRestore)
	}
	ctx := context.Background()
	if err == nil {
		r.revisions.OnConfirm(confirmRestore(r.table))
		err = admin.TakeBackUnconfirmed(ctx, r.revisions, quiet)
	}
	if err == nil {
		err = settleRestore(ctx, dir, store, r.revisions, r.table, quiet)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return r, nil
}

// contentsNamed are those of a state that is called so.
func contentsNamed(t testing.TB, name string) backup.Contents {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	doc := config.Default()
	doc.Zone.Name = name
	text, err := doc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return backup.Contents{Document: string(text), ZoneKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der, Headers: map[string]string{"Name": name}}),
		Certificates: map[string][]byte{"office.pem": []byte(name), name + ".pem": []byte(name)},
		Tables:       map[string]map[string]rawRecord{"rooms": {"1": rawRecord(`{"title":"` + name + `"}`)}},
		Users:        map[string]rawRecord{name: rawRecord(`{}`)}}
}

// stage does what Restore does with its revision.
func (r *restorable) stage(c backup.Contents, confirm time.Duration) error {
	packed, err := backup.Pack(c)
	if err != nil {
		return err
	}
	doc, err := config.ParseStored([]byte(c.Document))
	if err != nil {
		return err
	}
	latest, err := r.revisions.Latest()
	if err != nil {
		return err
	}
	next := config.Revision{Number: latest.Number + 1, Time: time.Now(), Document: doc, Confirm: confirm}
	return r.revisions.AppendForRestart(context.Background(), next, func(tx *storage.Tx) error {
		return noteRestore(r.table.In(tx), restoreRecord{Revision: next.Number, Wanted: packed, AddUsers: c.Host != leavesUsersOut})
	})
}

const leavesUsersOut = "leaves-users-out" // the host of a backup whose users are not added

// TestRestoreRevivesNobody restores onto a box that has users: those who were removed since the backup stay away.
func TestRestoreRevivesNobody(t *testing.T) {
	for _, c := range []struct {
		users map[string]rawRecord
		asked bool
		who   string
		want  bool
	}{
		{nil, false, "root", true}, {map[string]rawRecord{"ada": nil}, false, "ada", true}, {map[string]rawRecord{"ada": nil}, false, "root", false},
		{map[string]rawRecord{"ada": nil, "bob": nil}, false, "ada", false}, {map[string]rawRecord{"ada": nil, "bob": nil}, true, "ada", true},
	} {
		if got := addsUsers(c.users, c.asked, c.who); got != c.want {
			t.Errorf("%d users, asked %v by %s: added %v", len(c.users), c.asked, c.who, got)
		}
	}
	dir := t.TempDir()
	newRestorable(t, dir, "first")
	r, err := openRestorable(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := contentsNamed(t, "second")
	c.Host = leavesUsersOut
	if err := errors.Join(r.stage(c, time.Hour), r.store.Close()); err != nil {
		t.Fatal(err)
	}
	if r, err = openRestorable(dir); err != nil {
		t.Fatal(err)
	}
	users, err := r.store.Export(tableUsers)
	if _, own := users["first"]; err != nil || !own || len(users) != 1 {
		t.Errorf("there are %d users, %v", len(users), err)
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// commitAgain commits what runs as the next revision.
func (r *restorable) commitAgain() error {
	latest, err := r.revisions.Latest()
	if err != nil {
		return err
	}
	latest.Number++
	return r.revisions.Append(context.Background(), latest)
}

// is reads what the state is; an error where its places do not agree.
func (r *restorable) is() (string, error) {
	latest, err := r.revisions.Latest()
	if err != nil {
		return "", err
	}
	c, err := collectState(r.dir, r.store)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(c.ZoneKey)
	var room struct{ Title string }
	if err := json.Unmarshal(c.Tables["rooms"]["1"], &room); err != nil || block == nil {
		return "", fmt.Errorf("room %s, key %s: %w", c.Tables["rooms"]["1"], c.ZoneKey, err)
	}
	name := latest.Document.Zone.Name
	_, own := c.Certificates[name+".pem"]
	if block.Headers["Name"] != name || string(c.Certificates["office.pem"]) != name || room.Title != name || !own || len(c.Certificates) != 2 || len(c.Tables["rooms"]) != 1 {
		return "", fmt.Errorf("the document is %s, the key %s, the certificates %d with %s, the rooms %d with %s", name, block.Headers["Name"], len(c.Certificates),
			c.Certificates["office.pem"], len(c.Tables["rooms"]), room.Title)
	}
	return name, nil
}

// newRestorable makes a state folder that is called so.
func newRestorable(t *testing.T, dir, name string) {
	t.Helper()
	r, err := openRestorable(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := contentsNamed(t, name)
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	packed, err := backup.Pack(c)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := config.ParseStored([]byte(c.Document))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(placeFiles(dir, packed, packed), r.revisions.Append(t.Context(), config.Revision{Number: 1, Document: doc}),
		r.store.Update(t.Context(), func(tx *storage.Tx) error {
			return errors.Join(r.store.Import(tx, "rooms", c.Tables["rooms"]), r.store.Import(tx, tableUsers, c.Users))
		}), r.store.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreIsConfirmedOrUndone goes through the ways that a restore can end.
func TestRestoreIsConfirmedOrUndone(t *testing.T) {
	for _, end := range []string{"confirmed", "confirmed and changed at once", "confirmed before the start", "died", "rolled back", "taken back before the start"} {
		t.Run(end, func(t *testing.T) {
			dir := t.TempDir()
			newRestorable(t, dir, "first")
			again := func(r *restorable) *restorable {
				t.Helper()
				if r != nil {
					if err := r.store.Close(); err != nil {
						t.Fatal(err)
					}
				}
				r, err := openRestorable(dir)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			want := func(r *restorable, name string, users int) {
				t.Helper()
				got, err := r.is()
				list, _ := r.store.Export(tableUsers)
				if err != nil || got != name || len(list) != users {
					t.Errorf("it is %s with %d users, want %s with %d: %v", got, len(list), name, users, err)
				}
			}
			commit := func(r *restorable, number uint64) { // a document that was there before, as revision 3
				t.Helper()
				before, err := r.revisions.Revision(number)
				if err != nil {
					t.Fatal(err)
				}
				before.Number = 3
				if err := r.revisions.Append(t.Context(), before); err != nil {
					t.Fatal(err)
				}
			}
			confirm := func(r *restorable) {
				t.Helper()
				if err := r.revisions.SetUnconfirmed(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			takenBack := func(r *restorable, want bool) {
				t.Helper()
				if got := (&backups{d: &daemon{restores: r.table}, store: r.revisions}).takenBack(); got != want {
					t.Errorf("taken back while the daemon runs: %v", got)
				}
			}
			r := again(nil)
			if err := r.stage(contentsNamed(t, "second"), time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := r.stage(contentsNamed(t, "third"), time.Hour); !errors.Is(err, errUnsettled) {
				t.Errorf("a restore over one that is not settled: %v", err)
			}
			last, users := "first", 1
			switch end {
			case "taken back before the start":
				commit(r, 1)
			case "confirmed before the start":
				confirm(r)
				last, users = "second", 2
			default:
				r = again(r)
				want(r, "second", 2)
				takenBack(r, false)
			}
			switch end {
			case "confirmed", "confirmed and changed at once":
				confirm(r)
				last, users = "second", 2
				if end == "confirmed and changed at once" {
					commit(r, 2)
				}
				takenBack(r, false)
			case "rolled back":
				commit(r, 1)
				takenBack(r, true)
			}
			for range 2 {
				r = again(r)
				want(r, last, users)
			}
			if r.table.Len() != 0 {
				t.Error("what was there before is kept for ever")
			}
			if err := r.store.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

const restoreKillVariable = "MEETZONE_RESTORE_KILL"

// TestKillWhileRestoring kills a process at random instants of restoring, confirming and taking back. Each next start is the one whole state or the
// other, never a confirmed one's predecessor, and no unconfirmed one.
func TestKillWhileRestoring(t *testing.T) {
	if dir := os.Getenv(restoreKillVariable); dir != "" {
		restoreForEver(t, dir)
		return
	}
	rounds := 40
	if os.Getenv("MEETZONE_LONG") != "" {
		rounds = 300
	}
	dir := t.TempDir()
	newRestorable(t, dir, "s0")
	acknowledged, ends := "s0", map[string]int{}
	for round := range rounds {
		child := exec.Command(os.Args[0], "-test.run", "^TestKillWhileRestoring$")
		child.Env = append(os.Environ(), restoreKillVariable+"="+dir, fmt.Sprintf("MEETZONE_ROUND=%d", round))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		begun, step := "", ""
		kill := time.AfterFunc(time.Hour, func() {})
		for lines.Scan() {
			verb, name, _ := strings.Cut(lines.Text(), " ")
			switch verb {
			case "ready":
				kill.Stop()
				kill = time.AfterFunc(time.Duration(mathrand.IntN(150_000))*time.Microsecond, func() { _ = child.Process.Kill() })
			case "confirming":
				begun = name
			case "confirmed":
				acknowledged, begun = name, ""
			case "BAD":
				t.Errorf("round %d: %s", round, lines.Text())
			}
			step = verb
		}
		kill.Stop()
		_ = child.Wait()
		ends[step]++
		got := ""
		for range 2 { // the first start after a planned restart may go on waiting; it dies too
			r, err := openRestorable(dir)
			if err != nil {
				t.Fatalf("round %d, killed after %s: %v", round, step, err)
			}
			if got, err = r.is(); err != nil {
				t.Errorf("round %d, killed after %s: %v", round, step, err)
			}
			if err := errors.Join(r.store.Check(), r.store.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if got != acknowledged && (begun == "" || got != begun) {
			t.Errorf("round %d, killed after %s: it is %q, acknowledged %s, begun %q", round, step, got, acknowledged, begun)
		}
		acknowledged = got
	}
	t.Logf("%d rounds, killed after %v", rounds, ends)
}

// restoreForEver is the process that is killed.
func restoreForEver(t *testing.T, dir string) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) }
	say("ready")
	for n := 0; ; n++ {
		r, err := openRestorable(dir)
		if err != nil {
			say("BAD %v", err)
			return
		}
		before, err := r.is()
		if err != nil {
			say("BAD at a start: %v", err)
			return
		}
		name := fmt.Sprintf("s%s-%d", os.Getenv("MEETZONE_ROUND"), n)
		if err := errors.Join(r.stage(contentsNamed(t, name), time.Hour), r.store.Close()); err != nil {
			say("BAD %v", err)
			return
		}
		say("staged %s", name)
		if r, err = openRestorable(dir); err != nil {
			say("BAD %v", err)
			return
		}
		say("placed %s", name)
		if got, err := r.is(); err != nil || got != name {
			say("BAD restored %s is %s: %v", name, got, err)
			return
		}
		if n%2 == 0 {
			say("confirming %s", name)
			if err := r.revisions.SetUnconfirmed(context.Background(), nil); err != nil {
				say("BAD %v", err)
				return
			}
			say("confirmed %s", name)
			if err := r.commitAgain(); err != nil { // takes nothing back
				say("BAD %v", err)
				return
			}
		}
		if err := r.store.Close(); err != nil {
			say("BAD %v", err)
			return
		}
		if n%2 == 1 { // the next start finds one that died
			if r, err = openRestorable(dir); err != nil {
				say("BAD %v", err)
				return
			}
			if got, err := r.is(); err != nil || got != before {
				say("BAD taken back to %s, it is %s: %v", before, got, err)
				return
			}
			say("back %s", before)
			if err := r.store.Close(); err != nil {
				say("BAD %v", err)
				return
			}
		}
	}
}

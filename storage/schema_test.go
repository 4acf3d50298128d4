package storage_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"meetzone/storage"
	"meetzone/storage/storagetest"
)

// Two versions of the same record: the newer one knows more, at every depth.
type (
	roomV1 struct {
		Title string              `json:"title"`
		Owner personV1            `json:"owner"`
		Seats []seatV1            `json:"seats,omitempty"`
		Tags  map[string]personV1 `json:"tags,omitempty"`
		Notes []noteV1            `json:"notes,omitempty"`
	}
	personV1 struct {
		Name string `json:"name"`
	}
	seatV1 struct {
		ID   int    `json:"id"`
		Held string `json:"held,omitempty"`
	}
	noteV1 struct {
		Text string `json:"text"`
	}

	roomV2 struct {
		Title  string              `json:"title"`
		Owner  personV2            `json:"owner"`
		Seats  []seatV2            `json:"seats,omitempty"`
		Tags   map[string]personV2 `json:"tags,omitempty"`
		Notes  []noteV2            `json:"notes,omitempty"`
		Colour string              `json:"colour,omitempty"`
	}
	personV2 struct {
		Name  string `json:"name"`
		Phone string `json:"phone,omitempty"`
	}
	seatV2 struct {
		ID     int    `json:"id"`
		Held   string `json:"held,omitempty"`
		Window bool   `json:"window,omitempty"`
	}
	noteV2 struct {
		Text string `json:"text"`
		By   string `json:"by,omitempty"`
	}
)

func migrationsN() []storage.Migration { return []storage.Migration{{Version: 1, Name: "rooms"}} }

// migrationsN1 gives every room a colour that it did not have.
func migrationsN1() []storage.Migration {
	return append(migrationsN(), storage.Migration{Version: 2, Name: "colours", Do: func(b *storage.Buckets) error {
		return b.Each("rooms", func(_, value []byte) ([]byte, error) {
			var members map[string]any
			if err := json.Unmarshal(value, &members); err != nil {
				return nil, err
			}
			if members["colour"] != nil {
				return nil, nil
			}
			members["colour"] = "grey"
			return json.Marshal(members)
		})
	}})
}

func TestOlderVersionLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	older := storage.Config{Path: path, Migrations: migrationsN()}
	newer := storage.Config{Path: path, Migrations: migrationsN1()}

	s := storagetest.Open(t, older)
	must(t, openTable[string, roomV1](t, s, "rooms").Put(t.Context(), "old", roomV1{Title: "before the update"}))
	must(t, s.Close())

	full := roomV2{
		Title: "Blue", Owner: personV2{"Ada", "1"}, Colour: "blue",
		Seats: []seatV2{{1, "", true}, {2, "", true}, {3, "", false}},
		Tags:  map[string]personV2{"x": {"Eve", "2"}},
		Notes: []noteV2{{"first", "Ada"}, {"second", "Bob"}},
	}
	s = storagetest.Open(t, newer)
	rooms2 := openTable[string, roomV2](t, s, "rooms")
	if got, _, err := rooms2.Get("old"); err != nil || got.Colour != "grey" {
		t.Errorf("the migration made %+v, %v", got, err)
	}
	must(t, rooms2.Put(t.Context(), "full", full))
	must(t, s.Close())

	s = storagetest.Open(t, older) // the update is taken back
	if got := s.Schema(); got != (storage.Schema{Version: 2, Reads: 1, Writer: 1}) {
		t.Errorf("schema %+v", got)
	}
	rooms1 := openTable[string, roomV1](t, s, "rooms")
	room, found, err := rooms1.Get("full")
	if !found || err != nil {
		t.Fatalf("the older version cannot read what the newer one wrote: %v", err)
	}
	room.Title, room.Owner.Name = "Red", "Grace"
	room.Seats = []seatV1{{2, "Bob"}, {4, ""}}           // the first and third are gone, the second has changed, one is new
	room.Notes = append(room.Notes[1:], noteV1{"third"}) // no id: those that have not changed are found
	must(t, rooms1.Put(t.Context(), "full", room))
	must(t, rooms1.Put(t.Context(), "new", roomV1{Title: "made by the older version"}))
	must(t, s.Close())

	s = storagetest.Open(t, newer)
	rooms2 = openTable[string, roomV2](t, s, "rooms")
	want := roomV2{
		Title: "Red", Owner: personV2{"Grace", "1"}, Colour: "blue",
		Seats: []seatV2{{2, "Bob", true}, {4, "", false}},
		Tags:  map[string]personV2{"x": {"Eve", "2"}},
		Notes: []noteV2{{"second", "Bob"}, {"third", ""}},
	}
	if got, _, err := rooms2.Get("full"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if got, _, err := rooms2.Get("new"); err != nil || got.Colour != "grey" {
		t.Errorf("what the older version wrote was not migrated: %+v, %v", got, err)
	}
}

func TestTooNewIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	destructive := append(migrationsN1(), storage.Migration{Version: 3, Name: "old members go", Reads: 2})
	must(t, storagetest.Open(t, storage.Config{Path: path, Migrations: destructive}).Close())
	if _, err := storage.Open(storage.Config{Path: path, Migrations: migrationsN()}); !errors.Is(err, storage.ErrTooNew) {
		t.Errorf("version 1 opened a file that needs version 2: %v", err)
	}
	must(t, storagetest.Open(t, storage.Config{Path: path, Migrations: migrationsN1()}).Close())
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := storagetest.Open(t, storage.Config{Path: path, Migrations: migrationsN()})
	must(t, openTable[string, roomV1](t, s, "rooms").Put(t.Context(), "a", roomV1{}))
	must(t, s.Close())
	broken := append(migrationsN1(), storage.Migration{Version: 3, Name: "broken", Do: func(*storage.Buckets) error { return errors.New("no") }})
	if _, err := storage.Open(storage.Config{Path: path, Migrations: broken}); err == nil {
		t.Fatal("opened in spite of a failed migration")
	}
	s = storagetest.Open(t, storage.Config{Path: path, Migrations: migrationsN()})
	if got := s.Schema().Version; got != 1 {
		t.Errorf("version %d after a failed migration", got)
	}
}

func TestMigrationsAreChecked(t *testing.T) {
	for name, list := range map[string][]storage.Migration{
		"gap":    {{Version: 1}, {Version: 3}},
		"future": {{Version: 1, Reads: 2}},
	} {
		if err := (storage.Config{Path: "x", Migrations: list}).Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

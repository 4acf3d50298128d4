package storage_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"meetzone/storage"
	"meetzone/storage/storagetest"
)

func TestExportAndImport(t *testing.T) {
	from := storagetest.Open(t, storage.Config{})
	rooms := openTable[string, room](t, from, "rooms")
	must(t, rooms.Put(t.Context(), "a", room{Title: "A"}))
	records, err := from.Export("rooms")
	must(t, err)
	if len(records) != 1 || len(records["a"]) == 0 {
		t.Fatalf("%v", records)
	}
	cfg := storage.Config{Path: filepath.Join(t.TempDir(), "s.db")}
	to := storagetest.Open(t, cfg)
	must(t, to.Update(t.Context(), func(tx *storage.Tx) error {
		return to.Import(tx, "rooms", map[string]json.RawMessage{"old": json.RawMessage(`{"title":"old"}`)})
	}))
	must(t, to.Update(t.Context(), func(tx *storage.Tx) error { return to.Import(tx, "rooms", records) }))
	opened := openTable[string, room](t, to, "rooms")
	if r, found, err := opened.Get("a"); !found || err != nil || r.Title != "A" || opened.Len() != 1 {
		t.Errorf("%v %v %v, %d records", r, found, err, opened.Len())
	}
	if err := to.Update(t.Context(), func(tx *storage.Tx) error { return to.Import(tx, "rooms", records) }); err == nil {
		t.Error("an open table was replaced")
	}
	for name, bad := range map[string]map[string]json.RawMessage{"key": {"": json.RawMessage(`{}`)}, "record": {"a": json.RawMessage(`[1]`)}} {
		err := to.Update(t.Context(), func(tx *storage.Tx) error { return to.Import(tx, "other", bad) })
		if !errors.Is(err, storage.ErrKey) && !errors.Is(err, storage.ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := to.Export("other"); err != nil || len(left) != 0 {
		t.Errorf("what was refused is there: %v, %v", left, err)
	}
}

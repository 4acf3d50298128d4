package storage

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type fuzzed struct {
	Title string             `json:"title"`
	Count int                `json:"count,omitempty"`
	Since time.Time          `json:"since,omitzero"`
	Inner struct{ A, B int } `json:"inner"`
	List  []struct {
		ID   int    `json:"id"`
		Text string `json:"text"`
	} `json:"list"`
	Map map[string]fuzzedEntry `json:"map"`
	fuzzedEntry
}

type fuzzedEntry struct {
	Text string `json:"entry_text"`
}

// FuzzStoredRecord holds that no stored bytes harm the reader, and that what is read and written back keeps every member that
// the type does not know, bit for bit.
func FuzzStoredRecord(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"title":"a","future":{"x":[1,2]},"list":[{"id":1,"more":true},{"id":1}],"map":{"k":{"entry_text":"t","deep":null}}}`,
		`{"title":null,"TITLE":"b","inner":{"A":1,"C":2},"list":[null,{"id":2}]}`, `[]`, `null`, `"x"`, `{"since":"2026-01-01T00:00:00Z","since2":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		value, err := decodeRecord[fuzzed](raw)
		if err != nil {
			return
		}
		written, err := encodeRecord(raw, value)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := decodeRecord[fuzzed](written)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if !reflect.DeepEqual(normal(t, value), normal(t, again)) {
			t.Fatalf("read %+v, written and read %+v", value, again)
		}
		known := members(reflect.TypeFor[fuzzed]())
		before, after := object(raw), object(written)
		for name, member := range before {
			if _, isKnown := findMember(known, name); isKnown {
				continue
			}
			var a, b bytes.Buffer
			if json.Compact(&a, member) != nil || json.Compact(&b, after[name]) != nil {
				t.Fatalf("member %q was lost", name)
			}
			var x, y any // escapes may differ
			if json.Unmarshal(a.Bytes(), &x) != nil || json.Unmarshal(b.Bytes(), &y) != nil || !reflect.DeepEqual(x, y) {
				t.Fatalf("member %q was %s and is %s", name, a.Bytes(), b.Bytes())
			}
		}
	})
}

func normal(t *testing.T, v fuzzed) string {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func FuzzKey(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 44})
	f.Add([]byte("room"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if key, err := decodeKey[uint64](raw); err == nil {
			if again, err := encodeKey(key); err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("%x became %x, %v", raw, again, err)
			}
		}
		if key, err := decodeKey[string](raw); err == nil {
			if again, err := encodeKey(key); err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("%x became %x, %v", raw, again, err)
			}
		}
	})
}

package storage

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
)

// Key is what records are found by. Strings sort by their bytes, numbers by their value.
type Key interface{ ~string | ~uint64 }

// Bounds of one record.
const (
	MaxKey    = 512
	MaxRecord = 4 << 20
)

// Refused records.
var (
	ErrKey    = errors.New("not a usable key")
	ErrRecord = errors.New("not a usable record")
)

// Table holds records of type V, which must be a struct, as JSON objects.
type Table[K Key, V any] struct {
	store *Store
	name  string

	mu      sync.RWMutex // guards what follows
	records map[K][]byte // as in the file
}

// decodes is what Check needs of a table whatever its types.
type decodes interface {
	checkRecord(key, value []byte) error
}

// OpenTable makes the table if it is missing and reads it. A name is opened once.
func OpenTable[K Key, V any](s *Store, name string) (*Table[K, V], error) {
	if reflect.TypeFor[V]().Kind() != reflect.Struct {
		return nil, fmt.Errorf("table %s: %w: %s is no struct", name, ErrRecord, reflect.TypeFor[V]())
	}
	t := &Table[K, V]{store: s, name: name, records: map[K][]byte{}}
	s.mu.Lock()
	_, twice := s.tables[name]
	s.mu.Unlock()
	if twice || name == "" || name == string(bucketMeta) {
		return nil, fmt.Errorf("table %q: the name is taken", name)
	}
	if err := t.load(); err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	s.mu.Lock()
	s.tables[name] = t
	s.mu.Unlock()
	return t, nil
}

// load reads every record. A missing bucket is made by the first write, so that a full disk does not keep a table from opening.
func (t *Table[K, V]) load() error {
	return t.store.read(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(t.name))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			key, err := decodeKey[K](k)
			if err != nil {
				return err
			}
			t.records[key] = slices.Clone(v)
			return nil
		})
	})
}

// Get returns the record as it was last acknowledged.
func (t *Table[K, V]) Get(key K) (value V, found bool, err error) {
	t.mu.RLock()
	raw, found := t.records[key]
	t.mu.RUnlock()
	if !found {
		return value, false, nil
	}
	value, err = decodeRecord[V](raw)
	if err != nil {
		err = fmt.Errorf("table %s, record %v: %w", t.name, key, err)
	}
	return value, err == nil, err
}

// Len returns how many records there are.
func (t *Table[K, V]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.records)
}

// Keys returns all keys in ascending order.
func (t *Table[K, V]) Keys() []K {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Sorted(maps.Keys(t.records))
}

// All yields the records in the order of their keys. Records that do not decode are left out; Check names them.
func (t *Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, key := range t.Keys() {
			value, found, err := t.Get(key)
			if err == nil && found && !yield(key, value) {
				return
			}
		}
	}
}

// Put writes one record in a transaction of its own.
func (t *Table[K, V]) Put(ctx context.Context, key K, value V) error {
	return t.store.Update(ctx, func(tx *Tx) error { return t.In(tx).Put(key, value) })
}

// Delete removes one record in a transaction of its own. A missing one is no error.
func (t *Table[K, V]) Delete(ctx context.Context, key K) error {
	return t.store.Update(ctx, func(tx *Tx) error { return t.In(tx).Delete(key) })
}

// In returns the table inside a transaction.
func (t *Table[K, V]) In(tx *Tx) Records[K, V] { return Records[K, V]{t, tx} }

// Records is a table inside a transaction, with the changes that the transaction has made so far.
type Records[K Key, V any] struct {
	t  *Table[K, V]
	tx *Tx
}

// Get returns the record.
func (r Records[K, V]) Get(key K) (value V, found bool, err error) {
	raw := r.raw(key)
	if raw == nil {
		return value, false, nil
	}
	value, err = decodeRecord[V](raw)
	return value, err == nil, err
}

// Put writes the record. Members of the record before it that V does not know are kept.
func (r Records[K, V]) Put(key K, value V) error {
	k, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("table %s: %w", r.t.name, err)
	}
	raw, err := encodeRecord(r.raw(key), value)
	if err != nil {
		return fmt.Errorf("table %s, record %v: %w", r.t.name, key, err)
	}
	b, err := r.tx.b.CreateBucketIfNotExists([]byte(r.t.name))
	if err != nil {
		return err
	}
	if err := b.Put(k, raw); err != nil {
		return err
	}
	r.tx.changes = append(r.tx.changes, func() {
		r.t.mu.Lock()
		defer r.t.mu.Unlock()
		r.t.records[key] = raw
	})
	return nil
}

// Delete removes the record. A missing one is no error.
func (r Records[K, V]) Delete(key K) error {
	k, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("table %s: %w", r.t.name, err)
	}
	b := r.tx.b.Bucket([]byte(r.t.name))
	if b == nil {
		return nil
	}
	if err := b.Delete(k); err != nil {
		return err
	}
	r.tx.changes = append(r.tx.changes, func() {
		r.t.mu.Lock()
		defer r.t.mu.Unlock()
		delete(r.t.records, key)
	})
	return nil
}

// Keys returns all keys in ascending order.
func (r Records[K, V]) Keys() (keys []K) {
	b := r.tx.b.Bucket([]byte(r.t.name))
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if key, err := decodeKey[K](k); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

func (r Records[K, V]) raw(key K) []byte {
	k, err := encodeKey(key)
	b := r.tx.b.Bucket([]byte(r.t.name))
	if err != nil || b == nil {
		return nil
	}
	return b.Get(k)
}

func (t *Table[K, V]) checkRecord(key, value []byte) error {
	if _, err := decodeKey[K](key); err != nil {
		return fmt.Errorf("table %s, key %x: %w", t.name, key, err)
	}
	if _, err := decodeRecord[V](value); err != nil {
		return fmt.Errorf("table %s, key %x: %w", t.name, key, err)
	}
	return nil
}

// checkRecords decodes every record of the open tables.
func (s *Store) checkRecords(tx *bbolt.Tx) error {
	s.mu.Lock()
	tables := maps.Clone(s.tables)
	s.mu.Unlock()
	var errs []error
	for _, name := range slices.SortedFunc(maps.Keys(tables), cmp.Compare[string]) {
		if b := tx.Bucket([]byte(name)); b != nil {
			errs = append(errs, b.ForEach(func(k, v []byte) error {
				errs = append(errs, tables[name].checkRecord(k, v))
				return nil
			}))
		}
	}
	return errors.Join(errs...)
}

// encodeKey makes bytes that sort like the key.
func encodeKey[K Key](key K) ([]byte, error) {
	switch v := reflect.ValueOf(key); v.Kind() {
	case reflect.Uint64:
		return binary.BigEndian.AppendUint64(nil, v.Uint()), nil
	default:
		if v.Len() == 0 || v.Len() > MaxKey {
			return nil, fmt.Errorf("%w: %d bytes", ErrKey, v.Len())
		}
		return []byte(v.String()), nil
	}
}

func decodeKey[K Key](raw []byte) (key K, err error) {
	v := reflect.ValueOf(&key).Elem()
	switch {
	case v.Kind() == reflect.String && len(raw) > 0 && len(raw) <= MaxKey:
		v.SetString(string(raw))
	case v.Kind() == reflect.Uint64 && len(raw) == 8:
		v.SetUint(binary.BigEndian.Uint64(raw))
	default:
		return key, fmt.Errorf("%w: %d bytes", ErrKey, len(raw))
	}
	return key, nil
}

func decodeRecord[V any](raw []byte) (value V, err error) {
	if len(raw) > MaxRecord {
		return value, fmt.Errorf("%w: %d bytes", ErrRecord, len(raw))
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return value, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return value, nil
}

// encodeRecord returns value as JSON, with what it does not know of the record before.
func encodeRecord[V any](before []byte, value V) ([]byte, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if before != nil {
		raw = merge(before, raw, reflect.TypeFor[V]())
	}
	if len(raw) > MaxRecord {
		return nil, fmt.Errorf("%w: %d bytes", ErrRecord, len(raw))
	}
	return raw, nil
}

package storage

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Migration brings the data of version Version-1 to Version. It only adds: the version before must be able to read and write
// the file afterwards. It may run again, when the version before has written in between, so it must find done work in order.
type Migration struct {
	Version int
	Name    string
	// Reads is the oldest version that can still read the file after this one; default Version-1.
	Reads int
	// Do makes the change. It opens no tables; nil where the version only knows more members.
	Do func(*Buckets) error
}

// Schema is what the file says of itself.
type Schema struct {
	Version int `json:"version"` // highest migration made
	Reads   int `json:"reads"`   // oldest version that can read the file
	Writer  int `json:"writer"`  // version of the last one who opened it
}

var (
	bucketMeta = []byte("meta")
	keySchema  = []byte("schema")
	keyTouched = []byte("touched")
)

// Buckets gives a migration the raw tables.
type Buckets struct{ b *bbolt.Tx }

// Each calls do for every record of a table; what do returns replaces the record, nil leaves it.
func (b *Buckets) Each(table string, do func(key, value []byte) ([]byte, error)) error {
	bucket := b.b.Bucket([]byte(table))
	if bucket == nil {
		return nil
	}
	changed := map[string][]byte{} // a bucket must not change under ForEach
	err := bucket.ForEach(func(k, v []byte) error {
		now, err := do(k, v)
		if now != nil {
			changed[string(k)] = now
		}
		return err
	})
	for k, v := range changed {
		err = errors.Join(err, bucket.Put([]byte(k), v))
	}
	return err
}

func checkMigrations(list []Migration) error {
	var errs []error
	for i, m := range list {
		if m.Version != i+1 {
			errs = append(errs, fmt.Errorf("migration %q: version %d where %d comes next", m.Name, m.Version, i+1))
		}
		if m.Reads < 0 || m.Reads > m.Version {
			errs = append(errs, fmt.Errorf("migration %q: reads %d", m.Name, m.Reads))
		}
	}
	return errors.Join(errs...)
}

// migrate makes the migrations that the file has not seen, or that an older writer may have undone, in one transaction.
func (s *Store) migrate() error {
	own := len(s.cfg.Migrations)
	return s.db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		was := Schema{Writer: own}
		if raw := meta.Get(keySchema); raw != nil {
			if err := json.Unmarshal(raw, &was); err != nil {
				return fmt.Errorf("%w: schema record: %w", ErrCorrupt, err)
			}
		}
		if was.Reads > own {
			return fmt.Errorf("%w: version %d, and this is %d", ErrTooNew, was.Version, own)
		}
		now, err := s.runMigrations(&Buckets{tx}, was)
		if err != nil {
			return err
		}
		s.schema = now
		raw, err := json.Marshal(now)
		if err != nil {
			return err
		}
		return meta.Put(keySchema, raw)
	})
}

func (s *Store) runMigrations(b *Buckets, was Schema) (Schema, error) {
	now := was
	now.Writer = len(s.cfg.Migrations)
	for _, m := range s.cfg.Migrations {
		if m.Version <= min(was.Version, was.Writer) {
			continue
		}
		if m.Do != nil {
			if err := m.Do(b); err != nil {
				return was, fmt.Errorf("migration %d, %s: %w", m.Version, m.Name, err)
			}
		}
		reads := m.Reads
		if reads == 0 {
			reads = m.Version - 1
		}
		now.Version, now.Reads = max(now.Version, m.Version), max(now.Reads, reads)
		s.cfg.Logger.Info("store migrated", "version", m.Version, "what", m.Name)
	}
	return now, nil
}

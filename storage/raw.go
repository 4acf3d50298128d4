package storage

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"
)

// Export returns the records of a table by string keys as the file has them, whether it is open or not. For backups.
func (s *Store) Export(table string) (map[string]json.RawMessage, error) {
	records := map[string]json.RawMessage{}
	err := s.read(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(table))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			records[string(k)] = append(json.RawMessage(nil), v...)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", table, err)
	}
	return records, nil
}

// Import replaces the records of a table, which must not be open: who has it open would go on with what it has in memory.
func (s *Store) Import(tx *Tx, table string, records map[string]json.RawMessage) error {
	s.mu.Lock()
	_, opened := s.tables[table]
	s.mu.Unlock()
	if opened || table == "" || table == string(bucketMeta) {
		return fmt.Errorf("table %s: it is open, and cannot be replaced", table)
	}
	if tx.b.Bucket([]byte(table)) != nil {
		if err := tx.b.DeleteBucket([]byte(table)); err != nil {
			return err
		}
	}
	b, err := tx.b.CreateBucket([]byte(table))
	if err != nil {
		return err
	}
	for key, raw := range records {
		if len(key) == 0 || len(key) > MaxKey {
			return fmt.Errorf("table %s: %w: %d bytes", table, ErrKey, len(key))
		}
		if _, err := decodeRecord[map[string]json.RawMessage](raw); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
		if err := b.Put([]byte(key), raw); err != nil {
			return err
		}
	}
	return nil
}

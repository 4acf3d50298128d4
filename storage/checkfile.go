package storage

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// CheckFile reads a whole file that nobody has open, without changing it. What is wrong with it is ErrCorrupt; a file that is missing is
// fs.ErrNotExist, one in use ErrLocked.
func CheckFile(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	return guard(func() error {
		db, err := openBolt(path, bbolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			return fmt.Errorf("checking the store: %w", err)
		}
		defer db.Close()
		if err := checkLength(db); err != nil {
			return err
		}
		return guard(func() error {
			return db.View(func(tx *bbolt.Tx) error {
				var errs []error
				for err := range tx.Check() {
					errs = append(errs, fmt.Errorf("%w: %w", ErrCorrupt, err))
				}
				return errors.Join(errs...)
			})
		})
	})
}

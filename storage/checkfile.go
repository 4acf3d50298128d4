package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// CheckFile reads a whole file that nobody has open, without changing it. What is wrong with it is ErrCorrupt; a file that is missing is
// fs.ErrNotExist, one in use ErrLocked.
func CheckFile(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	return guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
		switch {
		case errors.Is(err, berrors.ErrTimeout):
			return fmt.Errorf("%s: %w", path, ErrLocked)
		case err != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
			return fmt.Errorf("checking the store: %w", err)
		case err != nil:
			return fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
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

package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Defaults of Config.
const (
	DefaultLockTimeout   = 3 * time.Second
	DefaultWriteDeadline = 5 * time.Second
	DefaultQueue         = 128
	DefaultMaxSize       = 256 << 20
)

// growBy is the step in which the file grows; bbolt's own is 16 MiB.
const growBy = 1 << 20

// Config says where the store is. Zero values mean the documented default.
type Config struct {
	// Path of the file. It is made with mode 0600, its folder, where missing, with 0700.
	Path string
	// LockTimeout is how long Open waits for another process to let go of the file; default 3 s.
	LockTimeout time.Duration
	// WriteDeadline is how long a write may take before the disk counts as silent; default 5 s.
	WriteDeadline time.Duration
	// Queue is how many writes may wait; default 128.
	Queue int
	// MaxSize bounds the file, in bytes; default 256 MiB. That much is mapped at once, so that a long snapshot never holds up a writer.
	MaxSize int
	// Migrations bring the schema up to date, in ascending order of their version.
	Migrations []Migration
	// Logger takes alarms and migrations; default slog.Default.
	Logger *slog.Logger
}

// Validate names everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Path == "" {
		errs = append(errs, errors.New("path is missing"))
	}
	if c.LockTimeout < 0 || c.WriteDeadline < 0 || c.Queue < 0 || c.MaxSize < 0 {
		errs = append(errs, errors.New("a limit is negative"))
	}
	return errors.Join(append(errs, checkMigrations(c.Migrations))...)
}

func (c Config) withDefaults() Config {
	if c.LockTimeout == 0 {
		c.LockTimeout = DefaultLockTimeout
	}
	if c.WriteDeadline == 0 {
		c.WriteDeadline = DefaultWriteDeadline
	}
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.MaxSize == 0 {
		c.MaxSize = DefaultMaxSize
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Store is the open file.
type Store struct {
	cfg    Config
	db     *bbolt.DB
	schema Schema

	requests chan *request
	closing  chan struct{} // closed by Close: nothing new is accepted
	written  chan struct{} // closed by runWriter when it ends
	closed   sync.Once

	mu     sync.Mutex // guards what follows
	alarms []Alarm
	tables map[string]decodes
	stats  Stats
}

// Stats counts what the writer did.
type Stats struct {
	Written  uint64        // acknowledged transactions
	Refused  uint64        // transactions that came back with an error of the disk
	LastTook time.Duration // how long the last commit took
	Longest  time.Duration // how long the slowest one took
}

// Open opens the file, or makes it, and brings its schema up to date.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the store: %w", err)
	}
	db, err := openFile(cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, db: db,
		requests: make(chan *request, cfg.Queue),
		closing:  make(chan struct{}),
		written:  make(chan struct{}),
		tables:   map[string]decodes{},
	}
	if err := guard(s.migrate); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go s.runWriter()
	return s, nil
}

// openFile opens the file with its lock and makes sure that its name survives a power failure too.
func openFile(cfg Config) (db *bbolt.DB, err error) {
	if info, statErr := os.Stat(cfg.Path); statErr == nil && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(cfg.Path, 0o600); err != nil {
			return nil, fmt.Errorf("protecting the store: %w", err)
		}
	} else if statErr != nil && !errors.Is(statErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the store: %w", statErr)
	}
	db, err = openBolt(cfg.Path, bbolt.Options{
		Timeout:         cfg.LockTimeout,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: cfg.MaxSize,
		MaxSize:         cfg.MaxSize,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	db.AllocSize = growBy
	if err := errors.Join(checkLength(db), syncFolder(filepath.Dir(cfg.Path))); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openBolt is bbolt.Open with the errors of this package. ErrCorrupt is what the content of the file is to blame for; what the system refuses stays as it is.
func openBolt(path string, options bbolt.Options) (db *bbolt.DB, err error) {
	var file *os.File
	options.OpenFile = func(name string, flag int, mode fs.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		if file == nil {
			file = f
		}
		return f, err
	}
	returned := false
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &options)
		returned = true
		return err
	})
	if !returned && file != nil {
		// After a panic bbolt lets go of nothing. Its mapping stays, and holds the file open: so the lock has to be given back by itself.
		_ = errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
	}
	var system syscall.Errno
	switch {
	case err == nil, errors.As(err, &system):
		return db, err
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", path, ErrLocked)
	}
	if unread := readable(path); unread != nil {
		return nil, unread
	}
	if errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return nil, fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
}

// readable reads the whole file. bbolt takes what the disk does not give it for bad content.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}

// checkLength finds a file that was cut off, before a page beyond its end is touched.
func checkLength(db *bbolt.DB) error {
	info, err := os.Stat(db.Path())
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	return guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if info.Size() < tx.Size() {
				return fmt.Errorf("%w: it has %d bytes of %d", ErrCorrupt, info.Size(), tx.Size())
			}
			return nil
		})
	})
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the folder of the store: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// guard turns the panics of a damaged file, and faults of its mapping, into ErrCorrupt.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return do()
}

// Close waits for the writes that were accepted, at most one write deadline, and lets go of the file. With a silent disk it
// returns ErrBusy and the file stays locked until the process ends.
func (s *Store) Close() error {
	s.closed.Do(func() { close(s.closing) })
	select {
	case <-s.written:
	case <-time.After(s.cfg.WriteDeadline):
		return fmt.Errorf("closing the store: %w", ErrBusy)
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Update runs do as one transaction: all of it is written, or nothing. It returns nil after the data are on the disk.
func (s *Store) Update(ctx context.Context, do func(*Tx) error) error {
	if s.alarmed(StoreSilent) {
		return fmt.Errorf("writing: %w", ErrBusy)
	}
	r := &request{ctx: ctx, do: do, done: make(chan error, 1)}
	select {
	case <-s.closing:
		return net.ErrClosed
	default:
	}
	deadline := time.NewTimer(s.cfg.WriteDeadline)
	defer deadline.Stop()
	select {
	case s.requests <- r:
	case <-s.closing:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-deadline.C:
		return fmt.Errorf("writing: %w", ErrBusy)
	}
	err := s.await(ctx, r, deadline.C)
	if own := new(panicked); errors.As(err, &own) {
		panic(own.Error())
	}
	return err
}

// Check reads the whole file and every record of the open tables, and names everything that is wrong.
func (s *Store) Check() error {
	return s.read(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, fmt.Errorf("%w: %w", ErrCorrupt, err))
		}
		return errors.Join(append(errs, s.checkRecords(tx))...)
	})
}

// read runs do as a read transaction of the file.
func (s *Store) read(do func(*bbolt.Tx) error) error {
	err := guard(func() error { return s.db.View(do) })
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return net.ErrClosed
	}
	return err
}

// Snapshot writes a consistent copy of the file. Writes go on meanwhile.
func (s *Store) Snapshot(w io.Writer) error {
	return s.read(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Schema returns which version wrote the file.
func (s *Store) Schema() Schema { return s.schema }

// Stats returns the counters.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

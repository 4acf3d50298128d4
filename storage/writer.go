package storage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// A write's journey: Update queues a request and waits; runWriter takes it, runs its function inside a bbolt transaction,
// commits with fsync, brings the tables in memory up to date, and answers. Update waits no longer than the write deadline. A
// request whose caller has gone before it was started is dropped, so what was refused in the queue is never written later.

// request is one write. Its state says who may still act on it.
type request struct {
	ctx   context.Context
	do    func(*Tx) error
	done  chan error // one value, from runWriter
	state atomic.Int32
}

const (
	requestQueued int32 = iota
	requestStarted
	requestDropped
)

// probeInterval is how often the disk is tried again while there is an alarm, so that it ends by itself.
const probeInterval = 2 * time.Second

// await waits for the writer's answer.
func (s *Store) await(ctx context.Context, r *request, deadline <-chan time.Time) error {
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(requestQueued, requestDropped) {
			return ctx.Err()
		}
		// It has begun: only the disk knows how it ends, so wait for that within the deadline.
		select {
		case err := <-r.done:
			return err
		case <-deadline:
		}
	case <-deadline:
		r.state.CompareAndSwap(requestQueued, requestDropped)
	case <-s.written:
		select {
		case err := <-r.done:
			return err
		default:
			return net.ErrClosed
		}
	}
	s.raise(StoreSilent, ErrBusy)
	return fmt.Errorf("writing: %w", ErrBusy)
}

// runWriter makes one transaction after the other until Close, and then what was accepted before it.
func (s *Store) runWriter() {
	defer close(s.written)
	probe := time.NewTicker(probeInterval)
	defer probe.Stop()
	for {
		select {
		case r := <-s.requests:
			s.serve(r)
		case <-probe.C:
			if s.alarmed(StoreFull) || s.alarmed(StoreSilent) {
				s.settle(s.write(s.touch))
			}
		case <-s.closing:
			for {
				select {
				case r := <-s.requests:
					s.serve(r)
				default:
					return
				}
			}
		}
	}
}

func (s *Store) serve(r *request) {
	if !r.state.CompareAndSwap(requestQueued, requestStarted) {
		return
	}
	if err := r.ctx.Err(); err != nil {
		r.done <- err
		return
	}
	r.done <- s.settle(s.write(r.do))
}

// write is one transaction, from begin to fsync. The second result is nil where the disk is not to blame for the first.
func (s *Store) write(do func(*Tx) error) (err, disk error) {
	if s.alarmed(StoreFailed) {
		return ErrFailed, ErrFailed
	}
	begun := time.Now()
	tx := &Tx{}
	disk = guard(func() error {
		b, err := s.db.Begin(true)
		if err != nil {
			return err
		}
		defer b.Rollback() // does nothing after a commit
		tx.b = b
		if tx.err = contain(do, tx); tx.err != nil {
			return nil
		}
		return b.Commit()
	})
	s.mu.Lock()
	s.stats.LastTook = time.Since(begun)
	s.stats.Longest = max(s.stats.Longest, s.stats.LastTook)
	s.mu.Unlock()
	switch {
	case disk != nil:
		disk = classify(disk)
		return fmt.Errorf("writing: %w", disk), disk
	case tx.err != nil:
		return tx.err, nil
	}
	for _, publish := range tx.changes {
		publish()
	}
	return nil, nil
}

// panicked is a panic of a function given to Update. It goes on in the goroutine that gave it.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

// contain runs do. Its panics are its caller's, except where a page of the file could not be read: that is the disk's.
func contain(do func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		p := recover()
		if _, isFault := p.(interface{ Addr() uintptr }); isFault {
			panic(p)
		}
		if p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return do(tx)
}

// settle turns the outcome of a write into counters and alarms.
func (s *Store) settle(err, disk error) error {
	s.mu.Lock()
	if err == nil {
		s.stats.Written++
	} else if disk != nil {
		s.stats.Refused++
	}
	s.mu.Unlock()
	switch {
	case errors.Is(disk, ErrFull):
		s.clear(StoreSilent)
		s.raise(StoreFull, disk)
	case disk != nil:
		s.clear(StoreSilent)
		s.raise(StoreFailed, disk)
	case err == nil:
		s.clear(StoreSilent, StoreFull)
	default:
		s.clear(StoreSilent)
	}
	return err
}

// classify tells a full disk from a failing one. After any other error the state of the file's pages in memory is not to be
// trusted (a failed fsync is not repeated by the kernel), so nothing more is written.
func classify(err error) error {
	full := []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, berrors.ErrMaxSizeReached}
	for _, f := range full {
		if errors.Is(err, f) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

// touch writes something small, to see whether writing works again.
func (s *Store) touch(tx *Tx) error {
	b, err := tx.b.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	return b.Put(keyTouched, time.Now().AppendFormat(nil, `"`+time.RFC3339+`"`))
}

// Tx is a write transaction. It ends with the function it was given to.
type Tx struct {
	b       *bbolt.Tx
	err     error    // of the function
	changes []func() // bring the tables in memory up to date, after the commit
}

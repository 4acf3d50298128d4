package dataplane

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrBusy is returned by Post when a worker has maxTasks tasks waiting.
var ErrBusy = errors.New("dataplane: too many tasks waiting")

const (
	maxTasks      = 1 << 14
	tasksPerRound = 256 // so that a flood of tasks keeps neither datagrams nor deadlines waiting
)

// mailbox holds what other goroutines want a worker to do, and wakes it.
type mailbox struct {
	// sleeping is set by the worker before it looks for work a last time and waits; whoever clears it writes to the eventfd.
	sleeping atomic.Bool
	filled   atomic.Bool // tasks are waiting; saves the worker the lock

	// mu guards the list, and the descriptor against being closed while somebody writes to it.
	mu      sync.Mutex
	waiting []Task
	closed  bool
	fd      int

	// Only the worker's thread uses these.
	taken []Task
	done  int
}

// Post has the task run on the worker's thread. It may be called from any goroutine. It returns net.ErrClosed when the worker has ended
// and ErrBusy when too much is waiting; in all other cases the task is run, at the latest when the worker ends.
func (w *Worker) Post(t Task) error { return w.mail.post(t) }

// Do has f run on the worker's thread and waits for it. When ctx ends first, f may still run later. On the worker's own thread it would
// wait for itself.
func (w *Worker) Do(ctx context.Context, f func(now Instant)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	err := w.Post(TaskFunc(func(now Instant) {
		defer close(done)
		f(now)
	}))
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *mailbox) post(t Task) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return net.ErrClosed
	}
	if len(m.waiting) >= maxTasks {
		return ErrBusy
	}
	m.waiting = append(m.waiting, t)
	m.filled.Store(true)
	m.wake()
	return nil
}

// wake makes the worker look for work if it may be asleep. The caller holds mu or is a worker, whose end Close awaits.
func (m *mailbox) wake() {
	if !m.sleeping.CompareAndSwap(true, false) {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(m.fd, one[:]) // fails only when the counter is at its limit, and then the worker wakes all the same
}

// next returns the task to run now, nil when there is none. Worker only.
func (m *mailbox) next() Task {
	if m.done == len(m.taken) {
		if !m.filled.Load() {
			return nil
		}
		m.swap()
		if len(m.taken) == 0 {
			return nil
		}
	}
	t := m.taken[m.done]
	m.taken[m.done] = nil
	m.done++
	return t
}

// swap takes the list of waiting tasks and leaves the used-up one in its place.
func (m *mailbox) swap() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken, m.waiting = m.waiting, m.taken[:0]
	m.done = 0
	m.filled.Store(false)
}

// pending tells whether tasks wait. Worker only.
func (m *mailbox) pending() bool { return m.done < len(m.taken) || m.filled.Load() }

// close refuses tasks from now on; those that wait are still there.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}

// release gives the descriptor back.
func (m *mailbox) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.fd >= 0 {
		unix.Close(m.fd)
		m.fd = -1
	}
}

// clearWake takes what was written to the eventfd.
func (m *mailbox) clearWake() {
	var b [8]byte
	_, _ = unix.Read(m.fd, b[:]) // it is non-blocking; nothing to read is as good
}

package dataplane

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is the processor time that the worker's thread has used; 0 when it does not run. Any thread. The clock of another thread of the process is made of
// its id as the kernel's header posix-timers.h has it: a thread's (4), of scheduled time (2).
func (w *Worker) CPUTime() time.Duration {
	id := w.thread.Load()
	if id == 0 {
		return 0
	}
	var t unix.Timespec
	if unix.ClockGettime(^id<<3|6, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

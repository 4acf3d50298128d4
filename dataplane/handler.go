package dataplane

// Instant is a point of monotonic time in nanoseconds since the plane was opened.
type Instant int64

// Never is the deadline of a handler that waits for nothing.
const Never Instant = 1<<63 - 1

// MaxDatagram is the largest payload that is received or sent whole, in bytes. It covers an Ethernet MTU; media senders stay below
// MaxPayload so that RTX, extensions, tag and ChannelData fit.
const MaxDatagram = 1500

// Datagram is one received datagram. The worker owns Data and takes it back when HandleBatch returns; until then the handler may
// change it in place.
type Datagram struct {
	Path Path
	Data []byte
	TOS  uint8 // as it arrived, ECN bits included
	Via  uint8 // worker on whose socket it arrived; differs from the handling worker after a hand-over
}

// Handler is what a worker feeds. All methods are called on the worker's own thread, one at a time, so a handler needs no locks.
type Handler interface {
	// HandleBatch takes what one receive call, or one hand-over ring, brought.
	HandleBatch(now Instant, batch []Datagram)
	// Advance does what is due at now and returns when it wants to be called next, Never for not at all. It is called when that
	// time has come, and after every round of batches and posted tasks.
	Advance(now Instant) (next Instant)
}

// StreamHandler is a Handler that wants to know when a stream has ended, since nothing more can be sent on its paths.
type StreamHandler interface {
	// HandleEnd is called on the thread of the worker that adopted the path.
	HandleEnd(now Instant, p *Path)
}

// Task is work posted to a worker by another goroutine. It is an interface and not a func, so that pooled values can be posted without
// an allocation.
type Task interface {
	Run(now Instant)
}

// TaskFunc makes a Task of a function.
type TaskFunc func(now Instant)

// Run calls f.
func (f TaskFunc) Run(now Instant) { f(now) }

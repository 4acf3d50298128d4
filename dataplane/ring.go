package dataplane

import "sync/atomic"

// ring carries datagrams from one worker to one other. It has a single producer and a single consumer, each on its own thread; head
// and tail count slots since the beginning and sit on cache lines of their own.
type ring struct {
	slots []Datagram
	data  []byte // MaxDatagram bytes for each slot

	_    [64]byte
	tail atomic.Uint64 // written by the producer
	seen uint64        // the producer's last look at head

	_    [64]byte
	head atomic.Uint64 // written by the consumer
	_    [64]byte
}

func newRing(slots int) *ring {
	return &ring{slots: make([]Datagram, slots), data: make([]byte, slots*MaxDatagram)}
}

// put copies a datagram into the ring; false when it is full. Producer only.
func (r *ring) put(d *Datagram, via uint8) bool {
	tail := r.tail.Load()
	if tail-r.seen == uint64(len(r.slots)) {
		if r.seen = r.head.Load(); tail-r.seen == uint64(len(r.slots)) {
			return false
		}
	}
	i := int(tail) & (len(r.slots) - 1)
	room := r.data[i*MaxDatagram : (i+1)*MaxDatagram : (i+1)*MaxDatagram]
	r.slots[i] = Datagram{Path: d.Path, Data: room[:copy(room, d.Data)], TOS: d.TOS, Via: via}
	r.tail.Store(tail + 1)
	return true
}

// peek returns what waits, up to the end of the ring's memory; the consumer may use it until done. Consumer only.
func (r *ring) peek() []Datagram {
	head, tail := r.head.Load(), r.tail.Load()
	i := int(head) & (len(r.slots) - 1)
	return r.slots[i:min(i+int(tail-head), len(r.slots))]
}

// done gives n slots back to the producer. Consumer only.
func (r *ring) done(n int) { r.head.Store(r.head.Load() + uint64(n)) }

// empty tells whether nothing waits. Consumer only.
func (r *ring) empty() bool { return r.head.Load() == r.tail.Load() }

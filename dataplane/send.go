package dataplane

import (
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// The way out: Reserve gives room in the arena, Commit makes a message of it or adds it to the one before, Flush hands all messages to
// the kernel and deals with what it refuses.

const (
	arenaSize = 512 << 10 // fits the second-level cache; larger ones cut fewer bursts at their end
	// heldFor is how long audio waits for room in the send buffer; later it would only be noise.
	heldFor   = Instant(100 * time.Millisecond)
	heldSlots = 32
	heldSize  = heldSlots * MaxDatagram
)

// message is one message of a queue: one datagram, or a run of datagrams of equal size for one path.
type message struct {
	path       Path
	class      dscp.Class
	closed     bool // nothing can be added: the last datagram was shorter, or the egress is without GSO
	at         int  // offset in the arena
	size       int  // of all datagrams
	segment    int  // of each but the last
	datagrams  int
	controlLen int // without the segment size
}

// queue is messages on their way to one socket, in the form that sendmmsg wants.
type queue struct {
	arena    []byte
	msgs     []message
	hdrs     []mmsghdr
	iovs     []unix.Iovec
	names    []byte
	controls []byte
	n        int
}

func newQueue(arena []byte, slots int) *queue {
	q := &queue{
		arena:    arena,
		msgs:     make([]message, slots),
		hdrs:     make([]mmsghdr, slots),
		iovs:     make([]unix.Iovec, slots),
		names:    make([]byte, slots*addrRoom),
		controls: make([]byte, slots*controlRoom),
	}
	for i := range q.hdrs {
		h := &q.hdrs[i].hdr
		h.Name = &q.names[i*addrRoom]
		h.Control = &q.controls[i*controlRoom]
		h.Iov = &q.iovs[i]
		h.SetIovlen(1)
	}
	return q
}

// exit is a way out of the worker: a descriptor and what is to leave through it.
type exit struct {
	fd   int
	out  *queue
	held *held // nil where no audio leaves
}

// held keeps audio that found the send buffer full.
type held struct {
	queue
	tail  int
	since Instant
}

// Reserve returns room for n bytes at the tail of the send arena, for one Commit. It flushes by itself when the arena or a queue is
// full. n is at most MaxDatagram. Worker's thread only, like all of Reserve, Commit, Flush and HandOver.
func (w *Worker) Reserve(n int) []byte {
	if w.tail+n > len(w.arena) || w.queueFull {
		w.Flush()
	}
	return w.arena[w.tail : w.tail+n : w.tail+n]
}

// Commit queues the first n bytes of what Reserve returned last. When the message before has the same path and class, and datagrams of
// the same size, it grows by one; a shorter datagram closes it.
func (w *Worker) Commit(p *Path, class dscp.Class, n int) {
	if w.extend(p, class, n) {
		return
	}
	if p.rung != UDP && n <= MaxDatagram {
		w.commitStream(p, class, n)
		return
	}
	s := w.socketFor(p)
	if s == nil || n > MaxDatagram {
		errno := unix.ENETUNREACH
		if n > MaxDatagram {
			errno = unix.EMSGSIZE
		}
		w.countRefused(class, 1, errno)
		return
	}
	w.begin(s, p, class, n)
}

// extend adds a datagram to the last message if the rules of UDP_SEGMENT allow it.
func (w *Worker) extend(p *Path, class dscp.Class, n int) bool {
	m := w.last
	if m == nil || m.closed || m.class != class || n > m.segment || n == 0 || m.path != *p ||
		m.datagrams >= w.plane.cfg.Burst || m.size+n > int(w.plane.super.Load()) {
		return false
	}
	m.size += n
	m.datagrams++
	m.closed = n < m.segment
	w.tail += n
	return true
}

// begin starts a message. Address, source, TOS and fwmark are written now, as far as the outlet does not stand for them; the rest when the
// message is complete.
func (w *Worker) begin(s *socket, p *Path, class dscp.Class, n int) {
	tos := w.plane.marks.Load().tos[class]
	x, v6 := &s.exit, s.v6
	o, names := w.outletFor(p, class, tos)
	if o != nil {
		x, v6 = &o.exit, o.v6
	}
	q := x.out
	i := q.n
	q.n++
	w.queueFull = w.queueFull || q.n == len(q.msgs)
	c := controlWriter{b: q.controls[i*controlRoom : (i+1)*controlRoom]}
	if names {
		c.addSource(p)
	}
	if o == nil {
		c.addTOS(p, tos)
		if w.plane.features.mark {
			c.addUint32(unix.SOL_SOCKET, unix.SO_MARK, class.Fwmark())
		}
	}
	q.hdrs[i].hdr.Namelen = putAddr(q.names[i*addrRoom:], p, v6)
	q.msgs[i] = message{
		path: *p, class: class, at: w.tail, size: n, segment: n, datagrams: 1, controlLen: c.n,
		closed: !w.coalesce || w.plane.egresses.latched(&p.local),
	}
	w.last = &q.msgs[i]
	w.tail += n
}

// socketFor finds the socket from which datagrams for p leave.
func (w *Worker) socketFor(p *Path) *socket {
	if p.rung != UDP {
		return nil
	}
	for _, s := range w.socks {
		if s.serves(p) {
			return s
		}
	}
	return nil
}

// Flush sends everything that was committed, audio first. The worker does it by itself after every round. What was reserved and not committed is
// void afterwards.
func (w *Worker) Flush() {
	w.flushStreams()
	for _, x := range w.exits {
		if x.out.n == 0 && !x.holds() {
			continue
		}
		done := 0
		if x.out.complete(0); w.retryHeld(x) {
			done = w.send(x, x.out)
		}
		w.shed(x, done)
		x.out.n = 0
	}
	w.tail, w.last, w.queueFull = 0, nil, false
}

// complete fills in where the data of the messages is and how it is to be cut.
func (q *queue) complete(from int) {
	for i := from; i < q.n; i++ {
		m := &q.msgs[i]
		q.iovs[i].Base = &q.arena[min(m.at, len(q.arena)-1)] // an empty datagram may sit at the very end
		q.iovs[i].SetLen(m.size)
		c := controlWriter{b: q.controls[i*controlRoom : (i+1)*controlRoom], n: m.controlLen}
		if m.datagrams > 1 {
			c.addUint16(unix.IPPROTO_UDP, unix.UDP_SEGMENT, uint16(m.segment))
		}
		q.hdrs[i].hdr.SetControllen(c.n)
	}
}

// send hands the messages of q to the kernel, past those it refuses, and returns how many are dealt with: all, unless the send buffer
// is full.
func (w *Worker) send(x *exit, q *queue) int {
	for i := 0; i < q.n; {
		n, errno := sendmmsg(x.fd, q.hdrs[i:q.n])
		w.stats.SendCalls++
		for ; n > 0; n-- {
			w.countSent(&q.msgs[i])
			i++
		}
		switch errno {
		case 0, unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			return i
		default:
			w.refused(x, q, i, errno)
			i++
		}
	}
	return q.n
}

// refused deals with one message that the kernel would not send.
func (w *Worker) refused(x *exit, q *queue, i int, errno unix.Errno) {
	m := &q.msgs[i]
	if m.datagrams > 1 && (errno == unix.EIO || errno == unix.EINVAL) {
		w.resendSingly(x, q, i, errno)
		return
	}
	w.countRefused(m.class, m.datagrams, errno)
}

// shed drops the messages from i on, for the send buffer is full, but keeps the audio among them for the next round, so that audio is
// lost last.
func (w *Worker) shed(x *exit, i int) {
	for ; i < x.out.n; i++ {
		m := &x.out.msgs[i]
		if m.class != dscp.Audio || !x.held.keep(x.out, i, w.Now()) {
			w.stats.SendDrops[m.class] += uint64(m.datagrams)
		}
	}
}

// keep copies a message, data and all; false when there is no room.
func (h *held) keep(q *queue, i int, now Instant) bool {
	m := q.msgs[i]
	if h.n == len(h.msgs) || h.tail+m.size > len(h.arena) {
		return false
	}
	if h.n == 0 {
		h.since = now
	}
	copy(h.arena[h.tail:], q.arena[m.at:m.at+m.size])
	m.at = h.tail
	h.tail += m.size
	h.set(h.n, &m, q, i)
	h.n++
	h.complete(h.n - 1)
	return true
}

// set copies address and control messages of message i of from to place j.
func (q *queue) set(j int, m *message, from *queue, i int) {
	q.msgs[j] = *m
	copy(q.names[j*addrRoom:(j+1)*addrRoom], from.names[i*addrRoom:])
	copy(q.controls[j*controlRoom:(j+1)*controlRoom], from.controls[i*controlRoom:])
	q.hdrs[j].hdr.Namelen = from.hdrs[i].hdr.Namelen
}

// dropFirst forgets the first n messages; the others keep their place in the arena.
func (h *held) dropFirst(n int) {
	for i := n; i < h.n; i++ {
		h.set(i-n, &h.msgs[i], &h.queue, i)
	}
	h.n -= n
	h.complete(0)
}

// holds tells whether audio waits for room.
func (x *exit) holds() bool { return x.held != nil && x.held.n > 0 }

// retryHeld sends the audio kept back before anything else, or gives it up when it has become old. It tells whether nothing is left
// of it, so that others may have their turn.
func (w *Worker) retryHeld(x *exit) bool {
	h := x.held
	if !x.holds() {
		return true
	}
	h.dropFirst(w.send(x, &h.queue))
	if w.Now()-h.since > heldFor {
		for _, m := range h.msgs[:h.n] {
			w.stats.SendDrops[m.class] += uint64(m.datagrams)
		}
		h.n = 0
	}
	if h.n > 0 {
		return false
	}
	h.tail = 0
	return true
}

func (w *Worker) countSent(m *message) {
	w.countOut(m.class, m.datagrams, m.size)
	w.stats.MessagesOut++
	if m.datagrams > 1 {
		w.stats.SuperPacketsOut++
	}
}

func (w *Worker) countOut(class dscp.Class, datagrams, bytes int) {
	w.stats.Out.add(datagrams, bytes)
	w.stats.OutByClass[class].add(datagrams, bytes)
}

func (w *Worker) countRefused(class dscp.Class, datagrams int, errno unix.Errno) {
	w.stats.SendErrors[class] += uint64(datagrams)
	if errno == unix.EMSGSIZE {
		w.stats.TooBig += uint64(datagrams)
	}
}

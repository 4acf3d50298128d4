package dataplane

import (
	"sync"
	"sync/atomic"
	"time"

	"meetzone/dscp"
)

// What waits to be written to a stream. On a congested connection datagrams are dropped, not queued: what is old helps nobody, and what
// comes after it would be late too. Audio is written before other media and dropped last.

const (
	// heldOnStream is how long a datagram waits at most, audioHeld for audio and signalling: so under congestion video goes first.
	heldOnStream = Instant(120 * time.Millisecond)
	audioHeld    = Instant(200 * time.Millisecond)
	// The queue of a stream begins with queueBytes and doubles up to maxQueueBytes; audioQueue does for audio. reserve is for audio only.
	queueBytes    = 64 << 10
	maxQueueBytes = 512 << 10
	audioQueue    = 16 << 10
	reserve       = 8 << 10
	maxControl    = 16 << 10 // replies of the framing that wait
	chunkBytes    = 16 << 10 // written at once while the connection takes everything
	stalled       = 2 * time.Millisecond
	streamedSlots = 256 // datagrams for streams between two flushes
)

// queuedDatagram is one datagram in a queue.
type queuedDatagram struct {
	path  Path
	at, n int
	since Instant
	class dscp.Class
}

// batchOut is a filled queue.
type batchOut struct {
	data  []byte
	items []queuedDatagram
}

func newBatchOut(size int) batchOut {
	return batchOut{data: make([]byte, 0, size), items: make([]queuedDatagram, 0, size/256)}
}

// streamQueue is between a worker and the stream's writer.
type streamQueue struct {
	wake chan struct{}

	mu      sync.Mutex // guards what follows; held for copying or swapping only
	filling batchOut   // no room before open
	spare   batchOut
	control []byte
	writing bool // runWriter has been started
	short   bool // something found no room: the writer makes more
}

func (q *streamQueue) init() { q.wake = make(chan struct{}, 1) }

// open makes room for datagrams.
func (q *streamQueue) open(class dscp.Class) {
	size := queueBytes
	if class == dscp.Audio {
		size = audioQueue
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if cap(q.filling.data) > 0 {
		return // it is adopted again, and what waits stays
	}
	q.filling, q.spare = newBatchOut(size), newBatchOut(size)
}

// first tells which classes are written first and dropped last.
func first(class dscp.Class) bool { return class == dscp.Audio || class == dscp.Signalling }

// putLocked adds a datagram; false when there is no room.
func (q *streamQueue) putLocked(p *Path, class dscp.Class, now Instant, b []byte) bool {
	f := &q.filling
	room := cap(f.data) - len(f.data)
	if !first(class) {
		room -= reserve
	}
	if len(b) > room || len(f.items) == cap(f.items) {
		q.short = true
		return false
	}
	f.items = append(f.items, queuedDatagram{path: *p, at: len(f.data), n: len(b), since: now, class: class})
	f.data = append(f.data, b...)
	return true
}

// evictLocked drops what has waited too long, and for the sake of audio all of other media. What stays moves to the front.
func (q *streamQueue) evictLocked(now Instant, others bool, dropped *streamDrops) {
	f := &q.filling
	kept, at := f.items[:0], 0
	for _, m := range f.items {
		if m.old(now) || others && !first(m.class) {
			dropped[m.class].Add(1)
			continue
		}
		copy(f.data[at:], f.data[m.at:m.at+m.n])
		m.at = at
		at += m.n
		kept = append(kept, m)
	}
	f.items, f.data = kept, f.data[:at]
}

// old tells whether a datagram has waited too long.
func (m *queuedDatagram) old(now Instant) bool {
	if first(m.class) {
		return now-m.since > audioHeld
	}
	return now-m.since > heldOnStream
}

// take gives the writer what waits and takes the emptied batch in exchange.
func (q *streamQueue) take(emptied batchOut) (full batchOut, control []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.short && cap(emptied.data) < maxQueueBytes && cap(emptied.data) <= cap(q.filling.data) && cap(emptied.data) > 0 {
		emptied = newBatchOut(2 * cap(emptied.data))
		q.short = false
	}
	emptied.data, emptied.items = emptied.data[:0], emptied.items[:0]
	full, q.filling = q.filling, emptied
	control, q.control = q.control, nil
	return full, control
}

// Send queues bytes that are no datagram, as they are: the framing's replies. false: too much is waiting. Any goroutine.
func (s *Stream) Send(raw []byte) bool {
	q := &s.out
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.control)+len(raw) > maxControl {
		return false
	}
	q.control = append(q.control, raw...)
	s.wakeWriterLocked()
	return true
}

func (s *Stream) wakeWriterLocked() {
	if !s.out.writing {
		s.out.writing = true
		s.plane.streams.running.Go(s.runWriter)
	}
	select {
	case s.out.wake <- struct{}{}:
	default:
	}
}

// streamed is one datagram in the send arena that is to leave on a stream.
type streamed struct {
	path  Path
	at, n int
	class dscp.Class
}

// commitStream notes a datagram for a stream.
func (w *Worker) commitStream(p *Path, class dscp.Class, n int) {
	w.last = nil
	w.streamed = append(w.streamed, streamed{path: *p, at: w.tail, n: n, class: class})
	w.tail += n
	w.queueFull = w.queueFull || len(w.streamed) == cap(w.streamed)
}

// flushStreams puts what was committed into the queues of the streams, run by run.
func (w *Worker) flushStreams() {
	now := w.Now()
	for i := 0; i < len(w.streamed); {
		id := w.streamed[i].path.stream
		end := i + 1
		for end < len(w.streamed) && w.streamed[end].path.stream == id {
			end++
		}
		w.pushRun(now, id, w.streamed[i:end])
		i = end
	}
	w.streamed = w.streamed[:0]
}

// pushRun queues a run of datagrams for one stream.
func (w *Worker) pushRun(now Instant, id uint32, run []streamed) {
	s := w.plane.streams.find(id)
	if s == nil || s.home.Load() != int32(w.id) {
		for i := range run {
			w.stats.SendErrors[run[i].class]++
		}
		return
	}
	q := &s.out
	q.mu.Lock()
	defer q.mu.Unlock()
	evicted := false // at most once a run, since it moves what stays
	for i := range run {
		m, b := &run[i], w.arena[run[i].at:run[i].at+run[i].n]
		ok := q.putLocked(&m.path, m.class, now, b)
		if !ok && !evicted {
			evicted = true
			q.evictLocked(now, first(m.class), &w.plane.streams.dropped)
			ok = q.putLocked(&m.path, m.class, now, b)
		}
		if !ok {
			w.stats.SendDrops[m.class]++
			continue
		}
		w.countOut(m.class, 1, m.n)
		w.stats.MessagesOut++
	}
	s.wakeWriterLocked()
}

// streamWriter is what runWriter keeps between writes.
type streamWriter struct {
	s     *Stream
	chunk []byte
	slow  bool // the last write had to wait: one datagram at a time, so that little is under way when the next must be dropped
	err   error
}

// runWriter is the goroutine that writes the connection until it ends.
func (s *Stream) runWriter() {
	w := &streamWriter{s: s, chunk: make([]byte, 0, chunkBytes+maxFrame)}
	s.out.mu.Lock()
	batch := s.out.spare
	s.out.spare = batchOut{}
	s.out.mu.Unlock()
	for {
		select {
		case <-s.out.wake:
		case <-s.done:
			return
		}
		if cap(batch.data) == 0 { // it was started by a reply, before there was room for datagrams
			s.out.mu.Lock()
			batch, s.out.spare = s.out.spare, batchOut{}
			s.out.mu.Unlock()
		}
		for {
			var control []byte
			batch, control = s.out.take(batch)
			if len(batch.items) == 0 && len(control) == 0 {
				break
			}
			w.writeAll(batch, control)
			if w.err != nil {
				s.end(w.err)
				return
			}
		}
	}
}

// writeAll writes replies first, then audio, then the rest.
func (w *streamWriter) writeAll(b batchOut, control []byte) {
	w.chunk = w.chunk[:0]
	if len(control) > 0 {
		w.chunk = append(w.chunk, control...)
		w.flush()
	}
	for _, turn := range [...]bool{true, false} {
		for i := range b.items {
			if m := &b.items[i]; first(m.class) == turn {
				w.add(m, b.data[m.at:m.at+m.n])
			}
			if w.err != nil {
				return
			}
		}
	}
	w.flush()
}

// add frames a datagram, unless it has become old, and writes when it is time to.
func (w *streamWriter) add(m *queuedDatagram, b []byte) {
	if m.old(w.s.plane.now()) {
		w.s.plane.streams.dropped[m.class].Add(1)
		return
	}
	w.chunk = w.s.framing.Append(w.chunk, &m.path, b)
	if w.slow || len(w.chunk) >= chunkBytes {
		w.flush()
	}
}

// flush writes the chunk.
func (w *streamWriter) flush() {
	if len(w.chunk) == 0 || w.err != nil {
		return
	}
	begin := time.Now()
	if w.err = w.s.conn.SetWriteDeadline(begin.Add(writeWithin)); w.err == nil {
		_, w.err = w.s.conn.Write(w.chunk)
	}
	w.slow = time.Since(begin) > stalled
	w.chunk = w.chunk[:0]
}

// streamDrops are datagrams that waited too long, by class.
type streamDrops [dscp.NumClasses]atomic.Uint64

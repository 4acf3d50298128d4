package mmr

import (
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/bwe"
	"meetzone/mmr/internal/munge"
	"meetzone/mmr/internal/packet"
)

// How pictures are spread over time. While a receiver's path has room, packets leave in the batch that brought them, and so coalesce. Where it
// has not, pictures and content wait as references into the histories of their sources, and leave as the estimate permits: a keyframe
// neither fills the queue of a slow link nor holds up speech, which never waits. What has waited too long is left out for good. Probes
// leave by the same clock.

const (
	// paceSlice is the least time between two looks at what waits, so that packets still coalesce.
	paceSlice = dataplane.Instant(3 * time.Millisecond)
	// paceFactor is how much faster than the estimate pictures leave, so that what waits gets less; paceAmple where the path is not used up.
	paceFactor = 1.15
	paceAmple  = 2.5
	// drainWithin is how fast all that waits has to leave, if need be faster than paceFactor has it, up to paceMost.
	drainWithin = 500 * time.Millisecond
	paceMost    = 1.3
	// emptyFactor is how fast pictures leave while a queue stands on the path.
	emptyFactor = 0.9
	// repairAhead is how many bytes of what is sent again may go before what waits; so repair has its share and no more.
	repairAhead = 4000
	// waitAtMost is when a picture is too old to be sent, and its slot begins anew with a keyframe, but not before resumeAfter.
	waitAtMost  = dataplane.Instant(time.Second)
	resumeAfter = dataplane.Instant(time.Second)
	// maxWaiting bounds what waits for one receiver, in packets; the histories do not hold more.
	maxWaiting = 512
	// paddingLen is the most that RTP can pad a packet by. RFC 3550, section 5.1.
	paddingLen = 255
)

// waiting is a packet that waits: a place in the history of its source.
type waiting struct {
	d      *downTrack
	source munge.Source
	seq    uint64
	upTo   uint64 // the newest packet of its source when it came
	since  dataplane.Instant
	size   int
}

// backlog is what waits for one receiver, in order. It has no memory before something has to wait.
type backlog struct {
	ring  []waiting
	first int
	n     int
	bytes int
}

func (q *backlog) push(w waiting) bool {
	if q.ring == nil {
		q.ring = make([]waiting, maxWaiting)
	}
	if q.n == len(q.ring) {
		return false
	}
	q.ring[(q.first+q.n)%len(q.ring)] = w
	q.n++
	q.bytes += w.size
	return true
}

func (q *backlog) pop() waiting {
	w := q.ring[q.first]
	q.ring[q.first] = waiting{}
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	q.bytes -= w.size
	return w
}

// waits tells whether a packet for the slot has to wait.
func (d *downTrack) waits(now dataplane.Instant) bool {
	if d.medium == Audio {
		return false
	}
	b := &d.e.budget
	return b.queues[d.rank()].n > 0 || !b.pacer.Ready(bwe.Time(now))
}

// rank is the queue of the slot: content goes before pictures.
func (d *downTrack) rank() int {
	if d.medium == Content {
		return 0
	}
	return 1
}

// enqueue has a packet wait.
func (d *downTrack) enqueue(now dataplane.Instant, s *source, a *arrival) {
	if !d.munge.Wants(s.id) {
		return
	}
	q := &d.e.budget.queues[d.rank()]
	w := waiting{d: d, source: s.id, seq: a.in.Sequence, upTo: s.highest, since: now, size: len(a.payload) + packet.FixedLen + wireOverhead}
	if !q.push(w) {
		d.giveUp(now, q)
		d.leaveOut(now, s, a)
		return
	}
	d.e.listPaced(now)
}

// listPaced has the endpoint looked at when it may send again.
func (e *endpoint) listPaced(now dataplane.Instant) {
	if !e.budget.listed {
		e.budget.listed = true
		e.sh.pacing = append(e.sh.pacing, e)
		e.sh.paceAt = min(e.sh.paceAt, now+paceSlice)
		e.sh.wake(e.sh.paceAt)
	}
}

// pace sends what waits, and probes, as far as the receivers' paths permit.
func (sh *shard) pace(now dataplane.Instant) {
	if now < sh.paceAt {
		sh.wake(sh.paceAt)
		return
	}
	sh.paceAt = dataplane.Never
	kept := sh.pacing[:0]
	for _, e := range sh.pacing {
		if next := e.pace(now); next != dataplane.Never {
			sh.paceAt = min(sh.paceAt, max(next, now+paceSlice))
			kept = append(kept, e)
			continue
		}
		e.budget.listed = false
	}
	clear(sh.pacing[len(kept):])
	sh.pacing = kept
	sh.wake(sh.paceAt)
}

// pace sends what may be sent now, and returns when there will be more; Never when nothing waits.
func (e *endpoint) pace(now dataplane.Instant) dataplane.Instant {
	b := &e.budget
	next := e.probe(now)
	for i := range b.queues {
		q := &b.queues[i]
		for q.n > 0 {
			if w := &q.ring[q.first]; now-w.since > waitAtMost {
				w.d.giveUp(now, q)
				continue
			}
			if !b.pacer.Ready(bwe.Time(now)) {
				return min(next, dataplane.Instant(b.pacer.Next(bwe.Time(now))))
			}
			w := q.pop()
			w.send(now)
		}
	}
	return next
}

// replan has what waits for the endpoint, and its probes, go by the estimate as it is now.
func (e *endpoint) replan(now dataplane.Instant) {
	b := &e.budget
	if !b.numbered {
		return
	}
	b.estimator.Want(e.wished)
	b.pacer.SetRate(bwe.Time(now), b.paceRate())
	if b.estimator.ProbeDue(bwe.Time(now)) {
		e.listPaced(now)
	}
}

// paceRate is how fast pictures may leave, 0 at once.
func (b *budget) paceRate() float64 {
	if !b.estimator.Known() {
		return 0
	}
	target := b.estimator.Target()
	if b.estimator.Standing() {
		return emptyFactor * target // the queue on the path has to empty
	}
	if b.estimator.Ample() && !b.estimator.Silent() {
		return paceAmple * target
	}
	if b.estimator.Overused() || b.estimator.Silent() {
		return target
	}
	drain := float64(b.queues[0].bytes+b.queues[1].bytes) * 8 / drainWithin.Seconds()
	return min(max(paceFactor*target, drain), paceMost*target)
}

// send sends a packet whose turn has come.
func (w *waiting) send(now dataplane.Instant) {
	s, a, ok := w.recall()
	if !ok || w.d.out == nil || !w.d.accepted {
		return
	}
	w.d.take(now, s, &a, w.upTo)
	a.in.Descriptor.Patch(a.payload) // the history's own again
}

// recall finds the packet.
func (w *waiting) recall() (s *source, a arrival, ok bool) {
	if s = w.d.e.sh.sources[w.source]; s == nil {
		return nil, a, false
	}
	a.in.Sequence = w.seq
	if !s.recall(&a) {
		return nil, a, false
	}
	a.in.Arrival = time.Duration(w.since)
	return s, a, true
}

// giveUp leaves out everything of the slot that waits in a queue.
func (d *downTrack) giveUp(now dataplane.Instant, q *backlog) {
	d.resumeAt = now + resumeAfter
	for range q.n {
		w := q.pop()
		if w.d != d {
			q.push(w)
			continue
		}
		d.e.budget.abandoned++
		if s, a, ok := w.recall(); ok {
			d.leaveOut(now, s, &a)
		}
	}
}

// leaveOut closes the gap that a packet leaves.
func (d *downTrack) leaveOut(now dataplane.Instant, s *source, a *arrival) { d.munge.Drop(&a.in) }

// probe sends padding on an RTX stream as far as the estimator asks for it. RFC 4588 streams have numbers of their own, so padding leaves no
// gap in a picture; receivers pass over it.
func (e *endpoint) probe(now dataplane.Instant) (next dataplane.Instant) {
	b := &e.budget
	for range maxProbe {
		bytes, again := b.estimator.Probe(bwe.Time(now))
		if bytes == 0 {
			return dataplane.Instant(again) // when it is Never, the next tick sees to the next probe
		}
		d := e.padded()
		switch {
		case d != nil:
			d.pad(now)
			continue
		case e.pictured():
			b.estimator.Unprobed(bwe.Time(now))
		default:
			b.estimator.PutOff(bwe.Time(now)) // a transport of pictures is still to come
		}
		return dataplane.Never
	}
	return now + paceSlice
}

// maxProbe bounds what a probe sends at once, in packets.
const maxProbe = 200

// padded returns a slot whose RTX stream can carry padding.
func (e *endpoint) padded() *downTrack {
	for m := Video; m <= Content; m++ {
		for _, d := range e.slots[m] {
			if d.out != nil && d.accepted && d.formats.rtx() != 0 && d.numbering != 0 {
				return d
			}
		}
	}
	return nil
}

// pictured tells whether pictures or content can be sent.
func (e *endpoint) pictured() bool {
	for m := Video; m <= Content; m++ {
		for _, d := range e.slots[m] {
			if d.out != nil && d.accepted {
				return true
			}
		}
	}
	return false
}

// pad sends a packet of padding.
func (d *downTrack) pad(now dataplane.Instant) {
	timestamp, _ := d.munge.Timestamp(time.Duration(now))
	h := packet.Header{PayloadType: d.formats.rtx(), SequenceNumber: d.rtxSeq, Timestamp: timestamp, SSRC: d.rtxSSRC, PaddingLen: paddingLen}
	d.rtxSeq++
	d.write(now, &h, nil, padding[:])
}

// padding ends with its own length.
var padding = [paddingLen]byte{paddingLen - 1: paddingLen}

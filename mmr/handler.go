package mmr

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/dataplane"
)

// handler is the router on one worker. Everything in it but the atomics is touched by that worker's thread alone.
//
// A datagram's way: HandleBatch → handleDatagram tells the kinds apart by the first byte (RFC 7983) →
//   - STUN: handleSTUN (ice.go) finds the home worker and the transport in the ufrag, authenticates, and makes the path known (paths.go);
//   - DTLS: transport.handleDTLS queues it for the transport's handshake (handshake.go);
//   - RTP and RTCP: transport.handleSRTP opens it in place and gives it to the shard.
//
// The last two go by path, and only paths that an authentic check came from are known. At the end of the batch the shards that got
// something forward it.
type handler struct {
	r *Router
	w *dataplane.Worker

	shards     []*shard
	touched    []*shard // got something in this batch
	transports map[uint32]*transport
	lastID     uint32
	routes     map[dataplane.Path]route
	hot        hotRoute
	ufrags     ufragOpener
	checks     checker
	probes     probeResponder
	sweepAt    dataplane.Instant
	pulseAt    dataplane.Instant
	stats      RouterStats

	endpoints, meetings atomic.Int32 // for choosing a home
}

var _ dataplane.Handler = (*handler)(nil)

func newHandler(r *Router, w *dataplane.Worker) *handler {
	return &handler{
		r: r, w: w,
		transports: map[uint32]*transport{},
		routes:     map[dataplane.Path]route{},
		ufrags:     ufragOpener{seal: r.seal},
		checks:     checker{request: stun.New(), reply: stun.New()},
	}
}

// load is what a new meeting goes by: endpoints first, then meetings that may still fill.
func (h *handler) load() int64 { return int64(h.endpoints.Load())<<32 + int64(h.meetings.Load()) }

func (h *handler) addShard(sh *shard) { h.shards = append(h.shards, sh) }

func (h *handler) removeShard(sh *shard) {
	sh.addStats(&h.stats)
	h.shards = slices.DeleteFunc(h.shards, func(s *shard) bool { return s == sh })
	h.touched = slices.DeleteFunc(h.touched, func(s *shard) bool { return s == sh })
}

// HandleBatch takes what arrived.
func (h *handler) HandleBatch(now dataplane.Instant, batch []dataplane.Datagram) {
	for i := range batch {
		h.handleDatagram(now, &batch[i])
	}
	h.settleHot()
	for _, sh := range h.touched {
		sh.flush(now)
	}
	clear(h.touched)
	h.touched = h.touched[:0]
}

// touch notes that a shard has something to flush.
func (h *handler) touch(sh *shard) {
	if n := len(h.touched); n > 0 && h.touched[n-1] == sh || slices.Contains(h.touched, sh) {
		return
	}
	h.touched = append(h.touched, sh)
}

// Ranges of the first byte. RFC 7983, section 7, as updated by RFC 9443.
const (
	lastSTUN  = 3
	firstDTLS = 20
	lastDTLS  = 63
	firstRTP  = 128
	lastRTP   = 191
)

func (h *handler) handleDatagram(now dataplane.Instant, d *dataplane.Datagram) {
	if len(d.Data) == 0 {
		h.drop(DropMalformed)
		return
	}
	switch first := d.Data[0]; {
	case first >= firstRTP && first <= lastRTP:
		if t := h.transportOf(d); t != nil {
			t.handleSRTP(now, d)
		}
	case first <= lastSTUN:
		h.handleSTUN(now, d)
	case first >= firstDTLS && first <= lastDTLS:
		if t := h.transportOf(d); t != nil {
			t.handleDTLS(now, d)
		}
	default:
		h.drop(DropMalformed)
	}
}

func (h *handler) drop(reason Drop) { h.stats.Drops[reason]++ }

// Advance does what is due.
func (h *handler) Advance(now dataplane.Instant) dataplane.Instant {
	if now >= h.sweepAt {
		h.sweep(now)
		h.sweepAt = now + sweepInterval
	}
	if now >= h.pulseAt {
		h.pulse()
		h.pulseAt = now + pulseEvery
	}
	next := min(h.sweepAt, h.pulseAt)
	if len(h.transports) == 0 && len(h.routes) == 0 {
		next = dataplane.Never
	}
	for _, sh := range h.shards {
		next = min(next, sh.advance(now))
	}
	return next
}

// sweepInterval is how exactly silence and consent are timed. All transports are looked at in one go, which costs less than a timer each.
const sweepInterval = dataplane.Instant(500 * time.Millisecond)

func (h *handler) sweep(now dataplane.Instant) {
	for _, t := range h.transports {
		t.sweep(now)
	}
	h.sweepRoutes(now)
}

// collect returns the worker's counters.
func (h *handler) collect() RouterStats {
	s := h.stats
	for _, sh := range h.shards {
		sh.addStats(&s)
	}
	for _, t := range h.transports {
		if t.ready() {
			s.Transports++
		}
	}
	return s
}

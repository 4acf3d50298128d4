package mmr

import (
	"bytes"
	"time"

	"meetzone/dataplane"
	"meetzone/dscp"
)

// Which transport a path belongs to. A path is made known by an authentic check and forgotten when its transport ends, when another
// path takes its place, or when no check has come for consentExpiry.
//
// The kernel gives each path's datagrams to one worker of its own choice. When that is not the home worker of the transport, the path
// is known at both: at home as the transport's, and there (Datagram.Via) as one to be handed over. The home worker tells the other
// with a posted task that also carries the answer to the check: so the path is known there before the client can send anything more.

// route is what a worker knows of a path.
type route struct {
	t     *transport // nil: lives on another worker
	home  uint8
	until dataplane.Instant // of a foreign one, which the home worker renews
}

// hotRoute remembers the last look-up, since datagrams come in runs.
type hotRoute struct {
	path  dataplane.Path
	route route
	valid bool
	n     uint32 // datagrams that came to this worker's own sockets, of which the plane has not been told where they belong
}

// maxPaths is how many paths one transport may have: a browser tries each of its addresses against each of ours.
const maxPaths = 12

// knownPath is one path of a transport.
type knownPath struct {
	path    dataplane.Path
	via     uint8             // worker on whose socket its datagrams arrive
	checked dataplane.Instant // last authentic check
	// nominated is when a check last asked for this path, under the credentials of this generation.
	nominated  dataplane.Instant
	generation uint32
}

const (
	// foreignExpiry is how long another worker believes in a path without hearing of it again; every check renews it.
	foreignExpiry = consentExpiry + dataplane.Instant(5*time.Second)
	// maxForeign bounds what other workers have a worker remember.
	maxForeign = 1 << 16
)

// transportOf finds the transport of a datagram by its path. nil means that it was dropped or handed over.
func (h *handler) transportOf(d *dataplane.Datagram) *transport {
	if !h.hot.valid || h.hot.path != d.Path {
		r, ok := h.routes[d.Path]
		if !ok {
			h.drop(DropUnknownPath)
			return nil
		}
		h.settleHot()
		h.hot = hotRoute{path: d.Path, route: r, valid: true}
	}
	if int(d.Via) == h.w.ID() {
		h.hot.n++
	}
	if t := h.hot.route.t; t != nil {
		return t
	}
	h.handOver(d, h.hot.route.home)
	return nil
}

// settleHot tells the plane where the datagrams of the last run belong, once for all of them.
func (h *handler) settleHot() {
	if h.hot.n > 0 {
		h.w.Belongs(&h.hot.path, int(h.hot.route.home), h.hot.n)
		h.hot.n = 0
	}
}

// handOver gives a datagram to its home worker. What has been handed over once stays: the two workers disagree, and it must not circle.
func (h *handler) handOver(d *dataplane.Datagram, home uint8) {
	switch {
	case int(d.Via) != h.w.ID():
		h.drop(DropUnknownPath)
	case !h.w.HandOver(int(home), d):
		h.drop(DropHandOver)
	}
}

// setRoute and dropRoute are the only places where routes change.
func (h *handler) setRoute(p dataplane.Path, r route) {
	h.routes[p] = r
	h.hot.valid = false
}

func (h *handler) dropRoute(p dataplane.Path) {
	delete(h.routes, p)
	h.hot.valid = false
}

// learn makes the path of an authentic check known as the transport's, and returns it; nil when a living transport has it already.
func (t *transport) learn(now dataplane.Instant, d *dataplane.Datagram) *knownPath {
	for i := range t.paths {
		if k := &t.paths[i]; k.path == d.Path {
			k.checked = now
			if d.Path.Rung() == dataplane.UDP {
				k.via = d.Via
			}
			return k
		}
	}
	h := t.h
	if r, ok := h.routes[d.Path]; ok {
		// Whoever is authentic can send from a forged address: it must not take the path from under somebody else's feet.
		if r.t == nil && now < r.until || r.t != nil && r.t.owns(now) {
			return nil
		}
		if r.t != nil {
			r.t.forgetPath(d.Path)
		}
	}
	via := d.Via
	if d.Path.Rung() != dataplane.UDP {
		// A stream moves to the worker where it belongs. Another transport's, on another worker, it stays.
		if !h.w.Adopt(&d.Path, t.class) {
			return nil
		}
		via = uint8(h.w.ID())
	}
	if len(t.paths) == maxPaths {
		t.forgetOldest()
	}
	t.paths = append(t.paths, knownPath{path: d.Path, via: via, checked: now})
	h.setRoute(d.Path, route{t: t, home: uint8(h.w.ID())})
	return &t.paths[len(t.paths)-1]
}

// foreign tells whether the path's datagrams arrive at another worker.
func (t *transport) foreign(k *knownPath) bool { return int(k.via) != t.h.w.ID() }

// announce tells the worker that gets the path's datagrams where they belong, and has it send the answer. false: it could not be told.
func (t *transport) announce(k *knownPath, reply []byte) bool {
	a := announcement{to: t.h.r.handler(k.via), path: k.path, home: uint8(t.h.w.ID()), class: t.class, reply: bytes.Clone(reply)}
	return a.to != nil && a.to.w.Post(&a) == nil
}

// announcement is the task by which a path's home makes it known to the worker that gets its datagrams.
type announcement struct {
	to    *handler
	path  dataplane.Path
	home  uint8
	class dscp.Class
	reply []byte
}

// Run installs the route on the worker that it was posted to, and answers the check.
func (a *announcement) Run(now dataplane.Instant) {
	h := a.to
	r, ok := h.routes[a.path]
	if ok && (r.t != nil && r.t.owns(now) || r.t == nil && r.home != a.home && now < r.until) {
		h.drop(DropConflict)
		return
	}
	if ok && r.t != nil {
		r.t.forgetPath(a.path)
	}
	if !ok && len(h.routes) >= maxForeign {
		h.drop(DropFull)
		return
	}
	h.setRoute(a.path, route{home: a.home, until: now + foreignExpiry})
	h.transmit(&a.path, a.class, a.reply)
}

// retraction is the task by which it makes it unknown again.
type retraction struct {
	to   *handler
	path dataplane.Path
	home uint8
}

// Run removes the route unless it has come to mean something else.
func (x *retraction) Run(dataplane.Instant) {
	if r, ok := x.to.routes[x.path]; ok && r.t == nil && r.home == x.home {
		x.to.dropRoute(x.path)
	}
}

// forget takes the path at index i from the transport.
func (t *transport) forget(i int) {
	k := t.paths[i]
	if r, ok := t.h.routes[k.path]; ok && r.t == t {
		t.h.dropRoute(k.path)
	}
	if k.path.Rung() != dataplane.UDP {
		t.h.w.Release(&k.path)
	}
	if t.foreign(&k) {
		if to := t.h.r.handler(k.via); to != nil {
			// When it cannot be told now, it forgets by itself after foreignExpiry.
			_ = to.w.Post(&retraction{to: to, path: k.path, home: uint8(t.h.w.ID())})
		}
	}
	last := len(t.paths) - 1
	t.paths[i] = t.paths[last]
	t.paths = t.paths[:last]
}

func (t *transport) forgetPath(p dataplane.Path) {
	for i := range t.paths {
		if t.paths[i].path == p {
			t.forget(i)
			return
		}
	}
}

// forgetOldest makes room for a path: the one that was checked longest ago goes, but never the selected one.
func (t *transport) forgetOldest() {
	oldest := -1
	for i := range t.paths {
		k := &t.paths[i]
		if t.selected && k.path == t.path {
			continue
		}
		if oldest < 0 || k.checked < t.paths[oldest].checked {
			oldest = i
		}
	}
	t.forget(oldest)
}

// HandleEnd is told that the stream under a path has ended. The transport waits for its client to come by another way.
func (h *handler) HandleEnd(now dataplane.Instant, p *dataplane.Path) {
	r, ok := h.routes[*p]
	if !ok || r.t == nil {
		return
	}
	r.t.forgetPath(*p)
	if r.t.selected && r.t.path == *p {
		r.t.strand(now)
	}
}

var _ dataplane.StreamHandler = (*handler)(nil)

// keeps tells whether the transport stays on its path although a check nominates another: while the client goes on nominating a path of
// a better rung too, that one holds (clients that nominate every pair, RFC 5245 section 8.1.1.2).
func (t *transport) keeps(now dataplane.Instant, k *knownPath) bool {
	if !t.selected || t.path == k.path || t.path.Rung() >= k.path.Rung() {
		return false
	}
	for i := range t.paths {
		if other := &t.paths[i]; other.path == t.path {
			return other.generation == k.generation && now-other.nominated < nominationHolds
		}
	}
	return false
}

// nominationHolds is how long a nomination keeps worse rungs away.
const nominationHolds = dataplane.Instant(2500 * time.Millisecond)

func (t *transport) forgetAll() {
	for len(t.paths) > 0 {
		t.forget(len(t.paths) - 1)
	}
}

// sweepRoutes forgets paths that no check has renewed.
func (h *handler) sweepRoutes(now dataplane.Instant) {
	for p, r := range h.routes {
		if r.t == nil && now >= r.until {
			h.dropRoute(p)
		}
	}
}

package mmr

import (
	"slices"
	"time"

	"meetzone/dataplane"
	"meetzone/dscp"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/munge"
	"meetzone/mmr/internal/packet"
	"meetzone/mmr/internal/speaker"
)

// A media packet's journey through a shard, in the order of the files:
//
//  1. handleRTP finds the up track of the packet (uptrack.go). What is missing is noted for NACK, what arrived for transport-wide feedback.
//  2. The packet is copied once, into the history of the track's source (source.go), and waits there for the end of the batch.
//  3. flush takes source by source, and for each source down track by down track, so that what one receiver is sent stays together and
//     leaves as one message: rewritten, sealed into the send arena (downtrack.go). Links to other shards are fed like receivers (link.go).
//  4. Who is in which slot is decided apart from packets (slots.go): when somebody comes, goes, speaks, asks for a view or falls silent.
//  5. Reports, NACKs and keyframe requests go out and are taken in feedback.go.
//
// The seam to the transports, all on the thread of the shard's worker. The transport side calls, in this order within one batch:
// handleRTP and handleRTCP for what arrived, then flush once; advance from Handler.Advance; transportReady and transportLost when the
// state of a transport changes. Forwarding calls back into sender, nothing else.

// sender is what forwarding needs of a transport to send.
type sender interface {
	// ready tells whether there are keys and a nominated path.
	ready() bool
	// sendRTP seals one packet straight into the send arena. header is the complete RTP header, payload is plaintext; both may be reused
	// when it returns.
	sendRTP(class dscp.Class, header, payload []byte)
	// sendRTCP seals one compound, or reduced-size (RFC 5506), RTCP packet.
	sendRTCP(class dscp.Class, compound []byte)
}

var _ sender = (*transport)(nil)

// Intervals of the shard's clock.
const (
	feedbackEvery = dataplane.Instant(80 * time.Millisecond)
	idleEvery     = dataplane.Instant(500 * time.Millisecond) // in place of feedbackEvery while nothing arrives
	tickPhases    = 4                                         // endpoints take turns, so that media never wait for feedback to all of them
	reportEvery   = dataplane.Instant(time.Second)
)

// shard is the part of a meeting that lives on one worker: its endpoints, what they send and what they are sent. Only the thread of that
// worker touches it.
type shard struct {
	endpoints  []*endpoint // in the order in which they joined
	byID       map[EndpointID]*endpoint
	origins    []*origin // endpoints of this shard and those behind links, in the order in which they became known
	byOrigin   map[EndpointID]*origin
	sources    map[munge.Source]*source
	lastID     munge.Source
	links      []*link
	preference []codec.Kind // of pictures, best first
	content    EndpointID   // who holds the content slot
	voices     *speaker.Detector[*source]
	foremost   *speaker.Voice[*source] // as assigned
	round      uint64                  // marks sources while slots are assigned

	fresh     []*source // with packets to forward
	gaps      []*upStream
	keys      []*source    // with a keyframe to be asked for again
	switching []*downTrack // between two pictures
	pacing    []*endpoint  // for which something waits, or that are probed
	paceAt    dataplane.Instant
	stale     [NumMedia]bool
	unsettled bool // an event is due, or something of stale is set
	codecsDue bool // the codec rule is to be applied again
	demandDue bool // what is needed of somebody's encodings may have changed
	divider   *allocation

	due      dataplane.Instant // of what comes first
	nextTick dataplane.Instant
	codecsAt dataplane.Instant // when a better codec may be sent
	every    dataplane.Instant // feedbackEvery or idleEvery
	phase    int
	demandAt dataplane.Instant // when an encoding that nobody needs is to be stopped
	nackAt   dataplane.Instant // when something missing is to be asked for again
	// nextReport is when links are told the clocks of sources.
	nextReport dataplane.Instant
	busy       bool  // packets arrived since the last tick
	wall       int64 // Unix nanoseconds of instant 0, 0 unknown

	header     [packet.FixedLen + packet.MaxElements]byte // of the packet that is being sent
	descriptor [codec.MaxDependency]byte                  // its dependency descriptor
	scratch    []byte                                     // payload of a packet that is sent again; an RTCP compound
	seqs       []uint16
	stats      shardStats
}

// shardStats counts what the router's statistics show.
type shardStats struct {
	forwarded, switches, keyframes, nacks, resent uint64
}

func newShard() *shard {
	return &shard{
		byID: map[EndpointID]*endpoint{}, byOrigin: map[EndpointID]*origin{}, sources: map[munge.Source]*source{},
		voices: speaker.New[*source](speaker.Config{Ranked: AudioSlots + 1}), scratch: make([]byte, 0, dataplane.MaxDatagram), due: dataplane.Never,
		codecsAt: dataplane.Never, nackAt: dataplane.Never, demandAt: dataplane.Never, paceAt: dataplane.Never, every: idleEvery,
	}
}

// addStats adds the shard's counters.
func (sh *shard) addStats(s *RouterStats) {
	s.SlotSwitches += sh.stats.switches
	s.KeyframeRequests += sh.stats.keyframes
	s.NACKs += sh.stats.nacks
	s.Resent += sh.stats.resent
}

// addEndpoint brings an endpoint into the shard: its tracks must be there (newEndpointTracks).
func (sh *shard) addEndpoint(now dataplane.Instant, e *endpoint) {
	e.attach(e)
	e.nextReport = now + reportEvery
	sh.endpoints = append(sh.endpoints, e)
	sh.byID[e.id] = e
	sh.originOf(e.id).local = e
	e.changed = true // the first event says that all slots are empty
	if v := sh.voices.Dominant(); v != nil {
		e.cfg.Notify(SpeakerChanged{Speaker: v.Owner.origin.id})
	}
	sh.touchAll()
	sh.wake(now + feedbackEvery)
}

// removeEndpoint takes it out of the shard and of everybody's slots. Its transports may be gone already.
func (sh *shard) removeEndpoint(now dataplane.Instant, e *endpoint) {
	if sh.byID[e.id] != e {
		return
	}
	for _, u := range e.up {
		if u != nil {
			u.end(now)
		}
	}
	for _, slots := range e.slots {
		for _, d := range slots {
			d.assign(now, nil)
		}
	}
	delete(sh.byID, e.id)
	sh.endpoints = slices.DeleteFunc(sh.endpoints, func(x *endpoint) bool { return x == e })
	sh.pacing = slices.DeleteFunc(sh.pacing, func(x *endpoint) bool { return x == e })
	sh.dropOrigin(e.id)
	if sh.content == e.id {
		sh.content = ""
	}
	sh.codecsDue = true
	sh.touchAll()
}

// originOf returns the entry of an endpoint, a new one when it was unknown.
func (sh *shard) originOf(id EndpointID) *origin {
	o := sh.byOrigin[id]
	if o == nil {
		o = newOrigin(id)
		sh.byOrigin[id] = o
		sh.origins = append(sh.origins, o)
	}
	return o
}

func (sh *shard) dropOrigin(id EndpointID) {
	o := sh.byOrigin[id]
	delete(sh.byOrigin, id)
	sh.origins = slices.DeleteFunc(sh.origins, func(x *origin) bool { return x == o })
}

// touch has the slots of a medium assigned anew before the round ends.
func (sh *shard) touch(m Medium) {
	sh.stale[m] = true
	sh.unsettled = true
}

func (sh *shard) touchAll() {
	for m := range sh.stale {
		sh.touch(Medium(m))
	}
}

// wake has advance called at the latest at that time.
func (sh *shard) wake(at dataplane.Instant) { sh.due = min(sh.due, at) }

// wallTime returns a time as Unix nanoseconds of the router's clock, which runs evenly whatever is done to the system's.
func (sh *shard) wallTime(now dataplane.Instant) int64 {
	if sh.wall == 0 {
		sh.wall = time.Now().UnixNano() - int64(now)
	}
	return sh.wall + int64(now)
}

// flush forwards what the batch brought, run by run per receiver. To be called at the end of every batch that fed the shard.
func (sh *shard) flush(now dataplane.Instant) {
	for i, s := range sh.fresh {
		s.forward(now)
		sh.fresh[i] = nil
	}
	sh.fresh = sh.fresh[:0]
	for i, u := range sh.gaps {
		u.askMissing(now)
		sh.gaps[i] = nil
	}
	sh.gaps = sh.gaps[:0]
	sh.settle(now)
	sh.updateDemand(now)
	sh.flushLinks(now)
}

// advance does what is due and returns when it wants to be called next. It is cheap when nothing is due.
func (sh *shard) advance(now dataplane.Instant) (next dataplane.Instant) {
	if now < sh.due && !sh.unsettled && !sh.codecsDue && !sh.demandDue {
		return sh.due
	}
	sh.due = dataplane.Never
	sh.settle(now)
	sh.repeatKeyframeRequests(now)
	sh.endSwitches(now)
	sh.rank(now)
	sh.askMissing(now)
	sh.pace(now)
	sh.updateCodecs(now)
	if len(sh.endpoints) > 0 {
		if now >= sh.nextTick {
			sh.tick(now)
		}
		sh.wake(sh.nextTick)
	}
	sh.settle(now)
	sh.wake(sh.demandAt)
	sh.updateDemand(now)
	sh.flushLinks(now)
	return sh.due
}

// askMissing looks again at what is missing when the first of it is due.
func (sh *shard) askMissing(now dataplane.Instant) {
	if now >= sh.nackAt {
		sh.nackAt = dataplane.Never
		for _, e := range sh.endpoints {
			for _, u := range e.up {
				if u != nil {
					u.askMissing(now)
				}
			}
		}
	}
	sh.wake(sh.nackAt)
}

// tick sends feedback and reports, and notices silence.
func (sh *shard) tick(now dataplane.Instant) {
	if sh.phase++; sh.phase == tickPhases {
		sh.phase = 0
		sh.every = idleEvery
		if sh.busy {
			sh.every = feedbackEvery
		}
		sh.busy = false
	}
	sh.nextTick = now + sh.every/tickPhases
	for _, s := range sh.sources {
		s.checkSilence(now)
		if s.live && s.kind.Video() {
			s.rate.update(now)
		}
	}
	if now >= sh.nextReport && len(sh.links) > 0 {
		sh.nextReport = now + reportEvery
		for _, l := range sh.links {
			l.report()
		}
	}
	for i := sh.phase; i < len(sh.endpoints); i += tickPhases {
		e := sh.endpoints[i]
		e.feedback(now)
		e.reallocate(now)
		e.replan(now)
		if now >= e.nextReport {
			e.nextReport = now + reportEvery
			e.report(now)
		}
	}
	if sh.phase == 0 {
		sh.updateCeilings(now)
	}
}

// transportReady says that a transport has keys and a path, again or for the first time.
func (sh *shard) transportReady(now dataplane.Instant, t *transport) {
	t.endpoint.recorder, t.endpoint.apart = nil, false // it may be another PeerConnection
	sh.senderReady(now, t.endpoint, t.media, t)
}

// senderReady has the slots of media sent to out. What the peer knows of the pictures is unknown, so they begin with a keyframe.
func (sh *shard) senderReady(now dataplane.Instant, e *endpoint, media []Medium, out sender) {
	path := uint8(media[0])
	for _, m := range media {
		for _, d := range e.slots[m] {
			d.out, d.path = out, path
			d.restart(now)
		}
	}
	e.budget.pathReady(path)
	e.allocate(now) // more can be sent now
}

// transportLost says that nothing can be sent or received on it until it is ready again.
func (sh *shard) transportLost(now dataplane.Instant, t *transport) {
	for _, m := range t.media {
		for _, d := range t.endpoint.slots[m] {
			if d.out == sender(t) {
				d.out = nil
			}
		}
	}
}

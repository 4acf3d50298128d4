package mmr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/munge"
	"meetzone/mmr/internal/packet"
)

// A meeting that spans shards. Two shards are connected by a link, an end on each side. Each end tells the other which sources its own
// endpoints have and whether anything comes from them; the other end makes sources of its own of them, which can be put into slots like
// all others. Pictures travel when somebody at the far side wants to see them, voices while they are among the loudest of their shard.
// Packets travel decrypted, in batches, with their wide numbers and audio levels; the far side has a history of its own, so that it
// answers NACKs alone. Keyframe requests travel back. With more than two shards every pair is connected: nothing is passed on.

// carrier takes a link's batches to its far end, in order. Within a process that is a worker's list of tasks.
type carrier interface {
	// carry hands a batch over, which belongs to the far side when it returns nil. dataplane.ErrBusy: not now. Other errors: never again.
	carry(b *linkBatch) error
}

// neighbour carries to a shard of the same process, on whichever worker and router.
type neighbour struct {
	w   *dataplane.Worker
	end *link
}

var _ carrier = neighbour{}

func (n neighbour) carry(b *linkBatch) error {
	b.to = n.end
	return n.w.Post(b)
}

// Kinds of link messages.
type linkKind uint8

const (
	linkAnnounce linkKind = iota // a source is there, or is live or not
	linkWithdraw                 // a source is no more
	linkWant                     // send, or do not send, what this source brings
	linkKeyframe                 // a keyframe of this source is wanted
	linkClock                    // how this source's timestamps relate to the router's clock
	linkContent                  // who holds the content slot
	linkDecodes                  // how many watch a medium here, and how many of them decode each codec
	linkClose                    // this end is gone
)

// linkMessage is one message; which fields count depends on its kind.
type linkMessage struct {
	kind     linkKind
	source   munge.Source // number at the side where the source's endpoint is
	endpoint EndpointID
	medium   Medium
	encoding uint8
	codec    codec.Kind
	on       bool
	resting  bool // nothing comes because nobody needs it
	wall     int64
	rtp      uint32
	decodes  audience
}

// linkPacket is one packet; its bytes lie in linkBatch.data.
type linkPacket struct {
	source   munge.Source
	seq      uint64
	from, to int
	level    uint8
}

// linkBatch is what one end tells the other at a time. Batches are pooled; the far end gives them back.
type linkBatch struct {
	to       *link
	messages []linkMessage
	packets  []linkPacket
	data     []byte
}

var linkBatches = sync.Pool{New: func() any { return new(linkBatch) }}

// Bounds of a batch, beyond which it is carried before its time, and of what waits when the far side is busy.
const (
	maxLinkData     = 128 << 10
	maxLinkMessages = 1 << 14
)

var _ dataplane.Task = (*linkBatch)(nil)

// Run takes the batch at the far end.
func (b *linkBatch) Run(now dataplane.Instant) {
	b.to.receive(now, b)
	b.recycle()
}

func (b *linkBatch) recycle() {
	clear(b.messages)
	b.to, b.messages, b.packets, b.data = nil, b.messages[:0], b.packets[:0], b.data[:0]
	linkBatches.Put(b)
}

// link is one end of a link, on the thread of its shard's worker.
type link struct {
	sh    *shard
	far   carrier
	there map[munge.Source]*source // of the far side, by its numbers
	taps  map[munge.Source]bool    // sources of this side that are sent
	batch *linkBatch               // being filled, nil none
	// audiences are those of the far side, told are those of this side as it knows them; by medium, with heard and said for whether they are known.
	audiences, told [NumMedia]audience
	heard, said     bool
	dead            bool
}

// farSource is the feed of a source that comes over a link.
type farSource struct {
	l     *link
	id    munge.Source // at the far side
	wall  int64
	rtp   uint32
	known bool
	asked bool // to be sent
}

func (f *farSource) askKeyframe(now dataplane.Instant, s *source) {
	f.l.tell(linkMessage{kind: linkKeyframe, source: f.id})
}

func (f *farSource) clock() (wall int64, rtp uint32, ok bool) { return f.wall, f.rtp, f.known }

// want has the source sent, or not any more.
func (f *farSource) want(on bool) {
	if f.asked != on {
		f.asked = on
		f.l.tell(linkMessage{kind: linkWant, source: f.id, on: on})
	}
}

// Connect joins two meetings into one: everybody in either can be seen and heard in both. The endpoints' ids must differ. It lasts until
// one of them is closed. Which meetings are connected already is for the caller to know.
func (m *Meeting) Connect(other *Meeting) error {
	if m == other {
		return errors.New("connect meetings: a meeting is connected with itself")
	}
	if m.closed.Load() || other.closed.Load() {
		return fmt.Errorf("connect meetings: %w", net.ErrClosed)
	}
	here, there := newLink(m.sh), newLink(other.sh)
	here.far, there.far = neighbour{w: other.h.w, end: there}, neighbour{w: m.h.w, end: here}
	if err := other.h.w.Do(context.Background(), there.open); err != nil {
		return fmt.Errorf("connect meetings: %w", err)
	}
	if err := m.h.w.Do(context.Background(), here.open); err != nil {
		_ = other.h.w.Post(dataplane.TaskFunc(there.lost)) // refused only when its worker has ended too
		return fmt.Errorf("connect meetings: %w", err)
	}
	return nil
}

func newLink(sh *shard) *link {
	return &link{sh: sh, there: map[munge.Source]*source{}, taps: map[munge.Source]bool{}}
}

// open makes the end part of its shard and tells what is there.
func (l *link) open(now dataplane.Instant) {
	l.sh.links = append(l.sh.links, l)
	l.sh.codecsDue = true
	for _, s := range l.sh.sources {
		l.announce(s)
	}
	l.tapVoices()
	if l.sh.content != "" {
		l.setContent(l.sh.content)
	}
	l.sh.wake(now)
}

// closeLinks tells the far sides that the shard is no more.
func (sh *shard) closeLinks(now dataplane.Instant) {
	for _, l := range sh.links {
		l.tell(linkMessage{kind: linkClose})
		l.flush(now)
		l.lost(now)
	}
	sh.links = nil
}

// flushLinks carries what waits, and forgets the links that are dead.
func (sh *shard) flushLinks(now dataplane.Instant) {
	if len(sh.links) == 0 {
		return
	}
	for _, l := range sh.links {
		l.flush(now)
	}
	before := len(sh.links)
	sh.links = slices.DeleteFunc(sh.links, func(l *link) bool { return l.dead })
	sh.codecsDue = sh.codecsDue || len(sh.links) != before
}

// lost ends the link at this side.
func (l *link) lost(now dataplane.Instant) {
	if l.dead {
		return
	}
	l.dead = true
	for id := range l.taps {
		l.tap(l.sh.sources[id], false)
	}
	for id := range l.there {
		l.withdrawn(now, id)
	}
	l.sh.wake(now) // for flushLinks
}

// Out.

// filling returns the batch to add to.
func (l *link) filling() *linkBatch {
	if l.batch == nil {
		l.batch = linkBatches.Get().(*linkBatch)
	}
	return l.batch
}

func (l *link) tell(m linkMessage) {
	if l.dead {
		return
	}
	b := l.filling()
	b.messages = append(b.messages, m)
	l.sh.wake(0) // it leaves when the round ends
}

// flush carries what waits. When the far side is busy, packets are lost and messages wait.
func (l *link) flush(now dataplane.Instant) {
	b := l.batch
	if b == nil || l.dead {
		return
	}
	err := l.far.carry(b)
	switch {
	case err == nil:
		l.batch = nil
	case errors.Is(err, dataplane.ErrBusy) && len(b.messages) < maxLinkMessages:
		b.packets, b.data = b.packets[:0], b.data[:0]
		if len(b.messages) > 0 {
			l.sh.wake(now + feedbackEvery)
		}
	default:
		l.batch = nil
		b.recycle()
		l.lost(now)
	}
}

// announce tells of a source of this side's endpoints: that it is there, and whether it is live.
func (l *link) announce(s *source) {
	if s.origin.local == nil {
		return
	}
	l.tell(linkMessage{
		kind: linkAnnounce, source: s.id, endpoint: s.origin.id, medium: s.medium, encoding: s.encoding, codec: s.kind, on: s.live,
		resting: s.pub.demand.resting,
	})
}

func (l *link) withdraw(s *source) {
	if s.origin.local == nil {
		return
	}
	delete(l.taps, s.id)
	l.tell(linkMessage{kind: linkWithdraw, source: s.id})
}

func (l *link) setContent(id EndpointID) { l.tell(linkMessage{kind: linkContent, endpoint: id}) }

// setDecodes tells who watches a medium here.
func (l *link) setDecodes(m Medium, a audience) {
	if l.said && l.told[m] == a {
		return
	}
	l.told[m], l.said = a, l.said || m == lastMedium
	l.tell(linkMessage{kind: linkDecodes, medium: m, decodes: a})
}

// tap begins or ends sending what a source brings.
func (l *link) tap(s *source, on bool) {
	if s == nil || l.taps[s.id] == on {
		return
	}
	l.sh.demandDue = true
	if !on {
		delete(l.taps, s.id)
		s.tapped--
		return
	}
	l.taps[s.id] = true
	s.tapped++
	l.tellClock(s)
}

// tapVoices has the loudest of this side's voices sent, and no others.
func (l *link) tapVoices() {
	for _, s := range l.sh.sources {
		if s.medium != Audio || s.origin.local == nil {
			continue
		}
		heard := false
		for _, v := range l.sh.voices.Ranking() {
			heard = heard || v.Owner == s
		}
		l.tap(s, heard)
	}
}

// tellClock passes on what the sender's reports say.
func (l *link) tellClock(s *source) {
	if wall, rtp, ok := s.feed.clock(); ok {
		l.tell(linkMessage{kind: linkClock, source: s.id, wall: wall, rtp: rtp})
	}
}

// report is called every second.
func (l *link) report() {
	for id := range l.taps {
		l.tellClock(l.sh.sources[id])
	}
}

// forward adds what a source brought.
func (l *link) forward(now dataplane.Instant, s *source) {
	if l.dead || !l.taps[s.id] {
		return
	}
	b := l.filling()
	for i := range s.fresh {
		a := &s.fresh[i]
		pkt, ok := s.past.Get(a.in.Sequence)
		if !ok {
			continue
		}
		from := len(b.data)
		b.data = append(b.data, pkt...)
		b.packets = append(b.packets, linkPacket{source: s.id, seq: a.in.Sequence, from: from, to: len(b.data), level: a.level})
	}
	if len(b.data) > maxLinkData {
		l.flush(now)
	}
}

// In.

// receive takes a batch of the far end.
func (l *link) receive(now dataplane.Instant, b *linkBatch) {
	if l.dead {
		return
	}
	for i := range b.messages {
		l.handle(now, &b.messages[i])
	}
	for i := range b.packets {
		p := &b.packets[i]
		s := l.there[p.source]
		if s == nil || !s.live {
			continue
		}
		pkt := b.data[p.from:p.to]
		if h, err := packet.Parse(pkt); err == nil {
			s.take(now, p.seq, &h, pkt, p.level)
		}
	}
	l.sh.flush(now)
}

func (l *link) handle(now dataplane.Instant, m *linkMessage) {
	far, here := l.there[m.source], l.sh.sources[m.source]
	switch m.kind {
	case linkAnnounce:
		l.announced(now, m)
	case linkWithdraw:
		l.withdrawn(now, m.source)
	case linkContent:
		l.sh.setContent(m.endpoint)
	case linkDecodes:
		if int(m.medium) < NumMedia {
			l.audiences[m.medium], l.heard = m.decodes, true
			l.sh.codecsDue = true
			l.sh.wake(now)
		}
	case linkClose:
		l.lost(now)
	case linkClock:
		if far != nil {
			f := far.feed.(*farSource)
			f.wall, f.rtp, f.known = m.wall, m.rtp, true
		}
	case linkWant:
		if here != nil && here.origin.local != nil {
			l.tap(here, m.on)
		}
	case linkKeyframe:
		if here != nil && here.origin.local != nil {
			here.requestKeyframe(now)
		}
	}
}

// announced makes a source of what the far side tells of, or notes that it is live or not.
func (l *link) announced(now dataplane.Instant, m *linkMessage) {
	s := l.there[m.source]
	if s == nil {
		o := l.sh.originOf(m.endpoint)
		if o.local != nil || int(m.medium) >= NumMedia || m.encoding >= maxEncodings {
			return // an endpoint of this side has that id
		}
		s = l.sh.newSource(now, o, m.medium, m.encoding, m.codec, &farSource{l: l, id: m.source})
		l.there[m.source] = s
	}
	if s.live && !m.on {
		for _, d := range slices.Clone(s.down) {
			if d.showing == s || d.wanted == s {
				d.restart(now)
			}
		}
	}
	s.setLive(now, m.on)
	if s.pub.demand.resting != m.resting {
		s.pub.demand.resting = m.resting
		l.sh.touch(s.medium)
	}
}

func (l *link) withdrawn(now dataplane.Instant, id munge.Source) {
	s := l.there[id]
	if s == nil {
		return
	}
	delete(l.there, id)
	s.end(now)
	if o := s.origin; o.local == nil && o.silent() {
		l.sh.dropOrigin(o.id)
	}
}

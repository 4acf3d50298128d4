package mmr

import (
	"slices"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/history"
	"meetzone/mmr/internal/munge"
	"meetzone/mmr/internal/packet"
	"meetzone/mmr/internal/speaker"
)

// origin is an endpoint of the meeting as a shard sees it: one of its own, or one behind a link.
type origin struct {
	id    EndpointID
	local *endpoint // nil behind a link
	sends [NumMedia]publication
}

func newOrigin(id EndpointID) *origin {
	o := &origin{id: id}
	for m := range o.sends {
		o.sends[m].origin, o.sends[m].medium = o, Medium(m)
	}
	return o
}

// silent tells whether nothing is known of what it sends.
func (o *origin) silent() bool {
	for m := range o.sends {
		if o.sends[m].there() {
			return false
		}
	}
	return true
}

// Bounds of a source.
const (
	videoHistory = 512 // packets; 1.5 s at 3 Mbit/s
	audioHistory = 64
	maxFresh     = audioHistory / 2 // packets that wait for the end of a batch, so that none is overwritten before

	// silentAfter is how long nothing may come before a source counts as paused. Opus sends something every 400 ms even in silence.
	silentAfter = dataplane.Instant(2 * time.Second)
	// stoppedAfter is that for an encoding while others of the same picture come: its sender has stopped it.
	stoppedAfter = dataplane.Instant(500 * time.Millisecond)

	// keyframeEvery is the least time between two keyframe requests to one source, and how soon a request is repeated.
	keyframeEvery = dataplane.Instant(400 * time.Millisecond)
	// keyframePatience is how long a keyframe is asked for again when nobody waits for it to switch.
	keyframePatience = dataplane.Instant(4 * time.Second)
)

// feed is where a source's packets come from, and where its keyframe requests go.
type feed interface {
	askKeyframe(now dataplane.Instant, s *source)
	// clock returns an instant of the router's clock, in Unix nanoseconds, and the RTP timestamp that belongs to it; false when the sender
	// has not said.
	clock() (wall int64, rtp uint32, ok bool)
}

// source is one RTP stream that can be put into slots. A sender that starts over with another SSRC gets a new source, so that the numbers
// of one source never run twice.
type source struct {
	id       munge.Source
	sh       *shard
	origin   *origin
	medium   Medium
	kind     codec.Kind
	pub      *publication
	encoding uint8 // its place in pub
	feed     feed
	past     *history.Ring
	fresh    []arrival    // what this batch brought, in the order of arrival
	down     []*downTrack // that show it or wait for it
	tapped   int          // links that want it
	voice    *speaker.Voice[*source]
	rate     rateMeter // of pictures
	ceiling  ceiling
	height   int // of the picture, 0 unknown

	structures *structures // of dependency descriptors, nil before the first
	parameters bool        // sequence parameters of H.264 come in the stream

	live bool // packets come, and they are let in
	last dataplane.Instant
	// lastRTP is the timestamp of what arrived at last, in place of the sender's own word.
	lastRTP uint32
	highest uint64 // number in the history

	keyWanted bool // a keyframe was asked for and has not come
	keyListed bool // in shard.keys
	keyAsked  dataplane.Instant
	keyUntil  dataplane.Instant
}

// arrival is one packet that waits for the end of the batch.
type arrival struct {
	in      munge.In
	marker  bool
	found   bool   // payload is there
	payload []byte // in the history
	primary int    // where the newest block of redundant speech begins, 0 for what is not redundant
	level   uint8  // audio level of the packet, noLevel without

	value      []byte // the dependency descriptor, in the history; nil without
	dependency codec.Dependency
}

// newSource adds a source of an endpoint in place of the one that it had for the encoding of the medium.
func (sh *shard) newSource(now dataplane.Instant, o *origin, m Medium, encoding uint8, kind codec.Kind, from feed) *source {
	pub := &o.sends[m]
	if old := pub.encodings[encoding]; old != nil {
		old.end(now)
	}
	packets := audioHistory
	if kind.Video() {
		packets = videoHistory
	}
	sh.lastID++
	s := &source{
		id: sh.lastID, sh: sh, origin: o, medium: m, kind: kind, pub: pub, encoding: encoding, feed: from, past: history.New(history.Config{Packets: packets}),
		keyAsked: now - keyframeEvery,
	}
	sh.sources[s.id] = s
	pub.encodings[encoding] = s
	sh.touch(m)
	sh.demandDue = true
	for _, l := range sh.links {
		l.announce(s)
	}
	return s
}

// end takes the source out of all slots.
func (s *source) end(now dataplane.Instant) {
	s.setLive(now, false)
	if e := s.origin.local; e != nil && s.ceiling.rate > 0 {
		e.ratesDue = true
	}
	if s.pub.encodings[s.encoding] == s {
		s.pub.encodings[s.encoding] = nil
	}
	for _, d := range slices.Clone(s.down) {
		d.sourceEnded(now, s)
	}
	s.past.Reset()
	s.fresh = s.fresh[:0]
	delete(s.sh.sources, s.id)
	for _, l := range s.sh.links {
		l.withdraw(s)
	}
	s.tapped = 0
	s.sh.touch(s.medium)
}

// take enters a packet: into the history when somebody is to get it, and into the ranking of voices.
func (s *source) take(now dataplane.Instant, seq uint64, h *packet.Header, pkt []byte, level uint8) {
	s.last, s.lastRTP = now, h.Timestamp
	if !s.live {
		s.setLive(now, true)
	}
	payload := h.Payload(pkt)
	a := arrival{
		in:    munge.In{Source: s.id, Sequence: seq, Timestamp: h.Timestamp, Arrival: time.Duration(now)},
		level: level,
	}
	s.describe(&a, pkt, h, true)
	if a.in.Codec.ClockRate() != s.kind.ClockRate() {
		return // sound for a picture, or no codec at all
	}
	if s.voice != nil {
		s.hear(now, level, len(payload)-a.primary)
	}
	if s.kind != a.in.Codec {
		s.kind = a.in.Codec
		s.rate = rateMeter{} // another codec has other layers
	}
	if s.kind.Video() {
		s.measure(&a, payload, len(pkt))
	}
	if len(s.down) == 0 && s.tapped == 0 {
		return
	}
	if a.in.Keyframe && s.kind.Video() {
		s.keyWanted = false
	}
	pkt[0] &^= 0x20 // padding is left behind
	s.past.Insert(seq, pkt[:h.HeaderLen+h.PayloadLen])
	s.highest = max(s.highest, seq)
	if len(s.fresh) == 0 {
		s.sh.fresh = append(s.sh.fresh, s)
	}
	s.fresh = append(s.fresh, a)
	if len(s.fresh) >= maxFresh {
		s.forward(now)
	}
}

// describe fills in what the packet says of itself: its dependency descriptor, or without one its payload. With learn, what a descriptor says
// of those behind it is kept.
func (s *source) describe(a *arrival, pkt []byte, h *packet.Header, learn bool) {
	in, payload := &a.in, h.Payload(pkt)
	in.Codec = kindOfOffered[h.PayloadType&0x7f]
	switch in.Codec {
	case codec.VP8:
		if d, err := codec.ParseVP8(payload); err == nil {
			in.Descriptor, in.Keyframe, in.Frame = d, d.Keyframe, d.Frame(codec.VP8)
			return
		}
	case codec.VP9, codec.AV1:
		if in.Codec == codec.VP9 {
			if d, err := codec.ParseVP9(payload); err == nil {
				in.Descriptor, in.Keyframe, in.Frame = d, d.Keyframe, d.Frame(codec.VP9)
			}
		}
		if value := packet.Extension(pkt, h, extDependency); value != nil {
			s.depend(a, value, learn)
			return
		}
		if in.Descriptor.Len > 0 {
			return
		}
		in.Keyframe = codec.StartsKeyframe(in.Codec, payload)
	case codec.RED:
		primary, err := codec.ParseRED(payload, ptOpus, ptOpus)
		if err != nil {
			in.Codec = codec.Unknown
			return
		}
		a.primary, in.Codec = primary, codec.Opus
		in.Keyframe = codec.StartsKeyframe(codec.Opus, payload[primary:])
	case codec.H264:
		idr, parameters := codec.H264Start(payload)
		s.parameters = s.parameters || parameters
		in.Keyframe = parameters || idr && !s.parameters
	default:
		in.Keyframe = codec.StartsKeyframe(in.Codec, payload)
	}
	in.Frame = codec.Whole(in.Keyframe)
}

// dependencyAlone is the length of a dependency descriptor that changes nothing of its structure.
const dependencyAlone = 3

// depend takes a dependency descriptor. One that cannot be understood leaves the frame without a layer, so that nothing goes on from it; one
// that is too short for the frame's number is not passed on either.
func (s *source) depend(a *arrival, value []byte, learn bool) {
	if len(value) < dependencyAlone {
		a.in.Keyframe, a.in.Frame = false, codec.Frame{}
		return
	}
	if s.structures == nil {
		s.structures = new(structures)
	}
	d, err := s.structures.parse(a.in.Sequence, value, learn)
	a.dependency, a.value = d, value
	a.in.Number, a.in.HasNumber = d.Number, true
	a.in.Keyframe, a.in.Frame = false, codec.Frame{End: d.End}
	if err == nil {
		a.in.Keyframe, a.in.Frame = d.Keyframe, d.Frame()
	}
}

// measure notes how much comes of each layer, and how large the picture is.
func (s *source) measure(a *arrival, payload []byte, size int) {
	in := &a.in
	s.rate.count(in.Frame.Spatial, in.Frame.Temporal, size)
	if !in.Keyframe {
		return
	}
	height := int(a.dependency.Height)
	if height == 0 {
		_, height, _ = in.Descriptor.FrameSize(payload)
	}
	if height != 0 && height != s.height {
		s.height = height
		s.sh.touch(s.medium)
	}
}

// hear tells the ranking of voices how loud the packet was.
func (s *source) hear(now dataplane.Instant, level uint8, size int) {
	if level == noLevel {
		s.voice.Size(size, time.Duration(now))
	} else {
		s.voice.Level(level&0x7f, level&voiceFlag != 0, time.Duration(now))
	}
}

// An audio level as it is passed on: RFC 6464's byte, level in the low seven bits. Digital silence that is also voice does not occur.
const (
	voiceFlag = 0x80
	noLevel   = 0xff
)

// forward gives what waits to every down track and link.
func (s *source) forward(now dataplane.Instant) {
	if len(s.fresh) == 0 {
		return
	}
	for i := range s.fresh {
		a := &s.fresh[i]
		var h packet.Header
		var pkt []byte
		if pkt, h, a.found = s.remembered(a.in.Sequence); !a.found {
			continue
		}
		a.payload, a.marker = h.Payload(pkt), h.Marker
		if a.in.HasNumber {
			a.value = packet.Extension(pkt, &h, extDependency)
		}
	}
	if s.tapped > 0 {
		for _, l := range s.sh.links {
			l.forward(now, s)
		}
	}
	for _, d := range s.down {
		d.forward(now, s)
	}
	s.restore()
	s.fresh = s.fresh[:0]
}

// restore makes the history hold what came again: down tracks write their ids into it.
func (s *source) restore() {
	for i := range s.fresh {
		a := &s.fresh[i]
		a.in.Descriptor.Patch(a.payload)
	}
}

// remembered finds a packet in the history.
func (s *source) remembered(seq uint64) (pkt []byte, h packet.Header, ok bool) {
	if pkt, ok = s.past.Get(seq); !ok {
		return nil, h, false
	}
	h, err := packet.ParseHeader(pkt)
	return pkt, h, err == nil
}

// recall fills in an arrival of which only the number is known.
func (s *source) recall(a *arrival) bool {
	pkt, h, found := s.remembered(a.in.Sequence)
	if a.found = found; !found {
		return false
	}
	a.payload, a.marker = h.Payload(pkt), h.Marker
	a.in.Source, a.in.Timestamp, a.in.Arrival = s.id, h.Timestamp, time.Duration(s.last)
	s.describe(a, pkt, &h, false)
	return true
}

// setLive notes whether packets come.
func (s *source) setLive(now dataplane.Instant, live bool) {
	if s.live == live {
		return
	}
	s.live = live
	s.sh.touch(s.medium)
	if live {
		s.rate.restart()
	}
	for _, l := range s.sh.links {
		l.announce(s)
	}
	switch {
	case s.medium == Audio && live:
		s.voice = s.sh.voices.Join(s, time.Duration(now))
		s.sh.wake(now)
	case s.medium == Audio:
		s.sh.voices.Leave(s.voice)
		s.voice = nil
	}
	for _, d := range s.down {
		d.noteChange()
		if live && s.kind.Video() {
			d.await(now)
		}
	}
}

// checkSilence notices that nothing comes any more. Behind a link the far side does.
func (s *source) checkSilence(now dataplane.Instant) {
	if s.origin.local == nil || !s.live || now-s.last < stoppedAfter {
		return
	}
	if now-s.last >= silentAfter || s.outlived(now) {
		s.setLive(now, false)
	}
}

// outlived tells whether other encodings of the picture come.
func (s *source) outlived(now dataplane.Instant) bool {
	for _, other := range s.pub.encodings {
		if other != nil && other != s && other.live && now-other.last < stoppedAfter/2 {
			return true
		}
	}
	return false
}

func (s *source) subscribe(d *downTrack) {
	if slices.Contains(s.down, d) {
		return
	}
	s.down = append(s.down, d)
	s.sh.demandDue = true
}

func (s *source) unsubscribe(d *downTrack) {
	if i := slices.Index(s.down, d); i >= 0 {
		s.down = slices.Delete(s.down, i, i+1)
		s.sh.demandDue = true
	}
}

// requestKeyframe asks the sender for a keyframe, at once or when the last request is long enough ago, and again until one comes.
func (s *source) requestKeyframe(now dataplane.Instant) {
	if !s.kind.Video() {
		return
	}
	s.keyUntil = now + keyframePatience
	s.keyWanted = true
	if !s.keyListed {
		s.keyListed = true
		s.sh.keys = append(s.sh.keys, s)
	}
	s.repeatKeyframeRequest(now)
}

func (s *source) repeatKeyframeRequest(now dataplane.Instant) {
	if now >= s.keyAsked+keyframeEvery && s.live {
		s.keyAsked = now
		s.sh.stats.keyframes++
		s.feed.askKeyframe(now, s)
	}
	if next := s.keyAsked + keyframeEvery; next > now {
		s.sh.wake(next)
	} else {
		s.sh.wake(now + keyframeEvery)
	}
}

// awaited tells whether a slot shows nothing, or something else, for want of a keyframe.
func (s *source) awaited() bool {
	for _, d := range s.down {
		if d.wanted == s && d.showing != s {
			return true
		}
	}
	return false
}

// repeatKeyframeRequests asks again for the keyframes that have not come.
func (sh *shard) repeatKeyframeRequests(now dataplane.Instant) {
	sh.keys = slices.DeleteFunc(sh.keys, func(s *source) bool {
		if s.keyWanted && (now >= s.keyUntil && !s.awaited() || sh.sources[s.id] != s) {
			s.keyWanted = false
		}
		if s.keyWanted {
			s.repeatKeyframeRequest(now)
		}
		s.keyListed = s.keyWanted
		return !s.keyWanted
	})
}

// clockAt returns the RTP timestamp of the source at a time of the router's clock: as the sender's reports say, or before the first one
// as its packets arrive.
func (s *source) clockAt(wall int64) uint32 {
	at, rtp, ok := s.feed.clock()
	if !ok {
		at, rtp = s.sh.wallTime(s.last), s.lastRTP
	}
	return rtp + uint32((wall-at)/1000*int64(s.kind.ClockRate())/1_000_000)
}

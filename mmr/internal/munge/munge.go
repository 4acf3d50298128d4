package munge

import (
	"time"

	"meetzone/mmr/internal/codec"
)

const (
	// maxJump is the largest gap in a source's numbers that is passed on. Beyond it the source has restarted, or so much is lost that a
	// receiver can only begin anew.
	maxJump = 1000
	// maxLate is how far behind the newest packet one may still be sent; below the window of package srtp.
	maxLate = 1000
)

// Source names an up track (and layer) of the router. The owner of the Track gives the numbers and never uses one again for other packets.
type Source uint32

// Config says what a Track carries and where its numbers begin.
type Config struct {
	Codec          codec.Kind
	FirstSequence  uint16 // random and below 32768, see the caveat of package srtp
	FirstTimestamp uint32 // random
}

// In is a packet as it arrived, parsed once and shown to every Track that may want it.
type In struct {
	Source     Source
	Codec      codec.Kind // of the packet: a sender may change it in mid-stream, with a keyframe
	Sequence   uint64     // wide
	Timestamp  uint32
	Arrival    time.Duration    // monotonic, since any fixed instant
	Keyframe   bool             // a decoder can begin with this packet; true for audio
	Frame      codec.Frame      // of video
	Descriptor codec.Descriptor // of VP8 and VP9, zero otherwise
	Number     uint16           // of the frame in a dependency descriptor
	HasNumber  bool
}

// Out is what must be written into the packet when it leaves.
type Out struct {
	Sequence   uint64 // wide; the packet carries the low 16 bits
	Timestamp  uint32
	Descriptor codec.Descriptor // to Patch into the payload when NeedsPatch says so
	Number     uint16           // of the frame, when the packet has a dependency descriptor
	Marker     bool             // the packet ends the picture, although its sender goes on with layers that are left out
}

// NeedsPatch says whether the payload holds ids that must be rewritten with Descriptor.Patch.
func (o *Out) NeedsPatch() bool {
	return o.Descriptor.HasPictureID || o.Descriptor.HasTL0 || o.Descriptor.HasKeyIndex
}

// Verdict says what becomes of a packet.
type Verdict uint8

// The verdicts.
const (
	Forward      Verdict = iota
	Switched             // forward; first packet of another source, or of the same one after a forced wait
	NotWanted            // of a source that is neither current nor next
	WaitKeyframe         // nothing can be forwarded before a keyframe of this source
	TooLate              // from before the switch, or too old
	Repeated             // sent before
	Incomplete           // not selected, or cannot be decoded, since something was dropped on purpose; its gap is closed, Drop is not needed
	Fill                 // the same, but it comes late: send an empty packet under its number, lest the receiver asks for it for ever
)

// String returns the verdict's name.
func (v Verdict) String() string {
	return [...]string{"forward", "switched", "not wanted", "wait for keyframe", "too late", "repeated", "incomplete", "fill", "unknown"}[min(v, 8)]
}

// Forwarded says whether the packet must be sent.
func (v Verdict) Forwarded() bool { return v <= Switched }

// Track is the rewriting state of one outgoing stream.
type Track struct {
	cfg Config

	current, next       Source
	hasCurrent, hasNext bool
	codec               codec.Kind
	stalled             bool // the current source cannot go on before a keyframe
	started             bool // something was sent, ever

	segments segments
	sent     sentWindow

	begun     uint64 // segment with which the current source began; what lies before came too late
	highestIn uint64 // of the current source: the newest that was sent or dropped

	chosen selection
	frame  frameState // of the newest packet in order

	lastTimestamp uint32        // newest that was sent
	lastArrival   time.Duration // when its first packet arrived
	last          ids
}

// New returns a Track without a source, which selects all layers.
func New(c Config) *Track {
	return &Track{cfg: c, chosen: selection{wantSpatial: codec.MaxSpatial - 1, wantTemporal: codec.MaxTemporal - 1}}
}

// Select says up to which spatial and temporal layer the sources are sent, from the next picture on that permits it.
func (t *Track) Select(spatial, temporal uint8) {
	t.chosen.wantSpatial, t.chosen.wantTemporal = min(spatial, codec.MaxSpatial-1), min(temporal, codec.MaxTemporal-1)
}

// Selected returns the layers that are sent at present.
func (t *Track) Selected() (spatial, temporal uint8) { return t.chosen.spatial, t.chosen.temporal }

// Behind says whether a keyframe of the current source is needed to reach the layer that Select named, as far as it is sent at all.
func (t *Track) Behind() bool { return t.hasCurrent && !t.stalled && t.chosen.behind }

// Switch names the source that shall be sent. Until its first keyframe the current source goes on. Naming the current one cancels a
// switch that has not happened.
func (t *Track) Switch(s Source) {
	t.next, t.hasNext = s, !t.hasCurrent || s != t.current
}

// Stop ends both sources at once. What was sent can still be resent.
func (t *Track) Stop() { t.hasCurrent, t.hasNext, t.stalled = false, false, false }

// Halt has the current source go on no sooner than with a keyframe, since what it sends at present cannot be decoded by the receiver.
func (t *Track) Halt() { t.stalled = t.hasCurrent }

// Current returns the source that is sent.
func (t *Track) Current() (Source, bool) { return t.current, t.hasCurrent }

// Next returns the source that will be sent from its next keyframe on.
func (t *Track) Next() (Source, bool) { return t.next, t.hasNext }

// Wants says whether packets of the source may be sent.
func (t *Track) Wants(s Source) bool {
	return t.hasCurrent && s == t.current || t.hasNext && s == t.next
}

// NeedsKeyframe returns the source of which a keyframe is needed before anything more of it can be sent.
func (t *Track) NeedsKeyframe() (Source, bool) {
	if t.hasNext {
		return t.next, true
	}
	return t.current, t.hasCurrent && t.stalled
}

// Rewrite decides about a packet and numbers it.
//
// The way of a packet: next source (begin at a keyframe), then current source, late or in order; in order it
// passes the choice of layers, and is numbered by the newest segment, a late one by the segment of its time.
func (t *Track) Rewrite(in *In) (Out, Verdict) {
	switch {
	case t.hasNext && in.Source == t.next:
		return t.tryBegin(in)
	case !t.hasCurrent || in.Source != t.current:
		return Out{}, NotWanted
	case in.Sequence <= t.highestIn:
		return t.rewriteLate(in)
	case t.stalled:
		return t.tryBegin(in)
	case in.Sequence-t.highestIn > maxJump || in.Codec != t.codec:
		t.stalled = true
		return t.tryBegin(in)
	}
	if in.Codec.Video() && !t.admit(in) {
		t.omit(in)
		if t.stalled {
			return Out{}, WaitKeyframe
		}
		return Out{}, Incomplete
	}
	return t.forward(in), Forward
}

func (t *Track) tryBegin(in *In) (Out, Verdict) {
	if !in.Keyframe {
		return Out{}, WaitKeyframe
	}
	t.begin(in)
	return t.forward(in), Switched
}

// begin starts a segment of a new source, or of the same source after a wait, with the packet in.
func (t *Track) begin(in *In) {
	s := segment{source: in.Source}
	t.chosen.begin(&in.Frame)
	s.layer = t.chosen.layer()
	if !t.started {
		t.sent.highest = 1<<16 | uint64(t.cfg.FirstSequence) - 1
		s.timestamp = t.cfg.FirstTimestamp - in.Timestamp
	} else {
		s.timestamp = t.nextTimestamp(in) - in.Timestamp
		s.shift = t.last.following(in)
	}
	s.first = t.sent.highest + 1
	s.offset = s.first - in.Sequence
	t.begun = t.segments.push(s)
	t.current, t.hasCurrent, t.codec, t.stalled = in.Source, true, in.Codec, false
	t.frame = frameState{timestamp: in.Timestamp, spatial: in.Frame.Spatial, known: true, sent: true}
	if t.hasNext && t.next == in.Source {
		t.hasNext = false
	}
	t.highestIn = in.Sequence
	t.lastTimestamp, t.lastArrival, t.started = in.Timestamp+s.timestamp, in.Arrival, true
}

// nextTimestamp returns the outgoing timestamp of the first packet of a segment. After a wait the source's own clock goes on; another
// source follows by as much as has passed since the last picture or sound began to arrive.
func (t *Track) nextTimestamp(in *In) uint32 {
	if t.hasCurrent && in.Source == t.current {
		ts := in.Timestamp + t.segments.newest().timestamp
		if int32(ts-t.lastTimestamp) > 0 {
			return ts
		}
	}
	return t.lastTimestamp + max(1, t.ticks(in.Arrival))
}

// ticks returns how far the clock went since the newest packet.
func (t *Track) ticks(now time.Duration) uint32 {
	d, rate := max(0, now-t.lastArrival), uint64(t.cfg.Codec.ClockRate())
	return uint32(uint64(d/time.Second)*rate + uint64(d%time.Second)*rate/uint64(time.Second))
}

// admit says whether a packet in order belongs to what is sent and can be decoded in spite of what was dropped on purpose.
func (t *Track) admit(in *In) bool {
	f := &t.frame
	if f.is(in) {
		return f.sent && !f.damaged
	}
	picture := !f.known || f.timestamp != in.Timestamp
	*f = frameState{timestamp: in.Timestamp, spatial: in.Frame.Spatial, known: true}
	f.sent = t.chosen.take(&in.Frame, picture)
	s := t.segments.newest()
	if layer := t.chosen.layer(); f.sent && layer != s.layer {
		if s.firstIn() == in.Sequence {
			s.layer, s.frame = layer, *f
		} else {
			next := *s
			next.first, next.layer, next.hasDead, next.frame = in.Sequence+s.offset, layer, false, *f
			t.segments.push(next)
		}
	}
	t.stalled = !t.chosen.any()
	return f.sent
}

// forward numbers a packet in order.
func (t *Track) forward(in *In) Out {
	s := t.segments.newest()
	out := s.apply(in)
	t.highestIn = in.Sequence
	t.note(in, &out)
	return out
}

// note remembers that a packet is sent.
func (t *Track) note(in *In, out *Out) {
	t.sent.advance(out.Sequence)
	t.sent.mark(out.Sequence)
	if int32(out.Timestamp-t.lastTimestamp) > 0 {
		t.lastTimestamp, t.lastArrival = out.Timestamp, in.Arrival
	}
	t.last.note(in, out)
}

// rewriteLate numbers a packet that others of its source have overtaken.
func (t *Track) rewriteLate(in *In) (Out, Verdict) {
	i, ok := t.segments.byIn(in.Sequence, t.begun)
	if !ok {
		return Out{}, TooLate
	}
	s := t.segments.at(i)
	out := s.apply(in)
	wanted := !in.Codec.Video() || in.Frame.Present&s.layer != 0 && !s.isDead(in.Timestamp)
	if i < t.segments.count-1 {
		after := t.segments.at(i + 1)
		if out.Sequence >= after.first {
			return Out{}, Incomplete
		}
		switch f := &after.frame; {
		case !in.Codec.Video() || !f.known || f.timestamp != in.Timestamp:
		case f.spatial == in.Frame.Spatial:
			wanted = f.sent
		default: // of the same picture
			wanted = in.Frame.Present&after.layer != 0
		}
		wanted = wanted && !(in.Codec.Video() && after.isDead(in.Timestamp))
	}
	if t.sent.highest > out.Sequence+maxLate {
		return Out{}, TooLate
	}
	if t.sent.has(out.Sequence) {
		return Out{}, Repeated
	}
	if !wanted {
		t.sent.advance(out.Sequence)
		t.sent.fill(out.Sequence)
		t.chosen.lose(&in.Frame)
		return Out{Sequence: out.Sequence, Timestamp: out.Timestamp}, Fill
	}
	t.note(in, &out)
	return out, Forward
}

// Drop takes note that a packet, which Rewrite would have forwarded, is left out on purpose. Decide so for whole frames, at their first
// packet.
func (t *Track) Drop(in *In) {
	if !t.hasCurrent || in.Source != t.current || in.Codec != t.codec || t.stalled || in.Sequence <= t.highestIn || in.Sequence-t.highestIn > maxJump {
		return
	}
	if in.Codec.Video() {
		if !t.frame.is(in) {
			t.frame = frameState{timestamp: in.Timestamp, spatial: in.Frame.Spatial, known: true}
		}
		t.chosen.lose(&in.Frame)
		t.stalled = !t.chosen.any()
	}
	t.omit(in)
}

// omit leaves out a packet in order.
func (t *Track) omit(in *In) {
	s := t.segments.newest()
	t.highestIn = in.Sequence
	next := *s
	next.layer = t.chosen.layer()
	if t.frame.sent && in.Codec.Video() {
		// Begun and not finished: the receiver must see the gap.
		t.sent.advance(in.Sequence + s.offset)
		t.frame.damaged = true
		if next.layer != s.layer {
			next.first = in.Sequence + s.offset + 1
			t.segments.push(next)
		}
		return
	}
	next.offset--
	next.first, next.frame = in.Sequence+s.offset, t.frame
	inPlace := s.firstIn() == in.Sequence
	if in.Codec.Video() {
		next.kill(in, inPlace)
	}
	if inPlace {
		*s = next
		return
	}
	t.segments.push(next)
}

// Origin says where a packet that was sent came from.
type Origin struct {
	Source   Source
	Sequence uint64 // wide, of the source
}

// Sent returns the origin of the packet that was sent with the 16-bit sequence number, false when there was none lately.
func (t *Track) Sent(seq uint16) (Origin, bool) {
	s, out := t.lookUp(seq)
	if s == nil {
		return Origin{}, false
	}
	return Origin{Source: s.source, Sequence: out - s.offset}, true
}

// Filled says whether a number that was sent lately stands for an empty packet, which is what has to be sent again.
func (t *Track) Filled(seq uint16) bool {
	out, ok := t.sent.find(seq)
	return ok && t.sent.isFilled(out)
}

// Resend numbers a packet exactly as it was numbered when it was sent. in must be the packet of Sent's origin.
func (t *Track) Resend(seq uint16, in *In) (Out, bool) {
	s, out := t.lookUp(seq)
	if s == nil || s.source != in.Source || in.Sequence != out-s.offset {
		return Out{}, false
	}
	return s.apply(in), true
}

func (t *Track) lookUp(seq uint16) (*segment, uint64) {
	out, ok := t.sent.find(seq)
	if !ok {
		return nil, 0
	}
	return t.segments.byOut(out), out
}

// Timestamp returns what the outgoing clock shows at now, for sender reports. It is false before the first packet.
func (t *Track) Timestamp(now time.Duration) (uint32, bool) {
	return t.lastTimestamp + t.ticks(now), t.started
}

// MapTimestamp turns a timestamp of the current source into an outgoing one, so that a report of the source can be passed on.
func (t *Track) MapTimestamp(in uint32) (uint32, bool) {
	if !t.hasCurrent {
		return 0, false
	}
	return in + t.segments.newest().timestamp, true
}

package mmr

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/bwe"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/munge"
	"meetzone/mmr/internal/packet"
)

const (
	// switchPatience is how long the old picture goes on while the keyframe of the new one is awaited.
	switchPatience = dataplane.Instant(500 * time.Millisecond)

	// resendWindow is the age beyond which a packet that is asked for would come too late to be shown.
	resendWindow = time.Second
	// resendGuard is how long a packet that was sent again is not sent once more: at least, and half a round trip; resendMost is how often.
	resendGuard = dataplane.Instant(20 * time.Millisecond)
	resendMost  = 4
	// What one endpoint can have sent again, in packets per second: a share of its estimate, within bounds.
	resendShare     = 0.3
	resendSize      = 1100 // bytes of a packet, about
	resendLeastRate = 20
	resendMostRate  = 800
	// lookupShare is how many packets can be looked for, for each that can be sent again.
	lookupShare = 2
)

// downTrack is one receive slot of an endpoint: a stream whose numbers run on whoever is in it.
type downTrack struct {
	e      *endpoint
	medium Medium
	index  int
	kind   codec.Kind

	ssrc, rtxSSRC uint32 // announced by the offer; rtxSSRC is 0 for audio
	formats       formats
	dependency    uint8 // id of the extension for dependency descriptors, 0 without
	numbering     uint8 // id of the extension for transport-wide numbers, 0 without
	path          uint8 // transport, as the estimator has it
	accepted      bool
	out           sender // nil while nothing can be sent

	pub      *publication // whose picture, voice or screen belongs into the slot, nil nobody's
	target   Layer        // what of it is to be sent
	starved  bool         // nothing is to be sent, for want of bandwidth
	share    share
	wanted   *source // of pub, as the target and what comes at present have it
	showing  *source // whose packets are sent: wanted, or what was sent before as long as wanted has not begun
	deadline dataplane.Instant
	listed   bool              // in shard.switching
	resumeAt dataplane.Instant // before, no keyframe is asked for: too much had to wait
	munge    *munge.Track
	masked   uint64 // newest packet whose descriptor left out decode targets, 0 none since the last structure

	rtxSeq uint16
	resent [64]repeat // by the low bits of the number

	redundancy     bool   // speech is sent with what was before
	packets, bytes uint64 // since the endpoint joined, without what was sent again
	octets         uint32 // of payload, for sender reports
	stats          DirectionStats
	reported       report // the last one
	pleas          pleas  // for keyframes
}

func newDownTrack(m Medium, index int) *downTrack {
	var b [14]byte
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	d := &downTrack{
		medium: m, index: index, kind: codec.VP8, target: topLayer, share: share{layer: topLayer},
		pleas: pleas{left: pleaBurst}, ssrc: binary.BigEndian.Uint32(b[:]) | 1, rtxSeq: binary.BigEndian.Uint16(b[4:]) >> 1,
	}
	if m == Audio {
		d.kind = codec.Opus
	} else {
		d.rtxSSRC = d.ssrc ^ 1
	}
	d.munge = munge.New(munge.Config{
		Codec: d.kind, FirstSequence: binary.BigEndian.Uint16(b[6:]) >> 1, FirstTimestamp: binary.BigEndian.Uint32(b[8:]),
	})
	return d
}

// accept takes the answer to the slot's section.
func (d *downTrack) accept(a *answered) {
	d.accepted, d.formats, d.numbering, d.dependency = true, a.Formats, a.Numbering, a.Dependency
}

// assign puts a publication into the slot, nil empties it. A picture that is shown goes on until the new one's keyframe has come, or
// switchPatience is over; a voice ends at once.
func (d *downTrack) assign(now dataplane.Instant, pub *publication) {
	if d.pub == pub {
		return
	}
	d.pub, d.starved, d.share = pub, false, share{layer: d.target}
	d.noteChange()
	d.e.sh.demandDue = true
	if pub == nil {
		d.want(now, nil)
		return
	}
	d.e.switches++
	d.e.sh.stats.switches++
	d.want(now, pub.pick(d.target.Encoding))
}

// want has a source sent in place of the one that is shown: somebody else's, or another encoding of the same picture.
func (d *downTrack) want(now dataplane.Instant, s *source) {
	if d.wanted == s {
		return
	}
	if d.wanted != nil && d.wanted != d.showing {
		d.wanted.unsubscribe(d)
	}
	d.wanted = s
	if s == nil {
		d.hide()
		return
	}
	if !s.kind.Video() {
		d.hide()
	}
	d.munge.Switch(s.id)
	if s != d.showing {
		s.subscribe(d)
		d.await(now)
	}
}

func (d *downTrack) noteChange() {
	d.e.changed = true
	d.e.sh.unsettled = true
}

// hide ends what is shown.
func (d *downTrack) hide() {
	if d.showing != nil && d.showing != d.wanted {
		d.showing.unsubscribe(d)
	}
	d.showing = nil
	d.munge.Stop()
}

// restart ends what is shown and begins again with the next keyframe, because the receiver cannot continue.
func (d *downTrack) restart(now dataplane.Instant) {
	if d.wanted == nil {
		return
	}
	d.hide()
	d.munge.Switch(d.wanted.id)
	d.await(now)
}

// sourceEnded is told by a source that is no more.
func (d *downTrack) sourceEnded(now dataplane.Instant, s *source) {
	if d.wanted == s && d.pub.there() {
		d.choose(now)
	} else if d.wanted == s {
		d.assign(now, nil)
	}
	if d.showing == s {
		d.restart(now)
	}
	s.unsubscribe(d)
}

// await asks for the keyframe with which the wanted source begins.
func (d *downTrack) await(now dataplane.Instant) {
	s := d.wanted
	if s == nil || s == d.showing || d.out == nil || !d.accepted || !s.kind.Video() {
		return
	}
	if d.showing != nil && d.showing.pub != s.pub { // an old encoding of the same picture goes on as long as it comes
		d.deadline = now + switchPatience
		d.e.sh.wake(d.deadline)
		if !d.listed {
			d.listed = true
			d.e.sh.switching = append(d.e.sh.switching, d)
		}
	}
	s.requestKeyframe(now)
}

// endSwitches gives up the old pictures of which the new ones are overdue.
func (sh *shard) endSwitches(now dataplane.Instant) {
	kept := sh.switching[:0]
	for _, d := range sh.switching {
		if d.showing == nil || d.showing.pub == d.pub {
			d.listed = false
			continue
		}
		if now >= d.deadline {
			d.listed = false
			d.hide()
			d.munge.Switch(d.wanted.id)
			d.noteChange()
			continue
		}
		sh.wake(d.deadline)
		kept = append(kept, d)
	}
	clear(sh.switching[len(kept):])
	sh.switching = kept
}

// forward sends what a source brought, as far as it belongs into the slot.
func (d *downTrack) forward(now dataplane.Instant, s *source) {
	if d.out == nil || !d.accepted {
		return
	}
	for i := range s.fresh {
		switch a := &s.fresh[i]; {
		case !a.found:
		case d.waits(now):
			d.enqueue(now, s, a)
		default:
			d.take(now, s, a, s.highest)
		}
	}
}

// take sends a packet if it belongs into the slot. upTo is the newest packet of its source that has had its turn, or is about to.
func (d *downTrack) take(now dataplane.Instant, s *source, a *arrival, upTo uint64) {
	if d.formats[a.in.Codec].pt == 0 {
		d.munge.Halt() // the receiver cannot decode it: until the sender has changed, the old picture stays
		return
	}
	switch verdict := d.pass(now, a); verdict {
	case munge.Switched:
		d.begin(now, s)
		d.catchUp(now, s, a.in.Sequence, upTo)
	case munge.WaitKeyframe:
		if now >= d.resumeAt {
			s.requestKeyframe(now)
		}
	}
	if d.showing == s && d.munge.Behind() {
		s.requestKeyframe(now) // a larger spatial layer is to be had, and only with one
	}
}

// pass sends one packet if it may be sent.
func (d *downTrack) pass(now dataplane.Instant, a *arrival) munge.Verdict {
	out, verdict := d.munge.Rewrite(&a.in)
	switch {
	case verdict.Forwarded():
		d.send(now, a, &out)
	case verdict == munge.Fill:
		d.send(now, &arrival{in: munge.In{Codec: a.in.Codec}}, &out)
	}
	return verdict
}

// catchUp sends what came before the first packet of the keyframe, although it follows it: that packet was lost and came again.
func (d *downTrack) catchUp(now dataplane.Instant, s *source, first, upTo uint64) {
	if first == upTo {
		return
	}
	s.restore()
	for seq := first + 1; seq <= upTo; seq++ {
		a := arrival{in: munge.In{Sequence: seq}}
		if s.recall(&a) {
			d.pass(now, &a)
			a.in.Descriptor.Patch(a.payload)
		}
	}
}

// begin notes that the wanted source has begun.
func (d *downTrack) begin(now dataplane.Instant, s *source) {
	if d.showing == nil || d.showing.pub != s.pub {
		d.noteChange()
	}
	if d.showing != nil && d.showing != s {
		d.showing.unsubscribe(d)
	}
	d.showing = s
	d.e.nextReport = now // the new source's clock
}

// send rewrites one packet and seals it.
func (d *downTrack) send(now dataplane.Instant, a *arrival, out *munge.Out) {
	h := packet.Header{Marker: a.marker || out.Marker, PayloadType: d.formats[a.in.Codec].pt, SequenceNumber: uint16(out.Sequence), Timestamp: out.Timestamp, SSRC: d.ssrc}
	if out.NeedsPatch() {
		out.Descriptor.Patch(a.payload)
	}
	payload := a.payload
	if a.primary > 0 {
		h.PayloadType, payload = d.redundant(a)
	}
	d.write(now, &h, d.depend(a, out, false), payload)
	d.packets++
	d.octets += uint32(len(payload))
	d.bytes += uint64(packet.FixedLen + len(payload))
	d.e.sh.stats.forwarded++
}

// redundant returns redundant speech as the receiver takes it: with its own payload types, or the newest block alone where it does not take it, or
// its path has better use for what that costs.
func (d *downTrack) redundant(a *arrival) (pt uint8, payload []byte) {
	opus, red := d.formats[codec.Opus].pt, d.formats[codec.RED].pt
	if d.redundancy = red != 0 && !d.e.terse; !d.redundancy {
		return opus, a.payload[a.primary:]
	}
	if opus == ptOpus {
		return red, a.payload
	}
	payload = append(d.e.sh.scratch[:0], a.payload...)
	_, _ = codec.ParseRED(payload, ptOpus, opus) // it was read before
	return red, payload
}

// depend returns the dependency descriptor that the packet leaves with, nil when it has none, or the receiver takes none. Where layers are left
// out, it says which decode targets remain; receivers hold on to that, so that it is said as well when they are all sent again, until a structure
// comes, with which all are active. What is sent again changes nothing of that.
func (d *downTrack) depend(a *arrival, out *munge.Out, again bool) []byte {
	if d.dependency == 0 || len(a.value) == 0 {
		return nil
	}
	active, cut := uint32(0), false
	if s := d.e.sh.sources[a.in.Source]; s != nil && s.structures != nil {
		structure := s.structures.at(a.in.Sequence)
		active = structure.Targets(d.munge.Selected())
		cut = active != structure.All()
	}
	switch {
	case again: // belongs to what came before
	case cut:
		d.masked = max(d.masked, out.Sequence)
	case a.dependency.Structured() && out.Sequence > d.masked:
		d.masked = 0
	}
	return a.dependency.Rewrite(d.e.sh.descriptor[:0], a.value, out.Number, cut || d.masked != 0, active)
}

// write completes a header and has the packet sealed. The number is part of what is sealed, so each packet gets one of its own, also one that
// is sent again.
func (d *downTrack) write(now dataplane.Instant, h *packet.Header, descriptor, payload []byte) {
	header, n := d.e.sh.header[:], packet.FixedLen
	packet.PutHeader(header, h)
	if h.PaddingLen > 0 {
		header[0] |= 0x20
	}
	number := 0 // where the element with the number lies
	switch {
	case len(descriptor) > 0:
		n = packet.BeginElements(header, len(descriptor))
		n = packet.AppendElement(header, n, d.dependency, descriptor)
		if d.numbering != 0 {
			number = n
			n = packet.AppendElement(header, n, d.numbering, []byte{0, 0})
		}
		n = packet.EndElements(header, n)
	case d.numbering != 0:
		n = packet.TransportSequenceLen + packet.FixedLen
	}
	size := n + len(payload) + wireOverhead
	switch {
	case d.numbering == 0:
		d.e.budget.spend(now, d.medium.Class(), size)
	case number != 0:
		seq := d.e.budget.number(now, d.path, d.medium.Class(), size)
		packet.AppendElement(header, number, d.numbering, []byte{byte(seq >> 8), byte(seq)})
	default:
		packet.PutTransportSequence(header, d.numbering, d.e.budget.number(now, d.path, d.medium.Class(), size))
	}
	d.out.sendRTP(d.medium.Class(), header[:n], payload)
}

// resend answers a NACK for one packet on the RTX stream, RFC 4588. What is too old, was just sent again, or is beyond the bound, is not. What
// costs little is asked first, and looking for packets has a bound of its own, so that it does not pay to ask for what is not there.
func (d *downTrack) resend(now dataplane.Instant, seq uint16) {
	sh := d.e.sh
	d.stats.NACKs++
	sh.stats.nacks++
	last := &d.resent[seq%uint16(len(d.resent))]
	rate := d.e.budget.resendRate()
	if d.out == nil || last.refuses(now, seq, d.stats.RoundTrip) || !d.e.budget.pacer.ReadyBefore(bwe.Time(now), repairAhead) ||
		!d.e.lookups.take(now, lookupShare*rate) {
		return
	}
	a, ok := d.sent(seq)
	rtx := d.formats[a.in.Codec].rtx
	if !ok || rtx == 0 || packet.OSNLen+len(a.payload) > cap(sh.scratch) {
		return
	}
	out, ok := d.munge.Resend(seq, &a.in)
	if !ok || d.tooLate(now, out.Timestamp) || !d.e.repeats.take(now, rate) {
		return
	}
	last.note(now, seq)
	if d.munge.Filled(seq) {
		a.payload, a.value, a.marker, out.Marker = nil, nil, false, false
		out.Descriptor = codec.Descriptor{}
	}
	h := packet.Header{Marker: a.marker || out.Marker, PayloadType: rtx, SequenceNumber: d.rtxSeq, Timestamp: out.Timestamp, SSRC: d.rtxSSRC}
	d.rtxSeq++
	b := sh.scratch[:packet.OSNLen+len(a.payload)]
	packet.PutRTX(b, seq, a.payload)
	if out.NeedsPatch() {
		out.Descriptor.Patch(b[packet.OSNLen:])
	}
	d.write(now, &h, d.depend(&a, &out, true), b)
	d.stats.Resent++
	sh.stats.resent++
}

// repeat is when, and how often, a packet was sent again.
type repeat struct {
	seq   uint16
	times uint8
	at    dataplane.Instant
}

// refuses tells whether a packet is not to be sent again now. Each time it has to wait twice as long: some receivers ask again for all that did
// not come as it was sent, also for what has come by RTX.
func (r *repeat) refuses(now dataplane.Instant, seq uint16, roundTrip time.Duration) bool {
	if r.seq != seq || r.times == 0 {
		return false
	}
	guard := max(resendGuard, dataplane.Instant(roundTrip/2)) << (r.times - 1)
	return r.times == resendMost || now-r.at < guard
}

func (r *repeat) note(now dataplane.Instant, seq uint16) {
	if r.seq != seq {
		r.times = 0
	}
	r.seq, r.at = seq, now
	r.times++
}

// sent finds a packet that was sent in its source's history.
func (d *downTrack) sent(seq uint16) (a arrival, ok bool) {
	origin, ok := d.munge.Sent(seq)
	if !ok {
		return a, false
	}
	s := d.e.sh.sources[origin.Source]
	if s == nil {
		return a, false
	}
	a.in.Sequence = origin.Sequence
	return a, s.recall(&a)
}

// tooLate tells whether a packet of that timestamp would be older than resendWindow, by the clock of the stream, when it arrives.
func (d *downTrack) tooLate(now dataplane.Instant, timestamp uint32) bool {
	current, ok := d.munge.Timestamp(time.Duration(now))
	window := resendWindow - min(d.stats.RoundTrip, resendWindow)/2
	return ok && int32(current-timestamp) > int32(window/time.Millisecond)*int32(d.kind.ClockRate()/1000)
}

// slot says who is in the slot, for the owner of the endpoint. While the old picture goes on, it is still its owner's.
func (d *downTrack) slot() Slot {
	pub := d.pub
	if pub != nil && d.showing != nil {
		pub = d.showing.pub
	}
	slot := Slot{Medium: d.medium, Index: d.index}
	if pub != nil {
		slot.Source, slot.Paused = pub.origin.id, !pub.live() || d.starved
	}
	return slot
}

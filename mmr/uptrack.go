package mmr

import (
	"slices"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/nack"
	"meetzone/mmr/internal/packet"
	"meetzone/mmr/internal/twcc"
)

// Ids of the header extensions, the same in every offer of the box.
const (
	extAudioLevel        = 1 // RFC 6464
	extAbsSendTime       = 2
	extTransportSequence = 3 // draft-holmer-rmcat-transport-wide-cc-extensions-01
	extMID               = 4 // RFC 9143
	extRID               = 5 // RFC 8852
	extRepairedRID       = 6
	extDependency        = 8 // AV1 RTP specification, appendix A
)

// extensionIDs are the ids of the header extensions on one transport, 0 for those that were not agreed on. A client that makes the offer
// chooses them.
type extensionIDs struct {
	audioLevel, transportSequence, mid, rid, repairedRID uint8
	dependency                                           uint8 // extDependency or 0: descriptors are passed on as they come
}

// offeredIDs are those of the box's own offers.
var offeredIDs = extensionIDs{
	audioLevel: extAudioLevel, transportSequence: extTransportSequence, mid: extMID, rid: extRID, repairedRID: extRepairedRID,
	dependency: extDependency,
}

// upTrack is what an endpoint sends of one medium: one stream, or with simulcast one for each encoding.
type upTrack struct {
	e      *endpoint
	medium Medium
	kind   codec.Kind
	mid    string // of its section

	formats  formats
	sends    sentCodec
	accepted bool
	rids     []string // of the encodings with simulcast, the smallest first; nil without
	muted    bool
	streams  [maxEncodings]*upStream // by encoding, nil before its first packet

	packets, bytes uint64
	keyframes      uint64 // requests
	frames         frameMeter
	past           nack.Stats
}

// upStream is one encoding of a track: what arrives on its SSRC, repaired by retransmissions on another one.
type upStream struct {
	*upTrack
	encoding uint8

	ssrc, rtxSSRC uint32            // 0 unknown
	learned       dataplane.Instant // when ssrc was last learnt from a packet

	rx      *nack.Receiver
	src     *source // nil before the first answer and after the end
	waiting bool    // in shard.gaps

	ntp      uint64 // of the last sender report, and when it came
	ntpAt    dataplane.Instant
	rtp      uint32
	reported bool
}

// stream returns the stream of an encoding, a new one when there was none.
func (u *upTrack) stream(encoding int) *upStream {
	if u.streams[encoding] == nil {
		u.streams[encoding] = &upStream{upTrack: u, encoding: uint8(encoding)}
	}
	return u.streams[encoding]
}

// transportTracks is the forwarding half of a transport, embedded in it. It finds the track of an incoming SSRC and collects feedback.
type transportTracks struct {
	ids       extensionIDs
	ssrcs     [maxSSRCs]ssrcEntry
	bound     int
	recorder  *twcc.Recorder // of this transport, where each is numbered by itself
	roundTrip time.Duration  // as the reports of the peer say, 0 unknown
	nextREMB  dataplane.Instant
}

// maxSSRCs bounds what one transport may bring: three media, one of them in three encodings, with RTX, and some that were replaced.
const maxSSRCs = 16

type ssrcEntry struct {
	ssrc   uint32
	rtx    bool
	stream *upStream
}

// find returns the entry of an SSRC.
func (tt *transportTracks) find(ssrc uint32) *ssrcEntry {
	for i := range tt.ssrcs[:tt.bound] {
		if tt.ssrcs[i].ssrc == ssrc {
			return &tt.ssrcs[i]
		}
	}
	return nil
}

// bind enters an SSRC; when the table is full the oldest entry goes.
func (tt *transportTracks) bind(ssrc uint32, u *upStream, rtx bool) *ssrcEntry {
	e := tt.find(ssrc)
	if e == nil {
		if tt.bound == maxSSRCs {
			copy(tt.ssrcs[:], tt.ssrcs[1:])
			tt.bound--
		}
		e = &tt.ssrcs[tt.bound]
		tt.bound++
	}
	*e = ssrcEntry{ssrc: ssrc, rtx: rtx, stream: u}
	return e
}

// forget removes the entries of a stream.
func (tt *transportTracks) forget(u *upStream) {
	kept := tt.ssrcs[:0]
	for _, e := range tt.ssrcs[:tt.bound] {
		if e.stream != u {
			kept = append(kept, e)
		}
	}
	tt.bound = len(kept)
}

// extensions is what a packet's header extension says that a router wants to know.
type extensions struct {
	level        uint8 // noLevel without
	transportSeq uint16
	hasSeq       bool
	mid          []byte
	rid          []byte
	repairedRID  []byte // of what a retransmission repairs
}

// read takes what the router wants to know. A dependency descriptor that was not agreed on is erased, so that nobody behind reads it.
func (ids *extensionIDs) read(pkt []byte, h *packet.Header) (x extensions) {
	x.level = noLevel
	for e := h.Elements(pkt); ; {
		id, value, ok := e.Next()
		if !ok {
			return x
		}
		switch id {
		case ids.audioLevel:
			if level, voice, ok := packet.AudioLevel(value); ok {
				x.level = min(level, 126) // 127 with the voice flag would be noLevel
				if voice {
					x.level |= voiceFlag
				}
			}
		case ids.transportSequence:
			x.transportSeq, x.hasSeq = packet.TransportSequence(value)
		case ids.mid:
			x.mid = value
		case ids.rid:
			x.rid = value
		case ids.repairedRID:
			x.repairedRID = value
		case extDependency:
			if ids.dependency != extDependency {
				e.Erase()
			}
		}
	}
}

// handleRTP takes one decrypted packet, header intact. pkt is valid only during the call and may be changed in place.
func (sh *shard) handleRTP(now dataplane.Instant, t *transport, pkt []byte, tos uint8) {
	sh.arrived(now, t.endpoint, &t.transportTracks, t.media, pkt)
}

// arrived is handleRTP without a transport.
func (sh *shard) arrived(now dataplane.Instant, e *endpoint, tt *transportTracks, media []Medium, pkt []byte) {
	h, err := packet.Parse(pkt)
	if err != nil {
		return
	}
	if !sh.busy {
		sh.busy = true
		sh.every = feedbackEvery
		sh.nextTick = min(sh.nextTick, now+feedbackEvery/tickPhases)
		sh.wake(sh.nextTick)
	}
	x := tt.ids.read(pkt, &h)
	if x.hasSeq {
		e.record(now, tt, x.transportSeq)
	}
	entry := tt.find(h.SSRC)
	if entry == nil {
		if entry = e.learn(now, tt, media, &h, &x); entry == nil {
			return
		}
	}
	if entry.rtx {
		entry.stream.takeRTX(now, pkt, &h, x.level)
		return
	}
	entry.stream.take(now, pkt, &h, x.level)
}

// record notes the arrival of a numbered packet. Browsers number what they send over all transports of a PeerConnection, so one recorder has to
// see it all: to each alone, the packets of the others would look lost. A client with a stack for each transport numbers each by itself; that
// shows as soon as a number comes twice, or from far behind, and from then on each transport is reported by itself. A jump ahead shows nothing: it
// is what an outage looks like.
func (e *endpoint) record(now dataplane.Instant, tt *transportTracks, seq uint16) {
	if !e.apart {
		if e.recorder == nil {
			e.recorder = twcc.New()
		}
		if e.recorder.Record(seq, time.Duration(now)) {
			return
		}
		e.apart, e.recorder = true, nil
	}
	if tt.recorder == nil {
		tt.recorder = twcc.New()
	}
	tt.recorder.Record(seq, time.Duration(now))
}

// learn finds the stream of an SSRC that no answer named: by MID, or by payload type where only one track can be meant, and by RID.
func (e *endpoint) learn(now dataplane.Instant, tt *transportTracks, media []Medium, h *packet.Header, x *extensions) *ssrcEntry {
	u := e.trackOf(media, h.PayloadType, x.mid)
	if u == nil {
		return nil
	}
	_, rtx := u.formats.find(h.PayloadType)
	rid := x.rid
	if rtx {
		if rid = x.repairedRID; len(rid) == 0 {
			rid = x.rid // pion repeats the extensions of what it repairs
		}
	}
	encoding := u.encodingOf(rid)
	if encoding < 0 {
		return nil
	}
	st := u.stream(encoding)
	if rtx {
		st.rtxSSRC = h.SSRC
		return tt.bind(h.SSRC, st, true)
	}
	if st.ssrc != 0 && now-st.learned < relearnEvery {
		return nil // two streams cannot take turns
	}
	st.learned = now
	tt.forget(st) // what comes late of the stream before must not be counted into this one
	st.rtxSSRC = 0
	st.start(now, h.SSRC)
	return tt.bind(h.SSRC, st, false)
}

// trackOf returns the one track that a packet can be of, nil when there is none or more than one.
func (e *endpoint) trackOf(media []Medium, pt uint8, mid []byte) (u *upTrack) {
	for _, m := range media {
		c := e.up[m]
		if c == nil || !c.accepted {
			continue
		}
		if kind, _ := c.formats.find(pt); kind == codec.Unknown {
			continue
		}
		if len(mid) > 0 && string(mid) != c.mid {
			continue
		}
		if u != nil {
			return nil
		}
		u = c
	}
	return u
}

// encodingOf returns the encoding of a RID, -1 for one that was not agreed on. Without simulcast there is one encoding, whatever the RID.
func (u *upTrack) encodingOf(rid []byte) int {
	if len(u.rids) == 0 {
		return 0
	}
	for i, known := range u.rids {
		if string(rid) == known {
			return i
		}
	}
	return -1
}

// relearnEvery is the least time between two changes of a track's SSRC.
const relearnEvery = dataplane.Instant(time.Second)

// start begins with a new SSRC: nothing of the stream before can be continued.
func (u *upStream) start(now dataplane.Instant, ssrc uint32) {
	u.keepStats()
	u.ssrc = ssrc
	u.reported = false
	u.rx = nack.NewReceiver(nack.Config{ClockRate: u.kind.ClockRate()})
	if u.src == nil || u.src.last > 0 {
		u.announce(now)
	}
}

// announce makes a source of the stream, before anything of it has come.
func (u *upStream) announce(now dataplane.Instant) {
	u.src = u.e.sh.newSource(now, u.e.sh.originOf(u.e.id), u.medium, u.encoding, u.kind, u)
}

// end takes what the track sent out of all slots.
func (u *upTrack) end(now dataplane.Instant) {
	for _, st := range u.streams {
		st.end(now)
	}
	u.accepted = false
}

// end takes what the stream sent out of all slots.
func (u *upStream) end(now dataplane.Instant) {
	if u != nil && u.src != nil {
		u.src.end(now)
		u.src = nil
	}
}

// keepStats adds the counters of the receiver that is about to be replaced.
func (u *upStream) keepStats() {
	if u.rx != nil {
		u.past = addStats(u.past, u.rx.Stats())
	}
}

func addStats(a, b nack.Stats) nack.Stats {
	b.Received += a.Received
	b.Lost += a.Lost
	b.Repaired += a.Repaired
	b.Duplicates += a.Duplicates
	b.Asked += a.Asked
	b.GivenUp += a.GivenUp
	return b
}

// take enters a packet of the stream's own SSRC.
func (u *upStream) take(now dataplane.Instant, pkt []byte, h *packet.Header, level uint8) {
	u.packets++
	u.bytes += uint64(len(pkt))
	kind, rtx := u.formats.find(h.PayloadType)
	if u.src == nil || kind == codec.Unknown || rtx {
		return
	}
	if kind == codec.RED {
		if _, err := codec.ParseRED(h.Payload(pkt), u.formats[codec.Opus].pt, ptOpus); err != nil {
			return
		}
	}
	seq, was := u.rx.Insert(h.SequenceNumber, h.Timestamp, time.Duration(now))
	if !was.Usable() || u.muted {
		return
	}
	if was == nack.Gap {
		u.noteGap(seq)
	}
	if h.Marker && u.medium != Audio {
		u.frames.frame(now, u.encoding)
	}
	setPayloadType(pkt, h, kind)
	u.src.take(now, seq, h, pkt, level)
}

// takeRTX unpacks a retransmission, RFC 4588.
func (u *upStream) takeRTX(now dataplane.Instant, pkt []byte, h *packet.Header, level uint8) {
	kind, rtx := u.formats.find(h.PayloadType)
	if u.src == nil || u.rx == nil || !rtx { // with simulcast, a retransmission can come before anything that it could repair
		return
	}
	original, oh, err := packet.Restore(pkt, h, u.ssrc, offeredFormats[kind].pt)
	if err != nil {
		return // padding that probes the path
	}
	u.bytes += uint64(len(original))
	seq, was := u.rx.Repaired(oh.SequenceNumber)
	if !was.Usable() || u.muted {
		return
	}
	if oh.Marker && u.medium != Audio {
		u.frames.frame(now, u.encoding)
	}
	u.src.take(now, seq, &oh, original, level)
}

// setPayloadType gives a packet that came the payload type by which the router knows its codec.
func setPayloadType(pkt []byte, h *packet.Header, kind codec.Kind) {
	h.PayloadType = offeredFormats[kind].pt
	pkt[1] = pkt[1]&0x80 | h.PayloadType
}

// repairs tells whether the sender sends again what is asked for, in the codec in which it sends at present.
func (u *upStream) repairs() bool { return u.src != nil && u.formats[u.src.kind].nack }

// noteGap has what is missing before a packet asked for at the end of the batch, when what was only reordered has come. Where nobody can
// be asked, it counts as lost at once.
func (u *upStream) noteGap(seq uint64) {
	if !u.repairs() {
		u.rx.Forget(seq)
		return
	}
	if !u.waiting {
		u.waiting = true
		u.e.sh.gaps = append(u.e.sh.gaps, u)
	}
}

// setMuted drops at entry what the endpoint sends of a medium.
func (e *endpoint) setMuted(now dataplane.Instant, m Medium, muted bool) {
	u := e.up[m]
	if u == nil || u.muted == muted {
		return
	}
	u.muted = muted
	u.frames.pause()
	for _, st := range u.streams {
		if muted && st != nil && st.src != nil {
			st.src.setLive(now, false)
			for _, d := range slices.Clone(st.src.down) { // those that wait for another source leave it
				d.restart(now) // what comes after the pause refers to pictures that were dropped
			}
		}
	}
}

// applyAnswer takes what the client accepted. Slots that are not in the list are not sent to.
func (e *endpoint) applyAnswer(now dataplane.Instant, sections []answered) {
	var slots [NumMedia][MaxVideoSlots]bool
	var ups [NumMedia]bool
	for _, a := range sections {
		switch {
		case int(a.Medium) >= NumMedia:
		case a.Up && e.up[a.Medium] != nil:
			ups[a.Medium] = true
			e.up[a.Medium].accept(now, &a)
		case !a.Up && a.Slot >= 0 && a.Slot < len(e.slots[a.Medium]):
			slots[a.Medium][a.Slot] = true
			e.slots[a.Medium][a.Slot].accept(&a)
		}
	}
	for m, u := range e.up {
		if u != nil && !ups[m] {
			u.end(now)
		}
		for i, d := range e.slots[m] {
			if !slots[m][i] {
				d.accepted = false
			}
			d.restart(now)
		}
	}
	e.sh.codecsDue = true
	e.sh.touchAll()
	e.sh.wake(now)
}

// accept takes the answer to the track's section.
func (u *upTrack) accept(now dataplane.Instant, a *answered) {
	u.formats, u.accepted = a.Formats, true
	if a.Mid != "" {
		u.mid = a.Mid
	}
	t := u.e.transports[u.medium]
	if t == nil {
		return
	}
	u.bindTo(now, &t.transportTracks, a)
}

// bindTo prepares the track for what comes on a transport. With simulcast its streams are learnt from their packets alone.
func (u *upTrack) bindTo(now dataplane.Instant, tt *transportTracks, a *answered) {
	if !slices.Equal(u.rids, a.RIDs) {
		for _, st := range u.streams {
			st.end(now)
		}
		u.streams, u.rids = [maxEncodings]*upStream{}, a.RIDs
	}
	for i := range u.rids {
		if st := u.stream(i); st.src == nil {
			st.announce(now)
		}
	}
	if len(u.rids) > 0 || a.SSRC == 0 {
		for _, st := range u.streams {
			if st != nil && !st.boundTo(tt) {
				st.ssrc, st.rtxSSRC, st.learned = 0, 0, 0 // on this transport it is still to be learnt
			}
		}
		return
	}
	st := u.stream(0)
	if st.boundTo(tt) && st.ssrc == a.SSRC {
		return
	}
	tt.forget(st)
	st.start(now, a.SSRC)
	tt.bind(a.SSRC, st, false)
	if a.RTXSSRC != 0 {
		st.rtxSSRC = a.RTXSSRC
		tt.bind(a.RTXSSRC, st, true)
	}
}

// boundTo tells whether the stream comes on a transport already.
func (u *upStream) boundTo(tt *transportTracks) bool {
	entry := tt.find(u.ssrc)
	return u.src != nil && entry != nil && entry.stream == u
}

package mmr

import (
	"encoding/binary"
	"time"

	"meetzone/dataplane"
	"meetzone/dscp"
	"meetzone/mmr/internal/bwe"
)

const (
	// maxCompound bounds one RTCP datagram, so that it leaves room for what may be wrapped around it.
	maxCompound = 1100
	// generousBitrate is what senders are told that the box can take (REMB), unless there is use for less: estimating is left to transport-wide
	// feedback.
	generousBitrate = 12_000_000
	rembEvery       = dataplane.Instant(time.Second)
	// firstRoundTrip is assumed before a peer has reported.
	firstRoundTrip = 100 * time.Millisecond
)

// Out, to senders: what is missing, keyframe requests, transport-wide feedback, REMB and receiver reports.

// askMissing asks for what is missing and due in all encodings.
func (u *upTrack) askMissing(now dataplane.Instant) {
	for _, st := range u.streams {
		if st != nil {
			st.askMissing(now)
		}
	}
}

// askMissing asks for what is missing and due.
func (u *upStream) askMissing(now dataplane.Instant) {
	u.waiting = false
	if u.rx == nil || !u.repairs() || u.muted {
		return
	}
	t := u.e.transports[u.medium]
	if t == nil || !t.ready() {
		return
	}
	sh := u.e.sh
	roundTrip := t.roundTrip
	if roundTrip == 0 {
		roundTrip = firstRoundTrip
	}
	if sh.seqs = u.rx.Due(sh.seqs[:0], time.Duration(now), roundTrip); len(sh.seqs) > 0 {
		t.sendRTCP(u.medium.Class(), appendNACK(sh.scratch[:0], u.e.reporter, u.ssrc, sh.seqs))
	}
	if at, ok := u.rx.NextDue(); ok {
		sh.nackAt = min(sh.nackAt, max(dataplane.Instant(at), now+nackEvery))
		sh.wake(sh.nackAt)
	}
}

// nackEvery is the least time between two looks at what is missing.
const nackEvery = dataplane.Instant(5 * time.Millisecond)

// askKeyframe sends a PLI.
func (u *upStream) askKeyframe(now dataplane.Instant, s *source) {
	t := u.e.transports[u.medium]
	if t == nil || !t.ready() || u.src != s {
		return
	}
	u.keyframes++
	t.sendRTCP(u.medium.Class(), appendPLI(u.e.sh.scratch[:0], u.e.reporter, u.ssrc))
}

// feedback sends the transport-wide feedback and REMB of the endpoint's transports.
func (e *endpoint) feedback(now dataplane.Instant) {
	for m, t := range e.transports {
		if t == nil || t.media[0] != Medium(m) || !t.ready() {
			continue // a bundled one is visited with its first medium
		}
		var ssrcs [NumMedia * maxEncodings]uint32
		n := e.sending(t.media, &ssrcs)
		if n == 0 {
			continue
		}
		class := Medium(m).Class()
		b := e.sh.scratch[:0]
		recorder := t.recorder
		if !e.apart {
			recorder = e.recorder // the first transport speaks for all
		}
		if recorder != nil && recorder.Pending() > 0 {
			b = recorder.Append(b, e.reporter, ssrcs[0])
			t.sendCompounds(class, b)
			b = b[:0]
		}
		if (Medium(m) != Audio || n > 1) && now >= t.nextREMB {
			t.nextREMB = now + rembEvery
			t.sendRTCP(class, appendREMB(b, e.reporter, e.uplink(), ssrcs[:n]))
		}
	}
}

// sending lists the SSRCs that the endpoint sends of media.
func (e *endpoint) sending(media []Medium, ssrcs *[NumMedia * maxEncodings]uint32) (n int) {
	for _, m := range media {
		if e.up[m] == nil {
			continue
		}
		for _, st := range e.up[m].streams {
			if st != nil && st.src != nil && st.ssrc != 0 {
				ssrcs[n] = st.ssrc
				n++
			}
		}
	}
	return n
}

// sendCompounds sends RTCP packets in datagrams of at most maxCompound bytes.
func (t *transport) sendCompounds(class dscp.Class, b []byte) {
	start, end := b, 0
	for rest := b; ; {
		_, next, ok := nextRTCP(rest)
		if !ok {
			break
		}
		size := len(rest) - len(next)
		if end > 0 && end+size > maxCompound {
			t.sendRTCP(class, start[:end])
			start, end = start[end:], 0
		}
		end += size
		rest = next
	}
	if end > 0 {
		t.sendRTCP(class, start[:end])
	}
}

// report sends the receiver reports about what the endpoint sends, and the sender reports of its slots.
func (e *endpoint) report(now dataplane.Instant) {
	for m := range NumMedia {
		t := e.transports[m]
		if t == nil || !t.ready() {
			continue
		}
		b := e.sh.scratch[:0]
		if u := e.up[m]; u != nil {
			b = u.appendReports(now, b)
		}
		for _, d := range e.slots[m] {
			if len(b) > maxCompound-srSize {
				t.sendRTCP(Medium(m).Class(), b)
				b = b[:0]
			}
			b = d.appendReport(now, b)
		}
		if len(b) > 0 {
			t.sendRTCP(Medium(m).Class(), b)
		}
	}
}

const srSize = 28 // without report blocks

// appendReports adds a receiver report about all encodings that arrive.
func (u *upTrack) appendReports(now dataplane.Instant, b []byte) []byte {
	var reports [maxEncodings]report
	n := 0
	for _, st := range u.streams {
		if st == nil || st.src == nil || st.rx == nil {
			continue
		}
		if r, ok := st.receiverReport(now); ok {
			reports[n] = r
			n++
		}
	}
	if n == 0 {
		return b
	}
	return appendRR(b, u.e.reporter, reports[:n])
}

// receiverReport says how the stream arrives.
func (u *upStream) receiverReport(now dataplane.Instant) (r report, ok bool) {
	rep, ok := u.rx.Report()
	if !ok {
		return r, false
	}
	r = report{ssrc: u.ssrc, fraction: rep.FractionLost, lost: rep.CumulativeLost, highest: rep.HighestSeq, jitter: rep.Jitter}
	if u.reported {
		r.lastSR = uint32(u.ntp >> 16)
		r.sinceSR = uint32(uint64(now-u.ntpAt) << 16 / 1e9)
	}
	return r, true
}

// appendReport adds the slot's sender report. All slots of all endpoints count time by the router's clock, so that a receiver can bring
// the voice and the picture of one participant together whichever slots they are in. Each slot is a stream of its own in the offer
// (its msid), since who is in it changes.
func (d *downTrack) appendReport(now dataplane.Instant, b []byte) []byte {
	if d.showing == nil || d.packets == 0 {
		return b
	}
	wall := d.e.sh.wallTime(now)
	rtp, ok := d.munge.MapTimestamp(d.showing.clockAt(wall))
	if !ok {
		return b
	}
	return appendSR(b, senderInfo{ssrc: d.ssrc, ntp: ntpTime(wall), rtp: rtp}, uint32(d.packets), d.octets)
}

// In: reports of both kinds, and what receivers ask for.

// handleRTCP takes one decrypted compound.
func (sh *shard) handleRTCP(now dataplane.Instant, t *transport, compound []byte) {
	sh.controlled(now, t.endpoint, &t.transportTracks, t.media, compound)
}

// What one compound can ask for and report, so that a datagram costs about the same whatever is in it.
const (
	mostNamed    = 256 // packets asked for
	mostMessages = 16  // of transport-wide feedback
	mostStatuses = 4096
)

// allowance is what is left of these bounds.
type allowance struct{ named, messages, statuses int }

// controlled is handleRTCP without a transport.
func (sh *shard) controlled(now dataplane.Instant, e *endpoint, tt *transportTracks, media []Medium, compound []byte) {
	left := allowance{named: mostNamed, messages: mostMessages, statuses: mostStatuses}
	for {
		p, rest, ok := nextRTCP(compound)
		if !ok {
			return
		}
		compound = rest
		switch p.kind {
		case rtcpSR:
			if info, ok := p.senderInfo(); ok {
				e.senderReported(now, tt, info)
			}
			e.receptionReported(now, tt, media, &p)
		case rtcpRR:
			e.receptionReported(now, tt, media, &p)
		case rtcpRTPFB:
			if p.count != fmtTransport {
				e.nacked(now, media, &p, &left)
			} else if left.permits(bwe.Statuses(p.body)) {
				e.budget.reported(now, uint8(media[0]), p.body)
			}
		case rtcpPSFB:
			e.pictureLost(now, media, &p)
		case rtcpBye:
			e.saidBye(now, tt, &p)
		}
	}
}

// permits takes a message of transport-wide feedback off the bounds, if it is within them.
func (a *allowance) permits(statuses int) bool {
	if a.messages == 0 || statuses > a.statuses {
		return false
	}
	a.messages--
	a.statuses -= statuses
	return true
}

// senderReported takes the sender's own clock, and what it says about one of its streams.
func (e *endpoint) senderReported(now dataplane.Instant, tt *transportTracks, info senderInfo) {
	entry := tt.find(info.ssrc)
	if entry == nil || entry.rtx || info.ntp == 0 {
		return
	}
	u := entry.stream
	u.ntp, u.ntpAt, u.rtp, u.reported = info.ntp, now, info.rtp, true
	e.senderTime.update(unixTime(info.ntp), e.sh.wallTime(now))
}

// clock returns when the track's last sender report was made, by the router's clock.
func (u *upStream) clock() (wall int64, rtp uint32, ok bool) {
	return unixTime(u.ntp) + u.e.senderTime.offset, u.rtp, u.reported
}

// downTrackOf returns the slot with an SSRC, its own or its RTX stream's.
func (e *endpoint) downTrackOf(media []Medium, ssrc uint32) *downTrack {
	for _, m := range media {
		for _, d := range e.slots[m] {
			if d.ssrc == ssrc || d.rtxSSRC == ssrc && ssrc != 0 {
				return d
			}
		}
	}
	return nil
}

// receptionReported takes what the receiver says about its slots.
func (e *endpoint) receptionReported(now dataplane.Instant, tt *transportTracks, media []Medium, p *rtcpPacket) {
	var r report
	for blocks := p.reports(); len(blocks) > 0; blocks = blocks[reportBlock:] {
		r.read(blocks)
		d := e.downTrackOf(media, r.ssrc)
		if d == nil || d.ssrc != r.ssrc {
			continue
		}
		expected, missing := d.tally(&r)
		e.budget.received(now, expected, missing)
		d.stats.Lost = uint64(max(r.lost, 0))
		d.stats.Jitter = time.Duration(r.jitter) * time.Second / time.Duration(d.kind.ClockRate())
		if !r.haveLastSR {
			continue
		}
		// RFC 3550, section 6.4.1: now - DLSR - LSR, in 1/65536 s. Half of the range is negative, which clock granularity explains.
		units := int32(uint32(ntpTime(e.sh.wallTime(now))>>16) - r.sinceSR - r.lastSR)
		roundTrip := time.Duration(max(units, 1)) * time.Second >> 16
		if roundTrip < 10*time.Second {
			d.stats.RoundTrip, tt.roundTrip = roundTrip, roundTrip
			e.budget.estimator.RoundTrip(roundTrip)
		}
	}
}

// tally returns how many packets of the slot a report is about that the one before was not, and how many of these are missing.
func (d *downTrack) tally(r *report) (expected, missing int) {
	last := d.reported
	d.reported = *r
	if last.ssrc == 0 {
		return 0, 0
	}
	return max(int(int32(r.highest-last.highest)), 0), max(int(r.lost-last.lost), 0)
}

// nacked sends again what the receiver misses, as far as the bounds go.
func (e *endpoint) nacked(now dataplane.Instant, media []Medium, p *rtcpPacket, left *allowance) {
	ssrc, ok := p.mediaSSRC()
	if !ok {
		return
	}
	d := e.downTrackOf(media, ssrc)
	if d == nil || d.ssrc != ssrc {
		return
	}
	for fci := p.nacks(); len(fci) > 0; fci = fci[4:] {
		pid, blp := binary.BigEndian.Uint16(fci), binary.BigEndian.Uint16(fci[2:])
		for i, named := uint16(0), uint32(blp)<<1|1; named != 0; i, named = i+1, named>>1 {
			if named&1 == 0 {
				continue
			}
			if left.named == 0 {
				return
			}
			left.named--
			d.resend(now, pid+i)
		}
	}
}

// pictureLost passes keyframe requests on, and notes what the receiver thinks it can take.
func (e *endpoint) pictureLost(now dataplane.Instant, media []Medium, p *rtcpPacket) {
	if rate, ok := p.remb(); ok {
		e.budget.limit(rate)
		return
	}
	for fci := p.firs(); len(fci) > 0; fci = fci[8:] {
		e.wantsKeyframe(now, media, binary.BigEndian.Uint32(fci))
	}
	if ssrc, ok := p.mediaSSRC(); ok && p.count == fmtPLI {
		e.wantsKeyframe(now, media, ssrc)
	}
}

func (e *endpoint) wantsKeyframe(now dataplane.Instant, media []Medium, ssrc uint32) {
	d := e.downTrackOf(media, ssrc)
	if d == nil {
		return
	}
	d.stats.Keyframes++
	if d.wanted != nil && d.pleas.take(now) {
		d.wanted.requestKeyframe(now)
	}
}

// pleas bounds the keyframes that one slot can ask its source for by itself: each costs everybody who sees the picture. A receiver that has
// lost one asks again and is heard.
type pleas struct {
	left  int
	since dataplane.Instant
}

const (
	pleaBurst = 4
	pleaEvery = dataplane.Instant(time.Second)
)

// take takes a plea if there is one left.
func (p *pleas) take(now dataplane.Instant) bool {
	if n := int((now - p.since) / pleaEvery); n > 0 || p.since == 0 {
		p.left, p.since = min(pleaBurst, p.left+max(n, 1)), max(now, 1)
	}
	if p.left == 0 {
		return false
	}
	p.left--
	return true
}

// saidBye takes a stream that its sender has ended for silent, without waiting.
func (e *endpoint) saidBye(now dataplane.Instant, tt *transportTracks, p *rtcpPacket) {
	for b := p.body[:min(len(p.body), 4*int(p.count))]; len(b) >= 4; b = b[4:] {
		if entry := tt.find(binary.BigEndian.Uint32(b)); entry != nil && !entry.rtx && entry.stream.src != nil {
			entry.stream.src.setLive(now, false)
		}
	}
}

// senderTime is the difference between an endpoint's clock and the router's, the same for all that the endpoint sends, so that its voice
// and its picture stay together.
type senderTime struct {
	offset int64 // to be added to the endpoint's, nanoseconds
	at     int64
	known  bool
}

// maxDrift is how fast the difference may follow a clock that is slow against ours, in parts of a million.
const maxDrift = 200

// update takes a report: made at sent by the endpoint's clock, arrived at wall. The path only adds to the difference, so the smallest
// counts; a larger one is followed as slowly as clocks drift, or at once when the endpoint's clock was set.
func (s *senderTime) update(sent, wall int64) {
	offset := wall - sent
	elapsed := wall - s.at
	s.at = wall
	if !s.known || offset < s.offset || offset-s.offset > int64(10*time.Second) {
		s.offset, s.known = offset, true
		return
	}
	s.offset += min(offset-s.offset, elapsed/1_000_000*maxDrift)
}

// ntpEpoch is 1970 in seconds since 1900.
const ntpEpoch = 2_208_988_800

// ntpTime returns Unix nanoseconds in the 32.32 format of RFC 5905, era 0 or whichever wraps into it.
func ntpTime(unix int64) uint64 {
	seconds, nanos := unix/1e9, unix%1e9
	return uint64(seconds+ntpEpoch)<<32 | uint64(nanos)<<32/1e9
}

// unixTime is the inverse of ntpTime; whole values of a clock that never was set give times around 1900.
func unixTime(ntp uint64) int64 {
	return (int64(ntp>>32)-ntpEpoch)*1e9 + int64((ntp&0xffffffff)*1e9>>32)
}

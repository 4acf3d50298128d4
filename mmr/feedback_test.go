package mmr

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"meetzone/dataplane"
	"meetzone/mmr/internal/packet"
	"meetzone/mmr/internal/srtp"
)

// heardBy is what came to one endpoint's sockets.
type heardBy struct {
	rtcp   [NumMedia][]rtcp.Packet
	newest [NumMedia]uint32 // timestamp of the newest packet, and the round in which it was made
	round  [NumMedia]uint32
}

// inbox collects what a rig sends.
type inbox struct {
	t  *testing.T
	mu sync.Mutex // guards what the sockets' readers write
	by map[EndpointID]*heardBy
}

func (in *inbox) take(id EndpointID, m Medium, o *srtp.Opener, b []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.by[id] == nil {
		in.by[id] = &heardBy{}
	}
	to := in.by[id]
	if !packet.IsRTCP(b) {
		plain, err := o.OpenRTP(b)
		if err != nil {
			in.t.Errorf("open RTP: %v", err)
			return
		}
		h, err := packet.Parse(plain)
		if err != nil {
			in.t.Errorf("parse RTP: %v", err)
		}
		if int32(h.Timestamp-to.newest[m]) > 0 || to.newest[m] == 0 {
			to.newest[m], to.round[m] = h.Timestamp, binary.BigEndian.Uint32(h.Payload(plain)[benchRound:])
		}
		return
	}
	plain, err := o.OpenRTCP(b)
	if err != nil {
		in.t.Errorf("open RTCP: %v", err)
		return
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		in.t.Errorf("parse RTCP: %v", err)
	}
	to.rtcp[m] = append(to.rtcp[m], packets...)
}

// find waits for an RTCP packet that satisfies want.
func (in *inbox) find(what string, id EndpointID, m Medium, want func(rtcp.Packet) bool) {
	in.t.Helper()
	waitFor(in.t, what, func() bool {
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.by[id] == nil {
			return false
		}
		for _, p := range in.by[id].rtcp[m] {
			if want(p) {
				return true
			}
		}
		return false
	})
}

// has tells whether both media of a round have come.
func (in *inbox) has(id EndpointID, round uint32) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	to := in.by[id]
	return to != nil && to.round[Audio] == round && to.round[Video] == round
}

// TestFeedback looks at the RTCP that a sender and a receiver get.
func TestFeedback(t *testing.T) {
	in := &inbox{t: t, by: map[EndpointID]*heardBy{}}
	g := newRig(t, 1, in.take)
	for i := range 150 {
		if i == 75 {
			g.seqs[Video] += 3 // lost
		}
		g.load()
		g.forward()
		g.now += dataplane.Instant(10 * time.Millisecond) // what is missing is asked for after a while
		g.h.Advance(g.now)
		g.h.w.Flush()
	}
	in.find("transport-wide feedback about voice", "sender", Audio, func(p rtcp.Packet) bool {
		f, ok := p.(*rtcp.TransportLayerCC)
		return ok && f.MediaSSRC == 1 && f.PacketStatusCount > 0
	})
	in.find("transport-wide feedback about pictures", "sender", Video, func(p rtcp.Packet) bool {
		f, ok := p.(*rtcp.TransportLayerCC)
		return ok && f.MediaSSRC == 2 && f.PacketStatusCount >= benchBurst
	})
	in.find("REMB", "sender", Video, func(p rtcp.Packet) bool {
		f, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate)
		return ok && f.Bitrate > 5e6 && len(f.SSRCs) == 1 && f.SSRCs[0] == 2
	})
	in.find("a NACK for what was lost", "sender", Video, func(p rtcp.Packet) bool {
		f, ok := p.(*rtcp.TransportLayerNack)
		return ok && f.MediaSSRC == 2 && len(f.Nacks) == 1 && len(f.Nacks[0].PacketList()) == 3
	})
	in.find("a report of the loss", "sender", Video, func(p rtcp.Packet) bool {
		f, ok := p.(*rtcp.ReceiverReport)
		return ok && len(f.Reports) == 1 && f.Reports[0].SSRC == 2 && f.Reports[0].TotalLost == 3
	})
	in.find("a keyframe request", "sender", Video, func(p rtcp.Packet) bool {
		f, ok := p.(*rtcp.PictureLossIndication)
		return ok && f.MediaSSRC == 2
	})
}

// TestLipSync gives voice and picture of one sender, whose clock is wrong and whose reports are late, and compares what a receiver makes
// of the reports of the two slots.
func TestLipSync(t *testing.T) {
	in := &inbox{t: t, by: map[EndpointID]*heardBy{}}
	g := newRig(t, 1, in.take)
	const wrong = -40 * time.Hour
	report := func(m Medium, delay time.Duration) { // the sender took sound and picture of one round at the same time
		captured := g.sh.wallTime(g.now) + int64(wrong)
		sr := appendSR(nil, senderInfo{ssrc: uint32(m) + 1, ntp: ntpTime(captured), rtp: g.timestamp(m)}, 1, 1)
		b := make([]byte, dataplane.MaxDatagram)
		n, err := g.sealers[m].SealRTCP(b, sr)
		if err != nil {
			t.Fatal(err)
		}
		g.h.HandleBatch(g.now+dataplane.Instant(delay), []dataplane.Datagram{{Path: g.paths[m], Data: b[:n]}})
	}
	waitFor(t, "the sockets to be read", func() bool {
		g.load()
		g.forward()
		return in.has("0", g.round-1)
	})
	var settled int64
	for i := range 200 {
		g.load()
		g.forward()
		waitFor(t, "a round, so that no socket overflows", func() bool { return in.has("0", g.round) })
		switch i {
		case 20, 120:
			report(Video, 70*time.Millisecond)
		case 50, 130:
			report(Audio, 5*time.Millisecond)
			settled = g.sh.wallTime(g.now)
		}
	}
	// When, by the router's clock, was round 0?
	last := func(m Medium) (at time.Duration, ok bool) {
		in.mu.Lock()
		defer in.mu.Unlock()
		to := in.by["0"]
		if to == nil {
			return 0, false
		}
		var sr *rtcp.SenderReport
		for _, p := range to.rtcp[m] {
			if s, is := p.(*rtcp.SenderReport); is {
				sr = s
			}
		}
		if sr == nil || unixTime(sr.NTPTime) < settled {
			return 0, false
		}
		rate := time.Duration(48000)
		if m == Video {
			rate = 90000
		}
		at = time.Duration(unixTime(sr.NTPTime)) + time.Duration(int32(to.newest[m]-sr.RTPTime))*time.Second/rate
		return at - time.Duration(to.round[m])*20*time.Millisecond, true
	}
	var voice, picture time.Duration
	waitFor(t, "the reports", func() bool {
		var a, b bool
		voice, a = last(Audio)
		picture, b = last(Video)
		return a && b
	})
	if skew := voice - picture; skew > 2*time.Millisecond || skew < -2*time.Millisecond {
		t.Errorf("voice and picture are %v apart", skew)
	}
}

func TestSenderTime(t *testing.T) {
	const ms = int64(time.Millisecond)
	var s senderTime
	s.update(1000*ms, 5040*ms)
	if s.offset != 4040*ms {
		t.Errorf("the first report gives %d", s.offset)
	}
	s.update(2000*ms, 6010*ms)
	if s.offset != 4010*ms {
		t.Errorf("a faster report gives %d", s.offset)
	}
	s.update(3000*ms, 7090*ms)
	if d := s.offset - 4010*ms; d <= 0 || d > ms {
		t.Errorf("a slower report moves it by %d", d)
	}
	s.update(4000*ms, 3_608_000*ms)
	if s.offset != 3_604_000*ms {
		t.Errorf("a clock that was set gives %d", s.offset)
	}
	for _, unix := range []int64{0, 1, 1_700_000_000_123_456_789} {
		if got := unixTime(ntpTime(unix)); got < unix-1 || got > unix+1 {
			t.Errorf("%d became %d by way of NTP", unix, got)
		}
	}
}

// TestFeedbackForAllTransports: where a sender numbers the packets of all its transports in one sequence, as browsers do, nothing that arrived is
// reported missing, although each transport carries only a part of it.
func TestFeedbackForAllTransports(t *testing.T) {
	in := &inbox{t: t, by: map[EndpointID]*heardBy{"sender": {}}}
	g := newRig(t, 1, in.take)
	sender := g.sh.byID["sender"]
	g.sh.transportReady(g.now, sender.transports[Audio]) // as if it had come anew
	g.whole, g.number = true, 65_000
	const rounds = 200
	for range rounds {
		g.load()
		g.forward()
	}
	reported := func() (arrived, missing int) {
		in.mu.Lock()
		defer in.mu.Unlock()
		for m := range NumMedia {
			for _, p := range in.by["sender"].rtcp[m] {
				f, ok := p.(*rtcp.TransportLayerCC)
				if !ok || f.BaseSequenceNumber < 65_000 && f.BaseSequenceNumber > g.number {
					continue // from before
				}
				arrived += len(f.RecvDeltas)
				missing += int(f.PacketStatusCount) - len(f.RecvDeltas)
			}
		}
		return arrived, missing
	}
	waitFor(t, "feedback about everything", func() bool {
		g.now += dataplane.Instant(20 * time.Millisecond)
		g.h.Advance(g.now)
		g.h.w.Flush()
		arrived, _ := reported()
		return arrived >= rounds*(benchBurst+1)-1
	})
	if arrived, missing := reported(); missing != 0 || sender.apart {
		t.Errorf("%d packets are reported missing, %d arrived", missing, arrived)
	}
}

// TestApart: an outage of many packets does not make transports look as if each were numbered by itself; two counters do, however far apart.
func TestApart(t *testing.T) {
	for _, c := range []struct {
		name  string
		seqs  []uint16 // by turns of two transports
		apart bool
	}{
		{"one counter", []uint16{1, 2, 3, 4}, false},
		{"an outage", []uint16{1, 2, 3003, 3004, 3005}, false},
		{"the same numbers", []uint16{1, 1, 2, 2}, true},
		{"one far ahead", []uint16{1, 20_000, 2, 20_001}, true},
		{"one far behind", []uint16{20_000, 1, 20_001, 2}, true},
	} {
		e, both := &endpoint{}, [2]transportTracks{}
		for i, seq := range c.seqs {
			e.record(dataplane.Instant(i+1)*dataplane.Instant(time.Millisecond), &both[i%2], seq)
		}
		if e.apart != c.apart {
			t.Errorf("%s: apart %v", c.name, e.apart)
		}
	}
}

// TestAskedTooMuch: what one compound, and one endpoint, can ask for is bounded, also where it asks for what is not there.
func TestAskedTooMuch(t *testing.T) {
	g := setUp(t, 1, &rig{adapts: true})
	for range 10 {
		g.load()
		g.forward()
	}
	e := g.ears[0].e
	d := e.slots[Video][0]
	newest := uint16(0)
	for seq := range 1 << 16 {
		if _, ok := d.sent(uint16(seq)); ok {
			newest = uint16(seq)
		}
	}
	all := make([]uint16, 6000)
	for i := range all {
		all[i] = newest + 1000 + uint16(i)
	}
	ask := func(seqs []uint16) {
		t.Helper()
		tr := e.transports[Video]
		g.sh.controlled(g.now, e, &tr.transportTracks, tr.media, appendNACK(nil, 7, d.ssrc, seqs))
	}
	before := d.stats.NACKs
	ask([]uint16{newest})
	if d.stats.Resent != 1 {
		t.Fatal("a packet that was sent is not sent again")
	}
	if ask(all); d.stats.NACKs-before != 1+mostNamed {
		t.Errorf("%d packets of one compound were taken", d.stats.NACKs-before)
	}
	for range 10 {
		ask(all)
	}
	if e.lookups.tokens >= 1 {
		t.Errorf("%.0f more packets can be looked for", e.lookups.tokens)
	}
	if ask([]uint16{newest - 1}); d.stats.Resent != 1 {
		t.Error("a packet was sent again although too many were asked for")
	}
}

// TestAllowance: of transport-wide feedback, so many messages and so many statuses are taken.
func TestAllowance(t *testing.T) {
	for _, statuses := range []int{1, 400, 4096} {
		left, taken := allowance{messages: mostMessages, statuses: mostStatuses}, 0
		for range 100 {
			if left.permits(statuses) {
				taken++
			}
		}
		if want := min(mostMessages, mostStatuses/statuses); taken != want {
			t.Errorf("%d messages of %d statuses were taken, want %d", taken, statuses, want)
		}
	}
}

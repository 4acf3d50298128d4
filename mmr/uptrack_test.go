package mmr

import (
	"math/rand/v2"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/packet"
)

// rtpPacket makes a packet, with a mid if there is one.
func rtpPacket(h packet.Header, mid string, payload []byte) []byte {
	b := make([]byte, packet.FixedLen, 256)
	packet.PutHeader(b, &h)
	if mid != "" {
		b[0] |= 0x10
		ext := append([]byte{extMID<<4 | byte(len(mid)-1)}, mid...)
		for len(ext)%4 != 0 {
			ext = append(ext, 0)
		}
		b = append(append(b, 0xbe, 0xde, 0, byte(len(ext)/4)), ext...)
	}
	return append(b, payload...)
}

// TestLearnSSRC lets streams come that no answer has named.
func TestLearnSSRC(t *testing.T) {
	all := []Medium{Audio, Video, Content}
	for _, c := range []struct {
		name  string
		media []Medium // of the transport
		mid   string
		pt    uint8
		want  Medium
		none  bool
	}{
		{name: "mid", media: all, mid: "content-up", pt: ptVP8, want: Content},
		{name: "payload type", media: []Medium{Video}, pt: ptVP8, want: Video},
		{name: "payload type of a bundle", media: all, pt: ptOpus, want: Audio},
		{name: "ambiguous", media: all, pt: ptVP8, none: true},
		{name: "mid of another transport", media: []Medium{Video}, mid: "content-up", pt: ptVP8, none: true},
		{name: "mid and payload type disagree", media: all, mid: "audio-up", pt: ptVP8, none: true},
		{name: "unknown payload type", media: []Medium{Video}, pt: 100, none: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh := newShard()
			e, _ := bareEndpoint(t, sh, "a", 0)
			h := packet.Header{PayloadType: c.pt, SequenceNumber: 7, SSRC: 99}
			sh.arrived(1, e, &transportTracks{ids: offeredIDs}, c.media, rtpPacket(h, c.mid, vp8Payload(1, true, true, 20)))
			for m, u := range e.up {
				st := u.streams[0]
				if got, want := st != nil && st.src != nil && st.ssrc == 99, Medium(m) == c.want && !c.none; got != want {
					t.Errorf("%s: learnt %v, want %v", Medium(m), got, want)
				}
			}
		})
	}
}

// TestLearnIsBounded lets a sender change its SSRC with every packet.
func TestLearnIsBounded(t *testing.T) {
	sh := newShard()
	e, _ := bareEndpoint(t, sh, "a", 0)
	var tt transportTracks
	for i := range 1000 {
		h := packet.Header{PayloadType: ptVP8, SequenceNumber: uint16(i), SSRC: uint32(i) + 1}
		now := dataplane.Instant(i+1) * dataplane.Instant(10*time.Millisecond)
		sh.arrived(now, e, &tt, []Medium{Video}, rtpPacket(h, "", vp8Payload(1, true, true, 20)))
		sh.flush(now)
		sh.advance(now)
	}
	if sh.lastID > 11 || tt.bound > maxSSRCs || len(sh.sources) != 1 {
		t.Errorf("%d sources were made in 10 s, %d SSRCs and %d sources are there", sh.lastID, tt.bound, len(sh.sources))
	}
}

// TestRTXRepairs loses packets on the way in and sends them again as RFC 4588 says. The receiver must get everything.
func TestRTXRepairs(t *testing.T) {
	sh := newShard()
	viewer, out := bareEndpoint(t, sh, "viewer", 1)
	e, _ := bareEndpoint(t, sh, "sender", 0)
	r := rand.New(rand.NewPCG(1, 2))
	cam := newCamera(e, 0, r)
	cam.tt.bind(5000, e.up[Video].streams[0], true)
	var rtxSeq uint16
	sent := 0
	var late [][]byte
	for now := dataplane.Instant(1); now < dataplane.Instant(10*time.Second); now += dataplane.Instant(33 * time.Millisecond) {
		for _, p := range cam.shoot(now, r) {
			showing := viewer.slots[Video][0].showing != nil
			h, _ := packet.Parse(p)
			if showing && h.SequenceNumber%7 == 3 {
				payload := append([]byte{byte(h.SequenceNumber >> 8), byte(h.SequenceNumber)}, h.Payload(p)...)
				rh := packet.Header{Marker: h.Marker, PayloadType: ptVP8RTX, SequenceNumber: rtxSeq, Timestamp: h.Timestamp, SSRC: 5000}
				late = append(late, rtpPacket(rh, "", payload))
				rtxSeq++
				continue
			}
			sh.arrived(now, e, &cam.tt, []Medium{Video}, p)
			for _, p := range late { // something after it has come, so that it is missed
				sh.arrived(now, e, &cam.tt, []Medium{Video}, p)
				sent++
			}
			late = late[:0]
			if showing {
				sent++
			}
		}
		sh.flush(now)
		sh.advance(now)
	}
	d := viewer.slots[Video][0]
	if got := int(d.packets); sent < 500 || got < sent {
		t.Errorf("%d packets were forwarded of %d", got, sent)
	}
	checkNoGaps(t, out, d.ssrc)
	s := e.up[Video].directionStats()
	if s.Resent == 0 || s.Lost != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestLossIsCounted loses every tenth packet of a voice, of which none can be asked for again, and every tenth of a picture whose sender
// repairs half of that.
func TestLossIsCounted(t *testing.T) {
	sh := newShard()
	e, _ := bareEndpoint(t, sh, "sender", 0)
	e.up[Audio].formats[codec.Opus].nack, e.up[Video].formats[codec.VP8].nack = false, false // nothing is waited for
	var tt transportTracks
	now := dataplane.Instant(1)
	for i := range 1000 {
		now += dataplane.Instant(20 * time.Millisecond)
		seq := uint16(i)
		if i == 0 || i%10 != 3 {
			sh.arrived(now, e, &tt, []Medium{Audio}, rtpPacket(packet.Header{PayloadType: ptOpus, SequenceNumber: seq, SSRC: 8}, "", []byte{0x78, 1}))
			sh.arrived(now, e, &tt, []Medium{Video}, rtpPacket(packet.Header{PayloadType: ptVP8, SequenceNumber: seq, SSRC: 9, Marker: true}, "", vp8Payload(1, true, true, 20)))
		}
		if i == 1 {
			tt.bind(5000, e.up[Video].streams[0], true)
		}
		if i%20 == 5 { // two packets after it was lost
			lost := append([]byte{byte((seq - 2) >> 8), byte(seq - 2)}, vp8Payload(1, true, true, 20)...)
			sh.arrived(now, e, &tt, []Medium{Video}, rtpPacket(packet.Header{PayloadType: ptVP8RTX, SequenceNumber: seq, SSRC: 5000, Marker: true}, "", lost))
		}
		sh.flush(now)
		sh.advance(now)
	}
	if s := e.up[Audio].directionStats(); s.Packets != 900 || s.Lost != 100 {
		t.Errorf("voice: %+v, want 900 packets and 100 lost", s)
	}
	if s := e.up[Video].directionStats(); s.Resent != 50 || s.Lost != 50 || s.Frames != 950 {
		t.Errorf("picture: %+v, want 50 lost, 50 sent again and 950 frames", s)
	}
}

// checkNoGaps wants every number of a stream.
func checkNoGaps(t *testing.T, out *outlet, ssrc uint32) {
	t.Helper()
	numbers := out.rtp[ssrc]
	highest := out.numbers[ssrc].Highest()
	for n := highest - uint64(len(numbers)) + 1; n <= highest; n++ {
		if _, ok := numbers[n]; !ok {
			t.Errorf("number %d was never sent", n)
		}
	}
}

// TestMutedAtEntry drops what a muted sender sends, and begins with a keyframe afterwards.
func TestMutedAtEntry(t *testing.T) {
	sh := newShard()
	viewer, out := bareEndpoint(t, sh, "viewer", 1)
	e, _ := bareEndpoint(t, sh, "sender", 0)
	r := rand.New(rand.NewPCG(3, 4))
	cam := newCamera(e, 0, r)
	d := viewer.slots[Video][0]
	now := dataplane.Instant(1)
	shoot := func(pictures int) {
		for range pictures {
			now += dataplane.Instant(33 * time.Millisecond)
			for _, p := range cam.shoot(now, r) {
				sh.arrived(now, e, &cam.tt, []Medium{Video}, p)
			}
			sh.flush(now)
			sh.advance(now)
		}
	}
	shoot(30)
	before := d.packets
	if before == 0 {
		t.Fatal("nothing was forwarded")
	}
	e.setMuted(now, Video, true)
	shoot(30)
	if d.packets != before || !d.slot().Paused {
		t.Errorf("%d packets were forwarded while muted, slot %+v", d.packets-before, d.slot())
	}
	highest := out.numbers[d.ssrc].Highest()
	e.setMuted(now, Video, false)
	shoot(30)
	first, ok := out.rtp[d.ssrc][highest+1]
	if !ok || !read(t, highest+1, first).d.Keyframe {
		t.Errorf("the picture does not go on with a keyframe")
	}
}

// TestRTXFirst: a retransmission of an encoding of which nothing has come yet is passed over.
func TestRTXFirst(t *testing.T) {
	sh := newShard()
	s := newSimulcaster(t, sh, "sender")
	b := make([]byte, packet.FixedLen)
	packet.PutHeader(b, &packet.Header{PayloadType: ptVP8RTX, SequenceNumber: 1, SSRC: 6000})
	b[0] |= 0x10
	b = append(b, 0xbe, 0xde, 0, 1, extRepairedRID<<4, 'm', 0, 0)
	b = append(append(b, 0, 9), vp8Payload(1, true, true, 20)...)
	sh.arrived(1, s.e, &s.tt, []Medium{Video}, b)
	if st := s.e.up[Video].streams[1]; st.rtxSSRC != 6000 || st.rx != nil {
		t.Errorf("SSRC %d, receiver %v", st.rtxSSRC, st.rx)
	}
}

// TestMutedWhileSwitching mutes a sender whose picture goes on in two slots until that of another has begun.
func TestMutedWhileSwitching(t *testing.T) {
	sh := newShard()
	first, _ := bareEndpoint(t, sh, "first", 0)
	second, _ := bareEndpoint(t, sh, "second", 0)
	r := rand.New(rand.NewPCG(5, 6))
	newCamera(first, 0, r)
	newCamera(second, 1, r)
	from, to := first.up[Video].streams[0].src, second.up[Video].streams[0].src
	for _, id := range []EndpointID{"a", "b"} {
		viewer, _ := bareEndpoint(t, sh, id, 1)
		d := viewer.slots[Video][0]
		d.want(1, from)
		d.begin(1, from)
		d.want(1, to)
	}
	if len(from.down) != 2 {
		t.Fatalf("%d slots show the first", len(from.down))
	}
	first.setMuted(2, Video, true)
	if len(from.down) != 0 {
		t.Errorf("%d slots still show the first", len(from.down))
	}
}

// FuzzArrived gives a shard with a sender and a receiver whatever bytes, as RTP and as RTCP.
func FuzzArrived(f *testing.F) {
	key := rtpPacket(packet.Header{PayloadType: ptVP8, SequenceNumber: 1, SSRC: 9}, "video-up", vp8Payload(1, true, true, 20))
	f.Add(key, appendNACK(nil, 1, 9, []uint16{1, 2}))
	f.Add(rtpPacket(packet.Header{PayloadType: ptOpus, SSRC: 8}, "audio-up", []byte{0x78, 1}), appendSR(nil, senderInfo{ssrc: 8, ntp: 1, rtp: 2}, 1, 1))
	f.Add(rtpPacket(packet.Header{PayloadType: ptVP8RTX, SSRC: 7}, "video-up", []byte{0, 1, 0x10, 0}), appendREMB(nil, 1, 1e6, []uint32{9}))
	f.Add([]byte{0xb0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 4}, []byte{0x81, 203, 0, 1, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, rtp, rtcp []byte) {
		sh := newShard()
		viewer, _ := bareEndpoint(t, sh, "viewer", 1)
		e, _ := bareEndpoint(t, sh, "sender", 0)
		all := []Medium{Audio, Video, Content}
		var tt transportTracks
		for i := range dataplane.Instant(4) {
			now := (i + 1) * dataplane.Instant(600*time.Millisecond)
			for _, b := range [][]byte{key, rtp, rtp} {
				sh.arrived(now, e, &tt, all, append([]byte(nil), b...))
			}
			sh.controlled(now, e, &tt, all, rtcp)
			sh.controlled(now, viewer, &transportTracks{ids: offeredIDs}, all, rtcp)
			sh.flush(now)
			sh.advance(now)
		}
		if len(sh.sources) > NumMedia || tt.bound > maxSSRCs {
			t.Fatalf("%d sources, %d SSRCs", len(sh.sources), tt.bound)
		}
	})
}

package mmr

import (
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/packet"
)

// TestRelearnForgets: when a sender has changed its SSRC, what comes late of the stream before, itself or retransmitted, is not taken
// for a part of the new one, whose numbers have nothing to do with it.
func TestRelearnForgets(t *testing.T) {
	sh := newShard()
	e, _ := bareEndpoint(t, sh, "a", 0)
	var tt transportTracks
	now := dataplane.Instant(time.Second)
	arrive := func(ssrc uint32, pt uint8, seq uint16) {
		h := packet.Header{PayloadType: pt, SequenceNumber: seq, SSRC: ssrc}
		sh.arrived(now, e, &tt, []Medium{Video}, rtpPacket(h, "", vp8Payload(1, true, true, 20)))
		sh.flush(now)
	}
	arrive(1, ptVP8, 100)
	arrive(11, ptVP8RTX, 0)
	now += 2 * relearnEvery
	arrive(2, ptVP8, 40000)
	arrive(1, ptVP8, 101)
	u := e.up[Video].streams[0]
	if received := u.rx.Stats().Received; u.ssrc != 2 || received != 1 {
		t.Errorf("SSRC %d has %d packets, want 1 of SSRC 2", u.ssrc, received)
	}
	if tt.find(1) != nil || tt.find(11) != nil {
		t.Error("the SSRCs of the stream before are still bound")
	}
	arrive(12, ptVP8RTX, 0)
	if found := tt.find(12); found == nil || !found.rtx || found.stream != u {
		t.Error("the new stream's retransmissions are not learnt")
	}
}

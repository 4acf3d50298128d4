package client

import (
	"testing"
	"time"

	"meetzone/zonectl/wire"
)

// TestReportTellsWhatWasSeen has one slot that moves with a freeze, one that stands still, one that is paused and one that nobody is in.
func TestReportTellsWhatWasSeen(t *testing.T) {
	slot := func(mid, who string, paused bool, m motion) SlotStats {
		return SlotStats{Slot: wire.Slot{Mid: mid, Medium: wire.Video, Participant: who, Paused: paused}, Frames: m.frames, Freezes: m.freezes, Frozen: m.frozen}
	}
	stats := func(moving motion, bytes uint64) (s Stats) {
		for i, medium := range wire.Media {
			s.Media[i] = MediumStats{Medium: medium, Remote: "192.0.2.1:8801", Bytes: bytes, DSCP: -1}
		}
		still := motion{frames: 9}
		s.Slots = []SlotStats{slot("video0", "ada", false, moving), slot("video1", "ben", false, still), slot("video2", "carl", true, still), slot("video3", "", false, still)}
		return s
	}
	var moving motion
	now := time.Now()
	for range 20 {
		now = now.Add(50 * time.Millisecond)
		moving.frame(now)
	}
	var r reporter
	if first := r.report(now, stats(moving, 1000)); first.Media[1].Picture != nil || first.Media[1].Bitrate != 0 {
		t.Errorf("the first report tells of a time that it does not know: %+v", first.Media[1])
	}
	for range 60 {
		now = now.Add(50 * time.Millisecond)
		moving.frame(now)
	}
	now = now.Add(time.Second)
	moving.frame(now)
	second := r.report(now, stats(moving, 6000))
	p := second.Media[1].Picture
	if p == nil || p.FPS < 7.6 || p.FPS > 7.7 || p.Freezes != 1 || p.Frozen < 0.624 || p.Frozen > 0.626 {
		t.Errorf("in 4 s came 61 frames with a freeze of 1 s, beside a picture that stood still: %+v", p)
	}
	if second.Media[0].Bitrate != 10_000 || second.Media[0].Picture != nil {
		t.Errorf("sound: %+v", second.Media[0])
	}
}

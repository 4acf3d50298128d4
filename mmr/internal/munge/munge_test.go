package munge

import (
	"testing"
	"time"

	"meetzone/mmr/internal/codec"
)

// audio returns an audio packet of 20 ms.
func audio(s Source, seq uint64, at time.Duration) In {
	return In{Source: s, Codec: codec.Opus, Sequence: seq, Timestamp: uint32(seq) * 960, Arrival: at, Keyframe: true}
}

// video returns a packet of picture n; each has ten numbers.
func video(s Source, n, i int, tid uint8, keyframe bool) In {
	d := codec.Descriptor{HasPictureID: true, LongPictureID: true, HasTID: true, TID: tid, PictureID: uint16(n), Len: 5, StartPartition: i == 0}
	d.Keyframe = keyframe && i == 0
	return In{
		Source: s, Codec: codec.VP8, Sequence: 1<<16 + uint64(n*10+i), Timestamp: uint32(n) * 3000, Arrival: time.Duration(n) * 33 * time.Millisecond,
		Keyframe: d.Keyframe, Frame: d.Frame(codec.VP8), Descriptor: d,
	}
}

// want rewrites a packet and checks what becomes of it.
func want(t *testing.T, track *Track, in In, verdict Verdict, seq uint16) Out {
	t.Helper()
	out, got := track.Rewrite(&in)
	if got != verdict || (verdict.Forwarded() || verdict == Fill) && uint16(out.Sequence) != seq {
		t.Fatalf("source %d packet %d: %v as %d, want %v as %d", in.Source, in.Sequence, got, uint16(out.Sequence), verdict, seq)
	}
	return out
}

func TestAudioSwitch(t *testing.T) {
	track := New(Config{Codec: codec.Opus, FirstSequence: 100, FirstTimestamp: 5000})
	want(t, track, audio(1, 70000, 0), NotWanted, 0)
	track.Switch(1)
	out := want(t, track, audio(1, 70000, time.Second), Switched, 100)
	if out.Timestamp != 5000 {
		t.Fatalf("first timestamp %d", out.Timestamp)
	}
	want(t, track, audio(1, 70001, time.Second+20*time.Millisecond), Forward, 101)
	want(t, track, audio(1, 70001, time.Second), Repeated, 0)
	want(t, track, audio(1, 69999, time.Second), TooLate, 0)
	track.Switch(2)
	want(t, track, audio(1, 70002, time.Second+40*time.Millisecond), Forward, 102)
	out = want(t, track, audio(2, 90000, time.Second+140*time.Millisecond), Switched, 103)
	if out.Timestamp != 5000+2*960+4800 {
		t.Fatalf("timestamp %d after 100 ms", out.Timestamp)
	}
	want(t, track, audio(1, 70003, 0), NotWanted, 0)
	want(t, track, audio(2, 89999, 0), TooLate, 0)
	if ts, ok := track.Timestamp(time.Second + 240*time.Millisecond); !ok || ts != out.Timestamp+4800 {
		t.Fatalf("clock shows %d", ts)
	}
	if ts, ok := track.MapTimestamp(90001 * 960 & 0xffffffff); !ok || ts != out.Timestamp+960 {
		t.Fatalf("maps to %d", ts)
	}
}

func TestAudioDropClosesGap(t *testing.T) {
	track := New(Config{Codec: codec.Opus, FirstSequence: 0})
	track.Switch(1)
	want(t, track, audio(1, 100000, 0), Switched, 0)
	for seq := uint64(100002); seq <= 100004; seq++ { // 100001 is late
		in := audio(1, seq, 0)
		track.Drop(&in)
	}
	want(t, track, audio(1, 100003, 0), Incomplete, 0) // dropped, so its number belongs to another by now
	want(t, track, audio(1, 100005, 0), Forward, 2)
	want(t, track, audio(1, 100002, 0), Incomplete, 0)
	want(t, track, audio(1, 100001, 0), Forward, 1)
	if o, ok := track.Sent(2); !ok || o != (Origin{1, 100005}) {
		t.Fatalf("number 2 came from %v", o)
	}
}

func TestSequenceWraps(t *testing.T) {
	track := New(Config{Codec: codec.Opus, FirstSequence: 32767})
	track.Switch(1)
	for i := range uint64(200000) {
		in := audio(1, 70000+i, time.Duration(i)*20*time.Millisecond)
		out, v := track.Rewrite(&in)
		if !v.Forwarded() || out.Sequence != 1<<16+32767+i {
			t.Fatalf("packet %d: %v as %d", i, v, out.Sequence)
		}
		if o, ok := track.Sent(uint16(out.Sequence) - 5); i > 5 && (!ok || o.Sequence != in.Sequence-5) {
			t.Fatalf("packet %d: five before came from %v", i, o)
		}
	}
}

func TestJumpOfTheSource(t *testing.T) {
	track := New(Config{Codec: codec.Opus, FirstSequence: 9})
	track.Switch(1)
	want(t, track, audio(1, 70000, 0), Switched, 9)
	want(t, track, audio(1, 70000+maxJump, 0), Forward, 9+maxJump)
	want(t, track, audio(1, 70001+2*maxJump, 0), Switched, 10+maxJump)

	track = New(Config{Codec: codec.VP8, FirstSequence: 9})
	track.Switch(1)
	want(t, track, video(1, 10, 0, 0, true), Switched, 9)
	want(t, track, video(1, 200, 0, 0, false), WaitKeyframe, 0)
	if s, needs := track.NeedsKeyframe(); !needs || s != 1 {
		t.Fatal("no keyframe is asked for")
	}
	want(t, track, video(1, 201, 0, 0, true), Switched, 10)
}

func TestStopAndSwitchBack(t *testing.T) {
	track := New(Config{Codec: codec.VP8, FirstSequence: 1})
	track.Switch(1)
	want(t, track, video(1, 10, 0, 0, true), Switched, 1)
	track.Switch(2)
	want(t, track, video(2, 5, 0, 0, false), WaitKeyframe, 0)
	track.Switch(1) // changed one's mind
	if _, pending := track.Next(); pending || track.Wants(2) || !track.Wants(1) {
		t.Fatal("the switch was not cancelled")
	}
	want(t, track, video(1, 10, 1, 0, false), Forward, 2)
	track.Stop()
	want(t, track, video(1, 10, 2, 0, false), NotWanted, 0)
	if o, ok := track.Sent(2); !ok || o.Source != 1 {
		t.Fatal("what was sent cannot be resent after Stop")
	}
	track.Switch(1)
	want(t, track, video(1, 11, 0, 0, false), WaitKeyframe, 0)
	out := want(t, track, video(1, 12, 0, 0, true), Switched, 3)
	if out.Descriptor.PictureID != 11 {
		t.Fatalf("picture id %d does not follow 10", out.Descriptor.PictureID)
	}
}

func TestBaseLayerDroppedWaitsForKeyframe(t *testing.T) {
	track := New(Config{Codec: codec.VP8})
	track.Switch(1)
	want(t, track, video(1, 10, 0, 0, true), Switched, 0)
	in := video(1, 11, 0, 0, false)
	track.Drop(&in)
	want(t, track, video(1, 12, 0, 0, false), WaitKeyframe, 0)
	out := want(t, track, video(1, 13, 0, 0, true), Switched, 1)
	if out.Descriptor.PictureID != 11 || out.Timestamp != 9000 {
		t.Fatalf("picture id %d, timestamp %d", out.Descriptor.PictureID, out.Timestamp)
	}
}

// A picture that was begun keeps its gap, and what it cuts is cut for late packets too.
func TestHalfPicture(t *testing.T) {
	track := New(Config{Codec: codec.VP8})
	track.Switch(1)
	want(t, track, video(1, 10, 0, 0, true), Switched, 0)
	want(t, track, video(1, 10, 1, 0, false), Forward, 1)
	begun := track.sent.highest
	for i := 2; i < 10; i++ {
		want(t, track, video(1, 10, i, 0, false), Forward, uint16(i))
	}
	want(t, track, video(1, 11, 0, 1, false), Forward, 10)
	in := video(1, 11, 1, 1, false)
	track.Drop(&in)
	want(t, track, video(1, 11, 2, 1, false), Incomplete, 0)
	late := video(1, 12, 0, 1, false)
	want(t, track, video(1, 13, 0, 0, false), Forward, 30)
	want(t, track, late, Fill, 20)
	want(t, track, late, Repeated, 0)
	if track.sent.highest-begun != 29 {
		t.Fatalf("the gap was closed: %d numbers", track.sent.highest-begun)
	}
}

func TestLateKeyframe(t *testing.T) {
	track := New(Config{Codec: codec.VP8, FirstSequence: 50})
	track.Switch(1)
	for i := 1; i < 4; i++ {
		want(t, track, video(1, 10, i, 0, false), WaitKeyframe, 0)
	}
	want(t, track, video(1, 10, 0, 0, true), Switched, 50)
	for i := 1; i < 4; i++ { // from the history
		want(t, track, video(1, 10, i, 0, false), Forward, uint16(50+i))
	}
}

func TestLongPause(t *testing.T) {
	track := New(Config{Codec: codec.VP8})
	track.Switch(1)
	want(t, track, video(1, 10, 0, 0, true), Switched, 0)
	track.Switch(2)
	in := video(2, 10, 0, 0, true)
	in.Arrival = 330*time.Millisecond + 100*time.Hour
	out := want(t, track, in, Switched, 1)
	if ticks := uint64(100 * 3600 * 90000); out.Timestamp != uint32(ticks) {
		t.Fatalf("timestamp %d after 100 h", out.Timestamp)
	}
	next := video(2, 11, 0, 0, false)
	if after := want(t, track, next, Forward, 11); after.Timestamp-out.Timestamp != 3000 {
		t.Fatalf("next picture %d later", after.Timestamp-out.Timestamp)
	}
}

func TestUnknownIsNotResent(t *testing.T) {
	track := New(Config{Codec: codec.Opus})
	if _, ok := track.Sent(0); ok {
		t.Fatal("a fresh track sent something")
	}
	track.Switch(1)
	in := audio(1, 70000, 0)
	track.Rewrite(&in)
	for _, seq := range []uint16{1, 65535, 40000} {
		if _, ok := track.Sent(seq); ok {
			t.Fatalf("%d was never sent", seq)
		}
	}
	other := audio(1, 70001, 0)
	if _, ok := track.Resend(0, &other); ok {
		t.Fatal("another packet under the same number")
	}
}

func TestNoAllocations(t *testing.T) {
	track := New(Config{Codec: codec.VP8})
	track.Switch(1)
	n := 0
	in := video(1, 0, 0, 0, true)
	var out Out
	allocs := testing.AllocsPerRun(2000, func() {
		n++
		switch {
		case n%100 == 0:
			track.Switch(Source(1 + n/100%2))
		case n%7 == 0:
			track.Drop(&in)
		}
		in = video(Source(1+n/100%2), n, 0, uint8(n%2), n%100 == 0)
		out, _ = track.Rewrite(&in)
		track.Sent(uint16(out.Sequence))
		track.Resend(uint16(out.Sequence), &in)
	})
	if allocs != 0 {
		t.Fatalf("%v allocations per packet", allocs)
	}
}

func BenchmarkRewrite(b *testing.B) {
	track := New(Config{Codec: codec.VP8})
	track.Switch(1)
	in := video(1, 0, 0, 0, true)
	for b.Loop() {
		in.Sequence++
		in.Timestamp += 3000
		if _, v := track.Rewrite(&in); !v.Forwarded() {
			b.Fatal(v)
		}
	}
}

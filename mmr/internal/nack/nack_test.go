package nack

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// put inserts a packet and checks what it was.
func put(t *testing.T, r *Receiver, seq uint16, now time.Duration, want Arrival) uint64 {
	t.Helper()
	wide, a := r.Insert(seq, 0, now)
	if a != want {
		t.Fatalf("%d is %d, want %d", seq, a, want)
	}
	return wide
}

// due checks what is asked for.
func due(t *testing.T, r *Receiver, now, roundTrip time.Duration, want ...uint16) {
	t.Helper()
	if got := r.Due(nil, now, roundTrip); !slices.Equal(got, want) {
		t.Fatalf("at %v asked for %v, want %v", now, got, want)
	}
}

func TestAsksAgainAndGivesUp(t *testing.T) {
	r := NewReceiver(Config{Retries: 3})
	if _, waiting := r.NextDue(); waiting {
		t.Fatal("a fresh receiver waits")
	}
	put(t, r, 65534, 0, First)
	put(t, r, 1, 0, Gap)
	due(t, r, 0, 40*ms)
	if next, ok := r.NextDue(); !ok || next != reorderWait {
		t.Fatalf("next %v %v", next, ok)
	}
	due(t, r, 5*ms, 40*ms, 65535, 0)
	due(t, r, 54*ms, 40*ms)
	put(t, r, 0, 54*ms, Late)
	due(t, r, 55*ms, 40*ms, 65535)
	due(t, r, 105*ms, 40*ms, 65535)
	due(t, r, 154*ms, 40*ms)
	due(t, r, 155*ms, 40*ms)
	if _, waiting := r.NextDue(); waiting {
		t.Fatal("still waits after three requests")
	}
	if s := r.Stats(); s.Asked != 4 || s.GivenUp != 1 || s.Lost != 1 {
		t.Fatalf("%+v", s)
	}
	put(t, r, 65535, 156*ms, Late)
	if s := r.Stats(); s.Lost != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestDeadline(t *testing.T) {
	r := NewReceiver(Config{})
	put(t, r, 10, 0, First)
	put(t, r, 12, 0, Gap)
	due(t, r, 10*ms, 5*time.Second, 11)
	if next, _ := r.NextDue(); next != defaultDeadline {
		t.Fatalf("next %v", next)
	}
	due(t, r, defaultDeadline, 5*time.Second)
	if _, waiting := r.NextDue(); waiting {
		t.Fatal("waits beyond the deadline")
	}
}

func TestRepairAndForget(t *testing.T) {
	r := NewReceiver(Config{})
	if _, a := r.Repaired(5); a != Stale {
		t.Fatal("repaired before the first")
	}
	first := put(t, r, 10, 0, First)
	put(t, r, 15, 0, Gap)
	if wide, a := r.Repaired(12); a != Late || wide != first+2 {
		t.Fatalf("%d %d", wide, a)
	}
	if _, a := r.Repaired(12); a != Duplicate {
		t.Fatal(a)
	}
	if _, a := r.Repaired(16); a != Stale {
		t.Fatal(a)
	}
	put(t, r, 12, 0, Duplicate)
	r.Forget(first + 4)
	due(t, r, 10*ms, 0, 14)
	rep, _ := r.Report()
	if rep.CumulativeLost != 3 { // of six expected three came: 10, 15, and 12 although it was a duplicate
		t.Fatalf("%+v", rep)
	}
	if s := r.Stats(); s.Repaired != 1 || s.Duplicates != 1 || s.Received != 3 {
		t.Fatalf("%+v", s)
	}
}

// RFC 3550, appendix A.1: one stray number changes nothing, two in sequence are a restart, whose wide numbers were never there before.
func TestRestart(t *testing.T) {
	r := NewReceiver(Config{})
	put(t, r, 30000, 0, First)
	highest := put(t, r, 30002, 0, Gap)
	put(t, r, 100, 0, Stale)
	put(t, r, 30003, 0, Next)
	put(t, r, 101, 0, Stale)
	wide := put(t, r, 102, 0, First)
	if wide <= highest || uint16(wide) != 102 {
		t.Fatalf("wide number %d after %d", wide, highest)
	}
	if next := put(t, r, 103, 0, Next); next != wide+1 {
		t.Fatalf("%d after %d", next, wide)
	}
	due(t, r, time.Second, 0)
	put(t, r, 30004, 0, Stale)
}

func TestMemoryIsBounded(t *testing.T) {
	r := NewReceiver(Config{MaxMissing: 10})
	put(t, r, 0, 0, First)
	put(t, r, maxDropout, 0, Gap)
	if len(r.missing) != 10 || r.missing[9].wide != 1<<16+maxDropout-1 {
		t.Fatalf("%d missing", len(r.missing))
	}
	for seq := uint16(maxDropout + 2); seq < maxDropout+100; seq += 2 {
		put(t, r, seq, 0, Gap)
		if len(r.missing) != 10 || r.missing[9].wide != 1<<16+uint64(seq)-1 {
			t.Fatalf("%d missing", len(r.missing))
		}
	}
}

// The receiver against a map of everything that came, over a network that loses, delays, doubles and repairs.
func TestReceiverAgainstMap(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := NewReceiver(Config{ClockRate: 90000, MaxMissing: 4096, Deadline: time.Hour, Retries: 1 << 30})
		came := map[uint64]bool{}
		highest := 1<<16 + uint64(rnd.IntN(1<<16))
		first, received := highest, uint64(1)
		came[highest] = true
		put(t, r, uint16(highest), 0, First)
		for step := range 5000 {
			wide, now := highest+1, time.Duration(step)*ms
			repaired := false
			switch rnd.IntN(12) {
			case 0:
				wide = highest + 1 + uint64(rnd.IntN(30))
			case 1:
				wide = highest - uint64(rnd.IntN(min(60, int(highest-first)+1)))
			case 2:
				wide = highest - uint64(rnd.IntN(min(60, int(highest-first)+1)))
				repaired = true
			}
			want := Next
			switch {
			case came[wide]:
				want = Duplicate
			case wide < highest:
				want = Late
			case wide > highest+1:
				want = Gap
			}
			var got Arrival
			var at uint64
			if repaired {
				at, got = r.Repaired(uint16(wide))
			} else {
				at, got = r.Insert(uint16(wide), 0, now)
				received++
			}
			if at != wide || got != want {
				t.Fatalf("seed %d: %d is %d as %d, want %d", seed, wide, got, at, want)
			}
			came[wide] = true
			highest = max(highest, wide)
			if step%50 == 0 {
				checkMissing(t, r, came, first, highest, now+time.Minute)
			}
		}
		rep, ok := r.Report()
		if want := int32(highest-first+1) - int32(received); !ok || rep.CumulativeLost != want || rep.HighestSeq != uint32(highest-1<<16) {
			t.Fatalf("seed %d: %+v, want %d lost", seed, rep, want)
		}
	}
}

// checkMissing compares what is asked for with what did not come.
func checkMissing(t *testing.T, r *Receiver, came map[uint64]bool, first, highest uint64, now time.Duration) {
	t.Helper()
	copied := *r
	copied.missing = slices.Clone(r.missing)
	var want []uint16
	for wide := max(first, highest-maxMisorder); wide < highest; wide++ {
		if !came[wide] {
			want = append(want, uint16(wide))
		}
	}
	if got := copied.Due(nil, now, 0); !slices.Equal(got, want) {
		t.Fatalf("asked for %v, want %v", got, want)
	}
}

// RFC 3550, appendix A.3, by hand.
func TestReport(t *testing.T) {
	r := NewReceiver(Config{ClockRate: 48000})
	if _, ok := r.Report(); ok {
		t.Fatal("a report about nothing")
	}
	for seq := range uint16(100) {
		if seq%4 != 3 {
			r.Insert(seq, 0, 0)
		}
	}
	rep, _ := r.Report() // 99 expected, 75 came
	if rep.CumulativeLost != 24 || rep.FractionLost != 24*256/99 || rep.HighestSeq != 98 {
		t.Fatalf("%+v", rep)
	}
	for seq := uint16(100); seq < 150; seq++ {
		r.Insert(seq, 0, 0)
	}
	rep, _ = r.Report()
	if rep.CumulativeLost != 25 || rep.FractionLost != 1*256/51 {
		t.Fatalf("%+v", rep)
	}
	rep, _ = r.Report()
	if rep.FractionLost != 0 || rep.CumulativeLost != 25 {
		t.Fatalf("nothing came: %+v", rep)
	}
	r.Insert(149, 0, 0)
	if rep, _ = r.Report(); rep.FractionLost != 0 || rep.CumulativeLost != 24 {
		t.Fatalf("a duplicate: %+v", rep)
	}
}

// RFC 3550, appendix A.8: with every other packet 8 ms late, jitter settles at these 8 ms.
func TestJitter(t *testing.T) {
	r := NewReceiver(Config{ClockRate: 48000})
	ts := uint32(1<<32 - 5000) // wraps
	for seq := range uint16(1000) {
		late := time.Duration(seq%2) * 8 * ms
		r.Insert(seq, ts, time.Duration(seq)*20*ms+late)
		r.Insert(seq, ts, time.Duration(seq)*20*ms+late) // a duplicate does not count
		ts += 960
	}
	rep, _ := r.Report()
	if rep.Jitter < 380 || rep.Jitter > 388 {
		t.Fatalf("jitter %d, want 384", rep.Jitter)
	}
	if j := r.Stats().Jitter; j < 7900*time.Microsecond || j > 8100*time.Microsecond {
		t.Fatalf("jitter %v", j)
	}
	r.Insert(1000, ts+1<<30, 1000*20*ms)
	if again, _ := r.Report(); again.Jitter > rep.Jitter {
		t.Fatalf("a jump of the clock counts: %d", again.Jitter)
	}
}

func TestNoAllocations(t *testing.T) {
	r := NewReceiver(Config{ClockRate: 90000})
	var ask []uint16
	seq, now := uint16(0), time.Duration(0)
	step := func() {
		seq++
		now += 3 * ms
		if seq%5 == 0 {
			seq++
		}
		r.Insert(seq, uint32(seq), now)
		if seq%7 == 0 {
			r.Repaired(seq - 3)
		}
		ask = r.Due(ask[:0], now, 50*ms)
		r.NextDue()
		r.Report()
	}
	for range 5000 {
		step()
	}
	if allocs := testing.AllocsPerRun(5000, step); allocs != 0 {
		t.Fatalf("%v allocations per packet", allocs)
	}
}

// FuzzReceiver feeds any numbers: wide numbers must be true to the 16 bits, never given to two usable packets, and memory stays bounded.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 5, 0, 2, 255, 255, 0, 0})
	f.Add([]byte{10, 0, 200, 0, 200, 1, 10, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReceiver(Config{ClockRate: 90000, MaxMissing: 16})
		seen := map[uint64]bool{}
		for i := 0; i+1 < len(b); i += 2 {
			seq, now := uint16(b[i])<<8|uint16(b[i+1]), time.Duration(i)*ms
			wide, a := r.Insert(seq, uint32(seq)*3000, now)
			if uint16(wide) != seq {
				t.Fatalf("%d became %d", seq, wide)
			}
			if a.Usable() && seen[wide] {
				t.Fatalf("%d twice", wide)
			}
			seen[wide] = seen[wide] || a.Usable()
			if asked := r.Due(nil, now, 20*ms); len(asked) > 16 || len(r.missing) > 16 {
				t.Fatalf("asks for %d", len(asked))
			}
		}
	})
}

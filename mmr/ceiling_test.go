package mmr

import (
	"fmt"
	"testing"
	"time"
)

// newAdapting returns a stage whose sender makes pictures as large as it is told.
func newAdapting(t *testing.T) *stage {
	g := newStage(t)
	g.sender.e.cfg.Adapts, g.sender.obeys = true, true
	return g
}

// rateInto returns what is sent into a viewer's first slot in some time, in bit/s.
func (g *stage) rateInto(e *endpoint, d time.Duration) uint64 {
	before := e.slots[Video][0].bytes
	g.play(d)
	return uint64(float64(e.slots[Video][0].bytes-before) * 8 / d.Seconds())
}

// TestCeilings: whatever a path carries, one receiver is sent the largest encoding that is good for something with it, and it fills the path.
func TestCeilings(t *testing.T) {
	g := newAdapting(t)
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	g.looks(viewer, 0)
	g.play(3 * time.Second)
	for _, c := range []struct {
		limit  uint64
		height int
	}{{750_000, 720}, {500_000, 360}, {250_000, 360}, {165_000, 180}, {120_000, 180}, {700_000, 720}, {350_000, 360}} {
		t.Run(fmt.Sprint(c.limit), func(t *testing.T) {
			viewer.budget.limit(c.limit)
			g.play(8 * time.Second)
			if got := shown(viewer); got != c.height {
				t.Errorf("%d lines are shown, want %d", got, c.height)
			}
			could := c.limit
			if c.limit == 165_000 {
				could = 150_000 // the smallest encoding whole
			}
			rate := gross(g.rateInto(viewer, 4*time.Second))
			if rate > c.limit || rate*100 < could*85 {
				t.Errorf("%d bit/s are sent of %d", rate, could)
			}
		})
	}
}

// TestCeilingsOfOthers: who has room for all of an encoding is sent all of it, whoever else is there.
func TestCeilingsOfOthers(t *testing.T) {
	g := newAdapting(t)
	slow, _ := bareEndpoint(t, g.sh, "slow", 1)
	fast, _ := bareEndpoint(t, g.sh, "fast", 1)
	g.looks(slow, 0)
	slow.budget.limit(500_000)
	g.looks(fast, 360)
	g.play(6 * time.Second)
	if rate := g.rateInto(fast, 4*time.Second); shown(fast) != 360 || rate < 475_000 {
		t.Errorf("%d lines and %d bit/s for the one who has room", shown(fast), rate)
	}
	if rate := g.rateInto(slow, 4*time.Second); rate > 500_000 {
		t.Errorf("%d bit/s for the one who has room for 500000", rate)
	}
	g.looks(fast, 180)
	g.play(4 * time.Second)
	if rate := gross(g.rateInto(slow, 4*time.Second)); shown(slow) != 360 || rate < 425_000 {
		t.Errorf("when nobody else is sent the encoding, %d lines and %d bit/s", shown(slow), rate)
	}
	before := g.rateInto(slow, time.Second)
	slow.budget.limit(790_000)
	g.looks(fast, 720)
	g.play(3 * time.Second)
	if rate := g.rateInto(fast, 2*time.Second); shown(fast) != 720 || rate < 1_400_000 {
		t.Errorf("a second after looking, %d lines and %d bit/s (%d before)", shown(fast), rate, before)
	}
}

// TestCeilingForTwo: two receivers whose paths are about the same are sent the same; one with much less is not what the other is held to.
func TestCeilingForTwo(t *testing.T) {
	g := newAdapting(t)
	one, _ := bareEndpoint(t, g.sh, "one", 1)
	two, _ := bareEndpoint(t, g.sh, "two", 1)
	for _, e := range []*endpoint{one, two} {
		g.looks(e, 0)
	}
	for _, c := range []struct{ one, two uint64 }{{500_000, 420_000}, {500_000, 200_000}} {
		one.budget.limit(c.one)
		two.budget.limit(c.two)
		g.play(8 * time.Second)
		a, b := gross(g.rateInto(one, 4*time.Second)), gross(g.rateInto(two, 4*time.Second))
		if a > c.one || b > c.two || a < min(c.one, c.two*2)*8/10 || b < min(c.two, 150_000)*8/10 {
			t.Errorf("%d of %d and %d of %d bit/s; %d and %d lines", a, c.one, b, c.two, shown(one), shown(two))
		}
	}
}

// TestCeilingOfTheSmallest: nobody's picture goes black because somebody with more room, and not room for all, is sent the same encoding.
func TestCeilingOfTheSmallest(t *testing.T) {
	for _, encodings := range []int{1, maxEncodings} {
		t.Run(fmt.Sprint(encodings), func(t *testing.T) {
			g := newAdapting(t)
			g.sender.able = encodings
			for _, st := range g.sender.e.up[Video].streams[encodings:maxEncodings] {
				st.src.end(g.now)
			}
			slow, _ := bareEndpoint(t, g.sh, "slow", 1)
			slow.budget.limit(60_000)
			g.looks(slow, 0)
			g.play(8 * time.Second)
			if rate := gross(g.rateInto(slow, 4*time.Second)); rate > 66_000 || rate < 48_000 {
				t.Fatalf("%d bit/s are sent of 60000 to one alone", rate)
			}
			other, _ := bareEndpoint(t, g.sh, "other", 1)
			other.budget.limit(110_000)
			g.looks(other, 0)
			g.play(8 * time.Second)
			for _, e := range []*endpoint{slow, other} {
				if rate := gross(g.rateInto(e, 4*time.Second)); rate > 66_000 || rate < 48_000 {
					t.Errorf("%s: %d bit/s are sent when there are two", e.id, rate)
				}
			}
			other.budget.limit(400_000)
			g.play(8 * time.Second)
			if rate := gross(g.rateInto(other, 4*time.Second)); rate < 130_000 {
				t.Errorf("%d bit/s are sent to the one who has room for all", rate)
			}
		})
	}
}

// TestCeilingFarBelow: a sender that comes down from much more is not taken for one that does not follow, and who is away lifts no ceiling.
func TestCeilingFarBelow(t *testing.T) {
	g := newAdapting(t)
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	away, _ := bareEndpoint(t, g.sh, "away", 1)
	for _, e := range []*endpoint{viewer, away} {
		g.looks(e, 0)
	}
	g.play(6 * time.Second)
	viewer.budget.limit(620_000)
	for _, d := range away.slots[Video] {
		d.out = nil // as when its transport is lost
	}
	g.play(10 * time.Second)
	if told := g.sender.rates[2]; told == 0 || shown(viewer) != 720 {
		t.Errorf("told %d, %d lines are shown", g.sender.rates, shown(viewer))
	}
	if rate := gross(g.rateInto(viewer, 4*time.Second)); rate > 620_000 || rate < 500_000 {
		t.Errorf("%d bit/s are sent of 620000", rate)
	}
}

// TestDefiedCeiling: a sender that goes on as before is reckoned with as it is.
func TestDefiedCeiling(t *testing.T) {
	g := newAdapting(t)
	g.sender.obeys = false
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	g.looks(viewer, 0)
	g.play(3 * time.Second)
	viewer.budget.limit(300_000)
	g.play(12 * time.Second)
	if rate := g.rateInto(viewer, 4*time.Second); rate > 300_000 || rate == 0 {
		t.Errorf("%d bit/s are sent of 300000", rate)
	}
	if g.sender.rates[1] != 0 || shown(viewer) != 180 {
		t.Errorf("the sender is still told %d, and %d lines are shown", g.sender.rates, shown(viewer))
	}
}

// TestDefiedWandering: that the room changes all the time does not hide a sender that goes on as before.
func TestDefiedWandering(t *testing.T) {
	g := newAdapting(t)
	g.sender.obeys = false
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	g.looks(viewer, 0)
	g.play(3 * time.Second)
	for range 4 {
		for _, limit := range []uint64{300_000, 340_000} {
			viewer.budget.limit(limit)
			g.play(2 * time.Second)
		}
	}
	if g.sender.rates[1] != 0 || shown(viewer) != 180 {
		t.Errorf("the sender is still told %d, and %d lines are shown", g.sender.rates, shown(viewer))
	}
}

// TestDefiedAgain: a sender that did not hear is told again later, and one that never follows ever more seldom.
func TestDefiedAgain(t *testing.T) {
	g := newAdapting(t)
	g.sender.obeys = false
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	g.looks(viewer, 0)
	g.play(3 * time.Second)
	viewer.budget.limit(300_000)
	g.play(12 * time.Second)
	if g.sender.rates[1] != 0 {
		t.Fatalf("the sender is still told %d", g.sender.rates)
	}
	told := 0 // seconds
	for range 120 {
		g.play(time.Second)
		if g.sender.rates[1] != 0 {
			told++
		}
	}
	if told == 0 || told > 12 {
		t.Errorf("one that never follows was told for %d s of two minutes", told)
	}
	g.sender.obeys = true
	g.play(130 * time.Second)
	if rate := gross(g.rateInto(viewer, 4*time.Second)); g.sender.rates[1] == 0 || shown(viewer) != 360 || rate < 250_000 || rate > 310_000 {
		t.Errorf("one that follows from now on is told %d; %d lines and %d bit/s", g.sender.rates, shown(viewer), rate)
	}
}

// TestCeilingOfEnded: the ceiling of a stream that has ended is taken back, as far as its successor has none.
func TestCeilingOfEnded(t *testing.T) {
	g := newAdapting(t)
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	viewer.budget.limit(300_000)
	g.looks(viewer, 0)
	g.play(3 * time.Second)
	if g.sender.rates[1] == 0 {
		t.Fatal("no ceiling to begin with")
	}
	viewer.setViews(g.now, []View{{Slot: 0}})
	g.sender.e.up[Video].streams[1].src.end(g.now)
	g.sender.able = 1
	g.play(time.Second)
	if g.sender.rates[1] != 0 {
		t.Errorf("the sender is still told %d", g.sender.rates)
	}
}

// TestCeilingBeforeMeasured: a receiver whose path is known before anything has come fills it as well.
func TestCeilingBeforeMeasured(t *testing.T) {
	g := newAdapting(t)
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	viewer.budget.limit(300_000)
	g.looks(viewer, 0)
	sent := uint64(0)
	for range 5 {
		sent = g.rateInto(viewer, 2*time.Second)
	}
	if sent > 300_000 || sent < 240_000 {
		t.Errorf("%d bit/s are sent of 300000", sent)
	}
}

// TestCeilingsOfMany: dividing for one receiver costs no more because many others are sent the same.
func TestCeilingsOfMany(t *testing.T) {
	cost := func(receivers int) time.Duration {
		g := newAdapting(t)
		var one *endpoint
		for i := range receivers {
			one, _ = bareEndpoint(t, g.sh, EndpointID(fmt.Sprint("viewer", i)), 1)
			one.budget.limit(300_000)
			g.looks(one, 0)
		}
		g.play(time.Second)
		if one.slots[Video][0].share.room == 0 {
			t.Fatal("there is room for all of it: that is not what was to be measured")
		}
		best := time.Hour
		for range 200 {
			before := time.Now()
			for range 50 {
				one.allocate(g.now)
			}
			best = min(best, time.Since(before))
		}
		return best / 50
	}
	few, many := cost(20), cost(400)
	t.Logf("%v with 20 receivers, %v with 400", few, many)
	if many > 4*few {
		t.Errorf("%v with 400 receivers, %v with 20", many, few)
	}
}

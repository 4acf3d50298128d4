package alloc

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// camera has the options of a picture in three sizes.
func camera() []Option {
	return []Option{{Cost: 150_000, Value: 250}, {Cost: 500_000, Value: 500}, {Cost: 1_500_000, Value: 1000}}
}

func screen() []Option {
	return []Option{{Cost: 800_000, Value: 500}, {Cost: 2_000_000, Value: 1000}}
}

func choices(wishes []Wish) (list []int) {
	for _, w := range wishes {
		list = append(list, w.Choice)
	}
	return list
}

func TestDivide(t *testing.T) {
	video := func(priority, now int) Wish { return Wish{Class: 1, Priority: priority, Options: camera(), Now: now} }
	content := func(now int) Wish { return Wish{Options: screen(), Now: now} }
	for _, c := range []struct {
		name      string
		available uint64
		wishes    []Wish
		want      []int
	}{
		{"nothing to divide", 1_000_000, nil, nil},
		{"room for everything", 10_000_000, []Wish{content(Nothing), video(0, Nothing), video(0, Nothing)}, []int{1, 2, 2}},
		{"content first", 2_400_000, []Wish{video(9, 2), content(1)}, []int{0, 1}},
		{"content that does not fit leaves room for pictures", 560_000, []Wish{content(Nothing), video(0, 0)}, []int{Nothing, 0}},
		{"everybody has something before anybody has more", 460_000, []Wish{video(5, 1), video(0, 0), video(0, 0)}, []int{0, 0, 0}},
		{"the important one has the rest", 1_950_000, []Wish{video(0, 0), video(3, 2), video(0, 0)}, []int{0, 2, 0}},
		{"equals have the same", 1_100_000, []Wish{video(0, 2), video(0, 0)}, []int{1, 1}},
		{"the least important is paused", 310_000, []Wish{video(0, 0), video(1, 0), video(1, 0)}, []int{Nothing, 0, 0}},
		{"what is there is kept without room to spare", 500_000, []Wish{video(0, 1)}, []int{1}},
		{"a raise needs room to spare", 500_000, []Wish{video(0, 0)}, []int{0}},
		{"and is made when there is some", 565_000, []Wish{video(0, 0)}, []int{1}},
		{"what must be granted is, and leaves nothing", 500_000, []Wish{{Options: screen(), Must: true, Now: Nothing}, video(0, 0)}, []int{0, Nothing}},
		{"nothing at all", 0, []Wish{content(1), video(0, 2)}, []int{Nothing, Nothing}},
	} {
		Divide(c.available, c.wishes)
		if got := choices(c.wishes); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRoom: senders that follow what they are given have all that is left, a lower class before a higher one, the important first, equals the same.
func TestRoom(t *testing.T) {
	adapting := func() []Option {
		return []Option{{Cost: 60_000, Most: 150_000, Value: 250}, {Cost: 200_000, Most: 500_000, Value: 500}, {Cost: 600_000, Most: 1_500_000, Value: 1000}}
	}
	for _, c := range []struct {
		name      string
		available uint64
		wishes    []Wish
		want      []uint64
	}{
		{"alone", 436_000, []Wish{{Class: 1, Options: adapting(), Now: 1}}, []uint64{436_000}},
		{"no more than can be used", 9_000_000, []Wish{{Class: 1, Options: adapting(), Now: 1}}, []uint64{1_500_000}},
		{"less than the least", 50_000, []Wish{{Class: 1, Options: adapting(), Now: 0}}, []uint64{0}},
		{"equals", 850_000, []Wish{{Class: 1, Options: adapting(), Now: 1}, {Class: 1, Options: adapting(), Now: 1}}, []uint64{425_000, 425_000}},
		{"the important one", 420_000, []Wish{{Class: 1, Priority: 1, Options: adapting(), Now: 1}, {Class: 1, Options: adapting(), Now: 0}}, []uint64{360_000, 60_000}},
		{"content first", 700_000, []Wish{{Class: 1, Options: adapting(), Now: 1}, {Options: adapting()[1:2], Now: 0}}, []uint64{200_000, 500_000}},
		{"one that does not adapt", 700_000, []Wish{{Class: 1, Options: []Option{{Cost: 500_000}}, Now: 0}, {Class: 1, Options: adapting(), Now: 0}}, []uint64{500_000, 150_000}},
	} {
		left := Divide(c.available, c.wishes)
		sum := uint64(0)
		for i := range c.wishes {
			if c.wishes[i].Room != c.want[i] {
				t.Errorf("%s: wish %d has %d, want %d", c.name, i, c.wishes[i].Room, c.want[i])
			}
			sum += c.wishes[i].Room
		}
		if sum+left != c.available {
			t.Errorf("%s: %d granted and %d left of %d", c.name, sum, left, c.available)
		}
	}
}

// TestDivideHolds throws random wishes at Divide: it never spends more than there is, never leaves a less important wish with something
// while one of more importance and no higher cost has nothing, and looking again with the same numbers soon changes nothing.
func TestDivideHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 20_000 {
		wishes := make([]Wish, 1+r.IntN(10))
		for i := range wishes {
			var options []Option
			cost, value := uint64(0), uint32(0)
			for range 1 + r.IntN(6) {
				cost += 20_000 + r.Uint64N(600_000)
				value += uint32(r.IntN(300))
				options = append(options, Option{Cost: cost, Most: cost + r.Uint64N(2)*r.Uint64N(500_000), Value: value})
			}
			wishes[i] = Wish{Class: r.IntN(2), Priority: r.IntN(3), Options: options, Now: r.IntN(len(options)+1) - 1}
		}
		available := r.Uint64N(5_000_000)
		left := Divide(available, wishes)
		spent := uint64(0)
		for i, w := range wishes {
			if w.Choice >= 0 {
				spent += w.Room
				if o := w.Options[w.Choice]; w.Room < o.Cost || w.Room > max(o.Most, o.Cost) {
					t.Fatalf("wish %d has room for %d: %+v", i, w.Room, o)
				}
			}
			for _, other := range wishes {
				if w.Choice < 0 && other.Choice >= 0 && w.Class == other.Class && w.Priority > other.Priority && w.cost(0) <= other.cost(0) {
					t.Fatalf("wish %d has nothing, a less important one %d: %+v", i, other.Choice, wishes)
				}
			}
		}
		if spent+left > available {
			t.Fatalf("%d were spent and %d left of %d", spent, left, available)
		}
		// What was reckoned as room to spare may do somebody else good at the next look, but that comes to an end.
		settled := false
		for range 2 * len(wishes) {
			before := choices(wishes)
			for i := range wishes {
				wishes[i].Now = wishes[i].Choice
			}
			Divide(available, wishes)
			if settled = slices.Equal(before, choices(wishes)); settled {
				break
			}
		}
		if !settled {
			t.Fatalf("the choices never settle: %+v", wishes)
		}
	}
}

// TestTrembling lets what is available wander by 5 % around the cost of a step: the choice must not flap.
func TestTrembling(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	w := []Wish{{Options: camera(), Now: Nothing}}
	changes := 0
	for range 1000 {
		Divide(533_000-25_000+r.Uint64N(50_000), w)
		if w[0].Choice != w[0].Now {
			changes++
		}
		w[0].Now = w[0].Choice
	}
	if changes > 2 {
		t.Errorf("%d changes", changes)
	}
}

func TestNoAllocations(t *testing.T) {
	wishes := make([]Wish, 26)
	options := camera()
	for i := range wishes {
		wishes[i] = Wish{Class: min(i, 1), Priority: i % 3, Options: options, Now: Nothing}
	}
	if n := testing.AllocsPerRun(100, func() { Divide(7_000_000, wishes) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDivide(b *testing.B) {
	wishes := make([]Wish, 26)
	options := camera()
	for i := range wishes {
		wishes[i] = Wish{Class: min(i, 1), Priority: i % 3, Options: options, Now: 0}
	}
	for b.Loop() {
		Divide(7_000_000, wishes)
	}
}

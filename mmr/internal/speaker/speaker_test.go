package speaker

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// room is a Detector with people whose levels a test sets.
type room struct {
	t      *testing.T
	d      *Detector[string]
	voices map[string]*Voice[string]
	names  []string
	levels map[string]uint8 // absent means that nothing is sent
	flag   map[string]bool
	rnd    *rand.Rand
	now    time.Duration

	rankings, dominants int                      // changes told
	wasHeard            map[string]time.Duration // who is heard, since when
}

func newRoom(t *testing.T, names ...string) *room {
	r := &room{
		t: t, d: New[string](Config{}), voices: map[string]*Voice[string]{}, levels: map[string]uint8{}, flag: map[string]bool{},
		rnd: rand.New(rand.NewPCG(1, 0)), now: time.Hour, wasHeard: map[string]time.Duration{},
	}
	for _, name := range names {
		r.voices[name] = r.d.Join(name, r.now)
		r.names = append(r.names, name)
	}
	return r
}

// pass lets time pass: a packet every 20 ms from everybody who sends, its level off by up to 4 dB.
func (r *room) pass(d time.Duration) {
	for end := r.now + d; r.now < end; r.now += 20 * time.Millisecond {
		for _, name := range r.names {
			if level, sends := r.levels[name]; sends {
				level = uint8(max(0, min(127, int(level)+r.rnd.IntN(9)-4)))
				r.voices[name].Level(level, r.flag[name], r.now)
			}
		}
		before, was := r.ranked(), r.dominant()
		ranking, dominant := r.d.Update(r.now)
		if !ranking && !slices.Equal(before, r.ranked()) || !dominant && was != r.dominant() {
			r.t.Fatal("a change was not told")
		}
		if ranking {
			r.rankings++
		}
		if dominant {
			r.dominants++
		}
		r.checkSeats()
	}
}

// checkSeats finds out whether somebody lost a seat too soon.
func (r *room) checkSeats() {
	heard := r.heard()
	for name, since := range r.wasHeard {
		if !slices.Contains(heard, name) {
			if _, here := r.voices[name]; here && r.now-since < seatMinimum {
				r.t.Fatalf("%s was heard for %v only", name, r.now-since)
			}
			delete(r.wasHeard, name)
		}
	}
	for _, name := range heard {
		if _, already := r.wasHeard[name]; !already {
			r.wasHeard[name] = r.now
		}
	}
}

func (r *room) ranked() (names []string) {
	for i, v := range r.d.Ranking() {
		if v.place != i {
			r.t.Fatalf("%s has place %d, not %d", v.Owner, v.place, i)
		}
		names = append(names, v.Owner)
	}
	return names
}

func (r *room) dominant() string {
	if v := r.d.Dominant(); v != nil {
		return v.Owner
	}
	return ""
}

// heard returns the first three, sorted.
func (r *room) heard() []string {
	names := r.ranked()
	names = slices.Clone(names[:min(3, len(names))])
	slices.Sort(names)
	return names
}

func TestSilentRoom(t *testing.T) {
	r := newRoom(t, "a", "b")
	r.levels["a"], r.levels["b"] = 127, 90 // digital silence, and a quiet room
	r.pass(3 * time.Second)
	if names := r.ranked(); len(names) != 2 || r.dominant() != "" { // there are seats for both: the first word is not cut
		t.Fatalf("%v, dominant %q", names, r.dominant())
	}
}

// Silent people hold seats only as long as nobody speaks who has none.
func TestSilentHolders(t *testing.T) {
	r := newRoom(t, "a", "b", "c", "d", "e")
	r.pass(time.Second)
	if n := len(r.ranked()); n != 4 {
		t.Fatalf("%d ranked in silence", n)
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		r.levels = map[string]uint8{name: 50}
		r.pass(400 * time.Millisecond)
		if !slices.Contains(r.heard(), name) {
			t.Errorf("%s speaks, and heard are %v", name, r.heard())
		}
		r.levels = map[string]uint8{}
		r.pass(2 * time.Second)
	}
}

func TestSpeakerIsHeardAtOnce(t *testing.T) {
	r := newRoom(t, "a", "b", "c", "d", "e", "f")
	for i, name := range []string{"a", "b", "c", "d"} {
		r.levels[name] = uint8(30 + i)
	}
	r.pass(2 * time.Second)
	r.levels = map[string]uint8{} // all fall silent
	r.pass(2 * time.Second)
	r.levels["e"] = 40
	r.pass(200 * time.Millisecond)
	if !slices.Contains(r.heard(), "e") {
		t.Fatalf("after 200 ms heard are %v", r.heard())
	}
	r.pass(time.Second)
	if r.dominant() != "e" {
		t.Fatalf("dominant is %q", r.dominant())
	}
}

func TestLouderVoiceDisplacesOneWhoSpeaks(t *testing.T) {
	r := newRoom(t, "a", "b", "c", "d", "loud", "similar")
	r.levels = map[string]uint8{"a": 20, "b": 22, "c": 24, "d": 50}
	r.pass(2 * time.Second)
	if !slices.Equal(r.heard(), []string{"a", "b", "c"}) {
		t.Fatalf("heard are %v", r.ranked())
	}
	r.levels["similar"] = 22
	r.pass(2 * time.Second)
	if !slices.Equal(r.heard(), []string{"a", "b", "c"}) || r.ranked()[3] != "similar" {
		t.Fatalf("heard are %v", r.ranked())
	}
	r.levels["loud"] = 5
	r.pass(time.Second)
	if !slices.Contains(r.heard(), "loud") {
		t.Fatalf("heard are %v", r.ranked())
	}
}

// Eight people of nearly the same loudness speak for a minute: the ranking may settle, but must not flap.
func TestNoFlapping(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	r := newRoom(t, names...)
	for i, name := range names {
		r.levels[name] = uint8(30 + i%3)
	}
	r.pass(5 * time.Second)
	r.rankings, r.dominants = 0, 0
	r.pass(time.Minute)
	if r.rankings > 0 || r.dominants > 0 {
		t.Fatalf("%d rankings and %d speakers in a minute", r.rankings, r.dominants)
	}
}

// Under any levels no seat changes more than once in seatMinimum, and who is ranked is never ranked twice.
func TestRandomLevels(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	r := newRoom(t, names...)
	for range 3000 {
		if name := names[r.rnd.IntN(len(names))]; r.rnd.IntN(3) == 0 {
			delete(r.levels, name)
		} else {
			r.levels[name] = uint8(r.rnd.IntN(128))
		}
		r.pass(time.Duration(1+r.rnd.IntN(10)) * 20 * time.Millisecond)
		ranked := r.ranked()
		if sorted := slices.Sorted(slices.Values(ranked)); len(slices.Compact(sorted)) != len(ranked) || len(ranked) > 4 {
			t.Fatalf("ranked are %v", ranked)
		}
	}
	if r.rankings < 100 {
		t.Fatalf("only %d changes", r.rankings)
	}
}

func TestDominantSpeaker(t *testing.T) {
	r := newRoom(t, "a", "b")
	r.levels["a"] = 25
	r.pass(time.Second)
	if r.dominant() != "a" {
		t.Fatalf("dominant is %q", r.dominant())
	}
	r.levels["b"] = 15
	r.pass(100 * time.Millisecond) // a cough
	delete(r.levels, "b")
	r.pass(3 * time.Second)
	if r.dominant() != "a" || r.dominants != 1 {
		t.Fatalf("dominant is %q after %d changes", r.dominant(), r.dominants)
	}
	delete(r.levels, "a")
	r.pass(10 * time.Second)
	if r.dominant() != "a" {
		t.Fatalf("dominant in silence is %q", r.dominant())
	}
	r.levels["b"] = 35
	r.pass(800 * time.Millisecond)
	if r.dominant() != "b" {
		t.Fatalf("dominant is %q", r.dominant())
	}
	r.levels["a"] = 20 // interrupts, much louder
	r.pass(4 * time.Second)
	if r.dominant() != "a" {
		t.Fatalf("dominant is %q", r.dominant())
	}
}

// TestForemost: where one voice is heard, that of whoever begins to speak is, within three periods; nobody breaks in on the speaker.
func TestForemost(t *testing.T) {
	r := newRoom(t, "anna", "ben", "carl")
	for _, name := range r.names {
		r.levels[name] = 127
	}
	r.pass(2 * time.Second)
	for _, name := range []string{"ben", "anna"} {
		r.levels[name] = 30
		r.pass(3 * Period)
		if f := r.d.Foremost(); f != r.voices[name] {
			t.Errorf("%s speaks first, and %+v is heard", name, f)
		}
		r.pass(2 * time.Second)
		r.levels["carl"] = 25
		r.pass(3 * Period)
		if f := r.d.Foremost(); f != r.voices[name] {
			t.Errorf("%s speaks on, and %+v is heard", name, f)
		}
		r.levels["carl"], r.levels[name] = 127, 127
		r.pass(3 * time.Second)
	}
	r.d.Leave(r.d.Foremost())
	if f := r.d.Foremost(); f != nil {
		t.Errorf("%+v has left and is heard", f)
	}
}

func TestLeave(t *testing.T) {
	r := newRoom(t, "a", "b", "c", "d", "e")
	for i, name := range r.names {
		r.levels[name] = uint8(20 + 4*i)
	}
	r.pass(3 * time.Second)
	who := r.dominant()
	r.d.Leave(r.voices[who])
	delete(r.voices, who)
	r.names = slices.DeleteFunc(r.names, func(n string) bool { return n == who })
	if slices.Contains(r.ranked(), who) || r.dominant() != "" {
		t.Fatalf("%s left, and is still in %v or dominant %q", who, r.ranked(), r.dominant())
	}
	if ranking, dominant := r.d.Update(r.now - Period); !ranking || !dominant {
		t.Fatal("the change was not told")
	}
	r.pass(time.Second)
	if len(r.ranked()) != 4 || r.dominant() == "" {
		t.Fatalf("%v, dominant %q", r.ranked(), r.dominant())
	}
	for _, name := range slices.Clone(r.names) {
		r.d.Leave(r.voices[name])
		delete(r.voices, name)
	}
	r.names = nil
	r.pass(time.Second)
	if len(r.ranked()) != 0 || len(r.d.voices) != 0 {
		t.Fatal("an empty room is not empty")
	}
}

// A sender with voice detection is not ranked for its keyboard.
func TestVoiceFlag(t *testing.T) {
	r := newRoom(t, "typist", "speaker")
	r.flag["typist"] = true
	r.levels["typist"] = 40
	r.pass(400 * time.Millisecond)
	r.flag["typist"] = false
	r.levels["typist"], r.levels["speaker"] = 46, 48
	r.pass(5 * time.Second)
	if r.dominant() != "speaker" {
		t.Fatalf("dominant is %q", r.dominant())
	}
}

func TestPacketSizes(t *testing.T) {
	d := New[string](Config{})
	now := time.Hour
	speech, pause, levels := d.Join("speech", now), d.Join("pause", now), d.Join("levels", now)
	for i := range 100 {
		speech.Size(70+i%20, now)
		if i%20 == 0 {
			pause.Size(1, now)
		}
		levels.Level(127, false, now)
		now += 20 * time.Millisecond
		d.Update(now)
	}
	if !speech.wasActive || pause.wasActive || levels.wasActive || d.Dominant() != speech {
		t.Fatalf("speech %v, a pause %v, silence %v", speech.wasActive, pause.wasActive, levels.wasActive)
	}
}

// Packets of 120 ms come less often than Update.
func TestLongPackets(t *testing.T) {
	d := New[string](Config{})
	now := time.Hour
	v := d.Join("a", now)
	for i := range 200 {
		if i%6 == 0 {
			v.Level(30, false, now)
		}
		d.Update(now)
		if i > 50 && !v.activeWithin(Period, now) {
			t.Fatal("silent between two packets")
		}
		now += 20 * time.Millisecond
	}
}

func TestNoAllocations(t *testing.T) {
	d := New[int](Config{})
	var voices []*Voice[int]
	for i := range 20 {
		voices = append(voices, d.Join(i, 0))
	}
	now := time.Duration(0)
	rnd := rand.New(rand.NewPCG(1, 0))
	allocs := testing.AllocsPerRun(2000, func() {
		now += 20 * time.Millisecond
		for i, v := range voices {
			if i%2 == 0 {
				v.Level(uint8(rnd.IntN(128)), false, now)
			} else {
				v.Size(rnd.IntN(100), now)
			}
		}
		d.Update(now)
	})
	if allocs != 0 {
		t.Fatalf("%v allocations per round", allocs)
	}
}

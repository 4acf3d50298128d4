package mmr

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/packet"
)

// simulcaster sends a picture in three encodings with three temporal layers each, as far as it was told to.
type simulcaster struct {
	e       *endpoint
	tt      transportTracks
	told    []string
	seqs    [maxEncodings]uint16
	tl0     [maxEncodings]uint8
	picture uint16
	frames  int
	keys    [maxEncodings]uint64 // requests that were served
	sent    [maxEncodings]int    // pictures
	able    int                  // encodings that it can send
	rates   [maxEncodings]uint64 // that it was told, 0 none
	obeys   bool
}

// usualSizes are the bytes of a picture of each encoding, on average.
var usualSizes = [maxEncodings]int{625, 2083, 6250}

var simulcastHeights = [maxEncodings]int{180, 360, 720}

func newSimulcaster(t *testing.T, sh *shard, id EndpointID) *simulcaster {
	s := &simulcaster{told: []string{"l", "m", "h"}, able: maxEncodings, tt: transportTracks{ids: offeredIDs}}
	s.e, _ = bareEndpoint(t, sh, id, 0)
	s.e.cfg.Notify = func(e Event) {
		switch e := e.(type) {
		case EncodingsWanted:
			if e.Medium == Video {
				s.told = e.RIDs
			}
		case RatesWanted:
			s.rates = [maxEncodings]uint64{}
			for _, c := range e.Ceilings {
				s.rates[strings.Index("lmh", c.RID)] = c.Bitrate
			}
		}
	}
	s.e.up[Video].bindTo(1, &s.tt, &answered{RIDs: []string{"l", "m", "h"}, Formats: formatsFor(Video)})
	return s
}

// shotEvery is how often play has a picture sent.
const shotEvery = 33 * time.Millisecond

// shoot sends the next picture, 30 a second, some 150, 500 and 1500 kbit/s.
func (s *simulcaster) shoot(now dataplane.Instant) {
	s.frames++
	s.picture = (s.picture + 1) & 0x7fff
	tid := [...]uint8{0, 2, 1, 2}[s.frames%4]
	for i, rid := range []string{"l", "m", "h"} {
		if i >= s.able || !slices.Contains(s.told, rid) {
			s.keys[i] = 0
			continue
		}
		st := s.e.up[Video].streams[i]
		key := s.sent[i] == 0 || s.keys[i] == 0 || st.src.keyWanted
		s.keys[i] = 1
		level := tid
		if key {
			level = 0
		}
		if level == 0 {
			s.tl0[i]++
		}
		s.sent[i]++
		size := usualSizes[i] * [...]int{16, 8, 8}[level] / 10
		if told := int(s.rates[i]) * int(shotEvery/time.Millisecond) / 8000; s.obeys && told > 0 {
			size = min(size, told*[...]int{16, 8, 8}[level]/10)
		}
		for left, first := size, true; left > 0; first = false {
			n := min(left, 1000)
			left -= n
			s.seqs[i]++
			payload := make([]byte, 6+max(n, 10))
			payload[0], payload[1] = 0x80, 0xe0
			binary.BigEndian.PutUint16(payload[2:], s.picture|0x8000)
			payload[4], payload[5] = s.tl0[i], level<<6|0x20
			if first {
				payload[0] |= 0x10
				payload[6] = 1
				if key {
					h := simulcastHeights[i]
					copy(payload[6:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0, 1, byte(h), byte(h >> 8)})
				}
			}
			h := packet.Header{Marker: left == 0, PayloadType: ptVP8, SequenceNumber: s.seqs[i], Timestamp: uint32(s.frames) * 3000, SSRC: uint32(5000 + i)}
			b := make([]byte, packet.FixedLen, 1400)
			packet.PutHeader(b, &h)
			b[0] |= 0x10
			b = append(b, 0xbe, 0xde, 0, 1, extRID<<4, rid[0], 0, 0)
			s.e.sh.arrived(now, s.e, &s.tt, []Medium{Video}, append(b, payload...))
		}
	}
}

// stage is a shard with one who sends simulcast and some who watch.
type stage struct {
	sh     *shard
	sender *simulcaster
	now    dataplane.Instant
}

func newStage(t *testing.T) *stage {
	g := &stage{sh: newShard(), now: 1}
	g.sender = newSimulcaster(t, g.sh, "sender")
	return g
}

// play lets time pass.
func (g *stage) play(d time.Duration) {
	for end := g.now + dataplane.Instant(d); g.now < end; {
		g.now += dataplane.Instant(shotEvery - 6*time.Millisecond)
		g.sender.shoot(g.now)
		g.sh.flush(g.now)
		for range 6 {
			g.now += dataplane.Instant(time.Millisecond)
			g.sh.advance(g.now)
		}
	}
}

// looks sets what a viewer asks for in their first slot.
func (g *stage) looks(e *endpoint, height int) {
	e.setViews(g.now, []View{{Slot: 0, Source: "sender", Height: height}})
	g.sh.flush(g.now)
}

// shown returns the height of what is sent into a viewer's first slot, 0 nothing.
func shown(e *endpoint) int {
	if s := e.slots[Video][0].showing; s != nil {
		return s.height
	}
	return 0
}

// TestDemand: everybody gets the smallest encoding that is large enough; what nobody needs is stopped after a while, and comes back at once.
func TestDemand(t *testing.T) {
	g := newStage(t)
	small, _ := bareEndpoint(t, g.sh, "small", 1)
	large, _ := bareEndpoint(t, g.sh, "large", 1)
	g.looks(small, 180)
	g.looks(large, 720)
	g.play(2 * time.Second)
	if shown(small) != 180 || shown(large) != 720 {
		t.Fatalf("shown are %d and %d lines", shown(small), shown(large))
	}
	if !slices.Equal(g.sender.told, []string{"l", "m", "h"}) {
		t.Errorf("after 2 s %q are to be sent, want all as yet", g.sender.told)
	}
	g.play(2 * time.Second)
	if !slices.Equal(g.sender.told, []string{"l", "h"}) {
		t.Errorf("%q are to be sent, want l and h", g.sender.told)
	}

	g.looks(large, 180)
	g.play(4 * time.Second)
	if !slices.Equal(g.sender.told, []string{"l"}) || shown(large) != 180 {
		t.Errorf("%q are to be sent, and %d lines are shown, want l and 180", g.sender.told, shown(large))
	}
	before := g.sender.sent[2]
	g.looks(large, 720)
	if !slices.Contains(g.sender.told, "h") {
		t.Fatalf("%q are to be sent, want h at once", g.sender.told)
	}
	if shown(large) == 0 {
		t.Error("the small picture ended before the large one came")
	}
	g.play(200 * time.Millisecond)
	if shown(large) != 720 || g.sender.sent[2] == before {
		t.Errorf("%d lines are shown after 200 ms", shown(large))
	}

	for _, e := range []*endpoint{small, large} {
		e.setViews(g.now, []View{{Slot: 0}})
	}
	g.play(4 * time.Second)
	if len(g.sender.told) != 0 {
		t.Errorf("nobody looks, and %q are to be sent", g.sender.told)
	}
	g.looks(small, 180)
	g.play(200 * time.Millisecond)
	if shown(small) != 180 || small.slots[Video][0].slot().Paused {
		t.Errorf("looked at again, %d lines are shown: %+v", shown(small), small.slots[Video][0].slot())
	}
}

// TestUnableSender: who cannot send the large encoding is shown as well as they can, and the smaller one goes on.
func TestUnableSender(t *testing.T) {
	g := newStage(t)
	g.sender.able = 2
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	g.looks(viewer, 720)
	g.play(8 * time.Second)
	if shown(viewer) != 360 || !slices.Contains(g.sender.told, "h") {
		t.Errorf("%d lines are shown, and %q are to be sent", shown(viewer), g.sender.told)
	}
	g.sender.able = 3
	g.play(time.Second)
	if shown(viewer) != 720 {
		t.Errorf("%d lines are shown when they can be had", shown(viewer))
	}
}

// TestAllocate: what a receiver's path carries decides over what was asked for.
func TestAllocate(t *testing.T) {
	g := newStage(t)
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 1)
	g.looks(viewer, 0)
	g.play(3 * time.Second)
	if shown(viewer) != 720 {
		t.Fatalf("%d lines are shown without a limit", shown(viewer))
	}
	d := viewer.slots[Video][0]
	for _, c := range []struct {
		limit    uint64
		height   int
		temporal bool // layers are left out
	}{
		{limit: 800_000, height: 360},
		{limit: 400_000, height: 360, temporal: true},
		{limit: 200_000, height: 180},
		{limit: 250_000, height: 180},
		{limit: 790_000, height: 360},
	} {
		t.Run(fmt.Sprint(c.limit), func(t *testing.T) {
			viewer.budget.limit(c.limit)
			g.play(6 * time.Second)
			if got := shown(viewer); got != c.height {
				t.Errorf("%d lines are shown, want %d", got, c.height)
			}
			if left := d.target.Temporal < maxTemporal-1; left != c.temporal {
				t.Errorf("target %+v", d.target)
			}
			before := d.bytes
			g.play(4 * time.Second)
			if rate := (d.bytes - before) * 8 / 4; rate > c.limit {
				t.Errorf("%d bit/s were sent of %d", rate, c.limit)
			}
		})
	}
}

// TestPaused: a slot for which nothing is left is said to be paused, the less important one first, and gets its picture back.
func TestPaused(t *testing.T) {
	g := newStage(t)
	viewer, _ := bareEndpoint(t, g.sh, "viewer", 2)
	var told []Slot
	viewer.cfg.Notify = func(e Event) {
		if e, ok := e.(SlotsChanged); ok {
			told = e.Slots
		}
	}
	viewer.setViews(g.now, []View{{Slot: 0, Source: "sender", Height: 180}, {Slot: 1, Source: "sender", Height: 180, Priority: 1}})
	g.play(3 * time.Second)
	paused := func() (list []bool) {
		for _, s := range told {
			if s.Medium == Video {
				list = append(list, s.Paused)
			}
		}
		return list
	}
	for _, c := range []struct {
		limit uint64
		want  []bool
	}{{400_000, []bool{false, false}}, {90_000, []bool{true, false}}, {400_000, []bool{false, false}}} {
		viewer.budget.limit(c.limit)
		g.play(4 * time.Second)
		if got := paused(); !slices.Equal(got, c.want) {
			t.Errorf("at %d bit/s paused are %v, want %v", c.limit, got, c.want)
		}
		before := viewer.slots[Video][0].packets
		g.play(time.Second)
		if moves := viewer.slots[Video][0].packets > before; moves == c.want[0] {
			t.Errorf("at %d bit/s the less important picture moves: %v", c.limit, moves)
		}
	}
}

// TestPleas: however often one receiver asks for keyframes, the sender is asked seldom, and others' wishes are merged with theirs.
func TestPleas(t *testing.T) {
	g := newStage(t)
	greedy, _ := bareEndpoint(t, g.sh, "greedy", 1)
	other, _ := bareEndpoint(t, g.sh, "other", 1)
	g.looks(greedy, 180)
	g.looks(other, 180)
	g.play(5 * time.Second)
	ask := func(e *endpoint) {
		g.sh.controlled(g.now, e, &transportTracks{}, []Medium{Video}, appendPLI(nil, 1, e.slots[Video][0].ssrc))
	}
	requests := g.sh.stats.keyframes
	for range 100 {
		ask(greedy)
		g.play(100 * time.Millisecond)
	}
	if n := g.sh.stats.keyframes - requests; n < 8 || n > 16 {
		t.Errorf("the sender was asked for %d keyframes in 10 s of 10 pleas a second", n)
	}
	g.play(2 * time.Second)
	requests = g.sh.stats.keyframes
	for range 5 {
		ask(other)
		ask(greedy)
	}
	if n := g.sh.stats.keyframes - requests; n != 1 {
		t.Errorf("%d requests were made of ten pleas at once", n)
	}
}

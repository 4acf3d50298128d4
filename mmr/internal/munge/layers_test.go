package munge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"meetzone/mmr/internal/codec"
)

// layered is a stream of three spatial and three temporal layers, as the structures L3T3 and L3T3_KEY of the AV1 RTP specification have them. It knows
// what each frame refers to.
type layered struct {
	key     bool // L3T3_KEY: upper spatial layers refer to lower ones in keyframes alone
	picture int
	seq     uint64
	number  uint16
	last    [3][2]int // newest frame of a spatial layer and temporal layer 0 or 1, -1 none
	frames  []layerFrame
}

// layerFrame is a frame, by its number from 0.
type layerFrame struct {
	spatial, temporal uint8
	refers            []int
	packets           []In
	seen              int // packets that came in time
	sent              int // packets
}

// add appends the frames of the next picture.
func (l *layered) add(r *rand.Rand, keyframe bool) {
	temporal := [...]uint8{0, 2, 1, 2}[l.picture%4]
	if keyframe {
		temporal, l.picture = 0, 0
		l.last = [3][2]int{{-1, -1}, {-1, -1}, {-1, -1}}
	}
	l.picture++
	below := -1
	for s := range uint8(3) {
		f := layerFrame{spatial: s, temporal: temporal}
		if l.last[s][0] >= 0 {
			f.refers = append(f.refers, l.last[s][0])
		}
		if temporal == 2 && l.last[s][1] >= 0 && l.picture%4 == 0 {
			f.refers = append(f.refers, l.last[s][1])
		}
		if below >= 0 && (keyframe || !l.key) {
			f.refers = append(f.refers, below)
		}
		n := len(l.frames)
		below = n
		if temporal < 2 {
			l.last[s][temporal] = n
		}
		if temporal == 0 {
			l.last[s][1] = -1
		}
		f.packets = l.packets(r, s, temporal, keyframe)
		l.frames = append(l.frames, f)
	}
}

// packets makes those of a frame, with what a dependency descriptor says of it.
func (l *layered) packets(r *rand.Rand, s, t uint8, keyframe bool) (list []In) {
	f := codec.Frame{Spatial: s, Temporal: t, Active: three, Independent: keyframe && s == 0, Discardable: t == 2}
	upTo := s // spatial layers that the frame is a part of
	if keyframe || !l.key {
		upTo = 2
	}
	for spatial := s; spatial <= upTo; spatial++ {
		for temporal := t; temporal < 3; temporal++ {
			f.Present |= codec.LayerBit(spatial, temporal)
			if t == 0 && (spatial == s || keyframe) || t == 1 && spatial == s && temporal == 2 {
				f.Switch |= codec.LayerBit(spatial, temporal)
			}
		}
	}
	n := 1 + r.IntN(3)
	l.number++
	for i := range n {
		f.End = i == n-1
		list = append(list, In{
			Source: 1, Codec: codec.AV1, Sequence: l.seq, Timestamp: uint32(len(l.frames)/3) * 3000, Arrival: time.Duration(len(l.frames)/3) * 33 * time.Millisecond,
			Keyframe: keyframe && s == 0 && i == 0, Frame: f, Number: l.number, HasNumber: true,
		})
		l.seq++
	}
	return list
}

// three are the layers of the structures.
var three = func() (set codec.LayerSet) {
	for s := range uint8(3) {
		for t := range uint8(3) {
			set |= codec.LayerBit(s, t)
		}
	}
	return set
}()

// TestLayersAreDecodable changes at random what is wanted while packets come out of order. Every frame that is sent whole refers only to frames
// that were sent, as far as anything of them had come when that was decided, and every picture ends with a marker.
func TestLayersAreDecodable(t *testing.T) {
	for _, key := range []bool{false, true} {
		for seed := range uint64(60) {
			t.Run(fmt.Sprintf("key %v seed %d", key, seed), func(t *testing.T) { runLayers(t, key, seed) })
		}
	}
}

func runLayers(t *testing.T, key bool, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	l := &layered{key: key, seq: 1 << 20, last: [3][2]int{{-1, -1}, {-1, -1}, {-1, -1}}}
	track := New(Config{Codec: codec.VP8, FirstSequence: 9})
	track.Switch(1)
	outs := map[uint64]In{}
	ended := map[uint32]bool{}
	var reached [3]int
	late := map[int][]In{}
	var wantS, wantT uint8 = 2, 2
	frameOf := map[uint64]int{}
	var arrived []In
	var deliver func(in In)
	deliver = func(in In) {
		n := frameOf[in.Sequence]
		out, v := track.Rewrite(&in)
		if !v.Forwarded() && v != Fill {
			return
		}
		if old, twice := outs[out.Sequence]; twice {
			t.Fatalf("number %d for %d and %d", out.Sequence, old.Sequence, in.Sequence)
		}
		outs[out.Sequence] = in
		if v == Fill {
			return
		}
		l.frames[n].sent++
		if v == Switched { // what came before the first packet of the keyframe comes again, as from the history
			for _, again := range slices.SortedFunc(slices.Values(arrived), func(a, b In) int { return int(a.Sequence) - int(b.Sequence) }) {
				if again.Sequence > in.Sequence {
					deliver(again)
				}
			}
		}
		reached[in.Frame.Spatial]++
		if s, _ := track.Selected(); out.Marker != (in.Frame.End && in.Frame.Spatial == s) && in.Sequence == track.highestIn {
			t.Fatalf("marker %v at spatial layer %d of %d", out.Marker, in.Frame.Spatial, s)
		}
		ended[in.Timestamp] = ended[in.Timestamp] || out.Marker
	}
	for picture := range 400 {
		if r.IntN(12) == 0 {
			wantS, wantT = uint8(r.IntN(3)), uint8(r.IntN(3))
			track.Select(wantS, wantT)
		}
		_, needs := track.NeedsKeyframe()
		from := len(l.frames)
		l.add(r, picture == 0 || (needs || track.Behind()) && r.IntN(4) == 0)
		var queue []In
		for n := from; n < len(l.frames); n++ {
			for _, in := range l.frames[n].packets {
				frameOf[in.Sequence] = n
				switch {
				case r.IntN(40) == 0:
					at := picture + 1 + r.IntN(3)
					late[at] = append(late[at], in)
				default:
					queue = append(queue, in)
					l.frames[n].seen++
				}
			}
		}
		for i := range queue { // a little out of order
			if j := i + r.IntN(2); j < len(queue) && r.IntN(10) == 0 {
				queue[i], queue[j] = queue[j], queue[i]
			}
		}
		for _, in := range append(queue, late[picture]...) {
			arrived = append(arrived, in)
			deliver(in)
		}
	}
	for at := 400; at < 404; at++ {
		for _, in := range late[at] {
			deliver(in)
		}
	}
	whole := func(n int) bool { return l.frames[n].sent == len(l.frames[n].packets) }
	wholes, torn := 0, 0
	for n, f := range l.frames {
		if !whole(n) {
			continue
		}
		wholes++
		for _, ref := range f.refers {
			if l.frames[ref].sent == 0 && l.frames[ref].seen > 0 {
				t.Errorf("frame %d (%d, %d) was sent, and %d (%d, %d), to which it refers, was not", n, f.spatial, f.temporal, ref,
					l.frames[ref].spatial, l.frames[ref].temporal)
			} else if !whole(ref) {
				torn++
			}
		}
	}
	if wholes < 100 || reached[2] == 0 || reached[0] == 0 || torn > wholes/4 {
		t.Errorf("%d frames whole, %d refer to torn ones, packets by layer %v", wholes, torn, reached)
	}
}

// TestLayersGoUpAndDown: down at once where the lower layer was sent all along, and with a keyframe where it was not; up with a keyframe.
func TestLayersGoUpAndDown(t *testing.T) {
	for _, key := range []bool{false, true} {
		r := rand.New(rand.NewPCG(1, 1))
		l := &layered{key: key, seq: 1 << 20, last: [3][2]int{{-1, -1}, {-1, -1}, {-1, -1}}}
		track := New(Config{Codec: codec.AV1})
		track.Switch(1)
		picture := func(keyframe bool) (spatial uint8, behind bool) {
			from := len(l.frames)
			l.add(r, keyframe)
			for _, f := range l.frames[from:] {
				for i := range f.packets {
					track.Rewrite(&f.packets[i])
				}
			}
			spatial, _ = track.Selected()
			return spatial, track.Behind()
		}
		want := func(name string, keyframe bool, spatial uint8, behind bool) {
			t.Helper()
			if s, b := picture(keyframe); s != spatial || b != behind {
				t.Errorf("key %v, %s: layer %d, behind %v; want %d, %v", key, name, s, b, spatial, behind)
			}
		}
		want("keyframe", true, 2, false)
		for range 8 {
			want("goes on", false, 2, false)
		}
		track.Select(0, 2)
		if key {
			want("down, of K-SVC", false, 2, true)
			want("with a keyframe", true, 0, false)
		} else {
			want("down", false, 0, false)
		}
		for range 8 {
			want("stays", false, 0, false)
		}
		track.Select(2, 2)
		want("up", false, 0, true)
		want("up with a keyframe", true, 2, false)
	}
}

// TestFrameNumbersGoOn: another source's frames follow by number, and keep their gaps.
func TestFrameNumbersGoOn(t *testing.T) {
	track := New(Config{Codec: codec.AV1})
	track.Switch(1)
	packet := func(s Source, n uint64, number uint16, key bool) (uint16, Verdict) {
		in := In{Source: s, Codec: codec.AV1, Sequence: 1<<20 + n, Timestamp: uint32(n) * 3000, Arrival: time.Duration(n) * 33 * time.Millisecond,
			Keyframe: key, Frame: codec.Whole(key), Number: number, HasNumber: true}
		out, v := track.Rewrite(&in)
		return out.Number, v
	}
	for i, v := range []struct {
		source Source
		number uint16
		key    bool
		want   uint16
	}{{1, 65530, true, 65530}, {1, 65535, false, 65535}, {2, 100, true, 0}, {2, 103, false, 3}, {1, 7, true, 4}} {
		track.Switch(v.source)
		if got, verdict := packet(v.source, uint64(i), v.number, v.key); got != v.want || !verdict.Forwarded() {
			t.Errorf("packet %d: number %d (%v), want %d", i, got, verdict, v.want)
		}
	}
}

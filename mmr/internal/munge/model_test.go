package munge

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"meetzone/mmr/internal/codec"
)

// The model is what a receiver may rely on, kept as plain maps of everything that was ever sent. A random network of sources, loss,
// disorder, duplicates, switches and deliberate drops feeds a Track, and the model complains about:
//
//   - two contents under one outgoing number, or one content under two,
//   - a picture that has another timestamp, picture id or TL0PICIDX in its packets, or shares them with another picture,
//   - pictures whose order, timestamps or ids do not rise as the sender's do,
//   - a gap in the outgoing numbers that is not explained by a packet lost on the way in,
//   - a forwarded picture that refers to one that was left out on purpose,
//   - a resend that differs from what was sent.

// sourceModel makes the pictures of one source.
type sourceModel struct {
	id       Source
	seq      uint64
	ts       uint32
	picture  uint16
	tl0, key uint8
	frame    int
	layers   int // temporal layers, 1 to 3
	form     codec.Descriptor
	pending  []modelPacket // not yet delivered
	made     []modelPacket // the first packet of every picture
}

// modelPacket is a packet and what the model knows of its picture.
type modelPacket struct {
	in       In
	keyframe bool // the picture is one
}

// makePicture appends the packets of the next picture.
func (s *sourceModel) makePicture(r *rand.Rand, keyframe bool) {
	s.frame++
	d := s.form
	s.picture = (s.picture + 1) & codec.PictureIDMask
	if !d.LongPictureID {
		s.picture &= 0x7f
	}
	s.ts += 3000
	tid := uint8(0)
	if s.layers == 2 {
		tid = uint8(s.frame % 2)
	}
	if s.layers == 3 {
		tid = [...]uint8{0, 2, 1, 2}[s.frame%4]
	}
	if keyframe {
		tid = 0
		s.frame = 0
		s.key = (s.key + 1) & codec.KeyIndexMask
	}
	if tid == 0 {
		s.tl0++
	}
	d.PictureID, d.TL0, d.KeyIndex = s.picture, s.tl0, s.key
	if d.HasTID {
		d.TID = tid
		d.LayerSync = tid > 0 && r.IntN(4) == 0
	}
	d.NonReference = !keyframe && s.layers == 1 && r.IntN(3) == 0
	n := 1 + r.IntN(6)
	for i := range n {
		d.StartPartition, d.Keyframe = i == 0, i == 0 && keyframe
		p := modelPacket{In{
			Source: s.id, Codec: codec.VP8, Sequence: s.seq, Timestamp: s.ts, Keyframe: d.Keyframe, Frame: d.Frame(codec.VP8), Descriptor: d,
		}, keyframe}
		s.pending = append(s.pending, p)
		if i == 0 {
			s.made = append(s.made, p)
		}
		s.seq++
	}
}

// sentPacket is what left under one outgoing number.
type sentPacket struct {
	in  In
	out Out
}

// model keeps everything.
type model struct {
	t        *testing.T
	bySeq    map[uint64]sentPacket
	byIn     map[Origin]uint64
	pictures map[[2]uint64]Out // by source and incoming timestamp
	byID     map[uint32]uint32 // outgoing timestamp to incoming
	filled   map[uint64]bool
	highest  uint64
	context  string
}

func newModel(t *testing.T) *model {
	return &model{t: t, filled: map[uint64]bool{}, bySeq: map[uint64]sentPacket{}, byIn: map[Origin]uint64{}, pictures: map[[2]uint64]Out{}, byID: map[uint32]uint32{}}
}

func (m *model) failf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf(m.context+": "+format, args...)
}

// send takes what the Track let pass.
func (m *model) send(in In, out Out) {
	m.t.Helper()
	if m.filled[out.Sequence] {
		m.failf("number %d was filled, now it carries %d/%d", out.Sequence, in.Source, in.Sequence)
	}
	if old, ok := m.bySeq[out.Sequence]; ok {
		m.failf("number %d sent twice: %d/%d, then %d/%d", out.Sequence, old.in.Source, old.in.Sequence, in.Source, in.Sequence)
	}
	origin := Origin{in.Source, in.Sequence}
	if old, ok := m.byIn[origin]; ok {
		m.failf("packet %v sent as %d and as %d", origin, old, out.Sequence)
	}
	m.bySeq[out.Sequence], m.byIn[origin] = sentPacket{in, out}, out.Sequence
	key := [2]uint64{uint64(in.Source), uint64(in.Timestamp)}
	if p, ok := m.pictures[key]; ok {
		if p.Timestamp != out.Timestamp || p.Descriptor.PictureID != out.Descriptor.PictureID || p.Descriptor.TL0 != out.Descriptor.TL0 {
			m.failf("picture %v has two sets of ids: %+v and %+v", key, p, out)
		}
	} else {
		if other, ok := m.byID[out.Timestamp]; ok {
			m.failf("pictures %d and %d share the outgoing timestamp %d", other, in.Timestamp, out.Timestamp)
		}
		m.pictures[key], m.byID[out.Timestamp] = out, in.Timestamp
	}
	m.highest = max(m.highest, out.Sequence)
}

// fill takes an empty packet.
func (m *model) fill(in In, out Out) {
	m.t.Helper()
	if old, ok := m.bySeq[out.Sequence]; ok {
		m.failf("number %d filled, but it carried %d/%d", out.Sequence, old.in.Source, old.in.Sequence)
	}
	if m.filled[out.Sequence] {
		m.failf("number %d filled twice", out.Sequence)
	}
	m.filled[out.Sequence] = true
}

// finish checks the whole stream in the order of its outgoing numbers. excused says how many numbers may be missing between two packets,
// steps how far the picture id, or for base TL0PICIDX, may go.
func (m *model) finish(lowest uint64, excused func(before, after sentPacket) uint64, steps func(before, after sentPacket, base bool) int) {
	m.t.Helper()
	var before sentPacket
	for seq := lowest; seq <= m.highest; seq++ {
		p, ok := m.bySeq[seq]
		if !ok {
			continue
		}
		if before.in.Source != 0 {
			m.checkStep(before, p, excused, steps)
		}
		before = p
	}
}

func (m *model) checkStep(
	a, b sentPacket, excused func(before, after sentPacket) uint64, steps func(before, after sentPacket, base bool) int,
) {
	m.t.Helper()
	step := int32(b.out.Timestamp - a.out.Timestamp)
	if step < 0 {
		m.failf("timestamp falls from %d to %d at number %d", a.out.Timestamp, b.out.Timestamp, b.out.Sequence)
	}
	if a.in.Source == b.in.Source && (step == 0) != (a.in.Timestamp == b.in.Timestamp) {
		m.failf("pictures run together at number %d", b.out.Sequence)
	}
	if gap := b.out.Sequence - a.out.Sequence - 1; gap > excused(a, b) {
		m.failf("gap of %d between %d/%d and %d/%d, %d lost", gap, a.in.Source, a.in.Sequence, b.in.Source, b.in.Sequence, excused(a, b))
	}
	da, db := &a.out.Descriptor, &b.out.Descriptor
	if da.HasPictureID && db.HasPictureID {
		d := pictureDistance(db, da.PictureID)
		if !da.LongPictureID || !db.LongPictureID {
			d = int(int8(uint8(db.PictureID-da.PictureID)<<1) >> 1)
		}
		if step == 0 && d != 0 || step > 0 && d <= 0 {
			m.failf("picture id goes from %d to %d at number %d", da.PictureID, db.PictureID, b.out.Sequence)
		}
		if whole := steps(a, b, false); step > 0 && d > whole {
			m.failf("picture id jumps from %d to %d at number %d, by more than %d", da.PictureID, db.PictureID, b.out.Sequence, whole)
		}
	}
	if d := int(int8(db.TL0 - da.TL0)); da.HasTL0 && db.HasTL0 && (d < 0 || d > steps(a, b, true)) {
		m.failf("TL0PICIDX goes from %d to %d at number %d, by more than %d", da.TL0, db.TL0, b.out.Sequence, steps(a, b, true))
	}
}

// script is how one random run is mixed.
type script struct {
	loss, late, duplicate, drop, dropHalf float64
	switchEvery                           int // pictures
	forms                                 []codec.Descriptor
	layers                                int
}

var longForm = codec.Descriptor{HasPictureID: true, LongPictureID: true, HasTL0: true, HasTID: true, HasKeyIndex: true, Len: 6}

func TestTrackAgainstModel(t *testing.T) {
	short := codec.Descriptor{HasPictureID: true, Len: 3}
	noIDs := codec.Descriptor{Len: 1}
	longOnly := codec.Descriptor{HasPictureID: true, LongPictureID: true, Len: 4}
	scripts := map[string]script{
		"clean":             {forms: []codec.Descriptor{longForm}, layers: 1},
		"one layer dropped": {forms: []codec.Descriptor{longForm}, layers: 1, drop: 0.3},
		"switching":         {forms: []codec.Descriptor{longForm}, layers: 1, switchEvery: 7},
		"loss":              {forms: []codec.Descriptor{longForm}, layers: 1, switchEvery: 9, loss: 0.05, late: 0.1, duplicate: 0.05},
		"layers dropped":    {forms: []codec.Descriptor{longForm}, layers: 3, drop: 0.3},
		"all at once": {
			forms: []codec.Descriptor{longForm}, layers: 3, drop: 0.2, dropHalf: 0.02, loss: 0.05, late: 0.1, duplicate: 0.05, switchEvery: 25,
		},
		"two layers":            {forms: []codec.Descriptor{longForm}, layers: 2, drop: 0.3, loss: 0.02, late: 0.2, switchEvery: 40},
		"no ids":                {forms: []codec.Descriptor{noIDs}, layers: 1, drop: 0.05, loss: 0.05, late: 0.1, switchEvery: 9},
		"short ids":             {forms: []codec.Descriptor{short}, layers: 1, drop: 0.05, loss: 0.02, late: 0.1, switchEvery: 9},
		"mixed forms of source": {forms: []codec.Descriptor{short, longOnly, longForm}, layers: 1, loss: 0.02, late: 0.1, switchEvery: 9},
	}
	for name, s := range scripts {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				runScript(t, s, seed)
			}
		})
	}
}

// run is one random run.
type run struct {
	script
	*model
	r       *rand.Rand
	track   *Track
	sources []*sourceModel
	now     time.Duration
	closed  map[Origin]bool // packets left out on purpose and in order
	dropped map[[2]uint64]bool
	cut     map[[2]uint64]bool // pictures left out on purpose, wholly or in part
	// closedPicture are those of which a packet was left out in order; when nothing of them was sent, the ids close the gap.
	closedPicture map[[2]uint64]bool
}

func runScript(t *testing.T, s script, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 99))
	first := uint16(r.IntN(1 << 15))
	x := &run{
		script: s, model: newModel(t), r: r, closed: map[Origin]bool{},
		dropped: map[[2]uint64]bool{}, cut: map[[2]uint64]bool{}, closedPicture: map[[2]uint64]bool{},
		track: New(Config{Codec: codec.VP8, FirstSequence: first, FirstTimestamp: r.Uint32()}),
		now:   time.Hour,
	}
	for i := range 3 {
		x.sources = append(x.sources, &sourceModel{
			id: Source(i + 1), seq: 1<<16 + uint64(r.IntN(1<<16)), ts: 3000 * uint32(r.IntN(1<<20)), picture: uint16(r.IntN(1 << 15)),
			tl0: uint8(r.IntN(256)), layers: s.layers, form: s.forms[i%len(s.forms)],
		})
	}
	x.context = fmt.Sprintf("seed %d", seed)
	x.track.Switch(1)
	for picture := range 400 {
		x.now += 33 * time.Millisecond
		if s.switchEvery > 0 && picture%s.switchEvery == s.switchEvery-1 {
			x.track.Switch(Source(1 + r.IntN(3)))
		}
		for _, source := range x.sources {
			wanted, needs := x.track.NeedsKeyframe()
			source.makePicture(r, needs && wanted == source.id && r.IntN(3) > 0)
			x.deliver(source)
		}
		x.resend()
	}
	x.finish(1<<16+uint64(first), x.excused, x.steps)
	for _, source := range x.sources {
		x.checkReferences(source)
	}
	if len(x.bySeq) < 400 {
		x.failf("only %d packets were forwarded", len(x.bySeq))
	}
}

// deliver brings what is pending through a bad network: some packets are lost, some wait for a later turn, some come twice.
func (x *run) deliver(s *sourceModel) {
	queue := s.pending
	s.pending = nil
	for _, p := range queue {
		switch f := x.r.Float64(); {
		case f < x.loss:
			continue
		case f < x.loss+x.late:
			s.pending = append(s.pending, p)
			continue
		}
		x.arrive(p)
		if x.r.Float64() < x.duplicate {
			x.arrive(p)
		}
	}
}

// arrive shows a packet to the Track, which the router drops sometimes: whole pictures of higher layers, seldom one begun.
func (x *run) arrive(p modelPacket) {
	p.in.Arrival = x.now
	key := [2]uint64{uint64(p.in.Source), uint64(p.in.Timestamp)}
	decided, known := x.dropped[key]
	if !known {
		_, needs := x.track.NeedsKeyframe()
		decided = !needs && x.r.Float64() < x.drop && (p.in.Descriptor.TID > 0 || p.in.Descriptor.NonReference || x.r.IntN(20) == 0)
		x.dropped[key] = decided
	}
	inOrder := x.track.hasCurrent && x.track.current == p.in.Source && !x.track.stalled && p.in.Sequence > x.track.highestIn
	leftOut := false
	if !inOrder && x.r.IntN(2) == 0 {
		decided = false // the router may have forgotten what it decided; the Track must not
	}
	if decided || x.r.Float64() < x.dropHalf {
		x.track.Drop(&p.in)
		leftOut = inOrder
	} else if out, verdict := x.track.Rewrite(&p.in); verdict.Forwarded() {
		x.send(p.in, out)
	} else {
		leftOut = verdict == Incomplete || verdict == Fill || verdict == WaitKeyframe && inOrder
		if verdict == Fill {
			x.fill(p.in, out)
		}
	}
	if leftOut {
		x.cut[key] = true
		x.closed[Origin{p.in.Source, p.in.Sequence}] = inOrder
		x.closedPicture[key] = x.closedPicture[key] || inOrder
	}
}

// excused says how many numbers may be missing between two packets: those of the same source in between that were not left out in order and
// on purpose. Where half pictures are dropped, their rest stays missing.
func (x *run) excused(a, b sentPacket) uint64 {
	switch {
	case x.dropHalf > 0:
		return 60
	case a.in.Source != b.in.Source:
		return 0
	}
	n := uint64(0)
	for seq := a.in.Sequence + 1; seq < b.in.Sequence; seq++ {
		if !x.closed[Origin{a.in.Source, seq}] {
			n++
		}
	}
	return n
}

// steps counts the pictures, or only those of layer 0, after one packet up to the other that were not dropped whole.
func (x *run) steps(a, b sentPacket, base bool) int {
	if a.in.Source != b.in.Source {
		return 1
	}
	n, made := 0, x.sources[a.in.Source-1].made
	at := func(p sentPacket) int { return int(p.in.Timestamp-made[0].in.Timestamp) / 3000 }
	for _, p := range made[min(at(a), at(b))+1 : at(b)+1] {
		key := [2]uint64{uint64(a.in.Source), uint64(p.in.Timestamp)}
		if _, sent := x.pictures[key]; (sent || !x.closedPicture[key]) && (!base || p.in.Descriptor.TID == 0) {
			n++
		}
	}
	return n
}

// resend asks for some of the last numbers and compares with what was sent.
func (x *run) resend() {
	for range 5 {
		if x.highest < 1000 {
			return
		}
		seq := x.highest - uint64(x.r.IntN(300))
		p, was := x.bySeq[seq]
		origin, ok := x.track.Sent(uint16(seq))
		if x.filled[seq] {
			continue
		}
		if ok != was {
			if !ok && x.drop > 0 && x.highest-seq > 50 {
				continue // its segment is forgotten
			}
			x.failf("number %d: sent %v, remembered %v", seq, was, ok)
		}
		if !ok {
			continue
		}
		if origin != (Origin{p.in.Source, p.in.Sequence}) {
			x.failf("number %d came from %d/%d, remembered %v", seq, p.in.Source, p.in.Sequence, origin)
		}
		in := p.in
		in.Arrival = 0
		if out, ok := x.track.Resend(uint16(seq), &in); !ok || out != p.out {
			x.failf("number %d was %+v, again %+v", seq, p.out, out)
		}
	}
}

// checkReferences walks the pictures of a source in their order. A picture refers to the last ones of its own and of lower layers, one that
// synchronises only to layer 0, a keyframe to nothing; none that was sent may refer to one that was left out on purpose.
func (x *run) checkReferences(s *sourceModel) {
	var broken [4]bool
	for _, p := range s.made {
		d := &p.in.Descriptor
		key := [2]uint64{uint64(s.id), uint64(p.in.Timestamp)}
		refersToBroken := broken[0]
		for tid := uint8(1); tid <= d.TID && !d.LayerSync; tid++ {
			refersToBroken = refersToBroken || broken[tid]
		}
		if p.keyframe {
			refersToBroken, broken = false, [4]bool{}
		}
		_, sent := x.pictures[key]
		if sent && refersToBroken && !x.cut[key] {
			x.failf("source %d: picture %d of layer %d (sync %v) refers to one that was left out", s.id, d.PictureID, d.TID, d.LayerSync)
		}
		if !d.NonReference {
			broken[d.TID] = refersToBroken || x.cut[key]
		}
	}
}

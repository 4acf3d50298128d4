package mmr

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/packet"
)

// shifted is chromiumL1T3 as an encoder that has been set up anew sends it: its templates have other numbers.
func shifted(by byte) []byte {
	b := bytes.Clone(chromiumL1T3)
	b[0] |= by >> 3 & 7 // the offset lies behind five flags
	b[1] |= by << 5
	return b
}

// received returns the descriptors that the viewer was sent, in order.
func (s *describer) received() (values [][]byte) {
	sent := s.out.rtp[s.viewer.ssrc]
	for _, n := range slices.Sorted(maps.Keys(sent)) {
		h, err := packet.Parse(sent[n])
		if err != nil {
			s.t.Fatal(err)
		}
		values = append(values, packet.Extension(sent[n], &h, extDependency))
	}
	return values
}

// active follows the descriptors as a receiver does, and returns the layers that are active after each.
func active(t *testing.T, values [][]byte) (sets []codec.LayerSet) {
	t.Helper()
	var s codec.Structure
	for _, value := range values {
		d, err := codec.ParseDependency(value, &s)
		if err != nil {
			t.Fatalf("descriptor %x: %v", value, err)
		}
		sets = append(sets, d.Active)
	}
	return sets
}

// A structure that was lost and comes again holds for what came in between, although the next one, which is the same, was there before it.
func TestStructureComesLate(t *testing.T) {
	var s structures
	learn := func(seq uint64, template byte, value []byte) {
		t.Helper()
		if _, err := s.parse(seq, described(template, uint16(seq), value...), true); err != nil {
			t.Fatal(err)
		}
	}
	learn(1, 0, chromiumL1T3)
	learn(30, 5, shifted(5))
	learn(10, 5, shifted(5))
	for seq, want := range map[uint64]*codec.Structure{1: &s.before, 9: &s.before, 10: &s.newest, 20: &s.newest, 40: &s.newest} {
		if got := s.at(seq); got != want {
			t.Errorf("packet %d is read by the wrong structure", seq)
		}
	}
	learn(0, 5, shifted(5)) // from before the other one
	if s.at(5) != &s.before || s.at(10) != &s.newest {
		t.Error("a structure from before the last change holds behind it")
	}
}

// A receiver that was told that layers are left out is told when they come again, although no keyframe does.
func TestMaskIsWidened(t *testing.T) {
	s := newDescriber(t)
	s.send(s.packet(described(0, 1, chromiumL1T3...)), s.packet(described(1, 2)))
	s.viewer.aim(s.now, Layer{})
	s.send(s.packet(described(1, 3)), s.packet(described(3, 4)), s.packet(described(1, 5)))
	s.viewer.aim(s.now, topLayer)
	s.send(s.packet(described(1, 6)), s.packet(described(3, 7)))
	before := s.received()
	all := codec.LayerBit(0, 0) | codec.LayerBit(0, 1) | codec.LayerBit(0, 2)
	got := active(t, before)
	if len(got) != 6 || got[1] != all || got[2] != codec.LayerBit(0, 0) || got[3] != codec.LayerBit(0, 0) || got[4] != all || got[5] != all {
		t.Errorf("the receiver has active layers %x", got)
	}
	s.send(s.packet(described(0, 8, chromiumL1T3...)), s.packet(described(1, 9)))
	values := s.received()[len(before):]
	if len(values) != 2 || len(values[1]) != dependencyAlone {
		t.Errorf("behind a structure a mask is still sent: %x", values)
	}
}

// Layers that the sender itself has stopped are not announced in its place.
func TestMaskOfTheSenderStays(t *testing.T) {
	s := newDescriber(t)
	s.send(s.packet(described(0, 1, chromiumL1T3...)))
	s.send(s.packet(described(1, 2, 1<<6|0b011))) // five flags and a mask of three bits
	s.send(s.packet(described(1, 3)))
	stopped := codec.LayerBit(0, 0) | codec.LayerBit(0, 1)
	if got := active(t, s.received()); len(got) != 3 || got[1]&^stopped != 0 || got[2] != got[1] {
		t.Errorf("active layers %x", got)
	}
}

// A packet that is sent again, or has waited, is read by the structure of its time, and so is one that comes late.
func TestStructureOfItsTime(t *testing.T) {
	s := newDescriber(t)
	first, second := s.packet(described(0, 1, chromiumL1T3...)), s.packet(described(3, 2))
	late := s.packet(described(1, 3))
	s.send(first, second)
	s.send(s.packet(described(8, 4, shifted(8)...)), s.packet(described(11, 5)))
	src := s.e.up[Video].streams[0].src
	a := arrival{}
	a.in.Sequence = src.highest - 3
	if !src.recall(&a) || a.in.Frame.Temporal != 2 || a.in.Frame.Present == 0 {
		t.Errorf("a packet from before the new structure is of layer %d, %+v", a.in.Frame.Temporal, a.in.Frame)
	}
	a = arrival{}
	a.in.Sequence = src.highest
	if !src.recall(&a) || a.in.Frame.Temporal != 2 || a.in.Frame.Present == 0 {
		t.Errorf("a packet from behind the new structure is of layer %d, %+v", a.in.Frame.Temporal, a.in.Frame)
	}
	sent := len(s.received())
	s.send(late)
	if got := s.received(); len(got) != sent+1 {
		t.Errorf("the packet that came late is not sent: %d, %d before", len(got), sent)
	}
}

// What a structure is remembered by: the one before stays through repetitions and masks, and what comes late does not replace the newest.
func TestStructures(t *testing.T) {
	var list structures
	parse := func(seq uint64, learn bool, value []byte) (codec.Dependency, error) {
		return list.parse(seq, value, learn)
	}
	if _, err := parse(5, true, described(1, 1)); err == nil {
		t.Error("read without a structure")
	}
	for _, seq := range []uint64{10, 20} {
		if _, err := parse(seq, true, described(0, 1, chromiumL1T3...)); err != nil {
			t.Fatal(err)
		}
	}
	if list.since != 10 || list.hasBefore {
		t.Errorf("a structure that is repeated is another: since %d", list.since)
	}
	for _, seq := range []uint64{30, 40} {
		if _, err := parse(seq, true, described(8, 1, shifted(8)...)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := parse(35, false, described(16, 1, shifted(16)...)); err != nil {
		t.Fatal(err)
	}
	if _, err := parse(15, true, described(0, 1, chromiumL1T3...)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seq      uint64
		template byte
	}{{11, 3}, {29, 3}, {30, 11}, {50, 11}} {
		if d, err := parse(c.seq, true, described(c.template, 1)); err != nil || d.Temporal != 2 {
			t.Errorf("packet %d: layer %d, %v", c.seq, d.Temporal, err)
		}
	}
	broken := described(60, 1, shifted(16)...)
	if _, err := parse(60, true, broken); err == nil {
		t.Error("a descriptor with a template that is not there is taken")
	}
	if d, err := parse(61, true, described(11, 1)); err != nil || d.Temporal != 2 {
		t.Errorf("a damaged descriptor has changed the structure: %v", err)
	}
	key := described(8, 1, shifted(8)...)
	if allocs := testing.AllocsPerRun(100, func() { _, _ = list.parse(70, key, true) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

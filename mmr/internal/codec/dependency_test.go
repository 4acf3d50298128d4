package codec

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// plan is a dependency structure as a person writes it down: a template a line, "-", "D", "S", "R" for each decode target.
type plan struct {
	offset    uint8
	templates []planned
	chains    int
	protected []uint32
	sizes     [][2]uint32
}

type planned struct {
	spatial, temporal uint8
	dtis              string
	diffs             []uint32
	chains            []uint32
}

var symbols = map[byte]uint32{'-': 0, 'D': 1, 'S': 2, 'R': 3}

// write makes the structure as the syntax of appendix A.8.2 has it.
func (p *plan) write(w *bitWriter) {
	targets := len(p.templates[0].dtis)
	w.bits(uint32(p.offset), 6)
	w.bits(uint32(targets-1), 5)
	for i, t := range p.templates {
		switch {
		case i+1 == len(p.templates):
			w.bits(3, 2)
		case p.templates[i+1].spatial > t.spatial:
			w.bits(2, 2)
		case p.templates[i+1].temporal > t.temporal:
			w.bits(1, 2)
		default:
			w.bits(0, 2)
		}
	}
	for _, t := range p.templates {
		for i := range targets {
			w.bits(symbols[t.dtis[i]], 2)
		}
	}
	for _, t := range p.templates {
		for _, d := range t.diffs {
			w.bits(1, 1)
			w.bits(d-1, 4)
		}
		w.bits(0, 1)
	}
	writeNonSymmetric(w, uint32(p.chains), uint32(targets)+1)
	if p.chains > 0 {
		for _, c := range p.protected {
			writeNonSymmetric(w, c, uint32(p.chains))
		}
		for _, t := range p.templates {
			for _, c := range t.chains {
				w.bits(c, 4)
			}
		}
	}
	w.bits(uint32(min(len(p.sizes), 1)), 1)
	for _, s := range p.sizes {
		w.bits(s[0]-1, 16)
		w.bits(s[1]-1, 16)
	}
}

func writeNonSymmetric(w *bitWriter, v, n uint32) {
	width := uint(0)
	for x := n; x != 0; x >>= 1 {
		width++
	}
	m := uint32(1)<<width - n
	if v < m {
		w.bits(v, width-1)
	} else {
		w.bits(v+m, width)
	}
}

// descriptor makes a descriptor for a frame of a template. With structure, the plan is in it.
func (p *plan) descriptor(start, end bool, template int, number uint16, structure bool) []byte {
	var w bitWriter
	flag := func(on bool) uint32 {
		if on {
			return 1
		}
		return 0
	}
	w.bits(flag(start), 1)
	w.bits(flag(end), 1)
	w.bits(uint32(p.offset)+uint32(template), 6)
	w.bits(uint32(number), 16)
	if structure {
		w.bits(0x10, 5)
		p.write(&w)
	}
	return w.b
}

// The structures L1T3 and L2T2_KEY of the specification's appendix A.
var (
	l1t3 = plan{offset: 5, chains: 1, protected: []uint32{0, 0, 0}, sizes: [][2]uint32{{640, 360}}, templates: []planned{
		{0, 0, "SSS", nil, []uint32{0}}, {0, 0, "SSS", []uint32{4}, []uint32{4}}, {0, 1, "-DS", []uint32{2}, []uint32{2}},
		{0, 2, "--D", []uint32{1}, []uint32{1}}, {0, 2, "--D", []uint32{1}, []uint32{3}},
	}}
	l2t2key = plan{offset: 61, chains: 2, protected: []uint32{0, 0, 1, 1}, sizes: [][2]uint32{{640, 360}, {1280, 720}}, templates: []planned{
		{0, 0, "SSSS", nil, []uint32{0, 0}}, {0, 0, "SS--", []uint32{4}, []uint32{4, 3}}, {0, 1, "-D--", []uint32{2}, []uint32{2, 1}},
		{1, 0, "--SS", []uint32{1}, []uint32{1, 1}}, {1, 0, "--SS", []uint32{4}, []uint32{1, 4}}, {1, 1, "---D", []uint32{2}, []uint32{3, 2}},
	}}
)

func TestDependencyOfTemporalLayers(t *testing.T) {
	var s Structure
	if _, err := ParseDependency(l1t3.descriptor(true, true, 1, 7, false), &s); !errors.Is(err, ErrStructure) {
		t.Fatalf("without a structure: %v", err)
	}
	key, err := ParseDependency(l1t3.descriptor(true, false, 0, 1000, true), &s)
	want := column(0) | column(1) | column(2)
	want &= LayerBit(0, 3) - 1
	if err != nil || !key.Keyframe || !key.Start || key.End || key.Number != 1000 || key.Width != 640 || key.Height != 360 || key.Present != want ||
		key.Switch != want || !key.Frame().Independent {
		t.Fatalf("keyframe %+v %v", key, err)
	}
	t1, err := ParseDependency(l1t3.descriptor(true, true, 2, 1002, false), &s)
	if err != nil || t1.Keyframe || t1.Temporal != 1 || t1.Present != LayerBit(0, 1)|LayerBit(0, 2) || t1.Switch != LayerBit(0, 2) || t1.Discardable {
		t.Fatalf("first layer %+v %v", t1, err)
	}
	t2, err := ParseDependency(l1t3.descriptor(true, true, 3, 1001, false), &s)
	if err != nil || t2.Temporal != 2 || t2.Present != LayerBit(0, 2) || !t2.Discardable {
		t.Fatalf("second layer %+v %v", t2, err)
	}
	if _, err := ParseDependency(l1t3.descriptor(true, true, 9, 1003, false), &s); !errors.Is(err, ErrStructure) {
		t.Errorf("template that is not there: %v", err)
	}
}

func TestDependencyOfSpatialLayers(t *testing.T) {
	var s Structure
	key, err := ParseDependency(l2t2key.descriptor(true, true, 0, 65535, true), &s)
	all := LayerBit(0, 0) | LayerBit(0, 1) | LayerBit(1, 0) | LayerBit(1, 1)
	if err != nil || key.Switch != all || key.Width != 1280 || key.Height != 720 {
		t.Fatalf("keyframe %+v %v", key, err)
	}
	upper, err := ParseDependency(l2t2key.descriptor(true, true, 3, 0, false), &s)
	if err != nil || upper.Spatial != 1 || upper.Keyframe || upper.Present != LayerBit(1, 0)|LayerBit(1, 1) || upper.Frame().Independent {
		t.Fatalf("upper frame of the key picture %+v %v", upper, err)
	}
	base, err := ParseDependency(l2t2key.descriptor(true, true, 1, 1, false), &s)
	if err != nil || base.Present != LayerBit(0, 0)|LayerBit(0, 1) {
		t.Fatalf("base %+v %v", base, err)
	}
	if s.Targets(1, 1) != 15 || s.Targets(0, 1) != 3 || s.Targets(1, 0) != 5 || s.Targets(3, 3) != 15 {
		t.Errorf("targets %b %b", s.Targets(0, 1), s.Targets(1, 0))
	}
}

// Rewrite changes the frame number and the mask, and nothing else, whether the descriptor had a mask or not.
func TestDependencyRewrite(t *testing.T) {
	for _, p := range []*plan{&l1t3, &l2t2key} {
		for template := range p.templates {
			for _, structure := range []bool{true, false} {
				var s Structure
				if _, err := ParseDependency(p.descriptor(true, true, 0, 1, true), &s); err != nil {
					t.Fatal(err)
				}
				value := p.descriptor(true, false, template, 500, structure)
				before := bytes.Clone(value)
				d, err := ParseDependency(value, &s)
				if err != nil {
					t.Fatal(err)
				}
				same := d.Rewrite(nil, value, 501, false, 0)
				if len(same) != len(value) || same[2] != byte(501&0xff) {
					t.Fatalf("%x became %x", value, same)
				}
				active := s.Targets(0, 0)
				masked := d.Rewrite([]byte{9}, value, 501, true, active)[1:]
				then := s
				m, err := ParseDependency(masked, &then)
				if err != nil || !m.active || then.active != LayerBit(0, 0) || m.Number != 501 || m.Present != d.Present || m.Switch != d.Switch ||
					m.Keyframe != d.Keyframe || m.Width != d.Width {
					t.Fatalf("%x became %x: %+v %v", value, masked, m, err)
				}
				again := m.Rewrite(nil, masked, 502, true, s.Targets(3, 3))
				if a, err := ParseDependency(again, &then); err != nil || len(again) != len(masked) || then.active != s.layers || a.Number != 502 {
					t.Fatalf("%x became %x: %+v %v", masked, again, a, err)
				}
				if !bytes.Equal(value, before) {
					t.Fatal("the descriptor that came was changed")
				}
			}
		}
	}
}

// What is too short to be a descriptor is left as it is.
func TestDependencyTooShort(t *testing.T) {
	for _, value := range [][]byte{nil, {0xc0}, {0xc0, 1}} {
		var s Structure
		d, err := ParseDependency(value, &s)
		if !errors.Is(err, ErrShort) {
			t.Errorf("%x: %v", value, err)
		}
		for _, mask := range []bool{false, true} {
			if out := d.Rewrite(nil, value, 7, mask, 1); !bytes.Equal(out, value) {
				t.Errorf("%x became %x", value, out)
			}
		}
	}
}

// A descriptor that ends within its mask gets no other one.
func TestDependencyEndsInMask(t *testing.T) {
	var s Structure
	if _, err := ParseDependency(l2t2key.descriptor(true, true, 0, 1, true), &s); err != nil {
		t.Fatal(err)
	}
	value := append(l2t2key.descriptor(true, true, 1, 5, false), 0x40)
	d, err := ParseDependency(value, &s)
	if !errors.Is(err, ErrDependency) || d != (Dependency{Start: true, End: true, Number: 5}) {
		t.Errorf("%+v %v", d, err)
	}
	if out := d.Rewrite(nil, value, 6, true, 1); len(out) != len(value) || out[2] != 6 {
		t.Errorf("%x became %x", value, out)
	}
}

// Indications and differences of a frame's own stand behind the mask.
func TestDependencyWithOwnIndications(t *testing.T) {
	var s Structure
	if _, err := ParseDependency(l2t2key.descriptor(true, true, 0, 1, true), &s); err != nil {
		t.Fatal(err)
	}
	w := bitWriter{b: l2t2key.descriptor(true, true, 1, 77, false), at: 24}
	w.bits(0x06, 5)     // own indications, own differences
	w.bits(0x2a|8, 8)   // 00 10 10 10, with the last one of SS-- changed to -SSS
	w.bits(1<<4|2, 6)   // a difference of four bits
	w.bits(2<<8|99, 10) // one of eight
	w.bits(0, 2)
	d, err := ParseDependency(w.b, &s)
	if err != nil || d.Present != LayerBit(0, 1)|LayerBit(1, 0)|LayerBit(1, 1) || d.Switch != d.Present || d.Frame().Independent {
		t.Fatalf("%+v %v", d, err)
	}
	masked := d.Rewrite(nil, w.b, 78, true, 3)
	m, err := ParseDependency(masked, &s)
	if err != nil || m.Present != d.Present || m.Number != 78 || s.active != LayerBit(0, 0)|LayerBit(0, 1) {
		t.Fatalf("%+v %v", m, err)
	}
	for n := range len(w.b) {
		if _, err := ParseDependency(w.b[:n], &s); n != 3 && err == nil {
			t.Errorf("cut to %d bytes it is taken", n)
		}
	}
}

func TestLayerSets(t *testing.T) {
	if From(0, 0) != AllLayers || From(4, 0) != 0 || From(3, 3) != LayerBit(3, 3) || From(2, 1)&LayerBit(2, 0) != 0 || From(2, 1)&LayerBit(3, 1) == 0 {
		t.Error("From")
	}
	set := LayerBit(0, 0) | LayerBit(0, 2) | LayerBit(2, 1)
	for _, v := range []struct{ spatial, temporal, s, t uint8 }{{3, 3, 2, 1}, {1, 3, 0, 2}, {1, 1, 0, 0}, {2, 0, 0, 0}, {200, 200, 2, 1}} {
		if s, temporal, ok := set.Best(v.spatial, v.temporal); !ok || s != v.s || temporal != v.t {
			t.Errorf("best within %d, %d is %d, %d", v.spatial, v.temporal, s, temporal)
		}
	}
	if _, _, ok := LayerBit(1, 0).Best(0, 3); ok {
		t.Error("best of nothing")
	}
	if s, temporal, ok := (set &^ LayerBit(0, 0)).Least(); !ok || s != 0 || temporal != 2 || !LayerBit(2, 1).Tops(2) || LayerBit(2, 1).Tops(1) {
		t.Error("least or tops")
	}
}

func TestDependencyAllocatesNothing(t *testing.T) {
	key, frame := l2t2key.descriptor(true, true, 0, 1, true), l2t2key.descriptor(true, true, 1, 2, false)
	vp9 := randomVP9(rand.New(rand.NewPCG(3, 3)))
	var s Structure
	dst := make([]byte, 0, MaxDependency)
	allocs := testing.AllocsPerRun(100, func() {
		for _, b := range [][]byte{key, frame} {
			d, err := ParseDependency(b, &s)
			if err != nil {
				t.Fatal(err)
			}
			d.Rewrite(dst, b, 9, true, 1)
			_ = d.Frame()
		}
		d, _ := ParseVP9(vp9)
		_ = d.Frame(VP9)
		H264Start(vp9)
		StartsKeyframe(AV1, vp9)
	})
	if allocs != 0 {
		t.Fatalf("%v allocations per packet", allocs)
	}
}

func BenchmarkParseDependency(b *testing.B) {
	var s Structure
	if _, err := ParseDependency(l2t2key.descriptor(true, true, 0, 1, true), &s); err != nil {
		b.Fatal(err)
	}
	frame := l2t2key.descriptor(true, true, 1, 2, false)
	for b.Loop() {
		if _, err := ParseDependency(frame, &s); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDependency(f *testing.F) {
	for _, p := range []*plan{&l1t3, &l2t2key} {
		f.Add(p.descriptor(true, true, 0, 1, true), p.descriptor(true, false, 2, 5, false))
		f.Add(p.descriptor(true, true, 0, 1, true), p.descriptor(true, false, 2, 5, false)[:2])
		f.Add(p.descriptor(true, true, 0, 1, true), append(p.descriptor(true, false, 2, 5, false), 0x40))
	}
	f.Fuzz(func(t *testing.T, key, frame []byte) {
		var s Structure
		_, _ = ParseDependency(key, &s)
		for _, b := range [][]byte{key, frame} {
			d, err := ParseDependency(b, &s)
			if err != nil {
				if out := d.Rewrite(nil, b, d.Number+1, true, s.Targets(3, 3)); len(out) != len(b) {
					t.Fatalf("%x, of which nothing is known, became %x", b, out)
				}
				continue
			}
			if s.targets == 0 || int(s.targets) > maxTargets || int(s.templates) > maxTemplates {
				t.Fatalf("structure of %d targets and %d templates", s.targets, s.templates)
			}
			then := s
			out := d.Rewrite(nil, b, d.Number+1, true, s.Targets(3, 3))
			m, err := ParseDependency(out, &then)
			if err != nil || m.Number != d.Number+1 || m.Present != d.Present || m.Switch != d.Switch {
				t.Fatalf("%x became %x: %+v %v", b, out, m, err)
			}
		}
	})
}

package munge

import "meetzone/mmr/internal/codec"

// selection is which layers of the current source are sent. It knows what the receiver could have: a layer is good while every frame of it
// has been sent since the frame with which it could be entered. What is sent is the best good layer within what is wanted.
type selection struct {
	wantSpatial, wantTemporal uint8
	spatial, temporal         uint8 // what is sent
	good                      codec.LayerSet
	behind                    bool // a larger spatial layer is wanted and sent by the source, and only a keyframe leads there
}

// layer returns what is sent as a set of one layer.
func (s *selection) layer() codec.LayerSet {
	if s.good == 0 {
		return 0
	}
	return codec.LayerBit(s.spatial, s.temporal)
}

// any says whether anything can be sent without a keyframe.
func (s *selection) any() bool { return s.good != 0 }

// begin starts with the first packet of a keyframe.
func (s *selection) begin(f *codec.Frame) {
	s.good = f.Switch
	s.choose(f, s.good)
}

// choose takes the best layer of a set. A sender that has stopped the layer that is sent leaves the next smaller one, if it is good.
func (s *selection) choose(f *codec.Frame, good codec.LayerSet) {
	spatial, temporal, ok := (good & f.Active).Best(s.wantSpatial, s.wantTemporal)
	if !ok {
		spatial, temporal, ok = good.Best(s.wantSpatial, s.wantTemporal)
	}
	if !ok { // only more than is wanted can be decoded
		spatial, temporal, ok = good.Least()
	}
	if ok {
		s.spatial, s.temporal = spatial, temporal
	}
	best, _, _ := f.Active.Best(s.wantSpatial, s.wantTemporal)
	s.behind = ok && f.Active != 0 && best != s.spatial
}

// take decides about a frame of which the first packet in order has come. picture says that no other frame of its picture came before: only
// then the spatial layer changes.
func (s *selection) take(f *codec.Frame, picture bool) bool {
	good := s.good
	if s.decodable(f) {
		good |= s.entered(f)
	}
	then := *s
	then.choose(f, good)
	if picture || good&codec.LayerBit(s.spatial, s.temporal) == 0 || then.spatial == s.spatial && then.temporal > s.temporal {
		*s = then
	}
	if f.Present&codec.LayerBit(s.spatial, s.temporal) == 0 || !s.decodable(f) {
		s.lose(f)
		return false
	}
	s.good = good
	return true
}

// decodable says whether the receiver has all that the frame refers to.
func (s *selection) decodable(f *codec.Frame) bool {
	return f.Present&s.good != 0 || f.Independent || f.Sync && s.good&codec.LayerBit(0, 0) != 0
}

// entered returns the layers that are good from the frame on.
func (s *selection) entered(f *codec.Frame) codec.LayerSet {
	if f.Sync && s.good&codec.LayerBit(0, f.Temporal-1) == 0 {
		return 0
	}
	return f.Switch
}

// lose notes that a frame is not sent. When what is sent needs it, a smaller layer is what remains.
func (s *selection) lose(f *codec.Frame) {
	if f.Discardable {
		return
	}
	s.good &^= f.Present
	if s.good&codec.LayerBit(s.spatial, s.temporal) == 0 {
		s.choose(f, s.good)
	}
}

// frameState is what was decided about the frame of the newest packet in order.
type frameState struct {
	timestamp uint32 // incoming
	spatial   uint8
	known     bool
	sent      bool // its first packet was
	damaged   bool // a later one was dropped
}

// is says whether a packet belongs to the frame.
func (f *frameState) is(in *In) bool {
	return f.known && f.timestamp == in.Timestamp && f.spatial == in.Frame.Spatial
}

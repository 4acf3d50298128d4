package codec

import "math/bits"

// Frame is what forwarding needs to know of the video frame that a packet belongs to, whatever the codec. With spatial layers a picture has
// several frames of one timestamp, one for each layer.
type Frame struct {
	Spatial, Temporal uint8
	Present           LayerSet // layers of which the frame is a part
	Switch            LayerSet // layers that a receiver can have from this frame on, provided that it can decode this one
	Active            LayerSet // layers that the sender sends at present
	Independent       bool     // refers to no frame, not of another layer either
	Discardable       bool     // no frame refers to this one
	Sync              bool     // refers to the base layer alone, as VP8's layer sync has it; then Switch lifts by one temporal layer only
	End               bool     // the packet is the last of the frame; false where only the marker tells
}

// Whole is the frame of a codec without layers.
func Whole(keyframe bool) Frame {
	f := Frame{Present: AllLayers, Active: AllLayers, Independent: keyframe}
	if keyframe {
		f.Switch = AllLayers
	}
	return f
}

// Frame returns what a descriptor of VP8 or VP9 says of its frame.
func (d *Descriptor) Frame(k Kind) Frame {
	f := Frame{Temporal: d.TID, Discardable: d.NonReference, Present: From(0, d.TID), Active: AllLayers, Sync: d.LayerSync && d.TID > 0}
	if k == VP9 {
		f.Spatial, f.Present, f.End = d.SID, From(d.SID, d.TID), d.EndOfFrame
	}
	switch {
	case d.Keyframe:
		f.Switch, f.Independent = AllLayers, true
	case f.Sync:
		f.Switch = column(d.TID)
	case k == VP9 && d.SwitchUp:
		f.Switch = From(d.SID, d.TID) &^ From(d.SID+1, 0)
	}
	return f
}

// column returns the layers of one temporal layer.
func column(temporal uint8) (set LayerSet) {
	for s := uint8(0); s < MaxSpatial; s++ {
		set |= LayerBit(s, temporal)
	}
	return set
}

// Frame returns what a dependency descriptor says of its frame.
func (d *Dependency) Frame() Frame {
	return Frame{
		Spatial: d.Spatial, Temporal: d.Temporal, Present: d.Present, Switch: d.Switch, Active: d.Active,
		Independent: d.independent && d.Spatial == 0, Discardable: d.Discardable, End: d.End,
	}
}

// Best returns the largest layer of the set within limits, and false when there is none. Spatial layers count before temporal ones.
func (set LayerSet) Best(spatial, temporal uint8) (s, t uint8, ok bool) {
	for i := int(min(spatial, MaxSpatial-1)); i >= 0; i-- {
		for j := int(min(temporal, MaxTemporal-1)); j >= 0; j-- {
			if set&LayerBit(uint8(i), uint8(j)) != 0 {
				return uint8(i), uint8(j), true
			}
		}
	}
	return 0, 0, false
}

// Least returns the smallest layer of the set, and false when it is empty.
func (set LayerSet) Least() (spatial, temporal uint8, ok bool) {
	i := uint8(bits.TrailingZeros16(uint16(set)))
	return i / MaxTemporal, i % MaxTemporal, set != 0
}

// Tops says whether a set of one layer has that spatial layer as its largest.
func (set LayerSet) Tops(spatial uint8) bool {
	return set != 0 && uint8(bits.TrailingZeros16(uint16(set)))/MaxTemporal == spatial
}

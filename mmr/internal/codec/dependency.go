package codec

import (
	"errors"
	"math/bits"
)

// Reasons why a dependency descriptor says nothing.
var (
	ErrStructure  = errors.New("codec: no structure that the dependency descriptor could refer to")
	ErrDependency = errors.New("codec: dependency descriptor is damaged")
)

// Bounds of a dependency structure. AV1 RTP specification, appendix A.8.
const (
	maxTargets   = 32
	maxTemplates = 64
	MaxSpatial   = 4 // layers, as far as they are told apart here
	MaxTemporal  = 4
)

// LayerSet is a set of layers: bit LayerBit(s, t) stands for the picture with all spatial layers up to s and all temporal ones up to t.
type LayerSet uint16

// AllLayers holds every layer.
const AllLayers LayerSet = 1<<(MaxSpatial*MaxTemporal) - 1

// LayerBit returns the set of one layer.
func LayerBit(spatial, temporal uint8) LayerSet {
	return 1 << (min(spatial, MaxSpatial-1)*MaxTemporal + min(temporal, MaxTemporal-1))
}

// From returns the layers that need those of a frame of layer (spatial, temporal) when every layer is built upon all below it.
func From(spatial, temporal uint8) (set LayerSet) {
	for s := spatial; s < MaxSpatial; s++ {
		set |= LayerBit(s, MaxTemporal-1)<<1 - LayerBit(s, temporal)
	}
	return set
}

// Structure is a template dependency structure: what the descriptors of the frames of a coded video sequence refer to.
type Structure struct {
	offset    uint8 // of template ids
	targets   uint8 // decode targets; 0: there is no structure
	templates uint8
	chains    uint8
	layers    LayerSet             // of the decode targets
	active    LayerSet             // those that the sender sends
	target    [maxTargets]LayerSet // the layer of each
	template  [maxTemplates]template
	width     [8]uint16 // by spatial layer, 0 unknown
	height    [8]uint16
}

// template is what frames have in common.
type template struct {
	spatial, temporal uint8
	dtis              dtis
	independent       bool // refers to no other frame
}

// dtis are the decode target indications of a frame, a bit for each target.
type dtis struct{ present, switching, needed uint32 }

// Same says whether two structures differ in nothing but the layers that are active at present.
func (s *Structure) Same(other *Structure) bool {
	mine := *s
	mine.active = other.active
	return mine == *other
}

// All returns all decode targets as a mask.
func (s *Structure) All() uint32 { return uint32(1)<<s.targets - 1 }

// Targets returns the decode targets that a receiver of a layer gets, as the mask of active decode targets. Those that the sender does not send
// are not among them.
func (s *Structure) Targets(spatial, temporal uint8) (mask uint32) {
	for i, set := range s.target[:s.targets] {
		if set&s.active == 0 {
			continue
		}
		at := uint8(bits.TrailingZeros16(uint16(set)))
		if at/MaxTemporal <= spatial && at%MaxTemporal <= temporal {
			mask |= 1 << i
		}
	}
	return mask
}

// Dependency is the dependency descriptor of one packet.
type Dependency struct {
	Start, End bool   // of the frame
	Number     uint16 // of the frame

	// What follows is known only with the structure.
	Spatial, Temporal uint8
	Keyframe          bool     // the first packet of a coded video sequence
	Discardable       bool     // no frame refers to this one
	Present           LayerSet // layers of which the frame is a part
	Switch            LayerSet // layers that a receiver can have from this frame on
	Active            LayerSet // layers that are sent at present
	Width, Height     uint16   // of the largest layer, in keyframes; 0 unknown

	independent       bool // refers to no frame
	structure, active bool // the descriptor has one, and a mask of active decode targets
	maskAt            uint16
	targets           uint8
}

// Teaches says whether a descriptor changes what those behind it mean: it brings a structure or a mask of active decode targets.
func Teaches(value []byte) bool { return len(value) > 3 && value[3]&0xc0 != 0 }

// ParseDependency reads a dependency descriptor. A structure or a mask of active decode targets that comes in it is put into s. On an error but
// ErrShort, Start, End and Number are good, and nothing else is set.
func ParseDependency(value []byte, s *Structure) (Dependency, error) {
	if len(value) < 3 {
		return Dependency{}, ErrShort
	}
	d, err := parseDependency(value, s)
	if err != nil {
		d = Dependency{Start: d.Start, End: d.End, Number: d.Number}
	}
	return d, err
}

// parseDependency reads a descriptor of three bytes or more.
func parseDependency(value []byte, s *Structure) (d Dependency, err error) {
	d.Start, d.End = value[0]&0x80 != 0, value[0]&0x40 != 0
	d.Number = uint16(value[1])<<8 | uint16(value[2])
	r := bitReader{b: value, at: 24}
	var customDTIs, customDiffs bool
	if len(value) > 3 {
		d.structure, d.active = r.flag(), r.flag()
		customDTIs, customDiffs = r.flag(), r.flag()
		r.flag() // custom chains, of which nothing is needed
		if d.structure {
			var fresh Structure
			if !fresh.read(&r) {
				return d, ErrDependency
			}
			*s = fresh
		}
	}
	if s.targets == 0 {
		return d, ErrStructure
	}
	d.maskAt, d.targets = uint16(r.at), s.targets
	if d.active {
		s.active = s.layersOf(r.bits(uint(s.targets)))
	}
	index := (value[0]&0x3f - s.offset) & 0x3f
	if index >= s.templates {
		return d, ErrStructure
	}
	t := &s.template[index]
	d.Spatial, d.Temporal = t.spatial, t.temporal
	indications, independent := t.dtis, t.independent
	if customDTIs {
		indications = r.indications(s.targets)
	}
	if customDiffs {
		independent = true
		for size := r.bits(2); size > 0 && !r.short; size = r.bits(2) {
			r.bits(4 * uint(size))
			independent = false
		}
	}
	if r.short {
		return d, ErrDependency
	}
	d.independent, d.Keyframe = independent, d.structure && d.Start && independent
	d.Discardable = indications.needed == 0
	d.Present, d.Switch, d.Active = s.layersOf(indications.present), s.layersOf(indications.switching), s.active
	if d.structure {
		d.Width, d.Height = s.largest()
	}
	return d, nil
}

// layersOf turns decode targets into layers.
func (s *Structure) layersOf(targets uint32) (set LayerSet) {
	for ; targets != 0; targets &= targets - 1 {
		set |= s.target[bits.TrailingZeros32(targets)]
	}
	return set
}

func (s *Structure) largest() (width, height uint16) {
	for i, w := range s.width {
		if w > 0 {
			width, height = w, s.height[i]
		}
	}
	return width, height
}

// read takes a template_dependency_structure.
func (s *Structure) read(r *bitReader) bool {
	s.offset = uint8(r.bits(6))
	s.targets = uint8(r.bits(5)) + 1
	top, ok := s.readLayers(r)
	if !ok {
		return false
	}
	for i := range s.template[:s.templates] {
		s.template[i].dtis = r.indications(s.targets)
	}
	for i := range s.template[:s.templates] {
		t := &s.template[i]
		t.independent = true
		for r.flag() && !r.short {
			r.bits(4)
			t.independent = false
		}
	}
	if s.chains = uint8(r.nonSymmetric(uint32(s.targets) + 1)); s.chains > 0 {
		for range s.targets {
			r.nonSymmetric(uint32(s.chains))
		}
		for range s.templates {
			r.bits(4 * uint(s.chains))
		}
	}
	if r.flag() {
		for i := range top + 1 {
			s.width[i], s.height[i] = uint16(r.bits(16))+1, uint16(r.bits(16))+1
		}
	}
	s.nameTargets()
	return !r.short
}

// readLayers takes the layers of the templates and returns the largest spatial one.
func (s *Structure) readLayers(r *bitReader) (top uint8, ok bool) {
	var spatial, temporal uint8
	for s.templates < maxTemplates && !r.short {
		s.template[s.templates].spatial, s.template[s.templates].temporal = spatial, temporal
		s.templates++
		switch r.bits(2) {
		case 1:
			temporal++
		case 2:
			spatial, temporal = spatial+1, 0
		case 3:
			return spatial, true
		}
		if spatial >= 8 || temporal >= 8 {
			return 0, false
		}
	}
	return 0, false
}

// nameTargets finds the layer of each decode target: the highest of the frames that belong to it.
func (s *Structure) nameTargets() {
	for i := range s.targets {
		var spatial, temporal uint8
		for _, t := range s.template[:s.templates] {
			if t.dtis.present&(1<<i) != 0 {
				spatial, temporal = max(spatial, t.spatial), max(temporal, t.temporal)
			}
		}
		s.target[i] = LayerBit(spatial, temporal)
		s.layers |= s.target[i]
	}
	s.active = s.layers
}

// Structured says whether the descriptor has brought a structure, of which all decode targets are active unless it says otherwise.
func (d *Dependency) Structured() bool { return d.structure }

// MaxDependency is the longest descriptor that Rewrite makes: the length of an element is one byte.
const MaxDependency = 255

// Rewrite appends the descriptor value, from which d was parsed, with another frame number to dst. With a mask, active says which decode
// targets the receiver gets. A value that is too short for a frame number stays as it is.
func (d *Dependency) Rewrite(dst, value []byte, number uint16, mask bool, active uint32) []byte {
	from := len(dst)
	if len(value) < 3 {
		return append(dst, value...)
	}
	if !mask || d.targets == 0 || len(value)+5 > MaxDependency {
		dst = append(dst, value...)
	} else {
		dst = d.insertMask(dst, value, active)
	}
	dst[from+1], dst[from+2] = byte(number>>8), byte(number)
	return dst
}

// insertMask appends value with the mask in its place.
func (d *Dependency) insertMask(dst, value []byte, active uint32) []byte {
	w := bitWriter{b: dst, from: len(dst)}
	r := bitReader{b: value}
	w.copy(&r, 24)
	at := uint(24)
	if len(value) > 3 {
		flags := r.bits(5)
		w.bits(flags|1<<3, 5)
		w.copy(&r, uint(d.maskAt)-29)
		at = uint(d.maskAt)
	} else {
		w.bits(1<<3, 5)
	}
	if d.active {
		r.bits(uint(d.targets))
		at += uint(d.targets)
	}
	at = min(at, uint(len(value))*8)
	w.bits(active, uint(d.targets))
	w.copy(&r, uint(len(value))*8-at)
	return w.b
}

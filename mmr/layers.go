package mmr

import "meetzone/dataplane"

// What of a picture is sent into a slot. A publication is what an origin sends of one medium: one source, or with simulcast one for each
// encoding. A slot has a target layer; the encoding is a choice among the sources (pick), spatial and temporal layers are a choice among
// the packets of one. allocate.go sets the targets: as the heights say that the client asked for, and as far as the receiver's bandwidth
// goes. demand.go tells senders which encodings nobody needs.

// Bounds of what a publication has.
const (
	maxEncodings = 3
	maxSpatial   = 4
	maxTemporal  = 4
)

// Layer is what of a picture is sent: an encoding of simulcast (0 the smallest), and of it the spatial and temporal layers up to these.
type Layer struct{ Encoding, Spatial, Temporal uint8 }

// topLayer is everything of the largest encoding.
var topLayer = Layer{Encoding: maxEncodings - 1, Spatial: maxSpatial - 1, Temporal: maxTemporal - 1}

// less orders layers by what they need, the temporal ones of one size first.
func (l Layer) less(other Layer) bool {
	if l.Encoding != other.Encoding {
		return l.Encoding < other.Encoding
	}
	if l.Spatial != other.Spatial {
		return l.Spatial < other.Spatial
	}
	return l.Temporal < other.Temporal
}

// layerInfo is one layer of a publication that can be had at present.
type layerInfo struct {
	Layer
	Height  int    // pixels, 0 unknown
	Bitrate uint64 // bit/s of RTP payload and headers, all layers that it needs included, over the last seconds or as can be expected
	Active  bool   // packets come; one that is not would have to be started first
}

// publication is what an origin sends of one medium. It has at least one source while it is in a slot.
type publication struct {
	origin    *origin
	medium    Medium
	encodings [maxEncodings]*source
	mark      uint64 // see shard.round
	uses      [maxEncodings]use
	demand    demand
}

// there tells whether anything of it is known.
func (p *publication) there() bool { return p.first() != nil }

// first returns the source of the smallest encoding.
func (p *publication) first() *source {
	for _, s := range p.encodings {
		if s != nil {
			return s
		}
	}
	return nil
}

// live tells whether packets come of any encoding.
func (p *publication) live() bool {
	for _, s := range p.encodings {
		if s != nil && s.live {
			return true
		}
	}
	return false
}

// pick returns the source of an encoding, or while nothing comes of it, of the next smaller one, or else of the next larger.
func (p *publication) pick(encoding uint8) *source {
	encoding = min(encoding, maxEncodings-1)
	for i := int(encoding); i >= 0; i-- {
		if s := p.encodings[i]; s != nil && s.live {
			return s
		}
	}
	for _, s := range p.encodings[encoding:] {
		if s != nil && s.live {
			return s
		}
	}
	return p.first()
}

// top returns the largest encoding that is known and not larger than the given one.
func (p *publication) top(encoding uint8) uint8 {
	for i := min(int(encoding), maxEncodings-1); i > 0; i-- {
		if p.encodings[i] != nil {
			return uint8(i)
		}
	}
	return 0
}

// layers appends the layers of the publication, from the least to the most, to list, which has room for all of them when its capacity is
// maxLayers.
func (p *publication) layers(list []layerInfo) []layerInfo {
	layered := p.layered()
	for i, s := range p.encodings {
		if s == nil || layered && !s.live {
			continue
		}
		height := p.height(i)
		from := len(list)
		list = s.rate.layers(list, uint8(i), height, s.live)
		if !s.rate.known() {
			list[from].Bitrate = usualBitrate(height)
		}
	}
	return list
}

// layered tells whether one stream has all sizes, as spatial layers, so that its sender sends no other.
func (p *publication) layered() bool {
	for _, s := range p.encodings {
		if s != nil && s.live && s.rate.used[1] > 0 {
			return true
		}
	}
	return false
}

// maxLayers is how many layers a publication has at most.
const maxLayers = maxEncodings * maxSpatial * maxTemporal

// usualHeight is that of a camera's largest encoding, until one has been seen.
const usualHeight = 720

// height returns the height of an encoding. What has not been seen is told from the others, since each is usually twice the one before. It
// is 0 for the only encoding that there is before it has been seen.
func (p *publication) height(encoding int) int {
	if s := p.encodings[encoding]; s != nil && s.height > 0 {
		return s.height
	}
	for i, s := range p.encodings {
		switch {
		case s == nil || s.height == 0:
		case i < encoding:
			return s.height << (encoding - i)
		default:
			return s.height >> (i - encoding)
		}
	}
	if top := p.top(maxEncodings - 1); top > 0 {
		return usualHeight >> (int(top) - encoding)
	}
	return 0
}

// usualBitrate is what a picture of a height takes as a rule, in bit/s, as long as nothing of it has come.
func usualBitrate(height int) uint64 {
	switch {
	case height == 0 || height > 400:
		return 1_500_000
	case height > 200:
		return 500_000
	}
	return 150_000
}

// largeEnough tells whether a picture of a height will do where another was asked for; 0 stands for unknown, and for as large as there is.
func largeEnough(height, wanted int) bool {
	return wanted > 0 && height*heightSlack >= wanted*(heightSlack-1)
}

// heightSlack is how much smaller than asked for a picture may be: by one part in so many.
const heightSlack = 8

// aim changes what is wanted of the publication in the slot: from the next picture on, or the next keyframe, that permits it.
func (d *downTrack) aim(now dataplane.Instant, l Layer) {
	if d.target != l {
		d.target = l
		d.munge.Select(l.Spatial, l.Temporal)
		d.e.sh.demandDue = true
	}
	d.choose(now)
	if d.showing != nil && d.munge.Behind() {
		d.showing.requestKeyframe(now)
	}
}

// choose has the source sent that the target names, as far as it comes.
func (d *downTrack) choose(now dataplane.Instant) {
	if d.pub == nil || d.starved {
		return
	}
	s := d.pub.pick(d.target.Encoding)
	if s != d.wanted {
		d.want(now, s)
	}
}

// starve has nothing sent of the publication in the slot, for want of bandwidth, or ends that.
func (d *downTrack) starve(now dataplane.Instant, on bool) {
	if d.starved == on {
		return
	}
	d.starved = on
	d.noteChange()
	d.e.sh.demandDue = true
	if on {
		d.want(now, nil)
		return
	}
	d.choose(now)
}

package mmr

import (
	"time"

	"meetzone/dataplane"
)

// What of a picture is sent into a slot. A publication is what an origin sends of one medium: one source, or with simulcast one for each
// encoding. A slot has a target layer; the encoding is a choice among the sources (pick), spatial and temporal layers are a choice among
// the packets of one. Whoever divides a receiver's bandwidth looks at layers and calls setTarget; without that the heights decide that the
// client asked for.

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
	Bitrate uint64 // bit/s of RTP payload and headers, all layers that it needs included, over the last second
	Active  bool   // packets come; one that is not would have to be started first
}

// publication is what an origin sends of one medium. It has at least one source while it is in a slot.
type publication struct {
	origin    *origin
	medium    Medium
	encodings [maxEncodings]*source
	mark      uint64 // see shard.round
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

// layers appends the layers of the publication, from the least to the most, to list, which has room for all of them when its capacity is
// maxEncodings*maxSpatial*maxTemporal.
func (p *publication) layers(list []layerInfo) []layerInfo {
	for i, s := range p.encodings {
		if s != nil {
			list = s.rate.layers(list, uint8(i), s.height, s.live)
		}
	}
	return list
}

// encodingFor returns the encoding to be sent into a slot of a height: the smallest that is large enough, the largest for 0.
func (p *publication) encodingFor(height int) uint8 {
	if height <= 0 {
		return maxEncodings - 1
	}
	for i, s := range p.encodings {
		if s != nil && s.height*heightSlack >= height*(heightSlack-1) {
			return uint8(i)
		}
	}
	return maxEncodings - 1
}

// heightSlack is how much smaller than asked for a picture may be: by one part in so many.
const heightSlack = 8

// rateMeter measures what comes of a source, layer by layer, over the last second. A packet costs one addition.
type rateMeter struct {
	bytes  [maxSpatial][maxTemporal]uint64 // since the source began
	past   [rateSpans][maxSpatial][maxTemporal]uint64
	at     [rateSpans]dataplane.Instant
	next   int
	filled int
	rate   [maxSpatial][maxTemporal]uint64 // bit/s
	used   [maxSpatial]uint8               // temporal layers seen, of each spatial one
}

// The window slides in steps.
const (
	rateSpans = 5
	rateSpan  = dataplane.Instant(200 * time.Millisecond)
)

// count takes a packet.
func (r *rateMeter) count(spatial, temporal uint8, size int) {
	s, t := spatial&(maxSpatial-1), temporal&(maxTemporal-1)
	r.bytes[s][t] += uint64(size)
	r.used[s] = max(r.used[s], t+1)
}

// update moves the window when it is time.
func (r *rateMeter) update(now dataplane.Instant) {
	last := (r.next + rateSpans - 1) % rateSpans
	if r.filled > 0 && now-r.at[last] < rateSpan {
		return
	}
	oldest := 0
	if r.filled == rateSpans {
		oldest = r.next
	}
	if elapsed := now - r.at[oldest]; r.filled > 0 && elapsed > 0 {
		for s := range r.rate {
			for t := range r.rate[s] {
				r.rate[s][t] = (r.bytes[s][t] - r.past[oldest][s][t]) * 8 * uint64(time.Second) / uint64(elapsed)
			}
		}
	}
	r.past[r.next], r.at[r.next] = r.bytes, now
	r.next = (r.next + 1) % rateSpans
	r.filled = min(r.filled+1, rateSpans)
}

// layers appends what was measured, each layer with those below it.
func (r *rateMeter) layers(list []layerInfo, encoding uint8, height int, active bool) []layerInfo {
	top := 0
	for s, used := range r.used {
		if used > 0 {
			top = s
		}
	}
	for s := range top + 1 {
		for t := range max(r.used[s], 1) {
			info := layerInfo{Layer: Layer{encoding, uint8(s), t}, Height: height >> (top - s), Active: active}
			for below := range s + 1 {
				for _, rate := range r.rate[below][:t+1] {
					info.Bitrate += rate
				}
			}
			list = append(list, info)
		}
	}
	return list
}

// total returns the rate of all layers.
func (r *rateMeter) total() (sum uint64) {
	for s := range r.rate {
		for _, rate := range r.rate[s] {
			sum += rate
		}
	}
	return sum
}

// setTarget says which layer is to be sent into the slot, from the next packet or keyframe on that permits it.
func (d *downTrack) setTarget(now dataplane.Instant, l Layer) {
	d.targeted = true
	d.aim(now, l)
}

// aim changes what is wanted of the publication in the slot.
func (d *downTrack) aim(now dataplane.Instant, l Layer) {
	d.target = l
	d.munge.Select(l.Spatial, l.Temporal)
	d.choose(now)
}

// choose has the source sent that the target names, as far as it comes.
func (d *downTrack) choose(now dataplane.Instant) {
	if d.pub == nil {
		return
	}
	s := d.pub.pick(d.target.Encoding)
	if s != d.wanted {
		d.want(now, s)
	}
}

// chooseLayers has every slot of pictures show what is wanted of it. Where nothing divides the bandwidth, the height does.
func (e *endpoint) chooseLayers(now dataplane.Instant, m Medium) {
	for i, d := range e.slots[m] {
		if d.pub == nil {
			continue
		}
		if d.targeted {
			d.choose(now)
			continue
		}
		l := topLayer
		if m == Video {
			l.Encoding = d.pub.encodingFor(e.heightOf(i))
		}
		d.aim(now, l)
	}
}

// heightOf returns the height that the client asked for in a video slot, 0 for none.
func (e *endpoint) heightOf(slot int) int {
	for _, v := range e.views {
		if v.Slot == slot {
			return v.Height
		}
	}
	return 0
}

package mmr

import (
	"time"

	"meetzone/dataplane"
)

// rateMeter measures what comes of a source, layer by layer: over the last second, and smoothed over some seconds. A packet costs one
// addition.
type rateMeter struct {
	bytes  [maxSpatial][maxTemporal]uint64 // since the source began
	past   [rateSpans][maxSpatial][maxTemporal]uint64
	at     [rateSpans]dataplane.Instant
	next   int
	filled int
	rate   [maxSpatial][maxTemporal]uint64 // bit/s
	smooth [maxSpatial][maxTemporal]uint64 // bit/s; stays while nothing comes
	used   [maxSpatial]uint8               // temporal layers seen, of each spatial one
}

// The window slides in steps.
const (
	rateSpans = 5
	rateSpan  = dataplane.Instant(200 * time.Millisecond)
	// smoothing is by one part in how many the smoothed rate follows the measured one in each step.
	smoothing = 8
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
		r.follow()
	}
	r.past[r.next], r.at[r.next] = r.bytes, now
	r.next = (r.next + 1) % rateSpans
	r.filled = min(r.filled+1, rateSpans)
}

// follow moves the smoothed rates towards the measured ones. The first measure counts as it is.
func (r *rateMeter) follow() {
	for s := range r.rate {
		for t, rate := range r.rate[s] {
			if was := r.smooth[s][t]; was == 0 {
				r.smooth[s][t] = rate
			} else {
				r.smooth[s][t] = was + rate/smoothing - was/smoothing
			}
		}
	}
}

// restart begins to measure anew after a pause; the smoothed rates are what can be expected.
func (r *rateMeter) restart() {
	r.filled, r.next = 0, 0
	r.rate = [maxSpatial][maxTemporal]uint64{}
}

// known tells whether anything was ever measured.
func (r *rateMeter) known() bool { return r.smooth[0][0] > 0 }

// sum returns the smoothed rate of all layers, in bit/s.
func (r *rateMeter) sum() (sum uint64) {
	for s := range r.smooth {
		for _, rate := range r.smooth[s] {
			sum += rate
		}
	}
	return sum
}

// latest returns the rate of all layers over the last second, in bit/s.
func (r *rateMeter) latest() (sum uint64) {
	for s := range r.rate {
		for _, rate := range r.rate[s] {
			sum += rate
		}
	}
	return sum
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
				for _, rate := range r.smooth[below][:t+1] {
					info.Bitrate += rate
				}
			}
			list = append(list, info)
		}
		// The last is everything there is, also of what has not been seen yet.
		list[len(list)-1].Temporal = maxTemporal - 1
		if s == top {
			list[len(list)-1].Spatial = maxSpatial - 1
		}
	}
	return list
}

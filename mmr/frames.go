package mmr

import (
	"time"

	"meetzone/dataplane"
)

const (
	// freezeLeast is the least by which a frame must be late to be a freeze, after the W3C's webrtc-stats.
	freezeLeast = dataplane.Instant(150 * time.Millisecond)
	// pauseLeast is the gap from which a track has paused instead of frozen.
	pauseLeast = dataplane.Instant(5 * time.Second)
	// leadPatience is how long nothing may come of the largest encoding before the next one's frames are counted.
	leadPatience = dataplane.Instant(500 * time.Millisecond)
)

// frameMeter counts the frames of an up track by their markers: those of the largest encoding that comes, since all show the same picture.
type frameMeter struct {
	count   uint64
	freezes uint64
	frozen  dataplane.Instant

	encoding uint8
	last     dataplane.Instant // 0 before the first frame and after a pause
	mean     dataplane.Instant // between two frames; 0 unknown
}

// frame notes the end of a frame.
func (f *frameMeter) frame(now dataplane.Instant, encoding uint8) {
	if f.last > 0 && encoding < f.encoding && now-f.last < leadPatience {
		return
	}
	f.count++
	gap := now - f.last
	switch {
	case encoding != f.encoding: // the gap is the patience, or none
		f.encoding = encoding
	case f.last == 0 || gap >= pauseLeast:
		f.mean = 0
	case f.mean == 0:
		f.mean = gap
	default:
		if gap > max(3*f.mean, f.mean+freezeLeast) {
			f.freezes++
			f.frozen += gap
		}
		f.mean += (gap - f.mean) / 16
	}
	f.last = now
}

// pause makes the time until the next frame no freeze.
func (f *frameMeter) pause() { f.last = 0 }

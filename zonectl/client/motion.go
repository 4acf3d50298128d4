package client

import "time"

const (
	// freezeLeast is the least by which a frame must be late to be a freeze, after the W3C's webrtc-stats.
	freezeLeast = 150 * time.Millisecond
	// pauseLeast is the gap from which a picture has paused instead of frozen.
	pauseLeast = 5 * time.Second
)

// motion counts the frames of a slot by their markers. It stands for what a decoder would show.
type motion struct {
	frames, freezes uint64
	frozen          time.Duration
	last            time.Time
	mean            time.Duration // between two frames; 0 unknown
}

// frame notes the end of a frame.
func (m *motion) frame(now time.Time) {
	m.frames++
	gap := now.Sub(m.last)
	switch {
	case m.last.IsZero() || gap >= pauseLeast:
		m.mean = 0
	case m.mean == 0:
		m.mean = gap
	default:
		if gap > max(3*m.mean, m.mean+freezeLeast) {
			m.freezes++
			m.frozen += gap
		}
		m.mean += (gap - m.mean) / 16
	}
	m.last = now
}

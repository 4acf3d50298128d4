package bwe

import "time"

// What arrives is counted in bins of its time of arrival.
const (
	binTime = 20 * time.Millisecond
	bins    = 32
	// ackedWindow is over how many bins the rate is measured.
	ackedWindow = 20
)

// acked measures the bit rate that arrives.
type acked struct {
	bytes   [bins]uint32
	newest  int64 // number of the newest bin
	began   int64 // and of the first one
	started bool
}

// add takes a packet that arrived, or was sent, at that time.
func (a *acked) add(at Time, size int) {
	bin := int64(at) / int64(binTime)
	switch {
	case !a.started || bin-a.newest >= bins:
		*a = acked{newest: bin, began: bin, started: true}
	case a.newest-bin >= bins: // far too late to matter
		return
	default:
		a.pass(bin)
	}
	a.bytes[uint64(bin)%bins] += uint32(size)
}

// more adds to what was added last.
func (a *acked) more(size int) { a.bytes[uint64(a.newest)%bins] += uint32(size) }

// pass begins new bins up to one.
func (a *acked) pass(bin int64) {
	if bin-a.newest >= bins {
		a.bytes, a.newest = [bins]uint32{}, bin
	}
	for a.newest < bin {
		a.newest++
		a.bytes[uint64(a.newest)%bins] = 0
	}
}

// rate returns the bit rate over the last ackedWindow whole bins, 0 while there are too few.
func (a *acked) rate() float64 {
	whole := a.newest - 1 // the newest may not be full yet
	n := min(whole-a.began+1, ackedWindow)
	if !a.started || n < ackedWindow/4 {
		return 0
	}
	sum := uint32(0)
	for bin := whole; bin > whole-n; bin-- {
		sum += a.bytes[uint64(bin)%bins]
	}
	return float64(sum) * 8 / (time.Duration(n) * binTime).Seconds()
}

// rateAt is rate at a time, up to which nothing more was added.
func (a *acked) rateAt(now Time) float64 {
	if a.started {
		a.pass(max(a.newest, int64(now)/int64(binTime)))
	}
	return a.rate()
}

package mmr

import (
	"meetzone/dataplane"
	"meetzone/dscp"
)

// budget is what one receiver may be sent. Every packet down asks it, and everything sent is accounted by class, so that an estimate of
// the receiver's bandwidth, pacing and the choice of layers act here and change no caller. It has no limit at present: the bandwidth
// inside a zone's network is what marks and queues are for.
type budget struct {
	spent [dscp.NumClasses]uint64 // bytes, RTP headers included
	// estimate is what the receiver said that it can take, in bit/s, 0 when it has not said (REMB).
	estimate uint64
}

// admit tells whether a packet of the size may be sent now. One that is refused is left out for good.
func (b *budget) admit(now dataplane.Instant, class dscp.Class, size int) bool { return true }

// spend accounts what was sent.
func (b *budget) spend(class dscp.Class, size int) { b.spent[class] += uint64(size) }

// bucket is a token bucket that bounds how much an endpoint can have sent again.
type bucket struct {
	tokens float64
	filled dataplane.Instant
}

// take takes one token if there is one.
func (b *bucket) take(now dataplane.Instant) bool {
	if b.filled == 0 {
		b.tokens = resendBurst
	} else {
		b.tokens = min(resendBurst, b.tokens+float64(now-b.filled)*resendRate/1e9)
	}
	b.filled = max(now, 1)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

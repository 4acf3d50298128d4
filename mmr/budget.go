package mmr

import (
	"meetzone/dataplane"
	"meetzone/dscp"
	"meetzone/mmr/internal/bwe"
)

// Bytes of an IP packet around what the router seals: IPv4 and UDP, and the tag of AES-GCM.
const (
	ipOverhead   = 20 + 8
	wireOverhead = ipOverhead + 16
)

// budget is what one receiver may be sent, over all its transports: they have one bottleneck as a rule. Every packet down is accounted here,
// also what is no media.
type budget struct {
	spent     [dscp.NumClasses]uint64 // bytes of IP packets
	estimator *bwe.Estimator
	numbered  bool // something was
	pacer     bwe.Pacer
	queues    [2]backlog // content, pictures
	listed    bool       // in shard.pacing
	abandoned uint64     // packets that waited too long
}

func newBudget() budget { return budget{estimator: bwe.New(bwe.Config{})} }

// available is what the receiver can be sent, in bit/s, all media together, and their headers; 0 is unknown, and no limit.
func (b *budget) available() uint64 {
	if !b.estimator.Known() {
		return 0
	}
	return uint64(b.estimator.Target())
}

// number accounts a packet and gives it its transport-wide number.
func (b *budget) number(now dataplane.Instant, path uint8, class dscp.Class, size int) uint16 {
	b.spent[class] += uint64(size)
	b.numbered = true
	b.pacer.Spend(bwe.Time(now), size)
	return b.estimator.Send(bwe.Time(now), path, size)
}

// spend accounts a packet of media that has no number.
func (b *budget) spend(now dataplane.Instant, class dscp.Class, size int) {
	b.spent[class] += uint64(size)
	b.estimator.SendPlain(bwe.Time(now), size)
}

// spendOther accounts what is no media.
func (b *budget) spendOther(class dscp.Class, size int) {
	b.spent[class] += uint64(size)
	b.estimator.SendOther(size)
	b.pacer.SpendOther(size)
}

// pathReady says that a transport is connected, again or for the first time.
func (b *budget) pathReady(path uint8) { b.estimator.Restart(path) }

// reported takes transport-wide feedback that came over a transport. What is malformed says nothing.
func (b *budget) reported(now dataplane.Instant, path uint8, body []byte) {
	_ = b.estimator.Feedback(bwe.Time(now), path, body)
	b.pacer.SetRate(bwe.Time(now), b.paceRate())
}

// limit takes what the receiver says that it can take (REMB).
func (b *budget) limit(rate uint64) { b.estimator.Limit(rate) }

// received takes what a receiver report says of the packets since the one before.
func (b *budget) received(now dataplane.Instant, expected, missing int) {
	b.estimator.Report(bwe.Time(now), expected, missing)
}

// estimate is what the owner of the endpoint is told.
func (b *budget) estimate() Estimate {
	s := b.estimator.Stats()
	return Estimate{Available: b.available(), Sending: s.Sending, Loss: s.Loss, Numbered: b.numbered, Probes: s.Probes,
		Waiting: b.queues[0].n + b.queues[1].n, Abandoned: b.abandoned}
}

// resendRate is how many packets a second may be sent again: a share of what the path carries, so that repair does not make a full queue
// fuller.
func (b *budget) resendRate() float64 {
	if !b.estimator.Known() {
		return resendMostRate
	}
	return min(max(resendShare*b.estimator.Target()/(8*resendSize), resendLeastRate), resendMostRate)
}

// bucket is a token bucket that bounds how much an endpoint can have sent again.
type bucket struct {
	tokens float64
	filled dataplane.Instant
}

// take takes one token if there is one. So many come in a second, and half as many can be kept.
func (b *bucket) take(now dataplane.Instant, rate float64) bool {
	if b.filled == 0 {
		b.tokens = rate / 2
	} else {
		b.tokens = min(rate/2, b.tokens+float64(now-b.filled)*rate/1e9)
	}
	b.filled = max(now, 1)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

package bwe

import "time"

const (
	// pacerBurst is how much may leave at once, as time at the rate.
	pacerBurst = 40 * time.Millisecond
	leastBurst = 3000 // bytes
)

// Pacer spreads packets over time. Everything that is sent is spent; what can wait asks whether it may go. The zero Pacer has no limit.
type Pacer struct {
	rate  float64 // bytes per nanosecond; 0: no limit
	burst float64
	debt  float64 // bytes
	at    Time
}

// SetRate sets the rate in bit/s, 0 for no limit.
func (p *Pacer) SetRate(now Time, rate float64) {
	if p.pass(now); p.rate == 0 {
		p.debt = 0
	}
	p.rate = rate / 8e9
	p.burst = max(leastBurst, p.rate*float64(pacerBurst))
}

func (p *Pacer) pass(now Time) {
	if now > p.at {
		p.debt = max(0, p.debt-p.rate*float64(now-p.at))
		p.at = now
	}
}

// Spend takes note of what was sent.
func (p *Pacer) Spend(now Time, size int) {
	if p.rate > 0 {
		p.pass(now)
		p.debt += float64(size)
	}
}

// SpendOther is Spend for what was sent some time since the last packet.
func (p *Pacer) SpendOther(size int) {
	if p.rate > 0 {
		p.debt += float64(size)
	}
}

// Ready tells whether something may be sent.
func (p *Pacer) Ready(now Time) bool { return p.ReadyBefore(now, 0) }

// ReadyBefore is Ready for what goes before others: it may be sent while they have to wait, up to so many bytes.
func (p *Pacer) ReadyBefore(now Time, bytes int) bool {
	if p.rate == 0 {
		return true
	}
	p.pass(now)
	return p.debt < p.burst+float64(bytes)
}

// Next returns when something may be sent again.
func (p *Pacer) Next(now Time) Time {
	if p.Ready(now) {
		return now
	}
	return now + Time((p.debt-p.burst)/p.rate) + 1
}

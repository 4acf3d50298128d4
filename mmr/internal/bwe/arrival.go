package bwe

import "time"

// Packets are judged in groups: what was sent within burstTime, or arrived as one burst, counts as one.
const (
	burstTime    = 5 * time.Millisecond
	longestBurst = 100 * time.Millisecond
	// clockJump is a gap in the arrivals behind which groups begin anew.
	clockJump = 3 * time.Second
)

// group is packets that were sent as a burst.
type group struct {
	firstSent, sent         Time
	firstArrived, arrivedAt Time
	size                    int  // bytes
	complete                bool // there is one
}

// arrivals makes groups of packets in the order of sending.
type arrivals struct {
	current, before group
}

// add takes a packet. When it begins a new group, it returns how much later the group before was sent, and arrived, than the one before that.
func (a *arrivals) add(sentAt, arrivedAt Time, size int) (sentDelta, arrivalDelta time.Duration, ok bool) {
	c := &a.current
	if !c.complete {
		a.begin(sentAt, arrivedAt, size)
		return 0, 0, false
	}
	if sentAt < c.firstSent { // overtaken
		return 0, 0, false
	}
	if a.belongs(sentAt, arrivedAt) {
		c.sent, c.arrivedAt = max(c.sent, sentAt), max(c.arrivedAt, arrivedAt)
		c.size += size
		return 0, 0, false
	}
	if a.before.complete {
		sentDelta, arrivalDelta = time.Duration(c.sent-a.before.sent), time.Duration(c.arrivedAt-a.before.arrivedAt)
		ok = arrivalDelta >= 0
		if arrivalDelta-sentDelta > clockJump || arrivalDelta < -clockJump {
			*a = arrivals{}
			a.begin(sentAt, arrivedAt, size)
			return 0, 0, false
		}
	}
	a.before = *c
	a.begin(sentAt, arrivedAt, size)
	return sentDelta, arrivalDelta, ok
}

func (a *arrivals) begin(sentAt, arrivedAt Time, size int) {
	a.current = group{firstSent: sentAt, sent: sentAt, firstArrived: arrivedAt, arrivedAt: arrivedAt, size: size, complete: true}
}

// belongs tells whether a packet is of the present group.
func (a *arrivals) belongs(sentAt, arrivedAt Time) bool {
	c := &a.current
	if time.Duration(sentAt-c.firstSent) <= burstTime {
		return true
	}
	between, apart := time.Duration(arrivedAt-c.arrivedAt), time.Duration(sentAt-c.sent)
	return between-apart < 0 && between <= burstTime && time.Duration(arrivedAt-c.firstArrived) < longestBurst
}

package client

import "time"

// repair spaces out requests for fresh transports. Its zero value has nothing to do. Session.run owns it.
type repair struct {
	timer *time.Timer // nil: nothing is planned
	last  time.Time   // of the last request
	wait  time.Duration
}

// Bounds of the back-off between two requests.
const (
	repairFirst = 2500 * time.Millisecond
	repairMost  = 15 * time.Second
)

// plan asks soon, but not sooner after the last request than the back-off permits.
func (r *repair) plan() {
	if r.timer == nil {
		r.timer = time.NewTimer(max(0, time.Until(r.last.Add(r.wait))))
	}
}

// soon has a request that is planned made at once: the network has just come back.
func (r *repair) soon() {
	if r.timer != nil {
		r.wait = 0
		r.timer.Reset(0)
	}
}

// due fires when it is time to ask; it is nil, and never fires, while nothing is planned.
func (r *repair) due() <-chan time.Time {
	if r.timer == nil {
		return nil
	}
	return r.timer.C
}

// helped notes that fresh transports were offered: whoever asked for them waits and sees.
func (r *repair) helped() {
	if r.timer != nil {
		r.asked()
	}
}

// asked notes a request. When it does not help, the next one comes by itself.
func (r *repair) asked() {
	r.last = time.Now()
	r.wait = min(max(2*r.wait, repairFirst), repairMost)
	r.timer.Reset(r.wait)
}

// done forgets everything: all transports are connected.
func (r *repair) done() {
	if r.timer != nil {
		r.timer.Stop()
	}
	*r = repair{}
}

package bwe

import (
	"math"
	"time"
)

// Time is an instant of a monotonic clock in nanoseconds.
type Time int64

// Never is after all times.
const Never Time = math.MaxInt64

// MaxPaths is how many transports a receiver may have.
const MaxPaths = 4

// Defaults of the configuration, in bit/s.
const (
	DefaultStart = 800_000
	DefaultLeast = 60_000
	DefaultMost  = 100_000_000
)

// Config bounds an Estimator. Zero values mean the documented default.
type Config struct {
	Start, Least, Most uint64 // bit/s
}

// Estimator estimates what the path of one receiver carries.
type Estimator struct {
	history  history
	clocks   [MaxPaths + 1]clock // of each path's reports; the last one where all report together
	whole    bool                // reports cover the packets of all paths
	delay    Time                // of the last packet, by the clocks aligned
	arrivals arrivals
	trend    trend
	swings   swings
	acked    acked
	out      acked // what was sent
	control  rateControl
	loss     lossControl
	prober   prober

	firstReport             Time
	heard                   Time          // last report, or when packets began to go out, also after a pause; 0 never
	sent                    Time          // last packet
	reported                Time          // last report, 0 none
	roundTrip               time.Duration // as told
	feedback                time.Duration // from sending to the report
	limit                   float64       // of the receiver itself (REMB), +Inf none
	wanted                  float64       // what could be used
	calm                    Time          // since when usage is normal, 0 it is not
	settled                 bool          // the start is over
	results                 int           // of probes
	fallback                bool          // only receiver reports come
	lostCount, arrivedCount uint64

	overusedAt Time // and by what rate: see doubt
	overusedBy float64
	falls      int
}

// New returns an Estimator.
func New(c Config) *Estimator {
	orDefault := func(v uint64, def float64) float64 {
		if v == 0 {
			return def
		}
		return float64(v)
	}
	e := &Estimator{limit: math.Inf(1)}
	e.control.rate = orDefault(c.Start, DefaultStart)
	e.control.least, e.control.most = orDefault(c.Least, DefaultLeast), orDefault(c.Most, DefaultMost)
	e.trend.reset()
	e.loss.reset()
	return e
}

// Send takes note of a packet that is about to be sent over a path, and returns its transport-wide number.
func (e *Estimator) Send(now Time, path uint8, size int) uint16 {
	if e.heard == 0 || now-e.sent > silentAfter && !e.Silent() {
		e.heard = now // there was nothing to report
	}
	e.out.add(now, size)
	e.sent = now
	return e.history.add(sent{at: now, size: clampSize(size), path: path, probe: e.prober.sent(now, size)})
}

// SendPlain takes note of a packet that is sent without a number.
func (e *Estimator) SendPlain(now Time, size int) { e.out.add(now, size) }

// SendOther takes note of what is sent besides, at some time since the last packet: it has its share of the path.
func (e *Estimator) SendOther(size int) { e.out.more(size) }

// Restart forgets what was learnt of a path that is another now, by reports of it.
func (e *Estimator) Restart(path uint8) {
	e.clocks[path], e.clocks[MaxPaths] = clock{}, clock{}
	e.whole = false
	e.arrivals = arrivals{}
	e.swings = swings{}
	e.trend.reset()
}

// Feedback takes a transport-wide feedback message that came over a path: the RTCP packet behind its first word, without padding.
func (e *Estimator) Feedback(now Time, path uint8, body []byte) error {
	s, err := parseFeedback(body)
	if err != nil || e.history.ring == nil || path >= MaxPaths {
		return err
	}
	e.trend.swung(e.swings.noise(e.acked.rate()))
	clock := &e.clocks[e.reporter(path)]
	at := clock.reference(s.reference)
	newest := Time(0)
	for wide := e.history.wide(s.base); ; {
		run, received, delta, ok := s.next()
		if !ok {
			break
		}
		if !received {
			e.missing(wide, run, path)
		} else if at += Time(delta); true {
			if p := e.history.find(wide); p != nil && p.fate != arrived {
				e.got(p, path, clock.align(now, at, p.at, e.delay))
				newest = max(newest, p.at)
			}
		}
		wide += uint64(run)
	}
	if newest > 0 {
		e.feedback = time.Duration(now - newest)
	}
	e.update(now)
	return nil
}

// reporter returns which stream of reports one is of that came over a path.
func (e *Estimator) reporter(path uint8) uint8 {
	if e.whole {
		return MaxPaths
	}
	return path
}

// missing takes a run of packets that have not arrived.
func (e *Estimator) missing(wide uint64, run int, path uint8) {
	for i := range uint64(run) {
		p := e.history.find(wide + i)
		if p == nil || p.fate != underway || !e.whole && p.path != path {
			continue
		}
		p.fate = lost
		e.loss.count(0, 1)
		e.lostCount++
	}
}

// got takes a packet that has arrived.
func (e *Estimator) got(p *sent, path uint8, at Time) {
	if p.path != path {
		e.whole = true
	}
	if p.fate == lost {
		e.loss.count(1, -1)
		e.lostCount--
	} else {
		e.loss.count(1, 0)
	}
	p.fate = arrived
	e.arrivedCount++
	e.delay = at - p.at
	e.acked.add(at, int(p.size))
	e.prober.arrived(p, at)
	if sentDelta, arrivalDelta, ok := e.arrivals.add(p.at, at, int(p.size)); ok {
		e.trend.add(sentDelta, arrivalDelta, at)
	}
	e.swings.add(e.reporter(path), p.at, at, int(p.size))
}

// update brings the estimate up to date with what was reported.
func (e *Estimator) update(now Time) {
	if e.reported == 0 {
		e.firstReport = now
		e.limit = math.Inf(1) // these reports say more, and what was said before would hold for ever
	}
	e.reported, e.heard = now, now
	e.prober.started = true
	arriving := e.acked.rate()
	limited := e.out.rateAt(now) < limitedBelow*e.control.rate
	state := e.trend.state
	if e.trend.queued() > standingQueue && e.loss.average > muchLoss {
		state = overuse // the queue is full: the delay cannot grow
	}
	e.doubt(now, state, arriving)
	e.control.update(now, state, arriving, e.trip(), limited)
	e.loss.update(now, e.control.rate, arriving)
	if state == overuse {
		e.calm = 0
	} else if e.calm == 0 {
		e.calm = now
	}
	if rate, ok := e.prober.result(now); ok {
		e.probed(now, rate)
	}
	e.settle(now, state, arriving)
}

// settle ends the start where no probe has: when the path turns out to be used up, or after startTime. What arrives then counts.
func (e *Estimator) settle(now Time, u usage, arriving float64) {
	used := u == overuse || e.loss.average > muchLoss
	if e.settled || !used && time.Duration(now-e.firstReport) < startTime {
		return
	}
	e.settled = true
	if !used {
		e.control.rate = max(e.control.rate, arriving)
	}
}

// startTime is how long the start takes at most.
const startTime = 2 * time.Second

// Overuse at ever lower rates does not come from what is sent: a path that is full carries about the same each time.
const (
	fallsBelow  = 0.93
	fallsWithin = 10 * time.Second
	fallsMost   = 3
)

// doubt notices when delays vary by themselves.
func (e *Estimator) doubt(now Time, u usage, arriving float64) {
	if u != overuse || e.control.state == decreasing || e.overusedAt != 0 && now-e.overusedAt < Time(e.trip()) {
		return
	}
	if e.overusedAt != 0 && time.Duration(now-e.overusedAt) < fallsWithin && arriving < fallsBelow*e.overusedBy {
		if e.falls++; e.falls >= fallsMost {
			e.trend.notOurs()
			e.falls--
		}
	} else {
		e.falls = 0
	}
	e.overusedAt, e.overusedBy = now, arriving
}

// limitedBelow is the share of the estimate below which less is sent than could be.
const limitedBelow = 0.65

// probed takes the result of a probe.
func (e *Estimator) probed(now Time, rate float64) {
	tried, first := e.prober.rate, e.prober.first
	e.prober.probe = probe{}
	if e.trend.state == overuse && !first {
		return
	}
	if rate > e.control.rate || e.results == 0 {
		e.control.set(now, rate)
		if e.loss.limit < rate {
			e.loss.reset()
		}
	}
	e.results++
	further := min(probeStep*rate, e.useful()*probeOver)
	switch {
	case rate > probeFurther*tried && further > 1.2*tried:
	case first && e.results == 1: // it may have been held up by chance
	default:
		e.settled = true
		return
	}
	e.prober.begin(now, further, e.trend.jitter, first)
}

// useful is up to which rate it makes sense to know the path.
func (e *Estimator) useful() float64 { return min(e.control.most, probeMost, probeUse*e.wanted) }

// Want says how much could be used, in bit/s: probes go no further, and there are none while it is 0.
func (e *Estimator) Want(rate uint64) { e.wanted = float64(rate) }

// ProbeDue tells whether a probe is under way or should begin. Where reports do not come, probes may be all that is sent, and so all that
// can bring them back.
func (e *Estimator) ProbeDue(now Time) bool {
	p := &e.prober
	silent := e.Silent()
	if silent && p.id != 0 && !p.sending && time.Duration(now-p.began) > probeWait {
		p.probe = probe{}
	}
	switch {
	case p.sending:
		return true
	case p.id != 0 || !p.started && !silent || now < p.next || e.wanted == 0:
		return false
	case silent:
		e.settled = true
		return true
	case !e.settled:
		e.settled = p.count >= firstProbes // it did not work out
		return !e.settled
	}
	calm := e.calm != 0 && time.Duration(now-e.calm) > probeCalm && time.Duration(now-e.control.dropped) > probeCalm
	return calm && e.Target() < probeEnough*e.wanted
}

// Probe returns how many bytes of padding, or of what was sent before, are to be sent now to probe the path, and when to ask again; Never
// when no probe is under way.
func (e *Estimator) Probe(now Time) (bytes int, again Time) {
	if !e.prober.sending {
		if !e.ProbeDue(now) {
			return 0, Never
		}
		if e.settled {
			e.prober.begin(now, min(probeStep*e.Target(), e.useful()*probeOver), e.trend.jitter, false)
			if e.wanted > starved*e.Target() {
				e.prober.next = now + Time(probeStarved)
			}
		} else {
			e.prober.begin(now, firstProbe*e.control.rate, e.trend.jitter, true)
		}
	}
	return e.prober.due(now)
}

// Unprobed says that there is no way to probe: the estimate starts with what such receivers are trusted with.
func (e *Estimator) Unprobed(now Time) {
	e.prober.probe = probe{}
	e.prober.next = now + Time(probeEvery)
	if !e.settled {
		e.settled, e.control.rate = true, max(e.control.rate, fallbackStart)
	}
}

// PutOff says that there is no way to probe yet: the probe that is under way has not been, and is due again soon.
func (e *Estimator) PutOff(now Time) {
	if e.prober.sending && e.prober.packets == 0 {
		e.prober.count--
	}
	e.prober.probe = probe{}
	e.prober.next = now + Time(firstEvery)
}

// silentAfter is how long packets may go out without a report coming back before the path is taken for dead: a receiver that has gone, or hears
// nothing, is not flooded until its consent expires.
const silentAfter = Time(2 * time.Second)

// Silent tells whether reports have ceased to come, or have never begun and nothing else tells what the receiver can take.
func (e *Estimator) Silent() bool {
	otherwise := e.reported == 0 && (e.fallback || !math.IsInf(e.limit, 1))
	return e.heard != 0 && e.sent-e.heard > silentAfter && !otherwise
}

// Target returns the estimate in bit/s.
func (e *Estimator) Target() float64 {
	if e.Silent() {
		return e.control.least
	}
	return max(e.control.least, min(e.control.rate, e.loss.limit, e.limit))
}

// Overused tells whether the path has been overused just now.
func (e *Estimator) Overused() bool { return e.calm == 0 }

// Standing tells whether a queue of ours stands on the path, although it may not grow any more.
func (e *Estimator) Standing() bool {
	return e.trend.queued() > max(standsFrom, min(jitterTimes*e.trend.jitter, mostQueued), e.trend.noise)
}

// standsFrom is the delay from which a queue stands, in ms.
const standsFrom = 60.0

// Ample tells whether much less is sent than could be, and delays do not grow.
func (e *Estimator) Ample() bool {
	return e.out.rate() < limitedBelow*e.Target() && e.trend.state != overuse
}

// Known tells whether the estimate rests on anything.
func (e *Estimator) Known() bool {
	return e.reported != 0 && e.settled || e.fallback || !math.IsInf(e.limit, 1) || e.Silent()
}

// Limit takes what the receiver itself says that it can take, in bit/s (REMB).
func (e *Estimator) Limit(rate uint64) {
	if e.reported == 0 { // where packets are numbered, the reports about them say more
		e.limit = max(float64(rate), e.control.least)
	}
}

// Report takes a receiver report about what was sent since the last one. It counts for peers without transport-wide feedback only.
func (e *Estimator) Report(now Time, expected, missing int) {
	if e.reported != 0 || expected <= 0 {
		return
	}
	if !e.fallback {
		e.fallback, e.control.rate, e.control.changed = true, max(e.control.rate, fallbackStart), now
	}
	e.loss.count(expected-missing, missing)
	e.arrivedCount += uint64(max(expected-missing, 0))
	e.lostCount += uint64(max(missing, 0))
	e.loss.update(now, e.control.rate, 0)
	elapsed := min(time.Duration(now-e.control.changed), time.Second)
	e.control.changed = now
	if sending := e.out.rateAt(now); e.loss.average < littleLoss && e.control.rate < headroom*sending {
		e.control.rate = min(e.control.rate*math.Pow(increase, elapsed.Seconds()), e.control.most)
	}
}

// fallbackStart is the rate at which peers begin that cannot be probed.
const fallbackStart = 2_500_000

// RoundTrip takes the round trip time as other reports have it.
func (e *Estimator) RoundTrip(d time.Duration) { e.roundTrip = d }

func (e *Estimator) trip() time.Duration {
	if e.roundTrip > 0 {
		return e.roundTrip
	}
	return e.feedback
}

// Stats is what an Estimator has seen.
type Stats struct {
	Arriving      uint64 // bit/s
	Sending       uint64
	Loss          float64 // share, averaged
	Lost, Arrived uint64
	Numbered      uint64 // packets
	Probes        uint64
	Overused      bool
}

// Stats returns what was seen so far.
func (e *Estimator) Stats() Stats {
	return Stats{
		Arriving: uint64(e.acked.rate()), Sending: uint64(e.out.rate()), Loss: e.loss.average, Lost: e.lostCount, Arrived: e.arrivedCount,
		Numbered: e.history.count(), Probes: e.prober.count, Overused: e.trend.state == overuse,
	}
}

// clock brings the times of one stream of reports in line with the sender's: all that counts is how delays change.
type clock struct {
	started, aligned bool
	last             uint32
	units            int64 // of referenceUnit
	offset           Time
}

// clockOff is how far off a clock may run before it is aligned anew.
const clockOff = Time(30 * time.Second)

// reference returns a reference time, which wraps after 24 bits.
func (c *clock) reference(r uint32) Time {
	if !c.started {
		c.started, c.last, c.units = true, r, 1
	}
	step := int32((r-c.last)<<8) >> 8
	c.last = r
	if step > int32(clockOff/Time(referenceUnit)) || -step > int32(clockOff/Time(referenceUnit)) {
		c.units, c.aligned = 0, false
		step = 1
	}
	c.units += int64(step)
	return Time(c.units) * Time(referenceUnit)
}

// align returns when a packet arrived by the sender's clock. Packets of other streams of reports took delay at last.
func (c *clock) align(now, at, sentAt, delay Time) Time {
	if aligned := at + c.offset; c.aligned && aligned <= now+clockOff && aligned >= now-clockOff {
		return aligned
	}
	c.offset, c.aligned = sentAt+delay-at, true
	return at + c.offset
}

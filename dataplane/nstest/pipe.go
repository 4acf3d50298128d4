package nstest

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"
)

// A pipe is one direction of an emulated link. It does nothing by itself: its owner says what time it is and what has arrived, and takes
// what is due. Times count from the beginning of the emulation. Each packet's times are computed exactly, so an owner that comes late delivers
// late but shifts nothing that follows.
//
// The way of a packet: arrive (the queue's end) → serve (the bottleneck) → cross (the line) → deliver.
type pipe struct {
	path Path
	rng  *rand.Rand

	steps []Step // of the schedule, with the time of the emulation in After
	queue []*held
	bytes int           // in the queue
	free  time.Duration // when the bottleneck had sent what left it last

	bad       bool          // the line is in the bad state of its loss model
	deviation float64       // of the delay, in standard deviations
	deviated  time.Duration // when that was
	latest    time.Duration // delivery of what may not be overtaken
	line      flight
	sequence  uint64

	counts  Counts
	samples samples
	spare   []*held
}

// held is a packet on its way.
type held struct {
	frame   []byte
	size    int     // of the IP packet
	left    float64 // bytes that the bottleneck has yet to send
	proto   uint8
	arrived time.Duration
	due     time.Duration // delivery
	order   uint64        // among those of the same due time
	twice   bool
}

// never is later than any test.
const never = time.Duration(math.MaxInt64)

func newPipe(path Path, seed uint64) pipe {
	return pipe{path: path, rng: rand.New(rand.NewPCG(seed, 0)), free: -time.Hour} // idle for long, as far as bursts are concerned
}

// maxSpare bounds how many buffers are kept for reuse.
const maxSpare = 1024

// arrive takes a frame, which it copies; size and proto are those of the IP packet inside.
func (p *pipe) arrive(now time.Duration, frame []byte, size int, proto uint8) {
	p.advance(now)
	p.counts.Arrived++
	if p.path.Rate > 0 && len(p.queue) > 0 && p.bytes+size > p.path.queueBytes() {
		p.counts.QueueDropped++
		p.samples.at(now, p.path.Rate).Dropped++
		return
	}
	h := p.hold(frame)
	h.size, h.left, h.proto, h.arrived = size, float64(size), proto, now
	p.queue = append(p.queue, h)
	p.bytes += size
	p.serve(now)
}

// advance brings the bottleneck to the present, through the steps of the schedule that lie between.
func (p *pipe) advance(now time.Duration) {
	for len(p.steps) > 0 && p.steps[0].After <= now {
		p.serve(p.steps[0].After)
		p.change(p.steps[0].After, p.steps[0].Path)
		p.steps = p.steps[1:]
	}
	p.serve(now)
}

// serve lets everything leave the bottleneck that does so by then.
func (p *pipe) serve(now time.Duration) {
	for len(p.queue) > 0 {
		h := p.queue[0]
		end := p.finish(h)
		if end > now {
			return
		}
		if p.path.Rate > 0 {
			p.free = p.start(h) + p.path.sendingTime(h.left)
		}
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.bytes -= h.size
		p.samples.left(end, p.path.Rate, h, end-h.arrived)
		p.cross(h, end)
	}
}

// start returns when the bottleneck begins with the first packet of the queue: in the past, when it has saved up for a burst.
func (p *pipe) start(h *held) time.Duration {
	return max(p.free, h.arrived-p.path.sendingTime(float64(p.path.Burst)))
}

// finish returns when the first packet of the queue has left the bottleneck.
func (p *pipe) finish(h *held) time.Duration {
	if p.path.Rate == 0 {
		return max(h.arrived, p.free)
	}
	return max(h.arrived, p.start(h)+p.path.sendingTime(h.left))
}

// change makes the path another one. What has been sent of the first packet stays sent, and what waits goes on waiting, also where the
// queue is now too short for it.
func (p *pipe) change(now time.Duration, path Path) {
	if len(p.queue) > 0 && p.path.Rate > 0 {
		h := p.queue[0]
		if sent := (now - p.start(h)).Seconds() * float64(p.path.Rate) / 8; sent > 0 {
			h.left = max(0, h.left-sent)
		}
		p.free = max(p.free, now)
	}
	p.path = path
	p.samples.at(now, path.Rate)
}

// cross puts a packet on the line.
func (p *pipe) cross(h *held, now time.Duration) {
	if p.loses() {
		p.counts.Lost++
		p.samples.at(now, p.path.Rate).Lost++
		p.release(h)
		return
	}
	h.due = now + p.delay(now)
	if !p.path.Overtake {
		h.due = max(h.due, p.latest)
	}
	if p.chance(p.path.Reorder) {
		p.counts.Reordered++
		h.due += orDefault(p.path.ReorderBy, defaultReorderBy)
	} else {
		p.latest = max(p.latest, h.due)
	}
	h.twice = p.chance(p.path.Duplicate)
	h.order = p.sequence
	p.sequence++
	heap.Push(&p.line, h)
}

// chance is never true for 0 and draws nothing then.
func (p *pipe) chance(share float64) bool { return share > 0 && p.rng.Float64() < share }

func (p *pipe) loses() bool {
	if p.path.BurstLength == 0 {
		p.bad = false
		return p.chance(p.path.Loss)
	}
	// In the long run the share of time in the bad state is Loss/BadLoss; it is left with one chance in BurstLength.
	leave, share := 1/p.path.BurstLength, p.path.Loss/p.path.badLoss()
	if p.bad {
		p.bad = !p.chance(leave)
	} else {
		p.bad = p.chance(leave * share / (1 - share))
	}
	return p.bad && p.chance(p.path.badLoss())
}

// delay draws the time that a packet spends on the line.
func (p *pipe) delay(now time.Duration) time.Duration {
	if p.path.Jitter == 0 {
		return p.path.Delay
	}
	if p.path.Overtake {
		p.deviation = p.rng.NormFloat64()
	} else { // the process of Ornstein and Uhlenbeck, which forgets as time goes by
		keep := math.Exp(-float64(now-p.deviated) / float64(orDefault(p.path.JitterTime, defaultJitterTime)))
		p.deviation = keep*p.deviation + math.Sqrt(1-keep*keep)*p.rng.NormFloat64()
	}
	p.deviated = now
	return max(0, p.path.Delay+time.Duration(min(3, max(-3, p.deviation))*float64(p.path.Jitter)))
}

// deliver passes everything that is due to a function, which must not keep the frame.
func (p *pipe) deliver(now time.Duration, send func(frame []byte)) {
	p.advance(now)
	for len(p.line) > 0 && p.line[0].due <= now {
		h := heap.Pop(&p.line).(*held)
		p.counts.Delivered++
		send(h.frame)
		if h.twice {
			p.counts.Duplicated++
			send(h.frame)
		}
		p.release(h)
	}
}

// next returns when there will be something to do.
func (p *pipe) next() time.Duration {
	at := never
	if len(p.queue) > 0 {
		at = p.finish(p.queue[0])
	}
	if len(p.steps) > 0 {
		at = min(at, p.steps[0].After)
	}
	if len(p.line) > 0 {
		at = min(at, p.line[0].due)
	}
	return at
}

func (p *pipe) hold(frame []byte) *held {
	h := new(held)
	if n := len(p.spare); n > 0 {
		h, p.spare = p.spare[n-1], p.spare[:n-1]
	}
	*h = held{frame: append(h.frame[:0], frame...)}
	return h
}

func (p *pipe) release(h *held) {
	if len(p.spare) < maxSpare {
		p.spare = append(p.spare, h)
	}
}

// flight is what is on the line, first what is due first.
type flight []*held

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	return f[i].due < f[j].due || f[i].due == f[j].due && f[i].order < f[j].order
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(h any)   { *f = append(*f, h.(*held)) }
func (f *flight) Pop() any {
	last := len(*f) - 1
	h := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return h
}

package mmr

import (
	"runtime"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/srtp"
	"meetzone/mmr/internal/twcc"
)

// ear is a receiver of a rig that gives feedback over its transport of pictures.
type ear struct {
	e        *endpoint
	sealer   *srtp.Sealer
	recorder *twcc.Recorder
	heard    uint64 // packets
	spent    uint64 // their bytes
	path     dataplane.Path
	page     []byte
	plain    []byte
	rate     float64 // of the path, bit/s; 0 none
	busy     dataplane.Instant
}

// hear takes what was numbered since the last time for arrived, one packet after the other as the path has it.
func (r *ear) hear(now dataplane.Instant) {
	spent := uint64(0)
	for _, bytes := range r.e.budget.spent {
		spent += bytes
	}
	numbered := r.e.budget.estimator.Stats().Numbered
	if n := numbered - r.heard; n > 0 && r.rate > 0 {
		each := dataplane.Instant(float64(spent-r.spent) / float64(n) * 8 / r.rate * 1e9)
		for ; r.heard < numbered; r.heard++ {
			r.busy = max(r.busy, now) + each
			r.recorder.Record(uint16(r.heard), time.Duration(r.busy))
		}
	}
	for ; r.heard < numbered; r.heard++ {
		r.recorder.Record(uint16(r.heard), time.Duration(now))
	}
	r.spent = spent
}

// listen returns sealed feedback about what was heard.
func (r *ear) listen() []dataplane.Datagram {
	r.plain = r.recorder.Append(r.plain[:0], 7, 8)
	var list []dataplane.Datagram
	page := r.page
	for b := r.plain; len(b) > 0; {
		_, rest, ok := nextRTCP(b)
		if !ok {
			break
		}
		n, err := r.sealer.SealRTCP(page, b[:len(b)-len(rest)])
		if err != nil {
			panic(err)
		}
		list = append(list, dataplane.Datagram{Path: r.path, Data: page[:n]})
		page, b = make([]byte, dataplane.MaxDatagram), rest
	}
	return list
}

// hear has all ears hear what was sent.
func (g *rig) hear() {
	for _, r := range g.ears {
		r.hear(g.now)
	}
}

// report has all ears report.
func (g *rig) report() (batch []dataplane.Datagram) {
	for _, r := range g.ears {
		batch = append(batch, r.listen()...)
	}
	return batch
}

// BenchmarkAdapting forwards with everything on that adapts to receivers, numbers, feedback, estimate, pacing and probes, turn by turn with
// none of it. Feedback comes every third round, which is every 60 ms.
func BenchmarkAdapting(b *testing.B) {
	const perRound = benchReceivers * (benchBurst + 1)
	plain, adapting := newRig(b, benchReceivers, nil), setUp(b, benchReceivers, &rig{adapts: true})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var off, on time.Duration
	rounds := 0
	before := adapting.sh.stats.forwarded
	for b.Loop() {
		var feedback []dataplane.Datagram
		if rounds%3 == 0 {
			feedback = adapting.report()
		}
		plain.load()
		adapting.load()
		t0 := threadTime(b)
		plain.forward()
		t1 := threadTime(b)
		if len(feedback) > 0 {
			adapting.h.HandleBatch(adapting.now, feedback)
		}
		adapting.forward()
		t2 := threadTime(b)
		adapting.hear()
		off, on = off+t1-t0, on+t2-t1
		rounds++
	}
	if n := adapting.sh.stats.forwarded - before; float64(n) < 0.99*float64(rounds*perRound) {
		b.Fatalf("%d packets were forwarded, want %d", n, rounds*perRound)
	}
	e := adapting.ears[0].e.budget.estimate()
	if e.Available == 0 || e.Waiting > 0 {
		b.Fatalf("the estimate is %+v", e)
	}
	micros := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(rounds*perRound) }
	b.ReportMetric(micros(on), "µs/packet")
	b.ReportMetric(micros(off), "off-µs/packet")
	b.ReportMetric(float64(on)/float64(off), "×off")
	b.ReportMetric(0, "ns/op")
}

// TestAdaptingWithoutAllocation: numbering, feedback and the estimate allocate nothing.
func TestAdaptingWithoutAllocation(t *testing.T) {
	g := setUp(t, 4, &rig{adapts: true})
	for range 100 {
		g.load()
		g.forward()
		g.hear()
		g.h.HandleBatch(g.now, g.report())
	}
	allocs := testing.AllocsPerRun(100, func() {
		g.load()
		g.forward()
		g.hear()
	})
	if allocs != 0 {
		t.Errorf("%v allocations for each round", allocs)
	}
	first, second := g.report(), []dataplane.Datagram(nil)
	g.load()
	g.forward()
	g.hear()
	second = g.report()
	feedback := [][]dataplane.Datagram{first, second}
	allocs = testing.AllocsPerRun(1, func() {
		g.h.HandleBatch(g.now, feedback[0])
		feedback = feedback[1:]
	})
	if allocs != 0 {
		t.Errorf("%v allocations for feedback", allocs)
	}
	if s := g.ears[0].e.budget.estimator.Stats(); s.Arrived == 0 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
}

// TestPacing: behind a path that carries less than is sent, pictures wait and speech does not; what waits too long is left out, and the slot
// begins anew with a keyframe. Nobody else notices.
func TestPacing(t *testing.T) {
	g := setUp(t, 2, &rig{adapts: true})
	slow, fast := g.ears[0], g.ears[1]
	slow.rate = 1_500_000                                        // a picture of 5.5 kB and a voice every 20 ms are 2.4 Mbit/s
	slow.e.allocated, slow.e.nextAllocation = 1, dataplane.Never // the picture is not paused: this is about what is sent in spite of the estimate
	speech := slow.e.slots[Audio][0].packets
	waited, most := 0, 0
	var busiest, largest uint64
	const rounds = 200
	for i := range rounds {
		g.load()
		g.forward()
		for range 4 { // as the worker does when a deadline has come
			g.hear()
			g.now += dataplane.Instant(5 * time.Millisecond)
			g.h.Advance(g.now)
			g.h.w.Flush()
		}
		g.now -= dataplane.Instant(20 * time.Millisecond)
		g.h.HandleBatch(g.now, g.report())
		e := slow.e.budget.estimate()
		if e.Waiting > 0 {
			waited++
			most = max(most, e.Waiting)
			if i > rounds/2 {
				busiest, largest = max(busiest, e.Sending), max(largest, e.Available)
			}
		}
		if n := fast.e.budget.estimate().Waiting; n > 0 {
			t.Fatalf("%d packets wait for the receiver with the good path", n)
		}
	}
	speech = slow.e.slots[Audio][0].packets - speech
	e := slow.e.budget.estimate()
	t.Logf("something waited in %d of %d rounds, at most %d packets; sent up to %d bit/s of %d; %d of speech; %+v", waited, rounds, most, busiest, largest, speech, e)
	if waited < rounds/4 || most > maxWaiting {
		t.Error("pictures do not wait")
	}
	if speech != rounds {
		t.Errorf("%d packets of speech were sent, want %d", speech, rounds)
	}
	if e.Available < 900_000 || e.Available > 1_900_000 {
		t.Errorf("the estimate is %d bit/s on a path of 1.5 Mbit/s", e.Available)
	}
	if float64(busiest) > 1.5*float64(largest) {
		t.Errorf("%d bit/s are sent where %d are available", busiest, largest)
	}
	if e.Abandoned == 0 {
		t.Error("more and more waits, and nothing is left out")
	}
	slot := slow.e.slots[Video][0]
	before := slot.packets
	g.now += resumeAfter
	g.keyframes = true
	for range 30 {
		g.load()
		g.forward()
		g.hear()
		g.h.HandleBatch(g.now, g.report())
	}
	if slot.packets == before {
		t.Error("the picture does not come back with a keyframe")
	}
}

// TestProbePutOff: while the transport of pictures is not connected, probes wait, and nothing is trusted that was not measured. Only a receiver
// that is sent pictures and cannot be probed is.
func TestProbePutOff(t *testing.T) {
	g := setUp(t, 1, &rig{adapts: true})
	e := g.ears[0].e
	d := e.slots[Video][0]
	out := d.out
	e.budget = newBudget()
	recorder := twcc.New()
	for range 5 {
		g.now += dataplane.Instant(20 * time.Millisecond)
		recorder.Record(e.budget.number(g.now, 0, Audio.Class(), 100), time.Duration(g.now))
	}
	e.budget.reported(g.now, 0, recorder.Append(nil, 1, 2)[4:])
	d.out = nil
	if e.allocate(g.now); e.wished != 0 {
		t.Errorf("%d bit/s are wished for a slot that cannot be sent to", e.wished)
	}
	e.budget.estimator.Want(2_000_000)
	for range 20 {
		e.probe(g.now)
		g.now += dataplane.Instant(50 * time.Millisecond)
	}
	if e.budget.estimator.Known() || e.budget.estimator.Stats().Probes != 0 {
		t.Errorf("before pictures can be sent the estimate is %+v", e.budget.estimate())
	}
	d.out = out
	if e.allocate(g.now); e.wished == 0 || e.wished > 2*mostWished {
		t.Errorf("%d bit/s are wished", e.wished)
	}
	d.pub.first().rate.smooth[0][0] = 1_000_000_000
	if e.allocate(g.now); e.wished > mostWished+speechRate {
		t.Errorf("%d bit/s are wished for one picture", e.wished)
	}
	d.numbering = 0
	g.now += dataplane.Instant(time.Second)
	if e.probe(g.now); !e.budget.estimator.Known() {
		t.Error("a receiver that cannot be probed is not trusted")
	}
}

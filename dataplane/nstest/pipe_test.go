package nstest

import (
	"math"
	"slices"
	"testing"
	"time"
)

// arrival is one packet that came through a pipe.
type arrival struct {
	number   int
	at, took time.Duration
}

// through sends packets of some bytes through a pipe at even distances, without a clock, and returns what comes out, in its order. Each is
// delivered at the very time at which it is due.
func through(t *testing.T, p *pipe, packets, bytes int, every time.Duration) []arrival {
	t.Helper()
	var out []arrival
	sent := make([]time.Duration, packets)
	now := time.Duration(0)
	send := func(frame []byte) {
		number := int(frame[0]) | int(frame[1])<<8 | int(frame[2])<<16
		out = append(out, arrival{number, now, now - sent[number]})
	}
	for i := 0; i < packets || p.next() != never; {
		next := p.next()
		if i < packets && time.Duration(i)*every <= next {
			now = time.Duration(i) * every
			sent[i] = now
			p.arrive(now, []byte{byte(i), byte(i >> 8), byte(i >> 16)}, bytes, protoUDP)
			i++
		} else {
			now = next
		}
		p.deliver(now, send)
	}
	if c := p.counts; c.Arrived != packets || c.Arrived != c.QueueDropped+c.Lost+c.Delivered || len(out) != c.Delivered+c.Duplicated || p.bytes != 0 {
		t.Errorf("%d packets sent, %d came, %d bytes are left: %+v", packets, len(out), p.bytes, c)
	}
	return out
}

func testPipe(path Path, steps ...Step) *pipe {
	p := newPipe(path, 1)
	p.steps = steps
	return &p
}

// near wants a figure within a share of what is expected.
func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got-want) > share*math.Abs(want) {
		t.Errorf("%s is %.5g, want %.5g within %.1f %%", what, got, want, share*100)
	}
}

// binomial wants a count that chance explains: five standard deviations.
func binomial(t *testing.T, what string, got, n int, share float64) {
	t.Helper()
	if mean := float64(n) * share; math.Abs(float64(got)-mean) > 5*math.Sqrt(mean*(1-share)) {
		t.Errorf("%s: %d of %d, want a share of %v", what, got, n, share)
	}
}

func bitsPerSecond(list []arrival, bytes int) float64 {
	return float64((len(list)-1)*bytes*8) / (list[len(list)-1].at - list[0].at).Seconds()
}

func TestPathRateAndQueue(t *testing.T) {
	for _, rate := range []int{250_000, 3_000_000, 50_000_000} {
		p := testPipe(Path{Rate: rate, QueueTime: 100 * time.Millisecond})
		every := p.path.sendingTime(1000) / 2 // twice what it can send
		out := through(t, p, 5000, 1000, every)
		near(t, "rate", bitsPerSecond(out, 1000), float64(rate), 0.001)
		longest := slices.MaxFunc(out, func(a, b arrival) int { return int(a.took - b.took) }).took
		if limit := 100 * time.Millisecond; longest > limit || longest < limit-p.path.sendingTime(1000) {
			t.Errorf("at %d bit/s somebody waited %v; a full queue is %v", rate, longest, limit)
		}
		near(t, "packets that did not find room", float64(p.counts.QueueDropped), 2500-float64(p.path.queueBytes()/1000), 0.01)
	}
	p := testPipe(Path{Rate: 800_000, QueueBytes: 5000})
	if out := through(t, p, 100, 1000, 0); len(out) != 5 { // all at once: as many as the queue holds, the one being sent included
		t.Errorf("%d packets came through a queue of five", len(out))
	}
	p = testPipe(Path{Rate: 800_000, QueueBytes: 100})
	if out := through(t, p, 10, 1000, 20*time.Millisecond); len(out) != 10 || out[9].took != 10*time.Millisecond {
		t.Errorf("%d packets came through an idle link with a short queue, the last in %v", len(out), out[len(out)-1].took)
	}
}

func TestPathBurst(t *testing.T) {
	p := testPipe(Path{Rate: 800_000, Burst: 3000, QueueBytes: 100_000})
	out := through(t, p, 10, 1000, 0)
	for i, a := range out { // 1000 bytes take 10 ms
		if want := time.Duration(max(0, i-2)) * 10 * time.Millisecond; a.took != want {
			t.Errorf("packet %d took %v, want %v", i, a.took, want)
		}
	}
}

func TestPathSteps(t *testing.T) {
	path := func(rate int) Path { return Path{Rate: rate, QueueTime: 200 * time.Millisecond} }
	p := testPipe(path(3_000_000), Step{2 * time.Second, path(500_000)}, Step{4 * time.Second, path(3_000_000)})
	out := through(t, p, 3000, 1000, 2*time.Millisecond) // 4 Mbit/s for 6 s
	for i, want := range []float64{3e6, 3e6, 0.5e6, 0.5e6, 3e6, 3e6} {
		bits := 0.0
		for _, a := range out {
			if a.at >= time.Duration(i)*time.Second && a.at < time.Duration(i+1)*time.Second {
				bits += 8000
			}
		}
		near(t, "rate", bits, want, 0.02)
	}
	waits := p.samples.copy(time.Time{}, 6*time.Second, 0)
	if before, after := waits[15].MaxWait, waits[31].MaxWait; before > 210*time.Millisecond || after < 5*before {
		t.Errorf("packets waited %v before the rate fell to a sixth, %v after", before, after)
	}
	if waits[15].Rate != 3_000_000 || waits[30].Rate != 500_000 || waits[50].Rate != 3_000_000 {
		t.Errorf("the samples say rates of %d, %d, %d", waits[15].Rate, waits[30].Rate, waits[50].Rate)
	}
	sum := Sample{}
	for _, s := range waits {
		sum.Packets += s.Packets
		sum.UDP += s.UDP
		sum.Dropped += s.Dropped
	}
	if sum.Packets != p.counts.Delivered || sum.UDP != len(out)*1000 || sum.Dropped != p.counts.QueueDropped {
		t.Errorf("the samples sum up to %+v, the counts are %+v", sum, p.counts)
	}
}

func TestPathLoss(t *testing.T) {
	const n = 100_000
	p := testPipe(Path{Loss: 0.02})
	through(t, p, n, 100, time.Millisecond)
	binomial(t, "random loss", p.counts.Lost, n, 0.02)

	for _, path := range []Path{{Loss: 0.1, BurstLength: 5}, {Loss: 0.1, BurstLength: 8, BadLoss: 0.5}} {
		p = testPipe(path)
		out := through(t, p, n, 100, time.Millisecond)
		near(t, "bursty loss", float64(p.counts.Lost)/n, 0.1, 0.08)
		if path.BadLoss != 0 {
			continue // the gaps are not the bursts
		}
		bursts := 0
		for i := range out[1:] {
			if out[i+1].number != out[i].number+1 {
				bursts++
			}
		}
		near(t, "burst length", float64(p.counts.Lost)/float64(bursts), path.BurstLength, 0.05)
	}
}

// moments returns mean and standard deviation of the times on the line, and the share within one deviation around the mean.
func moments(list []arrival) (mean, deviation, within float64) {
	for _, a := range list {
		mean += a.took.Seconds() / float64(len(list))
	}
	for _, a := range list {
		deviation += math.Pow(a.took.Seconds()-mean, 2) / float64(len(list))
	}
	deviation = math.Sqrt(deviation)
	for _, a := range list {
		if math.Abs(a.took.Seconds()-mean) < deviation {
			within += 1 / float64(len(list))
		}
	}
	return mean, deviation, within
}

func TestPathDelayAndJitter(t *testing.T) {
	for _, a := range through(t, testPipe(Path{Delay: 200 * time.Millisecond}), 100, 100, time.Millisecond) {
		if a.took != 200*time.Millisecond {
			t.Fatalf("packet %d took %v", a.number, a.took)
		}
	}
	overtaken := func(list []arrival) bool {
		return !slices.IsSortedFunc(list, func(a, b arrival) int { return a.number - b.number })
	}
	for _, overtake := range []bool{true, false} {
		p := testPipe(Path{Delay: 100 * time.Millisecond, Jitter: 30 * time.Millisecond, Overtake: overtake})
		out := through(t, p, 100_000, 100, 20*time.Millisecond) // as voice
		mean, deviation, within := moments(out)
		tolerance := 0.02
		if !overtake {
			tolerance = 0.1 // who may not overtake waits
		}
		near(t, "mean delay", mean, 0.100, tolerance)
		near(t, "jitter", deviation, 0.030, tolerance)
		near(t, "share within one deviation", within, 0.683, 0.03)
		if overtaken(out) != overtake {
			t.Errorf("packets overtook each other is %v", !overtake)
		}
	}
}

func TestPathReorderAndDuplicate(t *testing.T) {
	const n = 50_000
	p := testPipe(Path{Reorder: 0.05, ReorderBy: 15 * time.Millisecond, Duplicate: 0.01})
	out := through(t, p, n, 100, 10*time.Millisecond)
	binomial(t, "held back", p.counts.Reordered, n, 0.05)
	binomial(t, "doubled", p.counts.Duplicated, n, 0.01)
	late := 0
	for i, a := range out {
		if a.took == 15*time.Millisecond {
			late++
		} else if a.took != 0 {
			t.Fatalf("packet %d took %v", a.number, a.took)
		}
		if i > 0 && a.number == out[i-1].number {
			late -= min(1, int(a.took))
		}
	}
	if late != p.counts.Reordered {
		t.Errorf("%d packets were late, %d are counted", late, p.counts.Reordered)
	}
}

func TestPathCheck(t *testing.T) {
	for _, wrong := range []Path{{Loss: 1.1}, {Loss: -0.1}, {Rate: -1}, {Delay: -1}, {Loss: 0.5, BurstLength: 0.5}, {Loss: 0.5, BadLoss: 0.4, BurstLength: 3}, {Duplicate: 2}} {
		if wrong.check() == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
	if err := (Path{Rate: 1, Loss: 1, Jitter: 1}).check(); err != nil {
		t.Error(err)
	}
}

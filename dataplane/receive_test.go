package dataplane

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// collector is a handler that keeps copies of what it is given.
type collector struct {
	mu      sync.Mutex // guards got
	got     []string
	via     []uint8
	batches int
}

func (c *collector) HandleBatch(_ Instant, batch []Datagram) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches++
	for i := range batch {
		c.got = append(c.got, string(batch[i].Data))
		c.via = append(c.via, batch[i].Via)
	}
}

func (c *collector) Advance(Instant) Instant { return Never }

func (c *collector) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// TestGROSplit receives super-packets: loopback hands them over as they were sent, and they are cut up again.
func TestGROSplit(t *testing.T) {
	for _, c := range []struct {
		name   string
		noGRO  bool
		supers uint64
	}{{"with GRO", false, 2}, {"without GRO", true, 0}} {
		t.Run(c.name, func(t *testing.T) {
			var got collector
			cfg := testConfig("[::]:0")
			cfg.NoGRO = c.noGRO
			p := startPlane(t, cfg, func(*Worker) Handler { return &got })
			want := append(run(16, 1200), run(7, 100)...)
			want = append(want, "tail")
			to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.Addrs()[0].Port())
			from := dial(t, "127.0.0.1:0", to)
			from.option(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1200)
			from.say(strings.Join(want[:16], ""))
			from.option(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 100)
			from.say(strings.Join(want[16:], ""))
			waitFor(t, "all datagrams", func() bool { return len(got.all()) >= len(want) })
			if !slices.Equal(got.all(), want) {
				t.Errorf("got %d datagrams that differ", len(got.all()))
			}
			waitFor(t, "counters", func() bool { return p.Stats()[0].In.Datagrams == uint64(len(want)) })
			if n := p.Stats()[0].SuperPacketsIn; n != c.supers {
				t.Errorf("%d super-packets, want %d", n, c.supers)
			}
		})
	}
}

// TestReceiveLimits sends the smallest and the largest that is accepted, and too much.
func TestReceiveLimits(t *testing.T) {
	for _, noGRO := range []bool{false, true} {
		var got collector
		cfg := testConfig("[::1]:0")
		cfg.NoGRO = noGRO
		p := startPlane(t, cfg, func(*Worker) Handler { return &got })
		from := dial(t, "[::1]:0", p.Addrs()[0])
		from.say("")
		from.say(strings.Repeat("x", MaxDatagram))
		from.say(strings.Repeat("y", MaxDatagram+1))
		from.say(strings.Repeat("z", 60000))
		from.say("end")
		waitFor(t, "the last datagram", func() bool { return slices.Contains(got.all(), "end") })
		if all := got.all(); len(all) != 3 || all[0] != "" || len(all[1]) != MaxDatagram {
			t.Errorf("got %d datagrams", len(all))
		}
		waitFor(t, "counters", func() bool { return p.Stats()[0].Oversize == 2 })
	}
}

// TestFullBatches sends more than a batch at a time, in super-packets of the smallest segments, so that the handler's batch fills up.
func TestFullBatches(t *testing.T) {
	var got collector
	cfg := testConfig("127.0.0.1:0")
	cfg.Batch = 4
	p := startPlane(t, cfg, func(*Worker) Handler { return &got })
	from := dial(t, "127.0.0.1:0", p.Addrs()[0])
	from.option(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1)
	for range 10 {
		from.say(strings.Repeat("x", 64))
	}
	waitFor(t, "all datagrams", func() bool { return len(got.all()) >= 640 })
	if n := len(got.all()); n != 640 {
		t.Errorf("%d datagrams, want 640", n)
	}
}

// TestKernelDrops stalls the handler while more arrives than the receive buffer takes: the loss is seen.
func TestKernelDrops(t *testing.T) {
	release, stalled := make(chan struct{}), make(chan struct{}, 1000)
	var got collector
	cfg := testConfig("127.0.0.1:0")
	cfg.ReceiveBuffer = 4096
	p := startPlane(t, cfg, func(*Worker) Handler {
		return &testHandler{batch: func(now Instant, batch []Datagram) {
			stalled <- struct{}{}
			<-release
			got.HandleBatch(now, batch)
		}}
	})
	if a := p.Actual(); a.ReceiveBuffer != 4096 || a.ReceiveBufferWanted != 4096 {
		t.Errorf("receive buffer %d of %d", a.ReceiveBuffer, a.ReceiveBufferWanted)
	}
	from := dial(t, "127.0.0.1:0", p.Addrs()[0])
	from.say("first")
	<-stalled
	const sent = 100
	for range sent {
		from.say(strings.Repeat("x", 1000))
	}
	close(release)
	waitFor(t, "the buffer to empty", func() bool { return len(got.all()) > 1 })
	// What is lost after the last datagram in the buffer is told with the next one.
	waitFor(t, "drops to be counted", func() bool {
		from.say("x")
		s := p.Stats()[0]
		return s.KernelDrops > 0 && s.KernelDrops+s.In.Datagrams >= sent
	})
}

// TestHandOver hands everything over from the worker that received it to the other one.
func TestHandOver(t *testing.T) {
	var got collector
	cfg := testConfig("127.0.0.1:0")
	cfg.Workers = 2
	p := startPlane(t, cfg, func(w *Worker) Handler {
		if w.ID() == 1 {
			return &got
		}
		return &testHandler{batch: func(_ Instant, batch []Datagram) {
			for i := range batch {
				w.HandOver(1, &batch[i])
			}
		}}
	})
	var want []string
	for i := range 20 { // each from another port, so that both sockets are hit
		data := run(i+1, 20)[i]
		want = append(want, data)
		dial(t, "127.0.0.1:0", p.Addrs()[0]).say(data)
	}
	waitFor(t, "all datagrams", func() bool { return len(got.all()) >= len(want) })
	all := got.all()
	slices.Sort(all)
	if !slices.Equal(all, want) {
		t.Errorf("got %d datagrams that differ", len(all))
	}
	waitFor(t, "counters", func() bool {
		s := p.Stats()
		return s[0].In.Datagrams+s[1].In.Datagrams == 20 && s[0].HandedOver == s[0].In.Datagrams && s[1].TakenOver == s[0].HandedOver
	})
	got.mu.Lock()
	defer got.mu.Unlock()
	byZero := 0
	for _, via := range got.via {
		byZero += boolInt(via == 0)
	}
	if handed := p.Stats()[0].HandedOver; uint64(byZero) != handed || handed == 0 || handed == 20 {
		t.Errorf("%d datagrams via worker 0, %d handed over", byZero, handed)
	}
}

// TestHandOverFull hands more over than the ring takes while the target stands still: the rest is refused and counted.
func TestHandOverFull(t *testing.T) {
	var got collector
	cfg := testConfig("127.0.0.1:0")
	cfg.Workers, cfg.RingSlots = 2, 8
	p := startPlane(t, cfg, func(w *Worker) Handler {
		if w.ID() == 1 {
			return &got
		}
		return &testHandler{}
	})
	release, stalled := make(chan struct{}), make(chan struct{})
	if err := p.Workers()[1].Post(TaskFunc(func(Instant) { close(stalled); <-release })); err != nil {
		t.Fatal(err)
	}
	<-stalled
	var taken []bool
	w := p.Workers()[0]
	if err := w.Do(t.Context(), func(Instant) {
		for range 10 {
			taken = append(taken, w.HandOver(1, &Datagram{Data: []byte("hello")}))
		}
		taken = append(taken, w.HandOver(0, &Datagram{}), w.HandOver(2, &Datagram{}), w.HandOver(-1, &Datagram{}))
	}); err != nil {
		t.Fatal(err)
	}
	close(release)
	for i, ok := range taken {
		if ok != (i < 8) {
			t.Errorf("hand-over %d: %v", i, ok)
		}
	}
	waitFor(t, "eight datagrams", func() bool { return len(got.all()) == 8 })
	waitFor(t, "counters", func() bool {
		s := p.Stats()
		return s[0].HandedOver == 8 && s[0].HandOverDrops == 5 && s[1].TakenOver == 8
	})
	if err := w.Do(t.Context(), func(Instant) {
		if w.HandOver(1, &Datagram{Data: make([]byte, MaxDatagram+1)}) || !w.HandOver(1, &Datagram{Data: make([]byte, MaxDatagram)}) {
			t.Error("the limit of size does not hold")
		}
	}); err != nil {
		t.Fatal(err)
	}
}

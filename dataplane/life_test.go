package dataplane

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func quiet(*Worker) Handler { return &testHandler{} }

// TestPostOrError posts from many goroutines while the plane closes: every task is either run, on the worker's thread, or refused.
func TestPostOrError(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), quiet)
	w := p.Workers()[0]
	var accepted, ran atomic.Int64
	var posters sync.WaitGroup
	for range 8 {
		posters.Go(func() {
			for {
				err := w.Post(TaskFunc(func(Instant) { ran.Add(1) }))
				switch {
				case err == nil:
					accepted.Add(1)
				case errors.Is(err, net.ErrClosed):
					return
				case !errors.Is(err, ErrBusy):
					t.Errorf("post: %v", err)
					return
				}
			}
		})
	}
	waitFor(t, "tasks to run", func() bool { return ran.Load() > 1000 })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	posters.Wait()
	if accepted.Load() != ran.Load() {
		t.Errorf("%d tasks accepted, %d run", accepted.Load(), ran.Load())
	}
	if n := p.Stats()[0].Tasks; n != uint64(ran.Load()) {
		t.Errorf("%d tasks counted, %d run", n, ran.Load())
	}
}

// TestPostWakes posts to a worker that sleeps for ever, again and again.
func TestPostWakes(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), quiet)
	for i := range 1000 {
		ran := false
		if err := p.Workers()[0].Do(t.Context(), func(Instant) { ran = true }); err != nil || !ran {
			t.Fatalf("task %d: %v, ran %v", i, err, ran)
		}
	}
}

// TestTasksShareOneThread sees to it that everything the worker calls runs on one and the same thread.
func TestTasksShareOneThread(t *testing.T) {
	var threads sync.Map
	note := func() { threads.Store(unix.Gettid(), true) }
	p := startPlane(t, testConfig("127.0.0.1:0"), func(*Worker) Handler {
		return &testHandler{
			batch:   func(Instant, []Datagram) { note() },
			advance: func(Instant) Instant { note(); return Never },
		}
	})
	dial(t, "127.0.0.1:0", p.Addrs()[0]).say("x")
	for range 100 {
		if err := p.Workers()[0].Do(t.Context(), func(Instant) { note() }); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	n := 0
	threads.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d threads", n)
	}
}

// TestPostBounded fills the list of a worker that is busy.
func TestPostBounded(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), quiet)
	w := p.Workers()[0]
	release, started, ran := make(chan struct{}), make(chan struct{}), 0
	if err := w.Post(TaskFunc(func(Instant) { close(started); <-release })); err != nil {
		t.Fatal(err)
	}
	<-started
	posted := 0
	for ; posted <= 2*maxTasks; posted++ {
		if err := w.Post(TaskFunc(func(Instant) { ran++ })); errors.Is(err, ErrBusy) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if posted != maxTasks {
		t.Errorf("%d tasks accepted, limit is %d", posted, maxTasks)
	}
	close(release)
	p.Close()
	if ran != posted {
		t.Errorf("%d tasks run, %d accepted", ran, posted)
	}
}

// TestPostFromTask posts from the worker's own thread.
func TestPostFromTask(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), quiet)
	w := p.Workers()[0]
	done := make(chan error, 1)
	if err := w.Post(TaskFunc(func(Instant) {
		if err := w.Post(TaskFunc(func(Instant) { done <- nil })); err != nil {
			done <- err
		}
	})); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the second task did not run")
	}
}

// TestPostWithoutRun posts to a plane that never runs: Close runs what was accepted.
func TestPostWithoutRun(t *testing.T) {
	p := openPlane(t, testConfig("127.0.0.1:0"), quiet)
	ran := false
	if err := p.Workers()[0].Post(TaskFunc(func(Instant) { ran = true })); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil || !ran {
		t.Errorf("close: %v, task run: %v", err, ran)
	}
	if err := p.Workers()[0].Post(TaskFunc(nil)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("post after close: %v", err)
	}
	if err := p.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("run after close: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// TestDoGivesUp lets the context of Do end while the worker is busy, and before.
func TestDoGivesUp(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), quiet)
	w := p.Workers()[0]
	release, started := make(chan struct{}), make(chan struct{})
	if err := w.Post(TaskFunc(func(Instant) { close(started); <-release })); err != nil {
		t.Fatal(err)
	}
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- w.Do(ctx, func(Instant) {}) }()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("do: %v", err)
	}
	if err := w.Do(ctx, func(Instant) { t.Error("run though the context had ended") }); !errors.Is(err, context.Canceled) {
		t.Errorf("do: %v", err)
	}
	close(release)
}

// TestRunEndsWithContext wants nil from Run, and refusal of tasks, when the context ends; a second run is an error.
func TestRunEndsWithContext(t *testing.T) {
	cfg := testConfig("127.0.0.1:0")
	cfg.Workers = 3
	p := openPlane(t, cfg, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	if err := p.Workers()[2].Do(t.Context(), func(Instant) {}); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err == nil {
		t.Error("ran twice")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if err := p.Workers()[0].Post(TaskFunc(nil)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("post after run: %v", err)
	}
}

// TestDeadlines wants Advance called at the time it asked for, without anything else happening, and not before.
func TestDeadlines(t *testing.T) {
	const step = Instant(3 * time.Millisecond)
	var calls atomic.Int64
	next := Instant(0)
	p := startPlane(t, testConfig("127.0.0.1:0"), func(*Worker) Handler {
		return &testHandler{advance: func(now Instant) Instant {
			if now >= next {
				calls.Add(1)
				next = now + step
			}
			return next
		}}
	})
	waitFor(t, "ten deadlines", func() bool { return calls.Load() >= 10 })
	p.Close()
	if s := p.Stats()[0]; s.PollCalls > uint64(3*calls.Load())+10 {
		t.Errorf("%d polls for %d deadlines", s.PollCalls, calls.Load())
	}
}

// TestPortTaken opens a port twice; although both ask for SO_REUSEPORT the second must not get a share of it.
func TestPortTaken(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::]:0"} {
		cfg := testConfig(listen)
		cfg.Workers = 2
		p := openPlane(t, cfg, quiet)
		cfg.Listen = p.Addrs()
		if second, err := Open(cfg, quiet); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s: %v", listen, err)
			if err == nil {
				second.Close()
			}
		}
	}
}

// TestSeveralAddresses listens on both families apart: one port, replies by the right socket.
func TestSeveralAddresses(t *testing.T) {
	cfg := testConfig("[::]:0", "127.0.0.2:0", "127.0.0.3:0")
	cfg.Workers = 2
	p := startPlane(t, cfg, func(w *Worker) Handler { return echo(w, 0) })
	port := p.Addrs()[0].Port()
	if port == 0 || len(p.Addrs()) != 3 {
		t.Fatalf("addresses %v", p.Addrs())
	}
	for _, c := range []struct{ from, to string }{{"127.0.0.1:0", "127.0.0.2"}, {"127.0.0.1:0", "127.0.0.3"}, {"[::1]:0", "::1"}} {
		peer := dial(t, c.from, netip.AddrPortFrom(netip.MustParseAddr(c.to), port))
		peer.say("hello")
		if got := peer.hear(); got != "hello" {
			t.Errorf("%s: heard %q", c.to, got)
		}
	}
}

// TestConfigNamesEverything wants every mistake in one error.
func TestConfigNamesEverything(t *testing.T) {
	cfg := Config{
		Listen: []netip.AddrPort{{}, addr("[::]:1"), addr("[::1]:1"), addr("10.0.0.1:2"), addr("224.0.0.1:1")}, Workers: -1,
		ReceiveBuffer: -1, SendBuffer: 1 << 40, Batch: 5000, Burst: 65, RingSlots: 3,
	}
	cfg.Marks[0] = 64
	err := cfg.Validate()
	for _, want := range []string{"entry 1 has no address", "[::]:1 and [::1]:1 cover", "different ports", "224.0.0.1:1 is a multicast",
		"workers: -1", "receive buffer: -1", "send buffer: 1099511627776", "batch: 5000", "burst: 65", "ring slots: 3", "64 for signalling"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if _, err := Open(cfg, quiet); err == nil {
		t.Error("opened")
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

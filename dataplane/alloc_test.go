package dataplane

import (
	"io"
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// TestZeroAlloc takes datagrams the whole way, from the receive call over the handler, a ring and the send arena to the send call,
// and wants no allocation. The rounds are driven by hand, on two workers, so that nothing else is counted.
func TestZeroAlloc(t *testing.T) {
	for _, listen := range []string{"[::]:0", "127.0.0.1:0"} {
		cfg := testConfig(listen)
		cfg.Workers, cfg.Marks = 2, marks
		p := openPlane(t, cfg, func(w *Worker) Handler {
			return &testHandler{batch: func(_ Instant, batch []Datagram) {
				for i := range batch {
					d := &batch[i]
					if int(d.Via) == w.ID() {
						w.Belongs(&d.Path, 1-w.ID(), 1)
						w.HandOver(1-w.ID(), d)
					}
					w.Commit(&d.Path, dscp.Video, copy(w.Reserve(len(d.Data)), d.Data))
				}
			}}
		})
		peer := rawPeer(t, p.Addrs()[0].Port())
		task := Task(TaskFunc(func(Instant) {}))
		data, back := make([]byte, 1200), make([]byte, 1<<16)
		polled := func(w *Worker) {
			if err := w.sleep(false); err != nil {
				t.Fatal(err)
			}
			w.round()
		}
		round := func() {
			for range 8 {
				if err := unix.Sendto(peer, data, 0, nil); err != nil {
					t.Fatal(err)
				}
			}
			for _, w := range p.workers {
				if err := w.Post(task); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				polled(p.workers[0])
				polled(p.workers[1])
				for _, w := range p.workers { // the next poll is not to wait
					if err := w.Post(task); err != nil {
						t.Fatal(err)
					}
				}
			}
			for {
				if n, _ := unix.Read(peer, back); n <= 0 {
					return
				}
			}
		}
		round()
		before := p.Stats()
		runtime.GC()
		if allocs := testing.AllocsPerRun(100, round); allocs != 0 {
			t.Errorf("%s: %v allocations per round of 8 datagrams", listen, allocs)
		}
		after := p.Stats()
		sum := func(f func(WorkerStats) uint64) (n uint64) {
			for i := range after {
				n += f(after[i]) - f(before[i])
			}
			return n
		}
		in, out := sum(func(s WorkerStats) uint64 { return s.In.Datagrams }), sum(func(s WorkerStats) uint64 { return s.Out.Datagrams })
		over, super := sum(func(s WorkerStats) uint64 { return s.TakenOver }), sum(func(s WorkerStats) uint64 { return s.SuperPacketsOut })
		if in != 808 || out != 1616 || over != 808 || super == 0 {
			t.Errorf("%s: %d in, %d out, %d handed over, %d super-packets: not what was to be measured", listen, in, out, over, super)
		}
	}
}

// rawPeer is a non-blocking socket connected to a port on loopback, without the netpoller.
func rawPeer(t testing.TB, port uint16) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestStreamZeroAlloc commits datagrams for a stream and takes what comes from it, and wants no allocation, neither of the worker nor of the
// stream's own goroutines. The rounds are driven by hand.
func TestStreamZeroAlloc(t *testing.T) {
	cfg := testConfig("127.0.0.1:0")
	cfg.Marks = marks
	arrived := 0
	p := openPlane(t, cfg, func(w *Worker) Handler {
		return &testHandler{batch: func(_ Instant, batch []Datagram) { arrived += len(batch) }}
	})
	w := p.workers[0]
	near, far := tcpPair(t)
	s, err := p.OpenStream(StreamConfig{Conn: near, Rung: TCP, Framing: func(*Stream) Framing { return &lengthPrefixed{begun: true} }})
	if err != nil {
		t.Fatal(err)
	}
	if !w.Adopt(&s.base, dscp.Video) {
		t.Fatal("not adopted")
	}
	data, back := framed(make([]byte, 1200)), make([]byte, 1202)
	task := Task(TaskFunc(func(Instant) {}))
	round := func() {
		const each = 8
		want := arrived + each
		for range each {
			if _, err := far.Write(data); err != nil {
				t.Fatal(err)
			}
			w.Commit(&s.base, dscp.Video, len(w.Reserve(1200)))
		}
		w.Flush()
		for range each {
			if _, err := io.ReadFull(far, back); err != nil {
				t.Fatal(err)
			}
		}
		for arrived < want { // the reader posts in its own time
			if err := w.Post(task); err != nil {
				t.Fatal(err)
			}
			w.round()
			runtime.Gosched()
		}
	}
	for range 20 { // until queues and parcels have their size
		round()
	}
	if allocs := testing.AllocsPerRun(200, round); allocs >= 1 {
		t.Errorf("%v allocations per round of 8 datagrams each way", allocs)
	}
}

// tcpPair is a connection over loopback.
func tcpPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return near, far
}

package dataplane

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// A datagram's journey, in the order of the functions below and in send.go:
//
//  1. The kernel chooses one socket of the SO_REUSEPORT group for it, by a program that is told where its like belong (steer_linux.go), else by
//     a hash. The worker of that socket sleeps in ppoll (sleep) until there is something to read, a task or a hand-over woke it, or the handler's next deadline has come.
//  2. A round begins. Tasks of other goroutines run first (runTasks), then what other workers handed over (takeOver).
//  3. receive takes up to a batch of messages with one recvmmsg. A GRO super-packet is cut, without copying, into the datagrams it was
//     made of (split); each gets its path from the sender's address and the control messages, and its TOS.
//  4. The handler gets the batch. It may hand single datagrams over to the worker that is home to their meeting (HandOver), and for
//     whatever it wants to send it reserves room in the send arena, writes, and commits (send.go).
//  5. Advance lets the handler do what is due. Flush then sends everything with one sendmmsg per outlet, a socket that stands for a class
//     (outlet_linux.go); runs of equal size for one path go as one UDP_SEGMENT message.
//  6. Workers that got something handed over are woken, the counters published. With more to read the next round begins at once,
//     otherwise the worker sleeps.
//
// A round reads one batch per socket and runs a bounded number of tasks, so that no source of work can starve another.

// Worker is one thread of the plane with its sockets. Except for ID, Now, Post and Do its methods are for its own thread: the calls of
// its handler and tasks.
type Worker struct {
	plane    *Plane
	id       int
	handler  Handler
	log      *slog.Logger
	socks    []*socket
	outlets  [2]*outlets   // to IPv4 and to IPv6, nil without
	exits    []*exit       // outlets and sockets, in the order in which they are flushed
	polls    []unix.PollFd // the eventfd, the sockets, then waiting, which count only while they hold something
	waiting  []*exit       // outlets of audio
	timeout  unix.Timespec
	next     Instant // when Advance wants to be called
	wantCPU  int
	cpu      atomic.Int32 // -1: not pinned
	stopping atomic.Bool
	thread   atomic.Int32 // 0 before it runs
	mail     mailbox

	in       *inbox
	incoming []*ring // by sending worker; nil for itself
	outgoing []*ring // by receiving worker; nil for itself
	handed   []bool  // by receiving worker: wake it at the end of the round
	votes    votes   // nil where nothing is steered

	arena     []byte
	tail      int
	last      *message // may still grow
	queueFull bool
	coalesce  bool
	streamed  []streamed // committed for streams

	stats  WorkerStats
	public published
}

func newWorker(p *Plane, id int) (*Worker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	w := &Worker{
		plane:    p,
		id:       id,
		log:      p.cfg.Logger.With("worker", id),
		polls:    []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}},
		in:       newInbox(p.cfg.Batch, p.features.gro && !p.cfg.NoGRO),
		incoming: make([]*ring, p.cfg.Workers),
		outgoing: make([]*ring, p.cfg.Workers),
		handed:   make([]bool, p.cfg.Workers),
		arena:    make([]byte, arenaSize),
		coalesce: p.features.gso && !p.cfg.NoGSO,
		wantCPU:  -1,
		streamed: make([]streamed, 0, streamedSlots),
	}
	w.cpu.Store(-1)
	w.mail.fd = fd
	return w, nil
}

// addSocket gives the worker a socket with its outgoing queues.
func (w *Worker) addSocket(s *socket) {
	w.addExit(&s.exit, true)
	w.socks = append(w.socks, s)
	w.polls = append(w.polls, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
}

// addExit gives an exit its queues.
func (w *Worker) addExit(x *exit, audio bool) {
	x.out = newQueue(w.arena, w.plane.cfg.Batch)
	if audio {
		x.held = &held{queue: *newQueue(make([]byte, heldSize), heldSlots)}
	}
	w.exits = append(w.exits, x)
}

// ID returns the number of the worker, counted from 0.
func (w *Worker) ID() int { return w.id }

// Mark returns the code point that datagrams of a class leave with. Any thread.
func (w *Worker) Mark(class dscp.Class) dscp.CodePoint {
	return dscp.OfTOS(w.plane.marks.Load().tos[class])
}

// Now returns the time; all workers of a plane share the clock.
func (w *Worker) Now() Instant { return w.plane.now() }

// runWorker is the worker's goroutine. It keeps its thread, since affinity belongs to threads, and never gives it back: the thread ends
// with the goroutine.
func (w *Worker) runWorker() error {
	runtime.LockOSThread()
	w.thread.Store(int32(unix.Gettid()))
	defer w.thread.Store(0)
	if !w.plane.cfg.NoPin && w.wantCPU >= 0 {
		w.pin()
	}
	defer w.finish()
	for more := true; !w.stopping.Load(); more = w.round() {
		if err := w.sleep(more); err != nil {
			return fmt.Errorf("worker %d: %w", w.id, err)
		}
	}
	return nil
}

// sleep waits until there is something to do, and marks the sockets that can be read. With more known to be there it does not wait.
func (w *Worker) sleep(more bool) error {
	if more {
		for _, s := range w.socks {
			s.ready = true
		}
		return nil
	}
	timeout := w.prepareSleep()
	_, err := unix.Ppoll(w.polls, timeout, nil)
	w.mail.sleeping.Store(false)
	w.stats.PollCalls++
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("ppoll", err)
	}
	if err != nil {
		return nil // by a signal; the round that follows costs little, and revents are not valid
	}
	if w.polls[0].Revents != 0 {
		w.mail.clearWake()
	}
	for i, s := range w.socks {
		s.ready = w.polls[i+1].Revents&^unix.POLLOUT != 0
	}
	return nil
}

// prepareSleep says that the worker may be asleep from now on, and returns how long it is to sleep: nil for ever, nothing at all when
// work came in since the last look.
func (w *Worker) prepareSleep() *unix.Timespec {
	for i, s := range w.socks {
		s.ready = false
		w.polls[i+1].Events = unix.POLLIN
		if s.holds() {
			w.polls[i+1].Events |= unix.POLLOUT
		}
	}
	for i, x := range w.waiting {
		fd := int32(-1) // is passed over
		if x.holds() {
			fd = int32(x.fd)
		}
		w.polls[1+len(w.socks)+i].Fd = fd
	}
	w.mail.sleeping.Store(true)
	wait := max(0, w.next-w.Now())
	if w.stopping.Load() || w.mail.pending() || w.handedOver() {
		wait = 0
	} else if w.next == Never {
		return nil
	}
	w.timeout = unix.NsecToTimespec(int64(wait))
	return &w.timeout
}

// round does everything that is there to do once. It tells whether there is certainly more.
func (w *Worker) round() (more bool) {
	more = w.runTasks()
	w.takeOver()
	for _, s := range w.socks {
		if s.ready && w.receive(s) {
			more = true
		}
	}
	w.next = w.handler.Advance(w.Now())
	w.Flush()
	w.wakeOthers()
	w.public.update(&w.stats)
	return more
}

// runTasks runs the posted tasks, up to a limit.
func (w *Worker) runTasks() (more bool) {
	if !w.mail.pending() {
		return false
	}
	for range tasksPerRound {
		t := w.mail.next()
		if t == nil {
			return false
		}
		t.Run(w.Now())
		w.stats.Tasks++
	}
	return w.mail.pending()
}

// takeOver gives the handler what other workers handed over.
func (w *Worker) takeOver() {
	for _, r := range w.incoming {
		if r == nil {
			continue
		}
		for batch := r.peek(); len(batch) > 0; batch = nil { // what comes meanwhile has to wait for its turn
			w.stats.TakenOver += uint64(len(batch))
			w.handler.HandleBatch(w.Now(), batch)
			r.done(len(batch))
		}
	}
}

// handedOver tells whether something waits in a ring.
func (w *Worker) handedOver() bool {
	for _, r := range w.incoming {
		if r != nil && !r.empty() {
			return true
		}
	}
	return false
}

// inbox is the memory of one recvmmsg.
type inbox struct {
	hdrs     []mmsghdr
	iovs     []unix.Iovec
	names    []byte
	controls []byte
	data     []byte
	size     int // of data per message
	batch    []Datagram
}

// Without GRO a message is one datagram; a byte more than is accepted tells that one is larger.
const singleSize = 2048

const superSize = 1 << 16

func newInbox(batch int, gro bool) *inbox {
	in := &inbox{size: singleSize, batch: make([]Datagram, 0, 8*batch)}
	if gro {
		in.size = superSize
	}
	in.hdrs = make([]mmsghdr, batch)
	in.iovs = make([]unix.Iovec, batch)
	in.names = make([]byte, batch*addrRoom)
	in.controls = make([]byte, batch*controlRoom)
	in.data = make([]byte, batch*in.size)
	for i := range in.hdrs {
		in.iovs[i].Base = &in.data[i*in.size]
		in.iovs[i].SetLen(in.size)
		h := &in.hdrs[i].hdr
		h.Name, h.Control, h.Iov = &in.names[i*addrRoom], &in.controls[i*controlRoom], &in.iovs[i]
		h.SetIovlen(1)
		in.reset(i)
	}
	return in
}

// reset gives message i its full room again; the kernel leaves there what it used.
func (in *inbox) reset(i int) {
	h := &in.hdrs[i].hdr
	h.Namelen = addrRoom
	h.SetControllen(controlRoom)
	h.Flags = 0
}

// receive takes one batch of messages from a socket. A full batch means that more is waiting.
func (w *Worker) receive(s *socket) (more bool) {
	n, errno := recvmmsg(s.fd, w.in.hdrs)
	w.stats.ReceiveCalls++
	if errno != 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR {
			w.stats.ReceiveErrors++ // an error of the network that waited on the socket; reading it has cleared it
		}
		return errno == unix.EINTR
	}
	now, marks := w.Now(), w.plane.marks.Load()
	w.stats.MessagesIn += uint64(n)
	for i := range n {
		w.split(s, i, now, marks)
		w.in.reset(i)
	}
	w.deliver(now)
	return n == len(w.in.hdrs)
}

// split adds the datagrams of message i to the batch.
func (w *Worker) split(s *socket, i int, now Instant, marks *markTable) {
	in, h := w.in, &w.in.hdrs[i]
	c := parseControl(in.controls[i*controlRoom : i*controlRoom+int(h.hdr.Controllen)])
	if c.dropped {
		w.stats.KernelDrops += uint64(c.drops - s.drops) // the kernel counts modulo 2^32
		s.drops = c.drops
	}
	if noHost(&c.local) {
		w.stats.Misaddressed++
		return
	}
	d := Datagram{TOS: c.tos, Via: uint8(w.id)}
	takeAddr(in.names[i*addrRoom:(i+1)*addrRoom], &d.Path, s.v6)
	d.Path.local = c.local
	data := in.data[i*in.size : i*in.size+int(h.n)]
	segment := len(data)
	if c.segment > 0 && c.segment < segment {
		segment = c.segment
		w.stats.SuperPacketsIn++
	}
	for {
		n := min(segment, len(data))
		d.Data, data = data[:n:n], data[n:]
		w.take(&d, now, marks)
		if len(data) == 0 {
			break
		}
	}
}

// take adds one datagram to the batch, and delivers the batch when it is full.
func (w *Worker) take(d *Datagram, now Instant, marks *markTable) {
	if len(d.Data) > MaxDatagram {
		w.stats.Oversize++
		return
	}
	marks.countIn(&w.stats, d.TOS, len(d.Data))
	w.in.batch = append(w.in.batch, *d)
	if len(w.in.batch) == cap(w.in.batch) {
		w.deliver(now)
	}
}

// deliver gives the batch to the handler and takes it back.
func (w *Worker) deliver(now Instant) {
	if len(w.in.batch) > 0 {
		w.handler.HandleBatch(now, w.in.batch)
		w.in.batch = w.in.batch[:0]
	}
}

// noHost tells of addresses from which nothing can be answered: what came there was sent to many.
func noHost(local *[16]byte) bool {
	if isMapped(local) {
		return local[12] >= 224
	}
	return local[0] == 0xff
}

// HandOver gives a datagram to another worker, which finds it in a batch with this worker as Via. The datagram is copied. It is false,
// and counted, when the ring is full, the datagram too large, or there is no such other worker.
func (w *Worker) HandOver(to int, d *Datagram) bool {
	if to < 0 || to >= len(w.outgoing) || w.outgoing[to] == nil || len(d.Data) > MaxDatagram || !w.outgoing[to].put(d, uint8(w.id)) {
		w.stats.HandOverDrops++
		return false
	}
	w.handed[to] = true
	w.stats.HandedOver++
	return true
}

// wakeOthers wakes the workers that were given something in this round.
func (w *Worker) wakeOthers() {
	for to, handed := range w.handed {
		if handed {
			w.handed[to] = false
			w.plane.workers[to].mail.wake()
		}
	}
}

// stop ends runWorker. It is called by Run.
func (w *Worker) stop() {
	w.stopping.Store(true)
	w.mail.wake()
}

// finish refuses further tasks, runs those that were accepted, and sends what they committed.
func (w *Worker) finish() {
	w.mail.close()
	for w.mail.pending() {
		w.runTasks()
	}
	w.Flush()
	w.public.update(&w.stats)
}

// pin binds the thread to its CPU; where that is not permitted, the scheduler decides.
func (w *Worker) pin() {
	var set unix.CPUSet
	set.Set(w.wantCPU)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		w.log.Warn("thread not pinned", "cpu", w.wantCPU, "error", err)
		return
	}
	w.cpu.Store(int32(w.wantCPU))
}

// allowedCPUs returns the CPUs this process may use.
func allowedCPUs() (cpus []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for cpu := range int(unsafe.Sizeof(set)) * 8 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

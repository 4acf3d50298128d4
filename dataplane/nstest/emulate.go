package nstest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// Direction is one direction of an emulated link, or both.
type Direction uint8

const (
	AToB Direction = 1 << iota
	BToA
	Both = AToB | BToA
)

// Emulator is a link between two namespaces that is as bad as it is told to be. It is an Ethernet of two TAP interfaces with a thread of
// the test between them. Neighbour discovery (ARP and its like in IPv6) passes unimpaired, so that a bad link is not a dead one.
type Emulator struct {
	ifaceA, ifaceB string
	ends           [2]int // file descriptors of the interfaces
	wake           int    // an eventfd: there is something new, or it is over
	began          time.Time
	ended          chan struct{}

	mu    sync.Mutex // guards what follows; the thread holds it while it moves packets
	pipes [2]pipe    // AToB, BToA
	over  bool
	err   error // why the thread ended
}

// Emulate joins two namespaces as Link does, by a link whose both directions are like the path. It ends with the test.
func Emulate(t testing.TB, a, b *NS, cidrA, cidrB string, path Path) *Emulator {
	t.Helper()
	e := &Emulator{ifaceA: a.freeName(t, b.base), began: time.Now(), ended: make(chan struct{})}
	e.ends[0] = a.tap(t, e.ifaceA, cidrA)
	e.ifaceB = b.freeName(t, a.base)
	e.ends[1] = b.tap(t, e.ifaceB, cidrB)
	var err error
	if e.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		t.Fatalf("emulate: %v", err)
	}
	for i := range e.pipes {
		e.pipes[i] = newPipe(path, uint64(i)) // chance is the same in every run, as far as packets come in the same order
	}
	e.Set(t, Both, path)
	go e.runEmulator()
	t.Cleanup(func() { e.close(t) })
	for n, iface := range map[*NS]string{a: e.ifaceA, b: e.ifaceB} {
		ready := n.watchAddresses(t)
		n.up(t, iface)
		ready.wait(iface)
	}
	return e
}

// tap makes a TAP interface with addresses and returns its file descriptor. Without the offload of checksums, the kernel segments before it
// hands over.
func (n *NS) tap(t testing.TB, name, cidrs string) int {
	t.Helper()
	fd := -1
	n.Do(t, func() {
		var err error
		if fd, err = openTap(name); err != nil {
			t.Fatalf("make interface %s in %s: %v", name, n.name, err)
		}
	})
	const waiting = 4096 // packets, in case the thread comes late
	if err := n.links.LinkSetTxQLen(n.link(t, name), waiting); err != nil {
		t.Fatalf("queue of %s in %s: %v", name, n.name, err)
	}
	n.SetOffload(t, name, false)
	n.Address(t, name, cidrs)
	return fd
}

func openTap(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("open /dev/net/tun", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("TUNSETIFF", err)
	}
	return fd, nil
}

// Interfaces returns the names of the link's two ends.
func (e *Emulator) Interfaces() (a, b string) { return e.ifaceA, e.ifaceB }

// Set makes a direction like a path from now on. Packets that are under way keep the fate they had; those in the queue get the new rate.
func (e *Emulator) Set(t testing.TB, d Direction, path Path) {
	t.Helper()
	e.Play(t, d, Step{Path: path})
}

// Play lets a direction follow a schedule that begins now, and stay like its last step. Steps come in order of time.
func (e *Emulator) Play(t testing.TB, d Direction, steps ...Step) {
	t.Helper()
	var last time.Duration
	for _, s := range steps {
		if err := s.Path.check(); err != nil || s.After < last {
			t.Fatalf("emulate: step after %v (before it %v): %v", s.After, last, err)
		}
		last = s.After
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	for _, p := range e.chosen(d) {
		p.advance(now)
		p.steps = nil
		for _, s := range steps {
			p.steps = append(p.steps, Step{now + s.After, s.Path})
		}
		p.advance(now)
	}
	e.wakeUp()
}

// Counts returns what has become of the packets of a direction; of Both, the sums.
func (e *Emulator) Counts(d Direction) Counts {
	e.mu.Lock()
	defer e.mu.Unlock()
	var sum Counts
	for _, p := range e.chosen(d) {
		sum.Arrived += p.counts.Arrived
		sum.QueueDropped += p.counts.QueueDropped
		sum.Lost += p.counts.Lost
		sum.Reordered += p.counts.Reordered
		sum.Duplicated += p.counts.Duplicated
		sum.Delivered += p.counts.Delivered
		sum.Missed += p.counts.Missed
	}
	return sum
}

// Samples returns what the bottleneck of one direction did in each tenth of a second since the link was made.
func (e *Emulator) Samples(d Direction) []Sample {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, now := e.chosen(d)[0], e.now()
	p.advance(now)
	return p.samples.copy(e.began, now, p.path.Rate)
}

func (e *Emulator) chosen(d Direction) []*pipe {
	var out []*pipe
	for i := range e.pipes {
		if d&(1<<i) != 0 {
			out = append(out, &e.pipes[i])
		}
	}
	return out
}

func (e *Emulator) now() time.Duration { return time.Since(e.began) }

func (e *Emulator) wakeUp() {
	_, _ = unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when it is awake anyway
}

func (e *Emulator) close(t testing.TB) {
	e.mu.Lock()
	e.over = true
	e.wakeUp()
	e.mu.Unlock()
	<-e.ended
	for _, fd := range []int{e.ends[0], e.ends[1], e.wake} {
		unix.Close(fd)
	}
	if e.err != nil {
		t.Errorf("emulated link %s: %v", e.ifaceA, e.err)
	}
}

// runEmulator moves packets from one end to the other until the emulator is closed. It has a thread of its own that blocks in ppoll, which
// wakes up within a tenth of a millisecond; the runtime's own timers take some milliseconds when the program is busy.
func (e *Emulator) runEmulator() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(e.ended)
	r := reader{buf: make([]byte, 1<<16)}
	r.parser = gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &r.eth, &r.ip4, &r.ip6, &r.icmp6)
	r.parser.IgnoreUnsupported = true
	for {
		next, over := e.move(&r)
		if over {
			return
		}
		var timeout *unix.Timespec
		if next != never {
			ts := unix.NsecToTimespec(int64(max(0, next-e.now())))
			timeout = &ts
		}
		polled := []unix.PollFd{
			{Fd: int32(e.ends[0]), Events: unix.POLLIN}, {Fd: int32(e.ends[1]), Events: unix.POLLIN}, {Fd: int32(e.wake), Events: unix.POLLIN},
		}
		if _, err := unix.Ppoll(polled, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			e.fail(fmt.Errorf("ppoll: %w", err))
			return
		}
	}
}

func (e *Emulator) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// move takes in what has come, delivers what is due, and returns when it wants to be called again.
func (e *Emulator) move(r *reader) (next time.Duration, over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var count [8]byte
	_, _ = unix.Read(e.wake, count[:]) // back to zero
	next = never
	for i := range e.pipes {
		p, far := &e.pipes[i], e.ends[1-i]
		for range 64 { // then look after the other direction
			n, err := unix.Read(e.ends[i], r.buf)
			if err != nil {
				break // nothing there, or the interface is down for now
			}
			frame := r.buf[:n]
			if size, proto := r.look(frame); size > 0 {
				p.arrive(e.now(), frame, size, proto)
			} else {
				_, _ = unix.Write(far, frame)
			}
		}
		p.deliver(e.now(), func(frame []byte) {
			if _, err := unix.Write(far, frame); err != nil {
				p.counts.Missed++
			}
		})
		next = min(next, p.next())
	}
	return next, e.over
}

// reader takes frames apart as far as the emulation needs it.
type reader struct {
	buf    []byte
	parser *gopacket.DecodingLayerParser
	eth    layers.Ethernet
	ip4    layers.IPv4
	ip6    layers.IPv6
	icmp6  layers.ICMPv6
	found  []gopacket.LayerType
}

// look returns the size and the protocol of an IP packet; size 0 is for what passes unimpaired.
func (r *reader) look(frame []byte) (size int, proto uint8) {
	_ = r.parser.DecodeLayers(frame, &r.found)
	for _, layer := range r.found {
		switch layer {
		case layers.LayerTypeIPv4:
			size, proto = int(r.ip4.Length), uint8(r.ip4.Protocol)
		case layers.LayerTypeIPv6:
			size, proto = int(r.ip6.Length)+40, uint8(r.ip6.NextHeader)
			if r.ip6.NextHeader == layers.IPProtocolIPv6HopByHop { // such as the reports of multicast listeners
				return 0, 0
			}
		case layers.LayerTypeICMPv6:
			switch r.icmp6.TypeCode.Type() {
			case layers.ICMPv6TypeRouterSolicitation, layers.ICMPv6TypeRouterAdvertisement, layers.ICMPv6TypeNeighborSolicitation,
				layers.ICMPv6TypeNeighborAdvertisement:
				return 0, 0
			}
		}
	}
	return size, proto
}

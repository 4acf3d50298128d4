package dataplane

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

// threadTime returns the CPU time of the calling thread.
func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// rawSender sends with sendmmsg what was prepared once, without control messages: what every box has to pay at least.
type rawSender struct {
	fd    int
	queue *queue
}

func newRawSender(b *testing.B, paths []Path, data []byte) *rawSender {
	b.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, DefaultBuffer); err != nil {
		b.Fatal(err)
	}
	r := &rawSender{fd: fd, queue: newQueue(data, len(paths))}
	for i := range paths {
		r.queue.hdrs[i].hdr.Namelen = putAddr(r.queue.names[i*addrRoom:], &paths[i], false)
		r.queue.hdrs[i].hdr.Control = nil
		r.queue.iovs[i].Base = &data[0]
		r.queue.iovs[i].SetLen(len(data))
	}
	return r
}

func (r *rawSender) send(b *testing.B) {
	for hdrs := r.queue.hdrs; len(hdrs) > 0; {
		n, errno := sendmmsg(r.fd, hdrs)
		if errno != 0 {
			b.Fatal(errno)
		}
		hdrs = hdrs[n:]
	}
}

// BenchmarkFanOut sends bursts of 1200 bytes to 64 receivers through a device that drops them, as the plane does it (copied into the
// arena, with source, TOS and fwmark), and with bare sendmmsg in the same run. "gain" is how many times cheaper the plane is; figures
// are thread CPU time. The kernel segments in software, or hands super-packets to the device as to a NIC that segments by itself.
func BenchmarkFanOut(b *testing.B) {
	ns := nstest.New(b, "fanout")
	ns.Sink(b, "sink", "10.8.0.1/16")
	for _, by := range []string{"software", "device"} {
		ns.SetOffload(b, "sink", by == "device")
		for _, burst := range []int{1, 4, 8, 16} {
			b.Run(fmt.Sprintf("segmented=%s/burst=%d", by, burst), func(b *testing.B) { benchmarkFanOut(b, ns, burst) })
		}
	}
}

func benchmarkFanOut(b *testing.B, ns *nstest.NS, burst int) {
	const receivers, size = 64, 1200
	paths := make([]Path, receivers)
	for i := range paths {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 8, 1, byte(i)}), 7000)
		paths[i] = UDPPath(remote, netip.MustParseAddr("10.8.0.1"), 0)
	}
	data := make([]byte, size)
	var p *Plane
	var raw *rawSender
	ns.Do(b, func() {
		cfg := testConfig("0.0.0.0:0")
		cfg.SendBuffer, cfg.Marks = DefaultBuffer, marks
		p, raw = openPlane(b, cfg, quiet), newRawSender(b, paths, data)
	})
	runtime.LockOSThread() // CPU time is counted by thread
	defer runtime.UnlockOSThread()
	w := p.workers[0]
	var plane, bare time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := threadTime(b)
		for i := range paths {
			for range burst {
				w.Commit(&paths[i], dscp.Video, copy(w.Reserve(size), data))
			}
		}
		w.Flush()
		middle := threadTime(b)
		for range burst {
			raw.send(b)
		}
		plane += middle - start
		bare += threadTime(b) - middle
	}
	packets := b.N * receivers * burst
	if w.stats.Out.Datagrams != uint64(packets) {
		b.Fatalf("%d datagrams sent, want %d: %+v", w.stats.Out.Datagrams, packets, w.stats)
	}
	b.ReportMetric(float64(plane)/float64(packets), "ns/packet")
	b.ReportMetric(float64(bare)/float64(packets), "bare-ns/packet")
	b.ReportMetric(float64(bare)/float64(plane), "gain")
	b.ReportMetric(0, "ns/op")
}

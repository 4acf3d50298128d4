package mmr

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dataplane"
	"meetzone/dataplane/nstest"
	"meetzone/dscp"
	"meetzone/mmr/internal/packet"
	"meetzone/mmr/internal/srtp"
)

// What the router's whole way costs beside the least that any router has to pay. Everything runs in one process on one core, in short slices by
// turns: bare system calls, sealing alone, Go's own sockets, and the router from the datagram that arrives to the datagrams at the device. A device
// that drops everything stands for the network card.

const (
	floorReceivers = 100
	floorRounds    = 11
	floorSlice     = 8000 // packets sent in a slice, roughly
	floorVideo     = 1200 // bytes of a datagram
	floorAudio     = 160
)

var floorBursts = []int{1, 4, 8, 16}

// floorTrace is what a Chromium sent; TestNetnsTrace of appliance records it.
const floorTrace = "testdata/chromium-720p.trace"

// floorReport is bin/bench-dataplane.json.
type floorReport struct {
	FanoutOverFloor map[string]float64 `json:"fanout_over_floor"` // (burst + seal) ÷ router, by datagrams of a burst
	Burst8Sendmmsg  float64            `json:"burst8_over_sendmmsg"`
	Burst8Naive     float64            `json:"burst8_over_naive"`
	Burst1Video     float64            `json:"burst1_over_sendmmsg_1200"`
	Burst1Audio     float64            `json:"burst1_over_sendmmsg_160"`
	TwoWorkers      float64            `json:"two_workers_over_one"`
	Allocs          float64            `json:"allocs_per_packet"`
	Rounds          int                `json:"rounds"`
	Segments        map[string]float64 `json:"segments_per_message"` // of the router's sends, by mode
	Nanoseconds     map[string]float64 `json:"ns_per_packet"`        // medians, by mode
}

// floorMode is one way of sending; run sends about floorSlice packets, and returns how many and the CPU time they took.
type floorMode struct {
	name string
	run  func() (packets int, took time.Duration)
}

// BenchmarkDataplane runs once, whatever b.N says, and writes its table to standard output and its figures to the file that MEETZONE_BENCH_JSON names.
func BenchmarkDataplane(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	if b.N > 1 {
		return
	}
	for _, by := range []string{"software", "device"} {
		b.Run("segmented="+by, func(b *testing.B) {
			if b.N == 1 {
				benchmarkFloor(b, by == "device")
			}
		})
	}
}

func benchmarkFloor(b *testing.B, device bool) {
	ns := nstest.New(b, "floor")
	ns.Sink(b, "sink", "10.8.0.1/16")
	ns.SetOffload(b, "sink", device)
	ns.Sysctl(b, "net/ipv6/conf/sink/disable_ipv6", "1") // or the kernel itself sends router solicitations
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pinTo(b, 0)
	f := newFloor(b, ns, device)
	if !device {
		f.verify(b)
	}
	f.warm(b)
	took := map[string][]float64{}
	modes := f.modes(b)
	for range floorRounds {
		for _, m := range modes {
			before := f.work(b, false)
			packets, cpu := m.run()
			f.checkWork(b, m.name, packets, before, f.work(b, true))
			took[m.name] = append(took[m.name], float64(cpu.Nanoseconds())/float64(packets))
		}
	}
	report := floorReport{Rounds: floorRounds, FanoutOverFloor: map[string]float64{}, Segments: f.segments, Nanoseconds: map[string]float64{}}
	for name, all := range took {
		report.Nanoseconds[name] = median(all)
	}
	for _, k := range floorBursts {
		report.FanoutOverFloor[strconv.Itoa(k)] = pairedRatio(added(took[rawName(k)], took["seal-1200"]), took[routerName(k)])
	}
	report.Burst8Sendmmsg = pairedRatio(took["sendmmsg-1200"], took[routerName(8)])
	report.Burst8Naive = pairedRatio(took["go-1200"], took[routerName(8)])
	report.Burst1Video = pairedRatio(took["sendmmsg-1200"], took[routerName(1)])
	report.Burst1Audio = pairedRatio(took["sendmmsg-160"], took["router-audio"])
	report.Allocs = f.allocations(b)
	report.TwoWorkers = f.twoWorkers(b)
	report.print(b, modes, device)
}

func rawName(k int) string    { return fmt.Sprintf("burst-%d", k) }
func routerName(k int) string { return fmt.Sprintf("router-%d", k) }

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func added(a, b []float64) []float64 {
	sum := make([]float64, len(a))
	for i := range a {
		sum[i] = a[i] + b[i]
	}
	return sum
}

// pairedRatio is the median of the ratios of what was measured in the same round.
func pairedRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return median(ratios)
}

func pinTo(b *testing.B, cpu int) {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		b.Fatal(err)
	}
}

// floor is a router with one publisher and many receivers behind the sink.
type floor struct {
	ns        *nstest.NS
	device    bool
	plane     *dataplane.Plane
	crowds    []*crowd // one for each worker
	receivers []netip.AddrPort
	segments  map[string]float64
	trace     []tracePacket
	sealed    *srtp.Sealer
	naive     *net.UDPConn
	scratch   []byte
	number    uint16
}

// crowd is one meeting of the floor, on a worker of its own.
type crowd struct {
	worker   *dataplane.Worker
	thread   int32 // clock of the worker's thread
	shard    *shard
	sealers  [NumMedia]*srtp.Sealer
	sockets  [NumMedia]*publisherSocket
	seqs     [NumMedia]uint16
	stamp    uint32
	opener   *srtp.Opener // of the first receiver's pictures
	header   [packet.FixedLen + 8]byte
	payload  []byte
	datagram []byte
}

type tracePacket struct {
	medium Medium
	last   bool
	size   int
}

func newFloor(b *testing.B, ns *nstest.NS, device bool) *floor {
	f := &floor{ns: ns, device: device, segments: map[string]float64{}, trace: readTrace(b), scratch: make([]byte, dataplane.MaxDatagram)}
	for i := range floorReceivers {
		f.receivers = append(f.receivers, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 8, 1, byte(i + 1)}), 7000))
	}
	quiet := slog.New(slog.DiscardHandler)
	r, err := New(Config{Candidates: func() []netip.AddrPort { return nil }, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	marks, err := dscp.ShippedProfile(dscp.ProfileRFC4594)
	if err != nil {
		b.Fatal(err)
	}
	ns.Do(b, func() {
		cfg := dataplane.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:0")}, Workers: min(2, runtime.NumCPU()), Marks: marks.Points(), Logger: quiet}
		if f.plane, err = dataplane.Open(cfg, r.NewHandler); err != nil {
			b.Fatal(err)
		}
		if f.naive, err = net.ListenUDP("udp4", nil); err != nil {
			b.Fatal(err)
		}
	})
	b.Cleanup(func() {
		if err := f.naive.Close(); err != nil {
			b.Error(err)
		}
		if err := f.plane.Close(); err != nil {
			b.Error(err)
		}
	})
	go func() { _ = f.plane.Run(context.Background()) }() // ends with Close
	for id, w := range f.plane.Workers() {
		f.crowds = append(f.crowds, f.newCrowd(b, r, w, id))
	}
	material := make([]byte, srtp.AEADAES128GCM.KeyingMaterialLen())
	if f.sealed, _, err = srtp.NewPair(srtp.AEADAES128GCM, material, false); err != nil {
		b.Fatal(err)
	}
	return f
}

// newCrowd makes a meeting on a worker, and a publisher whose datagrams the kernel gives to that worker.
func (f *floor) newCrowd(b *testing.B, r *Router, w *dataplane.Worker, id int) *crowd {
	c := &crowd{worker: w, payload: make([]byte, dataplane.MaxDatagram), datagram: make([]byte, 0, 32*dataplane.MaxDatagram)}
	for _, m := range []Medium{Audio, Video} {
		c.sockets[m] = f.socketFor(b, id)
	}
	var failed error
	err := w.Do(context.Background(), func(now dataplane.Instant) {
		c.thread = threadClock()
		h := r.handler(uint8(id))
		m := &Meeting{r: r, h: h, sh: newShard()}
		c.shard = m.sh
		h.addShard(m.sh)
		if failed = c.enter(now, m, "publisher", nil); failed != nil {
			return
		}
		for i := range f.receivers {
			if failed = c.enter(now, m, EndpointID(strconv.Itoa(i)), &f.receivers[i]); failed != nil {
				return
			}
		}
	})
	if err != nil || failed != nil {
		b.Fatal(err, failed)
	}
	return c
}

// enter makes an endpoint whose transports are connected: the publisher's, or one behind the sink.
func (c *crowd) enter(now dataplane.Instant, m *Meeting, id EndpointID, to *netip.AddrPort) error {
	sends := to == nil
	e := newEndpoint(m, EndpointConfig{ID: id, Send: [NumMedia]bool{Audio: sends, Video: sends}, VideoSlots: 1})
	if err := e.enter(now); err != nil {
		return err
	}
	sections := []answered{{Medium: Audio, Formats: formatsFor(Audio)}, {Medium: Video, Formats: formatsFor(Video)}}
	if sends {
		sections = []answered{
			{Medium: Audio, Up: true, Formats: formatsFor(Audio), SSRC: 1}, {Medium: Video, Up: true, Formats: formatsFor(Video), SSRC: 2},
		}
	}
	e.applyAnswer(now, sections)
	for _, medium := range []Medium{Audio, Video} {
		t := e.transports[medium]
		material := make([]byte, srtp.AEADAES128GCM.KeyingMaterialLen())
		copy(material, fmt.Sprintf("%s %d", id, medium))
		sealer, opener, err := srtp.NewPair(srtp.AEADAES128GCM, material, false)
		if err != nil {
			return err
		}
		farSealer, farOpener, err := srtp.NewPair(srtp.AEADAES128GCM, material, true)
		if err != nil {
			return err
		}
		if sends {
			c.sealers[medium] = farSealer
			t.path = dataplane.UDPPath(c.sockets[medium].addr, netip.MustParseAddr("127.0.0.1"), 0)
		} else {
			t.path = dataplane.UDPPath(netip.AddrPortFrom(to.Addr(), to.Port()+uint16(medium)), netip.MustParseAddr("10.8.0.1"), 0)
			if id == "0" && medium == Video {
				c.opener = farOpener
			}
		}
		t.selected = true
		m.h.setRoute(t.path, route{t: t})
		t.keyed(now, srtp.AEADAES128GCM, sealer, opener)
	}
	return nil
}

// readTrace reads what a Chromium sent.
func readTrace(b *testing.B) (trace []tracePacket) {
	file, err := os.Open(floorTrace)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var at, last, size int
		var kind string
		if _, err := fmt.Sscan(lines.Text(), &at, &kind, &last, &size); err != nil {
			b.Fatal(err)
		}
		p := tracePacket{medium: Video, last: last == 1, size: size}
		if kind == "a" {
			p.medium = Audio
		}
		trace = append(trace, p)
	}
	return trace
}

func (r *floorReport) print(b *testing.B, modes []floorMode, device bool) {
	by := "the kernel segments in software"
	if device {
		by = "the device segments"
	}
	fmt.Printf("\n%d receivers, AES-128-GCM, %d rounds, medians; %s\n\n", floorReceivers, r.Rounds, by)
	fmt.Printf("  %-16s %10s %18s\n", "mode", "ns/packet", "datagrams/message")
	for _, m := range modes {
		segments := ""
		if n, ok := r.Segments[m.name]; ok {
			segments = fmt.Sprintf("%.2f", n)
		}
		fmt.Printf("  %-16s %10.0f %18s\n", m.name, r.Nanoseconds[m.name], segments)
	}
	fmt.Println("\n  ratios (larger is better)")
	for _, k := range floorBursts {
		fmt.Printf("  floor(%d) ÷ router %35.2f\n", k, r.FanoutOverFloor[strconv.Itoa(k)])
	}
	for name, ratio := range map[string]float64{"sendmmsg ÷ router, bursts of 8": r.Burst8Sendmmsg, "Go's socket + seal ÷ router, bursts of 8": r.Burst8Naive,
		"sendmmsg ÷ router, single, 1200 bytes": r.Burst1Video, "sendmmsg ÷ router, single, 160 bytes": r.Burst1Audio, "two workers ÷ one": r.TwoWorkers} {
		fmt.Printf("  %-46s %6.2f\n", name, ratio)
	}
	fmt.Printf("  %-46s %6.2f\n", "allocations per packet", r.Allocs)
	file := os.Getenv("MEETZONE_BENCH_JSON")
	if file == "" || device {
		return
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		b.Error(err)
	}
}

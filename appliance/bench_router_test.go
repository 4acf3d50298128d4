package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The whole router on one core: the daemon pinned to the first CPU, zoneclient with real DTLS and SRTP on the second. CPU is the whole daemon's,
// for each datagram that leaves it. Where the clients' core is full they lose packets, and the row says so; the daemon's figures stand all the same.

// routerCase is one meeting.
type routerCase struct {
	name       string
	publishers int // of picture and voice
	speakers   int // of voice alone
	receivers  int
	pictures   int // that each receives
}

var routerCases = []routerCase{
	{name: "4 publishers, S = 10", publishers: 4, receivers: 10, pictures: 4},
	{name: "4 publishers, S = 20", publishers: 4, receivers: 20, pictures: 4},
	{name: "4 publishers, S = 40", publishers: 4, receivers: 40, pictures: 4},
	{name: "1 publisher, S = 100", publishers: 1, receivers: 100, pictures: 1},
	{name: "10 speak, S = 100", speakers: 10, receivers: 100, pictures: 1}, // a place for pictures that stays empty
}

// routerRow is what came of it, as bin/bench-router.json has it.
type routerRow struct {
	Name            string  `json:"name"`
	Receivers       int     `json:"receivers"`
	Microseconds    float64 `json:"us_per_packet"` // of the daemon's CPU
	PacketsPerS     float64 `json:"packets_per_s"`
	PerMessage      float64 `json:"packets_per_message"`
	Core            float64 `json:"core_percent"` // of one core
	Lost            float64 `json:"lost_percent"`
	JoinsPerS       float64 `json:"joins_per_s"`
	KiB             float64 `json:"kib_per_participant"`
	CheapestRival   float64 `json:"cheapest_rival_us,omitempty"`
	TimesTheRivals  float64 `json:"rival_over_ours,omitempty"`
	ReachesAQuarter bool    `json:"reaches_a_quarter,omitempty"`
}

// cheapestRival is Janus 1.4.1 with one event loop, doing the same work on the same kind of machine; docs/performance.md has the table.
var cheapestRival = map[int]float64{20: 18.2, 40: 15.9}

// BenchmarkRouter runs once, whatever b.N says. It takes two minutes.
func BenchmarkRouter(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	if b.N > 1 {
		return
	}
	if runtime.NumCPU() < 2 {
		b.Skip("needs two CPUs, one for the daemon and one for the clients")
	}
	clip := filepath.Join(b.TempDir(), "steady.ivf")
	if err := os.WriteFile(clip, steadyClip(), 0o644); err != nil {
		b.Fatal(err)
	}
	var rows []routerRow
	fmt.Printf("\nthe daemon on one core, the clients on another\n\n  %-22s %10s %10s %10s %7s %7s %8s %9s %8s\n",
		"", "µs/packet", "packets/s", "/message", "core %", "lost %", "joins/s", "KiB each", "rival ÷")
	for _, c := range routerCases {
		r := c.run(b, clip)
		rows = append(rows, r)
		fmt.Printf("  %-22s %10.2f %10.0f %10.2f %7.0f %7.2f %8.1f %9.0f %8.2f\n", r.Name, r.Microseconds, r.PacketsPerS, r.PerMessage, r.Core, r.Lost, r.JoinsPerS, r.KiB, r.TimesTheRivals)
	}
	if file := os.Getenv("MEETZONE_BENCH_JSON"); file != "" {
		text, err := json.MarshalIndent(rows, "", "  ")
		if err == nil {
			err = os.WriteFile(file, append(text, '\n'), 0o644)
		}
		if err != nil {
			b.Error(err)
		}
	}
}

// run holds the meeting.
func (c routerCase) run(b *testing.B, clip string) routerRow {
	runtime.LockOSThread() // what is started inherits the CPU of this thread
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &all) }()
	use := func(cpu int) {
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			b.Fatal(err)
		}
	}
	use(0)
	m := newBenchMeeting(b)
	use(1)
	if c.publishers > 0 {
		m.load(b, 0, c.publishers, "--for", "0", "--video", clip, "--receive-video", "0")
	}
	if c.speakers > 0 {
		m.load(b, 0, c.speakers, "--for", "0", "--senders-video", "0", "--receive-video", "1")
	}
	sending := float64(c.publishers + c.speakers)
	m.await(b, sending)
	empty, begun := m.sample(b), time.Now()
	crowd := m.load(b, 1, c.receivers, "--for", routerHold.String(), "--senders-video", "0", "--senders-audio", "0", "--receive-video", strconv.Itoa(c.pictures))
	m.await(b, sending+float64(c.receivers))
	joined := time.Since(begun)
	before := m.sample(b)
	<-time.After(benchSettle)
	after := m.sample(b)
	sum := crowd.summary(b)
	if sum.Joined != c.receivers || sum.Ended != 0 {
		b.Fatalf("%s: %d of %d joined, %d of them did not stay: %v", c.name, sum.Joined, c.receivers, sum.Ended, sum.Failures)
	}
	m.close(b)
	packets := after.datagrams - before.datagrams
	r := routerRow{
		Name: c.name, Receivers: c.receivers, Microseconds: (after.cpu - before.cpu) * 1e6 / packets, PacketsPerS: packets / benchSettle.Seconds(),
		PerMessage: packets / (after.messages - before.messages), Core: 100 * (after.cpu - before.cpu) / benchSettle.Seconds(), Lost: 100 * sum.lost(),
		JoinsPerS: float64(c.receivers) / joined.Seconds(), KiB: (before.resident - empty.resident) / 1024 / float64(c.receivers),
	}
	if rival := cheapestRival[c.receivers]; c.publishers == 4 && rival > 0 {
		r.CheapestRival, r.TimesTheRivals = rival, rival/r.Microseconds
		r.ReachesAQuarter = r.TimesTheRivals >= 4
	}
	return r
}

// routerHold is how long receivers stay, longer than what is measured meanwhile and the joining of the others.
const routerHold = 20 * time.Second

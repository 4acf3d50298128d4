package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
)

// What the whole product costs: the real daemon in a namespace, zoneclient as its participants in others. Box and clients share the machine's
// cores, so times contain the clients' own work; CPU and memory are the daemon's alone, as its metrics page tells them.

const (
	benchSettle = 5 * time.Second // for which forwarding is measured
	benchHold   = 9 * time.Second // that participants stay: longer than what is measured meanwhile
)

// BenchmarkJoin lets a hundred participants join a meeting in which two speak: one by one, and sixteen at a time as when a meeting begins.
// Told are the time from beginning to join to the first packet of media, and by how much the daemon grows.
func BenchmarkJoin(b *testing.B) {
	for _, atOnce := range []int{1, 16} {
		b.Run("at-once="+strconv.Itoa(atOnce), func(b *testing.B) { benchmarkJoin(b, atOnce) })
	}
}

func benchmarkJoin(b *testing.B, atOnce int) {
	const joining, speaking = 100, 2
	var p50, p99, grown float64
	for b.Loop() {
		m := newBenchMeeting(b)
		m.load(b, 0, speaking, "--for", "0")
		m.await(b, speaking)
		before := m.sample(b)
		crowd := m.load(b, 1, joining, "--for", benchHold.String(), "--at-once", strconv.Itoa(atOnce), "--senders-video", "0", "--senders-audio", "0")
		m.await(b, speaking+joining)
		after := m.sample(b)
		sum := crowd.summary(b)
		if sum.Joined != joining || sum.Ended != 0 {
			b.Fatalf("%d of %d joined, %d of them did not stay: %v", sum.Joined, joining, sum.Ended, sum.Failures)
		}
		p50, p99 = p50+sum.ToMediaMS.P50, p99+sum.ToMediaMS.P99
		grown += (after.resident - before.resident) / 1024 / joining
		m.close(b)
	}
	n := float64(b.N)
	b.ReportMetric(p50/n, "join_p50_ms")
	b.ReportMetric(p99/n, "join_p99_ms")
	b.ReportMetric(grown/n, "KiB_per_participant")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMeeting is a meeting of four who send and forty who receive all four pictures. Told is the CPU time of the whole daemon for each
// datagram that leaves it: receiving, forwarding, feedback, control and the garbage collector together.
func BenchmarkMeeting(b *testing.B) {
	const sending, receiving = 4, 40
	clip := filepath.Join(b.TempDir(), "steady.ivf")
	if err := os.WriteFile(clip, steadyClip(), 0o644); err != nil {
		b.Fatal(err)
	}
	var cpu, rate, burst, lost, handed float64
	for b.Loop() {
		m := newBenchMeeting(b)
		m.load(b, 0, sending, "--for", "0", "--video", clip, "--receive-video", "0")
		m.await(b, sending)
		crowd := m.load(b, 1, receiving, "--for", benchHold.String(), "--senders-video", "0", "--senders-audio", "0",
			"--receive-video", strconv.Itoa(sending))
		m.await(b, sending+receiving)
		before := m.sample(b)
		<-time.After(benchSettle)
		after := m.sample(b)
		sum := crowd.summary(b)
		if sum.Joined != receiving || sum.Ended != 0 {
			b.Fatalf("%d of %d joined, %d of them did not stay: %v", sum.Joined, receiving, sum.Ended, sum.Failures)
		}
		packets := after.datagrams - before.datagrams
		cpu += (after.cpu - before.cpu) * 1e6 / packets
		rate += packets / benchSettle.Seconds()
		burst += packets / (after.messages - before.messages)
		lost += 100 * sum.lost()
		handed += 100 * (after.handedOver - before.handedOver) / (after.arrived - before.arrived)
		m.close(b)
	}
	n := float64(b.N)
	b.ReportMetric(cpu/n, "box-µs/packet")
	b.ReportMetric(rate/n, "packets/s")
	b.ReportMetric(burst/n, "packets/message")
	b.ReportMetric(lost/n, "%lost")
	b.ReportMetric(handed/n, "%handed-over")
	b.ReportMetric(0, "ns/op")
}

// steadyClip is VP8 in nothing but its headers: 30 frames of 6 kB a second, each second beginning with a keyframe. It costs a router what a
// picture of 1.4 Mbit/s costs.
func steadyClip() []byte {
	const frames, size = 90, 6000
	out := append([]byte("DKIF\x00\x00\x20\x00VP80"), 0x80, 2, 0x68, 1) // 640 × 360
	out = binary.LittleEndian.AppendUint32(out, 30)
	out = binary.LittleEndian.AppendUint32(out, 1)
	out = binary.LittleEndian.AppendUint64(out, frames)
	for i := range frames {
		out = binary.LittleEndian.AppendUint32(out, size)
		out = binary.LittleEndian.AppendUint64(out, uint64(i))
		frame := make([]byte, size)
		frame[0] = 0x11 // shown, and no keyframe
		if i%30 == 0 {
			copy(frame, []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1})
		}
		out = append(out, frame...)
	}
	return out
}

// benchMeeting is a fresh daemon with a meeting, and two namespaces from which people join it.
type benchMeeting struct {
	lab     *appliancetest.Lab
	daemon  *appliancetest.Daemon
	number  string
	ctx     context.Context
	cancel  context.CancelFunc
	running []*benchLoad
}

func newBenchMeeting(b *testing.B) *benchMeeting {
	lab := appliancetest.New(b, 2)
	m := &benchMeeting{lab: lab, daemon: lab.Start(b)}
	m.number = m.daemon.CreateMeeting(b).Number
	m.ctx, m.cancel = context.WithTimeout(context.Background(), 2*time.Minute)
	b.Cleanup(m.cancel)
	return m
}

// close ends everybody, then the daemon.
func (m *benchMeeting) close(b *testing.B) {
	m.cancel()
	for _, l := range m.running {
		<-l.ended
	}
	m.daemon.Stop(b)
}

// benchLoad is a running `zoneclient load`.
type benchLoad struct {
	cmd       *exec.Cmd
	out, said bytes.Buffer
	ended     chan struct{}
	err       error // once ended
}

// load starts participants in a client's namespace.
func (m *benchMeeting) load(b *testing.B, client, participants int, more ...string) *benchLoad {
	c := m.lab.Clients[client]
	args := append([]string{"load", "--url", "https://" + c.Box.String(), "--insecure", "--json", "--meeting", m.number,
		"--participants", strconv.Itoa(participants)}, more...)
	l := &benchLoad{cmd: m.lab.ZoneClient(m.ctx, c, args...), ended: make(chan struct{})}
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.said
	if err := l.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		defer close(l.ended)
		l.err = l.cmd.Wait()
	}()
	m.running = append(m.running, l)
	return l
}

// loadSummary is the part of `zoneclient load --json` that counts here.
type loadSummary struct {
	Joined, Ended int
	Failures      map[string]int
	ToMediaMS     struct{ P50, P99 float64 } `json:"to_media_ms"`
	Media         map[string]struct{ Received, Lost uint64 }
}

// lost is the share of all packets that never came.
func (s loadSummary) lost() float64 {
	var received, lost uint64
	for _, m := range s.Media {
		received, lost = received+m.Received, lost+m.Lost
	}
	return float64(lost) / float64(max(received+lost, 1))
}

// summary waits for the load to end by itself.
func (l *benchLoad) summary(b *testing.B) loadSummary {
	<-l.ended
	var sum loadSummary
	if l.err != nil {
		b.Fatalf("load: %v\n%s", l.err, l.said.String())
	}
	if err := json.Unmarshal(l.out.Bytes(), &sum); err != nil {
		b.Fatalf("load printed %s: %v", l.out.String(), err)
	}
	return sum
}

// sample is what the daemon's metrics page says at one moment.
type sample struct {
	participants, transports float64
	cpu                      float64 // s
	resident                 float64 // bytes
	datagrams, messages      float64 // sent
	arrived, handedOver      float64 // datagrams
}

func (m *benchMeeting) sample(b *testing.B) sample {
	var s sample
	for line := range strings.Lines(m.daemon.Metrics(b)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue // a comment
		}
		switch {
		case name == "meetzone_participants":
			s.participants = value
		case name == "meetzone_transports":
			s.transports = value
		case name == "process_cpu_seconds_total":
			s.cpu = value
		case name == "process_resident_memory_bytes":
			s.resident = value
		case strings.HasPrefix(name, `meetzone_worker_datagrams_total{direction="out"`):
			s.datagrams += value
		case strings.HasPrefix(name, `meetzone_worker_messages_total{direction="out"`):
			s.messages += value
		case strings.HasPrefix(name, `meetzone_worker_datagrams_total{direction="in"`):
			s.arrived += value
		case strings.HasPrefix(name, "meetzone_worker_handed_over_total"):
			s.handedOver += value
		}
	}
	return s
}

// await waits until so many participants have joined and all their transports have keys.
func (m *benchMeeting) await(b *testing.B, participants float64) {
	const media = 3 // a transport for each
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	for {
		s := m.sample(b)
		if s.participants == participants && s.transports == media*participants {
			return
		}
		select {
		case <-every.C:
		case <-m.ctx.Done():
			b.Fatalf("%v participants and %v transports, want %v and %v", s.participants, s.transports, participants, media*participants)
		}
	}
}

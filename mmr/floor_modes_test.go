package mmr

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dataplane"
	"meetzone/dataplane/nstest"
	"meetzone/dscp"
	"meetzone/mmr/internal/packet"
)

// The modes of BenchmarkDataplane, and its checks of the work.

func (f *floor) modes(b *testing.B) (modes []floorMode) {
	add := func(name string, run func() (int, time.Duration)) { modes = append(modes, floorMode{name, run}) }
	raw := func(name string, cfg nstest.RawConfig) {
		cfg.Receivers = f.receivers
		var s *nstest.RawSender
		f.ns.Do(b, func() { s = nstest.NewRawSender(b, cfg) })
		add(name, func() (int, time.Duration) {
			per := floorReceivers * cfg.Burst
			return timed(b, per, func() { s.Send(b) })
		})
	}
	add("go-1200", func() (int, time.Duration) { return timed(b, floorReceivers, func() { f.sendNaively(b) }) })
	raw("sendmmsg-1200", nstest.RawConfig{Size: floorVideo, Burst: 1})
	raw("sendmmsg-160", nstest.RawConfig{Size: floorAudio, Burst: 1})
	for _, k := range floorBursts {
		raw(rawName(k), nstest.RawConfig{Size: floorVideo, Burst: k, Control: true})
	}
	add("seal-1200", func() (int, time.Duration) { return timed(b, floorReceivers, func() { f.sealOnly(b, floorVideo) }) })
	add("seal-160", func() (int, time.Duration) { return timed(b, floorReceivers, func() { f.sealOnly(b, floorAudio) }) })
	router := func(name string, burst func(c *crowd) int) {
		add(name, func() (int, time.Duration) { return f.route(b, name, burst) })
	}
	for _, k := range floorBursts {
		router(routerName(k), func(c *crowd) int { return c.publish(b, Video, k, floorVideo) })
	}
	router("router-audio", func(c *crowd) int { return c.publish(b, Audio, 1, floorAudio) })
	pictures, mixed := f.replay(b, false), f.replay(b, true)
	router("router-trace", pictures)
	router("router-mix", mixed)
	return modes
}

// timed repeats what sends per packets until a slice is full.
func timed(b *testing.B, per int, send func()) (packets int, took time.Duration) {
	begin := threadTime(b)
	for ; packets < floorSlice; packets += per {
		send()
	}
	return packets, threadTime(b) - begin
}

// sealOnly seals one packet for each receiver and sends nothing.
func (f *floor) sealOnly(b *testing.B, size int) {
	c := f.crowds[0]
	for range floorReceivers {
		f.sealNext(b, c, size)
	}
}

func (f *floor) sealNext(b *testing.B, c *crowd, size int) []byte {
	f.number++
	header := c.header[:packet.FixedLen]
	packet.PutHeader(header, &packet.Header{PayloadType: ptVP8, SequenceNumber: f.number, SSRC: 7})
	n, err := f.sealed.SealRTP(f.scratch, header, c.payload[:size-packet.FixedLen-16])
	if err != nil {
		b.Fatal(err)
	}
	return f.scratch[:n]
}

// sendNaively is what a router does without any of this: seal, and write to each receiver.
func (f *floor) sendNaively(b *testing.B) {
	for _, to := range f.receivers {
		if _, err := f.naive.WriteToUDPAddrPort(f.sealNext(b, f.crowds[0], floorVideo), to); err != nil {
			b.Fatal(err)
		}
	}
}

// route has the router forward bursts to everybody, one after the other, and counts the CPU of its worker.
func (f *floor) route(b *testing.B, name string, burst func(c *crowd) int) (packets int, took time.Duration) {
	c := f.crowds[0]
	forwarded, before := c.count(b), f.plane.Stats()[0]
	begin := clockTime(b, c.thread)
	for packets < floorSlice {
		packets += burst(c) * floorReceivers
		f.awaitSent(b, 0, before.Out.Datagrams+uint64(packets))
	}
	took = clockTime(b, c.thread) - begin
	f.await(b, 0, before.Out.Datagrams, packets, forwarded+uint64(packets))
	after := f.plane.Stats()[0]
	f.segments[name] = float64(packets) / float64(after.MessagesOut-before.MessagesOut)
	return packets, took
}

// awaitSent waits until a worker has sent so many datagrams in all, reports among them. It costs the worker nothing: the counters are published
// at the end of a round, and a round sends a whole burst.
func (f *floor) awaitSent(b *testing.B, worker int, datagrams uint64) {
	f.poll(b, "datagrams to leave", func() bool { return f.plane.Stats()[worker].Out.Datagrams >= datagrams })
}

// await waits until a worker has sent so many datagrams since before and forwarded so many packets in all. Only when it has sent enough is it asked
// for the latter.
func (f *floor) await(b *testing.B, worker int, before uint64, packets int, forwarded uint64) {
	c := f.crowds[worker]
	f.awaitSent(b, worker, before+uint64(packets))
	f.poll(b, "packets to be forwarded", func() bool { return c.count(b) >= forwarded })
}

// poll waits for a condition.
func (f *floor) poll(b *testing.B, what string, ok func() bool) {
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			b.Fatalf("waited too long for %s", what)
		}
		nap := unix.NsecToTimespec(int64(50 * time.Microsecond))
		_ = unix.Nanosleep(&nap, nil)
	}
}

// count returns how many packets the crowd's shard has forwarded.
func (c *crowd) count(b *testing.B) (n uint64) {
	if err := c.worker.Do(context.Background(), func(dataplane.Instant) { n = c.shard.stats.forwarded }); err != nil {
		b.Fatal(err)
	}
	return n
}

// publish sends one burst of datagrams of the same size to the router, in one message, and returns how many.
func (c *crowd) publish(b *testing.B, m Medium, burst, size int) int {
	c.stamp += 1800
	c.datagram = c.datagram[:0]
	for i := range burst {
		c.datagram = append(c.datagram, c.seal(b, m, size, i == 0, i == burst-1)...)
	}
	c.sockets[m].send(b, c.datagram, len(c.datagram)/burst)
	return burst
}

// replay returns what sends the trace's pictures, one in each call, with the sizes that they had; with speech also what was said before each.
func (f *floor) replay(b *testing.B, speech bool) func(c *crowd) int {
	next := 0
	return func(c *crowd) (sent int) {
		c.stamp += 1800
		for first := true; ; {
			p := f.trace[next]
			next = (next + 1) % len(f.trace)
			if p.medium == Audio && !speech {
				continue
			}
			c.datagram = c.datagram[:0]
			size := max(p.size, 8) + packet.FixedLen + 16
			c.sockets[p.medium].send(b, c.seal(b, p.medium, size, first || p.medium == Audio, p.last), 0)
			sent++
			if p.medium == Video {
				first = false
				if p.last {
					return sent
				}
			}
		}
	}
}

// seal makes the next packet of the publisher such that what the router sends of it is of the size.
func (c *crowd) seal(b *testing.B, m Medium, size int, first, last bool) []byte {
	const extension = 8 // of what arrives: transport-wide sequence number
	payload := c.payload[:size-packet.FixedLen-16]
	if m == Video {
		payload[0], payload[1] = 0, 1
		if first {
			payload[0] = 0x10
			if c.seqs[m] < 60 {
				payload[1] = 0 // a keyframe
			}
		}
	}
	c.seqs[m]++
	h := packet.Header{Marker: last, PayloadType: [...]uint8{ptOpus, ptVP8}[m], SequenceNumber: c.seqs[m], Timestamp: c.stamp, SSRC: uint32(m) + 1}
	packet.PutHeader(c.header[:], &h)
	c.header[0] |= 0x10
	copy(c.header[packet.FixedLen:], []byte{0xbe, 0xde, 0, 1, extTransportSequence<<4 | 1, byte(c.seqs[m] >> 8), byte(c.seqs[m]), 0})
	at := len(c.datagram)
	room := c.datagram[at : at+len(payload)+packet.FixedLen+extension+16 : cap(c.datagram)]
	n, err := c.sealers[m].SealRTP(room, c.header[:], payload)
	if err != nil {
		b.Fatal(err)
	}
	return room[:n]
}

// warm sends until the picture is shown to everybody, and the voice heard.
func (f *floor) warm(b *testing.B) {
	for id, c := range f.crowds {
		shown := func() bool {
			var all bool
			if err := c.worker.Do(context.Background(), func(dataplane.Instant) {
				all = true
				for _, e := range c.shard.endpoints[1:] {
					all = all && e.slots[Video][0].showing != nil && (e.slots[Audio][0].showing != nil || e.slots[Audio][0].wanted != nil)
				}
			}); err != nil {
				b.Fatal(err)
			}
			return all
		}
		for deadline := time.Now().Add(10 * time.Second); !shown(); {
			if time.Now().After(deadline) {
				b.Fatalf("worker %d does not forward", id)
			}
			c.publish(b, Video, 4, floorVideo)
			c.publish(b, Audio, 1, floorAudio)
		}
		c.settle(b)
	}
}

// settle waits until the worker has nothing more to do.
func (c *crowd) settle(b *testing.B) {
	for range 3 {
		if err := c.worker.Do(context.Background(), func(dataplane.Instant) {}); err != nil {
			b.Fatal(err)
		}
	}
}

// work is what the device has seen, and what the workers have sent: media, and everything with the reports to receivers and publishers.
type work struct{ handled, media, all uint64 }

// work reads the counters: those of the workers last when it is about what was done, first when it is about what is to be, so that a report in
// between is never missing from them.
func (f *floor) work(b *testing.B, done bool) (w work) {
	if done {
		w.handled = f.ns.Handled(b, "sink")
	}
	for _, c := range f.crowds {
		c.settle(b)
		w.media += c.count(b)
	}
	for _, s := range f.plane.Stats() {
		w.all += s.Out.Datagrams
	}
	if !done {
		w.handled = f.ns.Handled(b, "sink")
	}
	return w
}

// checkWork wants the device to have seen every packet that a mode claims, and besides them no more than reports; where it segments itself it
// sees messages, which are fewer.
func (f *floor) checkWork(b *testing.B, mode string, packets int, before, after work) {
	media := after.media - before.media
	most := after.all - before.all
	claimed := uint64(packets)
	switch {
	case strings.HasPrefix(mode, "router"):
		if media != claimed {
			b.Fatalf("%s: the router forwarded %d packets of %d", mode, media, packets)
		}
	case strings.HasPrefix(mode, "seal"):
		claimed = 0
	default:
		most += claimed
	}
	if f.device && claimed > 0 {
		claimed = 1
	}
	handled := after.handled - before.handled
	for deadline := time.Now().Add(2 * time.Second); handled < claimed && time.Now().Before(deadline); { // the device takes them in its own time
		handled = f.ns.Handled(b, "sink") - before.handled
	}
	if handled < claimed || handled > most {
		b.Fatalf("%s: the device saw %d packets, want %d to %d", mode, handled, claimed, most)
	}
}

// verify takes what one receiver would get off the device, opens it, and wants every packet once, in order and with its mark.
func (f *floor) verify(b *testing.B) {
	f.warm(b)
	c := f.crowds[0]
	to := f.receivers[0]
	capture := f.ns.Capture(b, "sink", func(p nstest.Packet) bool {
		return p.Dst.Addr() == to.Addr() && p.Dst.Port() == to.Port()+uint16(Video)
	})
	defer capture.Close()
	const bursts, burst = 20, 8
	for range bursts {
		forwarded := c.count(b)
		c.publish(b, Video, burst, floorVideo)
		f.await(b, 0, 0, 0, forwarded+burst*floorReceivers)
	}
	var last uint16
	got := 0
	for _, p := range capture.WaitFor(b, 5*time.Second, func(all []nstest.Packet) bool { return len(all) >= bursts*burst }) {
		if p.Payload[1]&0x7f != ptVP8 {
			continue // a report
		}
		plain, err := c.opener.OpenRTP(p.Payload)
		if err != nil {
			b.Fatalf("packet %d cannot be opened: %v", got, err)
		}
		h, err := packet.ParseHeader(plain)
		if err != nil || got > 0 && h.SequenceNumber != last+1 {
			b.Fatalf("packet %d has number %d after %d, %v", got, h.SequenceNumber, last, err)
		}
		if dscp.CodePoint(p.DSCP()) != dscp.AF41 || len(p.Payload) > floorVideo {
			b.Fatalf("packet %d: mark %d, %d bytes", got, p.DSCP(), len(p.Payload))
		}
		last = h.SequenceNumber
		got++
	}
	if got != bursts*burst {
		b.Fatalf("%d packets of %d", got, bursts*burst)
	}
}

// allocations returns how many the whole process makes for each packet that the router forwards.
func (f *floor) allocations(b *testing.B) float64 {
	const bursts, burst = 100, 8
	c := f.crowds[0]
	var before, after runtime.MemStats
	target := c.count(b) + bursts*burst*floorReceivers
	runtime.ReadMemStats(&before)
	for range bursts {
		c.publish(b, Video, burst, floorVideo)
		nap := unix.NsecToTimespec(int64(3 * time.Millisecond)) // polling would allocate; await below says whether all were sent
		_ = unix.Nanosleep(&nap, nil)
	}
	runtime.ReadMemStats(&after)
	f.await(b, 0, 0, 0, target)
	return float64((after.Mallocs-before.Mallocs)/(bursts*burst)) / floorReceivers
}

// twoWorkers returns how many times the packets of one worker two send in a second of CPU each, both at once on a core of their own.
func (f *floor) twoWorkers(b *testing.B) float64 {
	if len(f.crowds) < 2 {
		return 0
	}
	const burst, bursts = 8, 20
	run := func(crowds ...int) (perSecond float64) {
		var begin [2]time.Duration
		var target, before [2]uint64
		for _, i := range crowds {
			target[i] = f.crowds[i].count(b)
			begin[i], before[i] = clockTime(b, f.crowds[i].thread), f.plane.Stats()[i].Out.Datagrams
		}
		for done := range bursts {
			for _, i := range crowds {
				f.crowds[i].publish(b, Video, burst, floorVideo)
				target[i] += burst * floorReceivers
			}
			for _, i := range crowds {
				f.await(b, i, before[i], (done+1)*burst*floorReceivers, target[i])
			}
		}
		for _, i := range crowds {
			perSecond += bursts * burst * floorReceivers / (clockTime(b, f.crowds[i].thread) - begin[i]).Seconds()
		}
		return perSecond
	}
	var ratios []float64
	for range floorRounds {
		ratios = append(ratios, 2*run(0, 1)/(run(0)+run(1)))
	}
	return median(ratios)
}

// publisherSocket sends to the router from a port whose datagrams the kernel gives to one worker.
type publisherSocket struct {
	fd   int
	addr netip.AddrPort
}

// socketFor tries ports until the worker gets what is sent from one.
func (f *floor) socketFor(b *testing.B, worker int) *publisherSocket {
	to := f.plane.Addrs()[0]
	for range 64 {
		var conn *net.UDPConn
		f.ns.Do(b, func() {
			var err error
			if conn, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port()))); err != nil {
				b.Fatal(err)
			}
		})
		before := f.plane.Stats()[worker].In.Datagrams
		if _, err := conn.Write([]byte{0xff}); err != nil {
			b.Fatal(err)
		}
		for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); runtime.Gosched() {
			if f.plane.Stats()[worker].In.Datagrams > before {
				file, err := conn.File()
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { file.Close(); conn.Close() })
				return &publisherSocket{fd: int(file.Fd()), addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
			}
		}
		conn.Close()
	}
	b.Fatalf("no port leads to worker %d", worker)
	return nil
}

// send sends bytes as one datagram, or cut into datagrams of a size.
func (s *publisherSocket) send(b *testing.B, data []byte, segment int) {
	var control []byte
	if segment > 0 && segment < len(data) {
		control = segmentControl[:]
		binary.NativeEndian.PutUint16(control[unix.SizeofCmsghdr:], uint16(segment))
	}
	if _, err := unix.SendmsgN(s.fd, data, control, nil, 0); err != nil {
		b.Fatal(err)
	}
}

// segmentControl is the control message UDP_SEGMENT. The benchmark has one thread.
var segmentControl = func() (c [unix.SizeofCmsghdr + 8]byte) {
	binary.NativeEndian.PutUint64(c[:], unix.SizeofCmsghdr+2)
	binary.NativeEndian.PutUint32(c[8:], unix.IPPROTO_UDP)
	binary.NativeEndian.PutUint32(c[12:], unix.UDP_SEGMENT)
	return c
}()

// threadClock returns the clock of the calling thread's CPU time, for other threads. include/linux/posix-timers.h: MAKE_THREAD_CPUCLOCK.
func threadClock() int32 { return int32(^unix.Gettid()<<3 | 4 | 2) }

func clockTime(b *testing.B, clock int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

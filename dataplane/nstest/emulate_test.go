package nstest

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// emulated is a bad link between two namespaces.
func emulated(t testing.TB, path Path) (e *Emulator, a, b *NS) {
	t.Helper()
	a, b = New(t, "left"), New(t, "right")
	return Emulate(t, a, b, "10.9.0.1/24 fd09::1/64", "10.9.0.2/24 fd09::2/64", path), a, b
}

// stream sends numbered datagrams at even distances for a while, late ones at once.
func stream(t testing.TB, c *net.UDPConn, to string, packets, bytes int, every time.Duration) {
	t.Helper()
	datagram, dst, began := make([]byte, bytes-28), netip.MustParseAddrPort(to), time.Now()
	for i := range packets {
		time.Sleep(time.Until(began.Add(time.Duration(i) * every)))
		datagram[0], datagram[1] = byte(i), byte(i>>8)
		if _, err := c.WriteToUDPAddrPort(datagram, dst); err != nil {
			t.Fatal(err)
		}
	}
}

func toPort(port uint16) func(Packet) bool {
	return func(p Packet) bool { return p.Proto == protoUDP && p.Dst.Port() == port }
}

// settled waits until every packet of a direction has met its fate.
func settled(t testing.TB, e *Emulator, d Direction, arrived int) Counts {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		c := e.Counts(d)
		if c.Arrived >= arrived && c.Arrived == c.Delivered+c.Lost+c.QueueDropped {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d packets were sent, but: %+v", arrived, c)
		}
	}
}

func TestNetnsEmulateRate(t *testing.T) {
	e, a, b := emulated(t, Path{Rate: 5_000_000, QueueTime: 100 * time.Millisecond})
	_, ifaceB := e.Interfaces()
	capture := b.Capture(t, ifaceB, toPort(5000))
	const packets, size = 1500, 1000
	stream(t, open(t, a, "10.9.0.1:4000"), "10.9.0.2:5000", packets, size, time.Millisecond) // 8 Mbit/s
	c := settled(t, e, AToB, packets)
	in := capture.Wait(t, c.Delivered, patience)
	took := in[len(in)-1].Time.Sub(in[0].Time)
	near(t, "rate", float64((len(in)-1)*size*8)/took.Seconds(), 5e6, 0.03)
	if c.QueueDropped < packets/4 || c.Lost != 0 || len(in) != c.Delivered || c.Missed != 0 || e.Counts(BToA).QueueDropped != 0 {
		t.Errorf("%+v, %d packets captured", c, len(in))
	}
	full := false
	for _, s := range e.Samples(AToB) {
		full = full || s.MaxWait > 90*time.Millisecond && s.MaxWait <= 102*time.Millisecond && s.Dropped > 0
		if s.MaxWait > 102*time.Millisecond {
			t.Errorf("somebody waited %v in a queue of 100 ms", s.MaxWait)
		}
	}
	if !full {
		t.Error("no sample shows a full queue")
	}
}

// TestNetnsEmulateKeepsPackets: marks, addresses and content come through, of both families, and UDP segmentation has been done before.
func TestNetnsEmulateKeepsPackets(t *testing.T) {
	e, a, b := emulated(t, Path{Delay: 20 * time.Millisecond})
	_, ifaceB := e.Interfaces()
	capture := b.Capture(t, ifaceB, toPort(5000))
	from, to := open(t, a, "[::]:4000"), open(t, b, "[::]:5000")
	raw, err := from.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		for opt, value := range map[[2]int]int{{unix.IPPROTO_IP, unix.IP_TOS}: 46 << 2, {unix.IPPROTO_IPV6, unix.IPV6_TCLASS}: 34 << 2} {
			if err := unix.SetsockoptInt(int(fd), opt[0], opt[1], value); err != nil {
				t.Error(err)
			}
		}
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, 4); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for i, dst := range []string{"10.9.0.2:5000", "[fd09::2]:5000"} {
		if _, err := from.WriteToUDPAddrPort([]byte("wordword"), netip.MustParseAddrPort(dst)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			buf := make([]byte, 100)
			if n, err := to.Read(buf); err != nil || string(buf[:n]) != "word" {
				t.Fatalf("heard %q, %v", buf[:n], err)
			}
		}
		for _, p := range capture.Wait(t, 2*i+2, patience)[2*i:] {
			if want := []uint8{46, 34}[i]; p.DSCP() != want || string(p.Payload) != "word" || p.Src.Port() != 4000 {
				t.Errorf("came through as %+v, want code point %d", p, want)
			}
		}
	}
}

// TestNetnsEmulateDelay: the delay is never less than it should be, and on average hardly more.
func TestNetnsEmulateDelay(t *testing.T) {
	const delay, packets = 100 * time.Millisecond, 300
	e, a, b := emulated(t, Path{Delay: delay})
	ifaceA, ifaceB := e.Interfaces()
	out, in := a.Capture(t, ifaceA, toPort(5000)), b.Capture(t, ifaceB, toPort(5000))
	stream(t, open(t, a, "10.9.0.1:4000"), "10.9.0.2:5000", packets, 200, 2*time.Millisecond)
	sent, came := out.Wait(t, packets, patience), in.Wait(t, packets, patience)
	var took []time.Duration
	for i := range sent {
		if !bytes.Equal(sent[i].Payload, came[i].Payload) {
			t.Fatalf("packet %d is another one on the other side", i)
		}
		took = append(took, came[i].Time.Sub(sent[i].Time))
	}
	slices.Sort(took)
	near(t, "delay in ms (median)", took[packets/2].Seconds()*1000, 100, 0.05)
	if took[packets/10] < delay-5*time.Millisecond { // the captures' own times may be late on either side
		t.Errorf("a tenth came in %v", took[packets/10])
	}
}

// TestNetnsEmulateLossAndChange: what is counted is what comes, and Set holds at once.
func TestNetnsEmulateLossAndChange(t *testing.T) {
	e, a, b := emulated(t, Path{Loss: 1})
	_, ifaceB := e.Interfaces()
	capture := b.Capture(t, ifaceB, toPort(5000))
	from := open(t, a, "10.9.0.1:4000")
	stream(t, from, "10.9.0.2:5000", 10, 100, 0)
	if c := settled(t, e, AToB, 10); c.Delivered != 0 {
		t.Errorf("everything is lost, but: %+v", c)
	}
	e.Set(t, AToB, Path{Loss: 0.2, BurstLength: 4, Duplicate: 0.1, Jitter: 5 * time.Millisecond, Delay: 10 * time.Millisecond, Overtake: true})
	const packets = 2000
	stream(t, from, "10.9.0.2:5000", packets, 100, 100*time.Microsecond)
	c := settled(t, e, AToB, packets+10)
	near(t, "loss", float64(c.Lost-10), packets*0.2, 0.4)
	if in := capture.Wait(t, c.Delivered+c.Duplicated, patience); len(in) != c.Delivered+c.Duplicated || c.Duplicated == 0 {
		t.Errorf("%d packets came; %+v", len(in), c)
	}
	e.Play(t, AToB, Step{0, Path{}}, Step{50 * time.Millisecond, Path{Loss: 1}}, Step{100 * time.Millisecond, Path{}})
	stream(t, from, "10.9.0.2:5000", 200, 100, time.Millisecond)
	if lost := settled(t, e, AToB, packets+210).Lost - c.Lost; lost < 20 || lost > 80 {
		t.Errorf("%d of 200 packets were lost in a quarter of their time", lost)
	}
}

// TestNetnsEmulateTCP: a stream fills the link, in both directions at once, and its queue.
func TestNetnsEmulateTCP(t *testing.T) {
	path := Path{Rate: 20_000_000, Delay: 5 * time.Millisecond, QueueTime: 50 * time.Millisecond}
	e, a, b := emulated(t, path)
	var listener net.Listener
	b.Do(t, func() {
		var err error
		if listener, err = net.Listen("tcp", "[::]:5001"); err != nil {
			t.Fatal(err)
		}
	})
	defer listener.Close()
	const length = 4 << 20
	echoed := make(chan int64, 1)
	go func() { // sends back what it hears
		n := int64(0)
		if c, err := listener.Accept(); err == nil {
			n, _ = io.Copy(c, c)
			c.Close()
		}
		echoed <- n
	}()
	var conn net.Conn
	a.Do(t, func() {
		var err error
		if conn, err = net.Dial("tcp", "10.9.0.2:5001"); err != nil {
			t.Fatal(err)
		}
	})
	defer conn.Close()
	began := time.Now()
	go func() {
		_, _ = conn.Write(make([]byte, length))
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.Copy(io.Discard, conn)
	if err != nil || back != length || <-echoed != length {
		t.Fatalf("%d bytes came back, %v", back, err)
	}
	took := time.Since(began)
	if atLeast := time.Duration(length*8*float64(time.Second)/20e6) * 95 / 100; took < atLeast {
		t.Errorf("%d bytes there and back took %v, less than the link permits", length, took)
	}
	tcp := 0
	for _, s := range e.Samples(AToB) {
		tcp += s.TCP
	}
	if tcp < length {
		t.Errorf("the samples show %d bytes of TCP", tcp)
	}
	t.Logf("%.1f Mbit/s each way over a link of 20; %+v", length*8/took.Seconds()/1e6, e.Counts(AToB))
}

// BenchmarkEmulate moves packets of 1200 bytes at 50 Mbit/s and reports what the program spends on it, the sender included.
func BenchmarkEmulate(b *testing.B) {
	e, left, _ := emulated(b, Path{Rate: 50_000_000, Delay: 20 * time.Millisecond})
	var c *net.UDPConn
	left.Do(b, func() {
		var err error
		if c, err = net.ListenUDP("udp", nil); err != nil {
			b.Fatal(err)
		}
	})
	defer c.Close()
	before := cpuTime(b)
	b.ResetTimer()
	stream(b, c, "10.9.0.2:5000", b.N, 1200, 192*time.Microsecond)
	settled(b, e, AToB, b.N)
	used := cpuTime(b) - before
	b.ReportMetric(used.Seconds()/b.Elapsed().Seconds(), "cores")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/packet")
	runtime.KeepAlive(e)
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package enforce

import (
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

// BenchmarkMechanisms measures what each mechanism adds to sending one datagram of 1200 bytes into a device that drops it, as a ratio to sending it bare in the
// same run: the sender's TOS and fwmark, the kernel's table, the table with an exception, and the queues of a link that is not full.
func BenchmarkMechanisms(b *testing.B) {
	ns := nstest.New(b, "box")
	ns.Sink(b, "sink0", "10.5.0.1/24")
	ns.Run(b, "ip", "neigh", "add", "10.5.0.2", "lladdr", "02:00:00:00:00:01", "dev", "sink0", "nud", "permanent")
	p := profile(b, "rfc4594")
	elsewhere := []Exception{{Prefix: netip.MustParsePrefix("10.99.0.0/16"), Profile: profile(b, "webex")}}
	links := []Link{{Interface: "sink0", Rate: MaxRate}}
	bare := 0.0
	for _, c := range []struct {
		name   string
		tos    uint8
		fwmark uint32
		wanted *Wanted
	}{
		{"bare", 0, 0, nil},
		{"tos", p.Points()[dscp.Video].TOS(), 0, nil},
		{"tos+fwmark", p.Points()[dscp.Video].TOS(), dscp.Video.Fwmark(), nil},
		{"table", p.Points()[dscp.Video].TOS(), dscp.Video.Fwmark(), &Wanted{Profile: p}},
		{"table,corrects", 0, dscp.Video.Fwmark(), &Wanted{Profile: p}},
		{"table,exception", p.Points()[dscp.Video].TOS(), dscp.Video.Fwmark(), &Wanted{Profile: p, Exceptions: elsewhere}},
		{"table+queues", p.Points()[dscp.Video].TOS(), dscp.Video.Fwmark(), &Wanted{Profile: p, Links: links}},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.wanted != nil {
				e := enforcer(b, ns)
				defer func() {
					if err := e.Remove(); err != nil {
						b.Error(err)
					}
				}()
				if a := apply(b, e, *c.wanted); !a.Agrees() {
					b.Fatalf("differs: %q", a.Missing)
				}
			}
			conn := benchSocket(b, ns, socketWith(c.fwmark, c.tos))
			datagram, start := make([]byte, 1200), int64(0)
			runtime.LockOSThread() // its processor time is what is measured: the machine may be busy with other things
			defer runtime.UnlockOSThread()
			for i := -20_000; i < b.N; i++ { // the first ones warm caches up
				if i == 0 {
					b.ResetTimer()
					start = threadTime(b)
				}
				if _, err := conn.Write(datagram); err != nil {
					b.Fatal(err)
				}
			}
			took := float64(threadTime(b)-start) / float64(b.N)
			b.ReportMetric(took, "cpu-ns/op")
			if c.name == "bare" {
				bare = took
			}
			b.ReportMetric(took/bare, "x-bare")
		})
	}
}

// threadTime is the processor time of this thread in nanoseconds.
func threadTime(b *testing.B) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		b.Fatal(err)
	}
	return now.Nano()
}

func benchSocket(b *testing.B, ns *nstest.NS, control func(network, address string, raw syscall.RawConn) error) (conn net.Conn) {
	b.Helper()
	var err error
	ns.Do(b, func() {
		d := net.Dialer{Control: control}
		conn, err = d.Dial("udp", "10.5.0.2:8801")
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20) })
	return conn
}

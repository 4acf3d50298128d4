package dataplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// BenchmarkRung sends bursts of four datagrams of 1200 bytes to 16 receivers over loopback, by turns over UDP and over the rung, so that both
// see the same machine. Counted is the CPU of the whole process: the worker, the stream's writer, TLS, the kernel, and the receivers, which only
// read. "×udp" is what a datagram costs of what it costs over UDP.
func BenchmarkRung(b *testing.B) {
	for _, rung := range []Rung{TCP, TLS} {
		b.Run(rung.String(), func(b *testing.B) { benchmarkRung(b, rung) })
	}
}

func benchmarkRung(b *testing.B, rung Rung) {
	const receivers, burst, size = 16, 4, 1200
	cfg := testConfig("127.0.0.1:0")
	cfg.SendBuffer, cfg.Marks, cfg.NoTCP = DefaultBuffer, marks, true
	p := startPlane(b, cfg, quiet)
	w := p.workers[0]
	var streams, datagrams []Path
	for range receivers {
		near, far := tcpPair(b)
		if rung == TLS {
			near, far = secured(b, near, far)
		}
		go func() { _, _ = io.Copy(io.Discard, far) }()
		s, err := p.OpenStream(StreamConfig{Conn: near, Rung: rung, Framing: func(*Stream) Framing { return &lengthPrefixed{begun: true} }})
		if err != nil {
			b.Fatal(err)
		}
		streams = append(streams, s.base)
		sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		_ = sink.SetReadBuffer(4 << 20)
		b.Cleanup(func() { sink.Close() })
		go func() {
			buffer := make([]byte, 2048)
			for {
				if _, _, err := sink.ReadFromUDPAddrPort(buffer); err != nil {
					return
				}
			}
		}()
		datagrams = append(datagrams, UDPPath(sink.LocalAddr().(*net.UDPAddr).AddrPort(), netip.MustParseAddr("127.0.0.1"), 0))
	}
	if err := w.Do(b.Context(), func(Instant) {
		for i := range streams {
			w.Adopt(&streams[i], dscp.Video)
		}
	}); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, size)
	send := func(paths []Path) time.Duration {
		start := processTime(b)
		if err := w.Do(b.Context(), func(Instant) {
			for i := range paths {
				for range burst {
					w.Commit(&paths[i], dscp.Video, copy(w.Reserve(size), data))
				}
			}
		}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // the pace of media, and time for the others to do their part
		return processTime(b) - start
	}
	var over, udp time.Duration
	for b.Loop() {
		over += send(streams)
		udp += send(datagrams)
	}
	if s := p.StreamStats(); s.Dropped[dscp.Video] > 0 {
		b.Errorf("%d datagrams were dropped", s.Dropped[dscp.Video])
	}
	packets := float64(b.N * receivers * burst)
	b.ReportMetric(float64(over)/packets, "ns/packet")
	b.ReportMetric(float64(udp)/packets, "udp-ns/packet")
	b.ReportMetric(float64(over)/float64(udp), "×udp")
	b.ReportMetric(0, "ns/op")
}

// processTime is the CPU time of the whole process.
func processTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// secured puts TLS over both ends of a connection.
func secured(b *testing.B, near, far net.Conn) (net.Conn, net.Conn) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	server := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return server, client
}

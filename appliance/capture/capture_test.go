package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

func TestSpecRefused(t *testing.T) {
	class := dscp.Class(99)
	err := Spec{Interface: "absent0", Time: time.Hour, Bytes: 1 << 40, Class: &class}.Validate()
	for _, want := range []string{`no interface "absent0"`, "up to 10m0s", "bytes", "class 99"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

// FuzzParse: whatever comes, what is kept lies within the frame.
func FuzzParse(f *testing.F) {
	f.Add([]byte("............\x08\x00\x45\xb8\x00\x20\x00\x00\x00\x00\x40\x11..\x0a\x00\x00\x01\x0a\x00\x00\x02\x22\x61\x22\x62\x00\x0c..data"))
	f.Add([]byte("............\x81\x00\xc0\x14\x86\xdd\x6b\x80...\x08\x11\x40................................\x22\x61\x22\x62\x00\x08..\x80\x60"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h := parse(b); h.size > len(b) || h.size < 0 {
			t.Errorf("%d bytes kept of %d", h.size, len(b))
		}
	})
}

// box is a namespace with somebody to send to.
func box(t *testing.T) (ns, far *nstest.NS, iface string) {
	ns, far = nstest.New(t, "box"), nstest.New(t, "far")
	iface, _ = nstest.Link(t, ns, far, "10.6.0.1/24 fd06::1/64", "10.6.0.2/24 fd06::2/64")
	ns.Do(t, func() { // a neighbour that is not known yet may take a second
		d := net.Dialer{Timeout: 10 * time.Second}
		if _, err := d.Dial("tcp", "[fd06::2]:9"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("the far side does not answer: %v", err)
		}
	})
	return ns, far, iface
}

func dial(t *testing.T, ns *nstest.NS, to string, class dscp.Class, point dscp.CodePoint) (conn net.Conn) {
	t.Helper()
	var err error
	ns.Do(t, func() {
		d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(class.Fwmark()))
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, int(point.TOS()))
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(point.TOS()))
			})
		}}
		conn, err = d.Dial("udp", to)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// capturing runs a capture in the namespace; f sends once it has begun.
func capturing(t *testing.T, ns *nstest.NS, spec Spec, f func()) ([]byte, Summary) {
	t.Helper()
	var file bytes.Buffer
	var sum Summary
	var err error
	sent := make(chan struct{})
	spec.Started = func() {
		go func() {
			defer close(sent)
			f()
		}()
	}
	ns.Do(t, func() { sum, err = Run(context.Background(), spec, &file) })
	if err != nil {
		t.Fatal(err)
	}
	<-sent
	return file.Bytes(), sum
}

// TestNetnsClass: of all that leaves and arrives, one class comes into the file, by fwmark and by code point, without its content; tcpdump can read it.
func TestNetnsClass(t *testing.T) {
	ns, far, iface := box(t)
	points, _ := dscp.ShippedProfile(dscp.ProfileRFC4594)
	class := dscp.Audio
	spec := Spec{Interface: iface, Time: 700 * time.Millisecond, Class: &class, Marks: points.Points()}
	secret := []byte("0123456789 nobody's business")
	file, sum := capturing(t, ns, spec, func() {
		for _, to := range []string{"10.6.0.2:8801", "[fd06::2]:8801"} {
			for c := range dscp.Class(dscp.NumClasses) {
				_, _ = dial(t, ns, to, c, dscp.CS1).Write(append([]byte{0x80}, secret...)) // the code point does not tell
			}
		}
		for _, to := range []string{"10.6.0.1:8801", "[fd06::1]:8801"} {
			for c, point := range points.Points() {
				_, _ = dial(t, far, to, dscp.Class(c), point).Write(append([]byte{0x80}, secret...))
			}
		}
	})
	if sum.Packets != 4 || sum.Full || sum.Missed != 0 || sum.Bytes != int64(len(file)) {
		t.Errorf("summary %+v of %d bytes, want 4 packets", sum, len(file))
	}
	if bytes.Contains(file, secret) || bytes.Contains(file, secret[11:]) {
		t.Error("content is in a capture of headers")
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		frame, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h := parse(frame); h.dst.Port() != 8801 || info.Length < len(frame)+16 || time.Since(info.Timestamp) > time.Minute {
			t.Errorf("packet %d: %+v, %d of %d bytes, at %v", i, h, len(frame), info.Length, info.Timestamp)
		}
	}
	path := filepath.Join(t.TempDir(), "file.pcapng")
	writeFile(t, path, file)
	out, err := exec.Command("tcpdump", "-nr", path).CombinedOutput()
	if err != nil || strings.Count(string(out), "8801: UDP, length 29") != 4 {
		t.Errorf("tcpdump says %v: %s", err, out)
	}
}

// TestNetnsFlowsAndSize: only the named flow is kept, whole where asked, until the file is full.
func TestNetnsFlowsAndSize(t *testing.T) {
	ns, _, iface := box(t)
	wanted := dial(t, ns, "10.6.0.2:8801", dscp.Video, dscp.AF41)
	other := dial(t, ns, "10.6.0.2:8801", dscp.Video, dscp.AF41)
	flow := Flow{Local: addrOf(t, wanted.LocalAddr()), Remote: addrOf(t, wanted.RemoteAddr())}
	spec := Spec{Interface: iface, Time: 20 * time.Second, Bytes: 10_000, Payload: true, Flows: func() []Flow { return []Flow{flow} }}
	body := make([]byte, 1000)
	binary.BigEndian.PutUint64(body[500:], 0x1122334455667788)
	file, sum := capturing(t, ns, spec, func() {
		for range 20 {
			_, _ = wanted.Write(body)
			_, _ = other.Write(body[:100])
		}
	})
	if !sum.Full || sum.Packets != 9 || len(file) > 10_000 {
		t.Errorf("summary %+v of %d bytes, want 9 packets in 10000 bytes", sum, len(file))
	}
	if bytes.Count(file, body[500:508]) != 9 {
		t.Error("the packets are not whole")
	}
}

func addrOf(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

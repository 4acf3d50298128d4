package enforce

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// The load of TestNetnsCongestion: ten voices, and downloads of three times the link's rate.
const (
	congestedRate = 20_000_000
	voices        = 10
	voiceEvery    = 20 * time.Millisecond
	voiceBytes    = 160
	bulkBytes     = 1400
	bulkRate      = 3 * congestedRate
)

// delays are what the voices saw.
type delays struct {
	sent, arrived int
	p50, p99      time.Duration
}

func (d delays) loss() float64 { return 100 * float64(d.sent-d.arrived) / float64(d.sent) }

func (d delays) String() string {
	return fmt.Sprintf("%d of %d arrived (%.2f %% lost), p50 %v, p99 %v", d.arrived, d.sent, d.loss(), d.p50.Round(10*time.Microsecond), d.p99.Round(10*time.Microsecond))
}

// voiceDelays sends voices for a time and returns how long they took, by the kernel's time of arrival.
func (p path) voiceDelays(t *testing.T, length time.Duration, bulk bool) delays {
	t.Helper()
	var in *net.UDPConn
	var err error
	p.far.Do(t, func() { in, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.far4, probePort))) })
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	raw, err := in.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	if err != nil {
		t.Fatal(err)
	}
	took := make(chan []time.Duration)
	go func() { took <- readDelays(in) }()

	var senders sync.WaitGroup
	end := time.Now().Add(length)
	if bulk {
		conn := p.dial(t, probePort+1, dscp.Bulk)
		defer conn.Close()
		senders.Go(func() { sendBulk(conn, end) })
	}
	conn := p.dial(t, probePort, dscp.Audio)
	defer conn.Close()
	sent := sendVoices(conn, end)
	senders.Wait()
	_ = in.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	list := <-took
	slices.Sort(list)
	d := delays{sent: sent, arrived: len(list)}
	if len(list) == 0 {
		t.Fatal("nothing arrived")
	}
	d.p50, d.p99 = list[len(list)/2], list[len(list)*99/100]
	return d
}

func (p path) dial(t *testing.T, port uint16, class dscp.Class) net.Conn {
	t.Helper()
	return p.dialMarked(t, port, class, dscp.CS0)
}

func (p path) dialMarked(t *testing.T, port uint16, class dscp.Class, point dscp.CodePoint) (conn net.Conn) {
	t.Helper()
	var err error
	p.box.Do(t, func() {
		d := net.Dialer{Control: func(network, address string, raw syscall.RawConn) error {
			_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20) })
			return socketWith(class.Fwmark(), point.TOS())(network, address, raw)
		}}
		conn, err = d.Dial("udp", netip.AddrPortFrom(p.far4, port).String())
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// sendVoices sends ten packets every 20 ms, each with the time at which it was sent.
func sendVoices(conn net.Conn, end time.Time) (sent int) {
	b := make([]byte, voiceBytes)
	for next := time.Now(); next.Before(end); next = next.Add(voiceEvery) {
		time.Sleep(time.Until(next))
		for range voices {
			binary.BigEndian.PutUint64(b, uint64(time.Now().UnixNano()))
			if _, err := conn.Write(b); err == nil {
				sent++
			}
		}
	}
	return sent
}

// sendBulk sends as much as bulkRate, in steps of two milliseconds.
func sendBulk(conn net.Conn, end time.Time) {
	b := make([]byte, bulkBytes)
	start, sent := time.Now(), 0.0
	for now := start; now.Before(end); now = time.Now() {
		for due := now.Sub(start).Seconds() * bulkRate / 8; sent < due; sent += bulkBytes {
			_, _ = conn.Write(b) // what does not fit is what congestion is about
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func readDelays(in *net.UDPConn) (list []time.Duration) {
	b, oob := make([]byte, 2000), make([]byte, 128)
	for {
		n, oobn, _, _, err := in.ReadMsgUDP(b, oob)
		if err != nil {
			return list
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || n < 8 {
			continue
		}
		for _, m := range messages {
			if m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
				at := int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:]))
				list = append(list, time.Duration(at-int64(binary.BigEndian.Uint64(b))))
			}
		}
	}
}

// TestNetnsCongestion: on a link of 20 Mbit/s that downloads of 60 Mbit/s fill, voices lose less than 0.1 % and wait less than 10 ms longer than on
// the idle link. One undivided queue of the same rate shows what that is worth.
func TestNetnsCongestion(t *testing.T) {
	const length = 3 * time.Second
	p := newPath(t)
	e := enforcer(t, p.box)
	w := Wanted{Profile: profile(t, "rfc4594"), Links: []Link{{Interface: p.boxIface, Rate: congestedRate}}}
	if a := apply(t, e, w); !a.Agrees() {
		t.Fatalf("differs: %q", a.Missing)
	}
	idle := p.voiceDelays(t, length, false)
	divided := p.voiceDelays(t, length, true)
	if err := e.Remove(); err != nil {
		t.Fatal(err)
	}
	p.box.Limit(t, p.boxIface, congestedRate, congestedRate/8/10)
	undivided := p.voiceDelays(t, length, true)
	t.Logf("\nidle       %v\ndivided    %v\nundivided  %v", idle, divided, undivided)
	if divided.loss() >= 0.1 {
		t.Errorf("voices lose %.2f %% in the box's queues", divided.loss())
	}
	if added := divided.p99 - idle.p99; added >= 10*time.Millisecond {
		t.Errorf("voices wait %v longer (p99) in the box's queues", added)
	}
	if undivided.loss() < 10 && undivided.p99 < 50*time.Millisecond {
		t.Errorf("one undivided queue does no harm (%v): the link was not full", undivided)
	}
}

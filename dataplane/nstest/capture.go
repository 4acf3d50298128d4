package nstest

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Packet is one packet as it was seen on an interface.
type Packet struct {
	Time     time.Time
	Outgoing bool           // sent by the interface, not received
	Src, Dst netip.AddrPort // ports are 0 for other protocols than UDP and TCP
	Proto    uint8          // of IP: 17 for UDP, 6 for TCP, 1 and 58 for ICMP
	TOS      uint8          // TOS octet or traffic class, ECN bits included
	DF       bool           // IPv4 only
	Size     int            // of the IP packet
	Payload  []byte         // of UDP, TCP or ICMP
}

// DSCP returns the code point of the packet.
func (p Packet) DSCP() uint8 { return p.TOS >> 2 }

// maxPackets bounds what a capture keeps.
const maxPackets = 1 << 17

// Capture collects packets of an interface.
type Capture struct {
	file   *os.File
	filter func(Packet) bool
	ended  chan struct{}

	mu      sync.Mutex // guards what follows
	packets []Packet
	changed chan struct{} // closed and replaced when a packet comes
	missed  int
}

// Capture begins to collect the packets of an interface that the filter accepts; nil accepts all IP packets. It sees everything that is
// sent or received after it has returned, and ends with the test. The filter runs on the goroutine of the capture.
func (n *NS) Capture(t testing.TB, iface string, filter func(Packet) bool) *Capture {
	t.Helper()
	c := &Capture{filter: filter, ended: make(chan struct{}), changed: make(chan struct{})}
	link := n.Interface(t, iface)
	n.Do(t, func() {
		fd, err := packetSocket(link.Index, iface == "lo")
		if err != nil {
			t.Fatalf("capture %s in %s: %v", iface, n.name, err)
		}
		c.file = os.NewFile(uintptr(fd), "capture of "+iface)
	})
	go c.runCapture()
	t.Cleanup(c.Close)
	return c
}

// packetSocket opens a packet socket for one interface. Loopback shows every packet twice, so its outgoing side is left out.
func packetSocket(index int, loopback bool) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	if err == nil && loopback {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func networkOrder(v uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v))
}

// runCapture reads packets until the capture is closed.
func (c *Capture) runCapture() {
	defer close(c.ended)
	raw, err := c.file.SyscallConn()
	if err != nil {
		return // closed before it began
	}
	decoder, buf := newDecoder(), make([]byte, 1<<17)
	for {
		var n int
		var from unix.Sockaddr
		var failure error
		if err := raw.Read(func(fd uintptr) bool {
			n, from, failure = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			return failure != unix.EAGAIN
		}); err != nil {
			return
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if failure != nil || !ok {
			continue // the interface went down; it may come back
		}
		p := Packet{Time: time.Now(), Outgoing: ll.Pkttype == unix.PACKET_OUTGOING}
		if decoder.decode(buf[:n], &p) && (c.filter == nil || c.filter(p)) {
			c.add(p)
		}
	}
}

func (c *Capture) add(p Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.packets) == maxPackets {
		c.missed++
		return
	}
	c.packets = append(c.packets, p)
	close(c.changed)
	c.changed = make(chan struct{})
}

// Packets returns what was collected so far.
func (c *Capture) Packets() []Packet {
	packets, _ := c.look()
	return packets
}

func (c *Capture) look() ([]Packet, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clip(c.packets), c.changed
}

// Missed returns how many packets were lost so far: by the kernel for want of buffer, or because the capture is full.
func (c *Capture) Missed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if raw, err := c.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // fails when the capture is closed
			if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
				c.missed += int(s.Drops) // reading sets the kernel's counter to zero
			}
		})
	}
	return c.missed
}

// Reset forgets what was collected so far.
func (c *Capture) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packets = nil
}

// Wait waits until n packets were collected and returns them all; more than limit is fatal.
func (c *Capture) Wait(t testing.TB, n int, limit time.Duration) []Packet {
	t.Helper()
	return c.WaitFor(t, limit, func(packets []Packet) bool { return len(packets) >= n })
}

// WaitFor waits until what was collected satisfies a condition.
func (c *Capture) WaitFor(t testing.TB, limit time.Duration, satisfied func([]Packet) bool) []Packet {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		packets, changed := c.look()
		if satisfied(packets) {
			return packets
		}
		select {
		case <-changed:
		case <-timer.C:
			t.Fatalf("waited %v in vain; %d packets were captured", limit, len(packets))
		}
	}
}

// Close ends the capture; what was collected stays.
func (c *Capture) Close() {
	c.file.Close()
	<-c.ended
}

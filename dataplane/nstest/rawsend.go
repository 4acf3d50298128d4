package nstest

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RawSender sends datagrams that were prepared once, with bare system calls: what every router pays the kernel at least.
type RawSender struct {
	fd       int
	hdrs     []rawHeader
	iovs     []unix.Iovec
	controls []byte
	payload  []byte
}

// rawHeader is struct mmsghdr.
type rawHeader struct {
	hdr unix.Msghdr
	n   uint32
}

// RawConfig is what a RawSender sends to each receiver in one message.
type RawConfig struct {
	Receivers []netip.AddrPort // IPv4
	Size      int              // bytes of a datagram's payload
	Burst     int              // datagrams of a message; more than 1 are cut by the kernel (UDP_SEGMENT)
	Control   bool             // with TOS in a control message, as marking needs it
}

// rawBatch is how many messages one call hands over. More gains nothing.
const rawBatch = 64

// NewRawSender prepares the messages. Call it inside the namespace (NS.Do).
func NewRawSender(t testing.TB, cfg RawConfig) *RawSender {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20); err != nil {
		t.Fatal(err)
	}
	const room = 2 * 24 // TOS and segment size, each a header of 16 bytes and a value padded to 8
	n := len(cfg.Receivers)
	r := &RawSender{fd: fd, hdrs: make([]rawHeader, n), iovs: make([]unix.Iovec, n), controls: make([]byte, n*room), payload: make([]byte, cfg.Size*cfg.Burst)}
	names := make([]unix.RawSockaddrInet4, n)
	for i, to := range cfg.Receivers {
		names[i] = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&names[i].Port))[:], to.Port())
		r.iovs[i].Base = &r.payload[0]
		r.iovs[i].SetLen(len(r.payload))
		h := &r.hdrs[i].hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&names[i])), unix.SizeofSockaddrInet4
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		if used := rawControl(r.controls[i*room:(i+1)*room], cfg); used > 0 {
			h.Control = &r.controls[i*room]
			h.SetControllen(used)
		}
	}
	return r
}

// rawControl writes the control messages of one message and returns their length.
func rawControl(b []byte, cfg RawConfig) (n int) {
	add := func(level, kind int32, size int) []byte {
		at := b[n:]
		binary.NativeEndian.PutUint64(at, uint64(unix.SizeofCmsghdr+size))
		binary.NativeEndian.PutUint32(at[8:], uint32(level))
		binary.NativeEndian.PutUint32(at[12:], uint32(kind))
		n += unix.SizeofCmsghdr + 8
		return at[unix.SizeofCmsghdr:]
	}
	if cfg.Control {
		const af41 = 34 << 2
		binary.NativeEndian.PutUint32(add(unix.IPPROTO_IP, unix.IP_TOS, 4), af41)
	}
	if cfg.Burst > 1 {
		binary.NativeEndian.PutUint16(add(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2), uint16(cfg.Size))
	}
	return n
}

// Send sends one message to every receiver.
func (r *RawSender) Send(t testing.TB) {
	for hdrs := r.hdrs; len(hdrs) > 0; {
		batch := hdrs[:min(rawBatch, len(hdrs))]
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&batch[0])), uintptr(len(batch)), unix.MSG_NOSIGNAL, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			t.Fatalf("sendmmsg: %v", errno)
		}
		if errno == 0 {
			hdrs = hdrs[n:]
		}
	}
}

// Handled returns how many packets a Sink has taken: super-packets where it cuts them itself, else datagrams.
func (n *NS) Handled(t testing.TB, sink string) uint64 {
	t.Helper()
	stats := n.link(t, sink).Attrs().Statistics
	return stats.RxPackets
}

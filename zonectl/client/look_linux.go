package client

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// look watches the packets of one TCP connection that arrive, for the marks that the kernel keeps to itself. It needs CAP_NET_RAW; without it, it
// sees nothing.
type look struct {
	fd    int
	tos   atomic.Int32 // of the last packet with data, -1: none yet
	over  atomic.Bool  // what has arrived by now is all that counts
	ended chan struct{}
}

// lookOn begins to watch what the far end of a connection sends.
func lookOn(conn net.Conn) *look {
	l := &look{fd: -1, ended: make(chan struct{})}
	l.tos.Store(-1)
	remote, errRemote := netip.ParseAddrPort(conn.RemoteAddr().String())
	local, errLocal := netip.ParseAddrPort(conn.LocalAddr().String())
	if errRemote != nil || errLocal != nil {
		return l
	}
	kind := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(kind))
	if err != nil {
		return l
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000})
	l.fd = fd
	go l.runLook(remote, netip.AddrPortFrom(local.Addr(), local.Port()))
	return l
}

// runLook reads until it has everything that had arrived when the connection was over, or lookFor has passed. A packet is here before its data are at
// the connection's reader.
func (l *look) runLook(remote, local netip.AddrPort) {
	defer close(l.ended)
	defer unix.Close(l.fd)
	b := make([]byte, 2048)
	for end := time.Now().Add(lookFor); time.Now().Before(end); {
		flags := 0
		if l.over.Load() {
			flags = unix.MSG_DONTWAIT
		}
		n, from, err := unix.Recvfrom(l.fd, b, flags)
		if err == unix.EAGAIN && flags != 0 {
			return
		}
		if err != nil {
			continue
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if tos, ok := dataFrom(b[:n], remote, local); ok {
			l.tos.Store(int32(tos))
		}
	}
}

// lookFor bounds how long a connection is watched.
const lookFor = checkTimeout

// dataFrom takes an IP packet apart, and returns its TOS octet if it is TCP with data from one end to the other.
func dataFrom(b []byte, remote, local netip.AddrPort) (uint8, bool) {
	if len(b) < 20 {
		return 0, false
	}
	var tos uint8
	var src, dst netip.Addr
	var size, head int
	switch b[0] >> 4 {
	case 4:
		head = int(b[0]&15) * 4
		if head < 20 || b[9] != unix.IPPROTO_TCP || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return 0, false
		}
		tos, size = b[1], int(binary.BigEndian.Uint16(b[2:]))
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case 6:
		if head = 40; len(b) < head || b[6] != unix.IPPROTO_TCP {
			return 0, false
		}
		tos, size = b[0]<<4|b[1]>>4, head+int(binary.BigEndian.Uint16(b[4:]))
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return 0, false
	}
	if len(b) < head+20 {
		return 0, false
	}
	tcp := b[head:]
	offset := int(tcp[12]>>4) * 4
	if src != remote.Addr().Unmap() || dst != local.Addr().Unmap() || binary.BigEndian.Uint16(tcp) != remote.Port() ||
		binary.BigEndian.Uint16(tcp[2:]) != local.Port() || size <= head+offset {
		return 0, false
	}
	return tos, true
}

// end returns the code point of the last data that arrived, -1 when nothing was seen. It waits a little, since the watcher may be behind the connection.
func (l *look) end() int {
	if l.fd < 0 {
		return -1
	}
	l.over.Store(true)
	<-l.ended
	return int(l.tos.Load() >> 2) // -1 stays -1
}

package dataplane

import (
	"encoding/binary"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HandshakeTOS returns the TOS octet with which the peer's part of a connection's handshake arrived: the last packet of the handshake for one that was
// accepted. Of later packets the kernel tells nothing (ip(7), IP_PKTOPTIONS). false: it is no TCP connection, or the kernel does not know.
func HandshakeTOS(conn net.Conn) (uint8, bool) {
	tcp := tcpBelow(conn)
	if tcp == nil {
		return 0, false
	}
	remote, ok := tcp.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	var options []byte
	_ = raw.Control(func(fd uintptr) { // fails when the connection is closed
		if remote.IP.To4() != nil {
			options = packetOptions(fd, unix.IPPROTO_IP, unix.IP_RECVTOS, unix.IP_PKTOPTIONS)
		} else {
			options = packetOptions(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, unix.IPV6_2292PKTOPTIONS)
		}
	})
	for len(options) >= cmsgHeader {
		header, data, rest, err := unix.ParseOneSocketControlMessage(options)
		if err != nil {
			break
		}
		isTOS := header.Level == unix.IPPROTO_IP && header.Type == unix.IP_TOS
		isClass := header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_TCLASS
		if (isTOS || isClass) && len(data) >= 4 {
			return uint8(binary.NativeEndian.Uint32(data)), true
		}
		options = rest
	}
	return 0, false
}

// packetOptions reads the control messages that a stream socket keeps.
func packetOptions(fd uintptr, level, receive, option int) []byte {
	if err := unix.SetsockoptInt(int(fd), level, receive, 1); err != nil {
		return nil
	}
	var room [256]byte
	size := uint32(len(room))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&room[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil
	}
	return room[:min(int(size), len(room))]
}

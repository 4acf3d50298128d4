package client

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// controlBytes holds the control messages of one datagram: a TOS octet or a traffic class, each in a message of its own.
const controlBytes = 64

// markControl returns what marks a socket with a code point and asks for the TOS of what arrives (ip(7), ipv6(7)). It suits UDP and TCP.
func markControl(mark dscp.CodePoint) func(network, address string, raw syscall.RawConn) error {
	return func(network, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = markSocket(int(fd), network, mark) })
		if err != nil {
			return err
		}
		return failed
	}
}

func markSocket(fd int, network string, mark dscp.CodePoint) error {
	level, tos, recv := unix.IPPROTO_IP, unix.IP_TOS, unix.IP_RECVTOS
	if strings.HasSuffix(network, "6") {
		level, tos, recv = unix.IPPROTO_IPV6, unix.IPV6_TCLASS, unix.IPV6_RECVTCLASS
	}
	if err := unix.SetsockoptInt(fd, level, tos, int(mark.TOS())); err != nil {
		return fmt.Errorf("mark socket: %w", err)
	}
	if strings.HasPrefix(network, "tcp") {
		return nil
	}
	if err := unix.SetsockoptInt(fd, level, recv, 1); err != nil {
		return fmt.Errorf("ask for received marks: %w", err)
	}
	// So that a firewall that says no is heard (ip(7)); without it that is a silence like any other.
	if level == unix.IPPROTO_IPV6 {
		_ = unix.SetsockoptInt(fd, level, unix.IPV6_RECVERR, 1)
	} else {
		_ = unix.SetsockoptInt(fd, level, unix.IP_RECVERR, 1)
	}
	return nil
}

// receivedTOS finds the TOS octet or traffic class among the control messages of a datagram, without allocating.
func receivedTOS(controls []byte) (uint8, bool) {
	for len(controls) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(controls)
		if err != nil {
			return 0, false
		}
		isTOS := header.Level == unix.IPPROTO_IP && header.Type == unix.IP_TOS
		isClass := header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_TCLASS
		switch {
		case isTOS && len(data) >= 1:
			return data[0], true
		case isClass && len(data) >= 4:
			return uint8(binary.NativeEndian.Uint32(data)), true
		}
		controls = rest
	}
	return 0, false
}

// drainErrors empties the queue of ICMP errors, which would take up the receive buffer.
func drainErrors(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return // closed
	}
	_ = raw.Control(func(fd uintptr) {
		var b, control [256]byte
		for range 64 {
			if _, _, _, _, err := unix.Recvmsg(int(fd), b[:], control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT); err != nil {
				return
			}
		}
	})
}

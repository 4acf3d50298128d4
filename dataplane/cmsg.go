package dataplane

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Control messages: what travels beside the payload in recvmsg(2) and sendmsg(2). They are read and written as bytes, so that random
// input can be tried on the parser and nothing depends on alignment.

const (
	cmsgHeader  = 16 // size_t length, int level, int type
	controlRoom = 192
)

// The layout above is that of 64-bit kernels; elsewhere this does not compile.
var _ [cmsgHeader]byte = [unix.SizeofCmsghdr]byte{}

// control is what the kernel said about one received message.
type control struct {
	local   [16]byte // destination address, IPv4 mapped
	ifindex uint32
	tos     uint8
	segment int    // size of the datagrams in a GRO super-packet, 0 for a single one
	drops   uint32 // datagrams the socket has lost since it was opened, modulo 2^32
	dropped bool   // whether drops was given
}

// parseControl reads the control messages of one received message. It ignores what it does not know and stops at what is malformed.
func parseControl(b []byte) (c control) {
	for len(b) >= cmsgHeader {
		size := binary.NativeEndian.Uint64(b)
		if size < cmsgHeader || size > uint64(len(b)) {
			return c
		}
		level, kind := int32(binary.NativeEndian.Uint32(b[8:])), int32(binary.NativeEndian.Uint32(b[12:]))
		c.take(level, kind, b[cmsgHeader:size])
		next := (size + 7) &^ 7
		if next > uint64(len(b)) {
			return c
		}
		b = b[next:]
	}
	return c
}

// take notes one control message.
func (c *control) take(level, kind int32, data []byte) {
	switch {
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		copy(c.local[:], data)
		c.ifindex = binary.NativeEndian.Uint32(data[16:])
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		c.local = mapped([4]byte(data[8:12])) // ipi_addr, the destination in the header
		c.ifindex = binary.NativeEndian.Uint32(data)
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_TCLASS && len(data) >= 4:
		c.tos = uint8(binary.NativeEndian.Uint32(data))
	case level == unix.IPPROTO_IP && kind == unix.IP_TOS && len(data) >= 1:
		c.tos = data[0] // a single byte on receiving
	case level == unix.IPPROTO_UDP && kind == unix.UDP_GRO && len(data) >= 4:
		c.segment = max(0, int(int32(binary.NativeEndian.Uint32(data))))
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(data) >= 4:
		c.drops, c.dropped = binary.NativeEndian.Uint32(data), true
	}
}

// mapped returns the IPv4-mapped IPv6 form of an address.
func mapped(a [4]byte) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: a[0], 13: a[1], 14: a[2], 15: a[3]}
}

// isMapped tells whether an address is IPv4 in its mapped form.
func isMapped(a *[16]byte) bool {
	return binary.NativeEndian.Uint64(a[:]) == 0 && binary.BigEndian.Uint32(a[8:]) == 0xffff
}

// controlWriter appends control messages to the buffer of one message to send.
type controlWriter struct {
	b []byte
	n int
}

// add begins a control message and returns the room for its data, which still holds what was there before.
func (w *controlWriter) add(level, kind int32, size int) []byte {
	b := w.b[w.n:]
	binary.NativeEndian.PutUint64(b, uint64(cmsgHeader+size))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(kind))
	w.n += cmsgHeader + (size+7)&^7
	return b[cmsgHeader : cmsgHeader+size]
}

// addUint32 adds a control message of one int.
func (w *controlWriter) addUint32(level, kind int32, value uint32) {
	binary.NativeEndian.PutUint32(w.add(level, kind, 4), value)
}

// addUint16 adds a control message of one short.
func (w *controlWriter) addUint16(level, kind int32, value uint16) {
	binary.NativeEndian.PutUint16(w.add(level, kind, 2), value)
}

// addSource makes the message leave from the local address of p.
func (w *controlWriter) addSource(p *Path) {
	if isMapped(&p.remote) {
		info := w.add(unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		clear(info)
		copy(info[4:8], p.local[12:]) // ipi_spec_dst, the source; all zero lets the kernel choose
		return
	}
	info := w.add(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	copy(info, p.local[:])
	binary.NativeEndian.PutUint32(info[16:], p.zone)
}

// addTOS adds the TOS. Messages to IPv4 carry that of the level IP even on an IPv6 socket, like their source: the kernel sends them through
// its IPv4 code, which skips IPV6_TCLASS without a word.
func (w *controlWriter) addTOS(p *Path, tos uint8) {
	if isMapped(&p.remote) {
		w.addUint32(unix.IPPROTO_IP, unix.IP_TOS, uint32(tos))
		return
	}
	w.addUint32(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, uint32(tos))
}

// Socket addresses are kept as bytes too, in slots of addrRoom.
const addrRoom = 32

// putAddr writes the remote end of p for a socket of the given family and returns the length.
func putAddr(b []byte, p *Path, v6 bool) uint32 {
	binary.BigEndian.PutUint16(b[2:], p.remotePort)
	if !v6 {
		binary.NativeEndian.PutUint16(b, unix.AF_INET)
		copy(b[4:8], p.remote[12:])
		clear(b[8:unix.SizeofSockaddrInet4])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(b, unix.AF_INET6)
	binary.NativeEndian.PutUint32(b[4:], 0) // flow label
	copy(b[8:24], p.remote[:])
	binary.NativeEndian.PutUint32(b[24:], p.zone)
	return unix.SizeofSockaddrInet6
}

// takeAddr reads the sender's address into p.
func takeAddr(b []byte, p *Path, v6 bool) {
	p.remotePort = binary.BigEndian.Uint16(b[2:])
	if !v6 {
		p.remote = mapped([4]byte(b[4:8]))
		return
	}
	p.remote = [16]byte(b[8:24])
	p.zone = binary.NativeEndian.Uint32(b[24:]) // the kernel fills it for link-local addresses only
}

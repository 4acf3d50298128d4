package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"
	"unsafe"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ErrLink says that an interface has no Ethernet header, so that a file of it would need another form.
var ErrLink = errors.New("captures work on interfaces with Ethernet addresses")

// Run captures until the time is over, the file is full or ctx ends, and writes pcapng.
func Run(ctx context.Context, spec Spec, out io.Writer) (Summary, error) {
	if err := spec.Validate(); err != nil {
		return Summary{}, err
	}
	spec = spec.withDefaults()
	s, err := open(spec)
	if err != nil {
		return Summary{}, fmt.Errorf("capturing %s: %w", spec.Interface, err)
	}
	defer s.file.Close()
	ctx, cancel := context.WithTimeout(ctx, spec.Time)
	defer cancel()
	if spec.Started != nil {
		spec.Started()
	}
	stop := context.AfterFunc(ctx, func() { s.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return s.record(ctx, spec, out)
}

// socket is a packet socket.
type socket struct {
	file  *os.File
	index int
	mtu   int
}

func open(spec Spec) (s socket, err error) {
	iface, err := net.InterfaceByName(spec.Interface)
	if err != nil {
		return s, err
	}
	if len(iface.HardwareAddr) != 6 && iface.Flags&net.FlagLoopback == 0 {
		return s, ErrLink
	}
	s.index, s.mtu = iface.Index, iface.MTU
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return s, err
	}
	s.file = os.NewFile(uintptr(fd), "capture of "+spec.Interface)
	if err := s.prepare(fd, spec, iface.Flags&net.FlagLoopback != 0); err != nil {
		s.file.Close()
		return s, err
	}
	return s, nil
}

// prepare filters first and binds then, so that nothing comes through that was not asked for.
func (s socket) prepare(fd int, spec Spec, loopback bool) error {
	program, err := classFilter(spec.Class, spec.Marks)
	if err != nil {
		return err
	}
	if err := attach(fd, program); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) // what cannot be had shows as missed packets
	for _, option := range []struct{ level, name int }{{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS}, {unix.SOL_PACKET, unix.PACKET_AUXDATA}} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, 1); err != nil {
			return err
		}
	}
	if loopback { // it shows every packet twice
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: s.index})
}

func attach(fd int, program []bpf.RawInstruction) error {
	filter := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	defer runtime.KeepAlive(filter)
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)})
}

// flowsEvery is how often the flows are asked for again: people come and go.
const flowsEvery = time.Second

// record reads packets and writes them.
func (s socket) record(ctx context.Context, spec Spec, out io.Writer) (sum Summary, err error) {
	counted := &countingWriter{w: out}
	w, err := pcapgo.NewNgWriterInterface(counted, pcapgo.NgInterface{Name: spec.Interface, LinkType: layers.LinkTypeEthernet, SnapLength: 0, OS: runtime.GOOS},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "meetzone appliance", OS: runtime.GOOS}})
	if err != nil {
		return sum, err
	}
	size := int64(firstBlocks)
	var known flows
	var asked time.Time
	b := make([]byte, 1<<17)
	for ctx.Err() == nil {
		frame, at, err := s.read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return sum, err
		}
		h := parse(frame)
		if spec.Flows != nil {
			if time.Since(asked) >= flowsEvery {
				known, asked = newFlows(spec.Flows()), time.Now()
			}
			if !h.ip || !known.has(h) {
				continue
			}
		}
		kept := frame
		if !spec.Payload {
			kept = frame[:h.size]
		}
		size += blockHeader + int64(len(kept)+3)&^3
		if size > spec.Bytes {
			sum.Full = true
			break
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(kept), Length: len(frame)}, kept); err != nil {
			return sum, err
		}
		sum.Packets++
		if sum.Packets%64 == 0 { // so that the size is known, and a reader sees something
			if err := w.Flush(); err != nil {
				return sum, err
			}
		}
	}
	err = w.Flush()
	sum.Bytes, sum.Missed = counted.n, s.missed()
	return sum, err
}

// What pcapng puts around packets: an enhanced packet block each, and a section and an interface block at the beginning.
const (
	blockHeader = 32
	firstBlocks = 256
)

// read returns one frame, with its VLAN tag, which the kernel keeps beside it.
func (s socket) read(b []byte) (frame []byte, at time.Time, err error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return nil, at, err
	}
	const tag = 4
	control := make([]byte, 128)
	var n, controls int
	var failure error
	if err := raw.Read(func(fd uintptr) bool {
		n, controls, _, _, failure = unix.Recvmsg(int(fd), b[tag:], control, 0)
		return failure != unix.EAGAIN && failure != unix.EINTR
	}); err != nil {
		return nil, at, err
	}
	if failure != nil {
		return nil, at, failure
	}
	at, vlan, tagged := readControls(control[:controls])
	frame = b[tag : tag+n]
	if tagged && n >= 14 {
		copy(b, frame[:12])
		frame = b[:tag+n]
		binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_8021Q)
		binary.BigEndian.PutUint16(frame[14:], vlan)
	}
	return frame, at, nil
}

// readControls finds the kernel's time and the VLAN tag of a packet.
func readControls(b []byte) (at time.Time, vlan uint16, tagged bool) {
	at = time.Now()
	for len(b) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			break
		}
		switch {
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_TIMESTAMPNS && len(data) >= 16:
			at = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		case header.Level == unix.SOL_PACKET && header.Type == unix.PACKET_AUXDATA && len(data) >= 20:
			// struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
			if binary.NativeEndian.Uint32(data)&unix.TP_STATUS_VLAN_VALID != 0 {
				vlan, tagged = binary.NativeEndian.Uint16(data[16:]), true
			}
		}
		b = rest
	}
	return at, vlan, tagged
}

// missed is what the kernel has lost for want of buffer.
func (s socket) missed() (n int) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			n = int(stats.Drops)
		}
	})
	return n
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

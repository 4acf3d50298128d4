package lldp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// Neighbour is what one sender said of itself.
type Neighbour struct {
	Interface   string // of the box
	Chassis     string
	Port        string
	PortText    string
	System      string
	Description string
	Management  string // address
	Until       time.Time
}

// Bounds of what is kept.
const (
	maxNeighbours = 64
	maxText       = 120 // bytes of each text
	maxFrame      = 1600
)

// Listener hears neighbours on all interfaces.
type Listener struct {
	file *os.File

	mu    sync.Mutex // guards what follows
	heard []Neighbour
}

// groups are the addresses that LLDP is sent to: nearest bridge, nearest bridge that is no TPMR, nearest customer bridge.
var groups = [][6]byte{{0x01, 0x80, 0xc2, 0, 0, 0x0e}, {0x01, 0x80, 0xc2, 0, 0, 0x03}, {0x01, 0x80, 0xc2, 0, 0, 0x00}}

// Open begins to listen; Run hears.
func Open() (*Listener, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_LLDP)})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening for LLDP: %w", err), unix.Close(fd))
	}
	return &Listener{file: os.NewFile(uintptr(fd), "lldp")}, nil
}

func networkOrder(v uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v))
}

// Close ends Run.
func (l *Listener) Close() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// joinAgain is how often interfaces that came meanwhile are joined.
const joinAgain = 10 * time.Second

// Run hears until ctx ends or the listener is closed.
func (l *Listener) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil // closed
	}
	buf, joined := make([]byte, maxFrame), map[int]bool{}
	for ctx.Err() == nil {
		join(raw, joined)
		if err := l.file.SetReadDeadline(time.Now().Add(joinAgain)); err != nil || ctx.Err() != nil {
			return nil
		}
		for {
			var n int
			var from unix.Sockaddr
			var failure error
			if err := raw.Read(func(fd uintptr) bool {
				n, from, failure = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
				return failure != unix.EAGAIN
			}); err != nil {
				break // the deadline, or closed
			}
			if at, ok := from.(*unix.SockaddrLinklayer); ok && failure == nil {
				l.hear(at.Ifindex, buf[:n])
			}
		}
	}
	return nil
}

// join asks for the groups on every interface that is new.
func join(raw interface{ Control(func(uintptr)) error }, joined map[int]bool) {
	list, err := net.Interfaces()
	if err != nil {
		return
	}
	for _, i := range list {
		if joined[i.Index] || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		joined[i.Index] = true
		for _, group := range groups {
			request := unix.PacketMreq{Ifindex: int32(i.Index), Type: unix.PACKET_MR_MULTICAST, Alen: uint16(len(group))}
			copy(request.Address[:], group[:])
			_ = raw.Control(func(fd uintptr) { // an interface without multicast hears nothing
				_ = unix.SetsockoptPacketMreq(int(fd), unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &request)
			})
		}
	}
}

func (l *Listener) hear(index int, frame []byte) {
	n, life, err := decode(frame)
	if err != nil {
		return
	}
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return
	}
	n.Interface, n.Until = i.Name, time.Now().Add(life)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = slices.DeleteFunc(l.heard, func(old Neighbour) bool {
		return old.Interface == n.Interface && old.Chassis == n.Chassis && old.Port == n.Port || !old.Until.After(time.Now())
	})
	if life > 0 && len(l.heard) < maxNeighbours { // 0: it says goodbye
		l.heard = append(l.heard, n)
	}
}

// Neighbours returns who was heard and has not been silent for too long, by interface.
func (l *Listener) Neighbours() []Neighbour {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = slices.DeleteFunc(l.heard, func(n Neighbour) bool { return !n.Until.After(time.Now()) })
	list := slices.Clone(l.heard)
	slices.SortFunc(list, func(a, b Neighbour) int {
		return strings.Compare(a.Interface+"\x00"+a.Chassis+a.Port, b.Interface+"\x00"+b.Chassis+b.Port)
	})
	return list
}

var errNoLLDP = errors.New("no LLDP")

// decode reads a frame, and for how long it is good.
func decode(frame []byte) (n Neighbour, life time.Duration, err error) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	said, ok := p.Layer(layers.LayerTypeLinkLayerDiscovery).(*layers.LinkLayerDiscovery)
	if !ok {
		return n, 0, errNoLLDP
	}
	n.Chassis = id(said.ChassisID.ID, said.ChassisID.Subtype == layers.LLDPChassisIDSubTypeMACAddr, said.ChassisID.Subtype == layers.LLDPChassisIDSubTypeNetworkAddr)
	n.Port = id(said.PortID.ID, said.PortID.Subtype == layers.LLDPPortIDSubtypeMACAddr, said.PortID.Subtype == layers.LLDPPortIDSubtypeNetworkAddr)
	if n.Chassis == "" || n.Port == "" {
		return n, 0, errNoLLDP
	}
	if more, ok := p.Layer(layers.LayerTypeLinkLayerDiscoveryInfo).(*layers.LinkLayerDiscoveryInfo); ok {
		n.System, n.Description, n.PortText = text(more.SysName), text(more.SysDescription), text(more.PortDescription)
		if a := more.MgmtAddress.Address; len(a) == 4 || len(a) == 16 {
			n.Management = net.IP(a).String()
		}
	}
	return n, time.Duration(said.TTL) * time.Second, nil
}

// id writes an identifier as people read it: hardware addresses and network addresses by their form, all else as text.
func id(b []byte, mac, address bool) string {
	switch {
	case mac && len(b) == 6:
		return net.HardwareAddr(b).String()
	case address && (len(b) == 5 || len(b) == 17): // the first byte is the family
		return net.IP(b[1:]).String()
	}
	return text(string(b))
}

// text leaves printable ASCII, so that nobody on the wire writes to a terminal.
func text(s string) string {
	out := []byte(s[:min(len(s), maxText)])
	for i, c := range out {
		if c < ' ' || c > '~' {
			out[i] = '?'
		}
	}
	return strings.TrimSpace(string(out))
}

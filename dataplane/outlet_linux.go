package dataplane

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// outlet is a socket of one worker from which the datagrams of one class leave, to one family. The kernel takes TOS and fwmark from the
// socket, and the source address where it is the usual one; saying them with each message costs it some 380 ns for each.
//
// It sends from the plane's port and never receives: it is bound to a multicast address that nobody joins, where no datagram to a host is
// looked for. That leaves its source address open. Connecting it to an address of this box fixes that one as the source, and messages
// still go to the address that each of them names.
type outlet struct {
	exit
	v6    bool
	class dscp.Class
	tos   uint8
}

// outlets are those of one worker to one family.
type outlets struct {
	byClass [dscp.NumClasses]*outlet // nil where a class has none
	source  [16]byte                 // what messages leave from when they do not say; zero: they have to say
	scout   int                      // tells which source the kernel chooses; -1 when it has
}

// outletClasses are the classes of a meeting's traffic, in the order in which they are flushed: what is lost last goes first.
var outletClasses = []dscp.Class{dscp.Audio, dscp.Signalling, dscp.Content, dscp.Video}

// Where outlets are bound: administratively scoped, and never joined. RFC 2365, RFC 4291 section 2.7.
var (
	outletAddr4 = netip.AddrFrom4([4]byte{239, 255, 88, 1})
	outletAddr6 = netip.MustParseAddr("ff05::8801:1")
)

// discardPort of this box is what outlets are connected to; nothing is sent there. RFC 863.
const discardPort = 9

// openOutlets gives the worker its outlets. Where the kernel refuses one, all that an outlet stands for goes with each message, through the
// socket that receives.
func (w *Worker) openOutlets() {
	if w.plane.cfg.NoOutlets || w.plane.noOutlet != nil {
		return
	}
	for _, s := range w.socks {
		for _, v6 := range []bool{false, true} {
			if !s.carries(v6) || w.outlets[boolInt(v6)] != nil {
				continue
			}
			if err := w.openFamily(v6, s.bound.Port()); err != nil {
				w.plane.noOutlet = err
				w.closeOutlets()
				return
			}
		}
	}
	for range w.waiting {
		w.polls = append(w.polls, unix.PollFd{Fd: -1, Events: unix.POLLOUT})
	}
}

// openFamily opens the outlets to one family.
func (w *Worker) openFamily(v6 bool, port uint16) (err error) {
	o := &outlets{}
	if o.scout, err = openUDP(v6); err != nil {
		return err
	}
	w.outlets[boolInt(v6)] = o
	for _, class := range outletClasses {
		x, err := openOutlet(v6, class, port, w.plane)
		if err != nil {
			return err
		}
		o.byClass[class] = x
		if w.addExit(&x.exit, class == dscp.Audio); class == dscp.Audio {
			w.waiting = append(w.waiting, &x.exit)
		}
	}
	return nil
}

func openUDP(v6 bool) (int, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	return fd, os.NewSyscallError("socket", err)
}

func openOutlet(v6 bool, class dscp.Class, port uint16, p *Plane) (*outlet, error) {
	fd, err := openUDP(v6)
	if err != nil {
		return nil, fmt.Errorf("open outlet: %w", err)
	}
	o := &outlet{exit: exit{fd: fd}, v6: v6, class: class}
	at := outletAddr4
	if v6 {
		at = outletAddr6
	}
	if err := o.prepare(netip.AddrPortFrom(at, port), p); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open outlet for %s: %w", class, err)
	}
	return o, nil
}

func (o *outlet) prepare(at netip.AddrPort, p *Plane) error {
	s := socket{exit: o.exit, v6: o.v6}
	type option struct {
		name              string
		level, opt, value int
	}
	options := []option{
		{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}, // beside the others, and a receiver at all addresses
		{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE},
	}
	if o.v6 {
		options = append(options, option{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
			option{"IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE})
	}
	if p.features.mark {
		options = append(options, option{"SO_MARK", unix.SOL_SOCKET, unix.SO_MARK, int(o.class.Fwmark())})
	}
	for _, x := range options {
		if err := s.set(x.name, x.level, x.opt, x.value); err != nil {
			return err
		}
	}
	s.buffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, p.cfg.SendBuffer)
	s.buffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, 1) // the least that there is
	return s.bind(at)
}

// outletFor returns the outlet by which a message for p leaves, and whether the message has to name its source; nil when there is none.
func (w *Worker) outletFor(p *Path, class dscp.Class, tos uint8) (x *outlet, names bool) {
	o := w.outlets[boolInt(!isMapped(&p.remote))]
	if o == nil || o.byClass[class] == nil || p.local == [16]byte{} {
		return nil, true
	}
	if x = o.byClass[class]; x.tos != tos && !x.setTOS(tos) {
		return nil, true
	}
	if o.scout >= 0 {
		o.fix(p)
	}
	return x, o.source != p.local
}

// setTOS has what leaves from now on carry another TOS. What waits in the queue gets it too.
func (o *outlet) setTOS(tos uint8) bool {
	level, opt := unix.IPPROTO_IP, unix.IP_TOS
	if o.v6 {
		level, opt = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	if unix.SetsockoptInt(o.fd, level, opt, int(tos)) != nil {
		return false
	}
	o.tos = tos
	return true
}

// fix makes the local address of p the source of all messages that name no other, if the kernel can be had to choose it: it prefers the
// first address of an interface. What an outlet is bound to hides what it sends from, so that a plain socket is asked.
func (o *outlets) fix(p *Path) {
	local := p.Local()
	if local.IsLinkLocalUnicast() {
		return // is nothing without an interface
	}
	chosen, ok := chosenSource(o.scout, local)
	unix.Close(o.scout)
	o.scout = -1
	if !ok || chosen != local {
		return
	}
	for _, x := range o.byClass {
		if x != nil && connectTo(x.fd, local) != nil {
			return
		}
	}
	o.source = p.local
}

// chosenSource returns what the kernel chooses to reach an address of this box from.
func chosenSource(fd int, local netip.Addr) (netip.Addr, bool) {
	if connectTo(fd, local) != nil {
		return netip.Addr{}, false
	}
	switch actual, _ := unix.Getsockname(fd); actual := actual.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(actual.Addr), true
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(actual.Addr), true
	}
	return netip.Addr{}, false
}

func connectTo(fd int, local netip.Addr) error {
	sa, err := sockaddr(netip.AddrPortFrom(local, discardPort))
	if err != nil {
		return err
	}
	return unix.Connect(fd, sa)
}

// carries tells whether the socket serves a family.
func (s *socket) carries(v6 bool) bool { return s.v6 == v6 || s.v6 && !s.v6Only }

// closeOutlets gives back what the worker's outlets hold; the worker sends through its sockets alone then.
func (w *Worker) closeOutlets() {
	for _, o := range w.outlets {
		if o == nil {
			continue
		}
		if o.scout >= 0 {
			unix.Close(o.scout)
		}
		for _, x := range o.byClass {
			if x != nil {
				unix.Close(x.fd)
			}
		}
	}
	w.outlets, w.exits, w.waiting = [2]*outlets{}, nil, nil
	w.polls = w.polls[:1+len(w.socks)]
	for _, s := range w.socks {
		w.exits = append(w.exits, &s.exit)
	}
}

package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// What IPv6 routers announce is taken by the kernel itself (Documentation/networking/ip-sysctl.rst: accept_ra, autoconf, accept_ra_defrtr). Here it
// is told, per interface, how much of it; what it has taken already and is not to is taken away.

// raState are those switches of one interface; -1: not to be read, as where there is no IPv6.
type raState struct {
	Accept   int `json:"accept_ra"`
	Autoconf int `json:"autoconf"`
	Gateway  int `json:"accept_ra_defrtr"`
}

func (s raState) known() bool { return s.Accept >= 0 && s.Autoconf >= 0 && s.Gateway >= 0 }

// files are the switches by name, in the order in which they are written: whether at all comes last.
func (s *raState) files() []struct {
	name  string
	value *int
} {
	return []struct {
		name  string
		value *int
	}{{"autoconf", &s.Autoconf}, {"accept_ra_defrtr", &s.Gateway}, {"accept_ra", &s.Accept}}
}

func raFile(iface, name string) string {
	return filepath.Join("/proc/sys/net/ipv6/conf", iface, name)
}

func readRA(iface string) (s raState) {
	for _, f := range s.files() {
		*f.value = -1
		if content, err := os.ReadFile(raFile(iface, f.name)); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil {
				*f.value = n
			}
		}
	}
	return s
}

func (s raState) write(iface string) error {
	for _, f := range s.files() {
		if *f.value < 0 {
			continue
		}
		err := os.WriteFile(raFile(iface, f.name), []byte(strconv.Itoa(*f.value)), 0)
		if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
			return fmt.Errorf("%w: the daemon may not write /proc/sys/net/ipv6/conf here; see ReadWritePaths in its unit", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// state is what an RA means for the kernel. Accepting is 2, not 1: also where the host forwards.
func (r RA) state() raState {
	on := func(b bool, value int) int {
		if b {
			return value
		}
		return 0
	}
	return raState{Accept: on(r.Address || r.Gateway, 2), Autoconf: on(r.Address, 1), Gateway: on(r.Gateway, 1)}
}

func planRA(i Interface, l *link, k kernel, m *memory) (steps []step) {
	add := func(what string, take func() error) {
		steps = append(steps, step{about: i.Name, what: i.Name + ": " + what, take: take})
	}
	want := i.RA.state()
	switch was := m.of(l); {
	case i.RA.Set && !l.ra.known():
		return []step{refuse(i.Name, i.Name+": it has no IPv6", "leave ra empty")}
	case !i.RA.Set && was != nil && was.RA != nil && l.ra.known():
		want = *was.RA // the document says nothing any more
	case !i.RA.Set:
		return nil
	}
	if l.ra != want {
		add("what routers announce is taken otherwise", func() error {
			if err := m.setsRA(l); err != nil {
				return err
			}
			if err := want.write(i.Name); err != nil || want.Accept == 0 {
				return err
			}
			return solicit(i.Name)
		})
		return steps
	}
	if !i.RA.Set {
		return nil
	}
	for _, a := range l.announced {
		if !i.RA.Address {
			add(a.prefix.String()+", which a router announced, is not wanted", func() error { return netlink.AddrDel(l.nl, &a.nl) })
		}
	}
	for _, r := range k.told {
		if r.index == l.index && !i.RA.Gateway && r.to.Bits() == 0 {
			add("the default route via "+r.via.String()+", which a router announced, is not wanted", func() error { return netlink.RouteDel(&r.nl) })
		}
	}
	return steps
}

// solicit asks routers to announce themselves now (RFC 4861, section 4.1); the kernel hears the answer. Where it cannot, they do so in time.
func solicit(iface string) error {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return nil
	}
	defer conn.Close()
	p := ipv6.NewPacketConn(conn)
	message := []byte{byte(ipv6.ICMPTypeRouterSolicitation), 0, 0, 0, 0, 0, 0, 0} // the kernel fills in the checksum
	_, _ = p.WriteTo(message, &ipv6.ControlMessage{HopLimit: 255, IfIndex: i.Index}, &net.IPAddr{IP: net.IPv6linklocalallrouters, Zone: iface})
	return nil
}

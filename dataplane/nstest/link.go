package nstest

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link joins two namespaces by a veth pair and returns the names of its two ends. A CIDR is an address with its prefix length, or
// several of them separated by spaces, of either family; it may be empty.
func Link(t testing.TB, a, b *NS, cidrA, cidrB string) (ifaceA, ifaceB string) {
	t.Helper()
	ifaceA, ifaceB = a.freeName(t, b.base), b.freeName(t, a.base)
	if a == b && ifaceA == ifaceB {
		ifaceB = a.freeName(t, b.base+"0")
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = ifaceA
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: ifaceB, PeerNamespace: netlink.NsFd(b.handle)}
	if err := a.links.LinkAdd(pair); err != nil {
		t.Fatalf("link %s to %s: %v", a.name, b.name, err)
	}
	a.SetOffload(t, ifaceA, false)
	b.SetOffload(t, ifaceB, false)
	a.Address(t, ifaceA, cidrA)
	b.Address(t, ifaceB, cidrB)
	readyA, readyB := a.watchAddresses(t), b.watchAddresses(t)
	a.up(t, ifaceA)
	b.up(t, ifaceB)
	readyA.wait(ifaceA)
	readyB.wait(ifaceB)
	return ifaceA, ifaceB
}

// addressWatch follows the addresses of a namespace.
type addressWatch struct {
	t       testing.TB
	ns      *NS
	updates chan netlink.AddrUpdate
	done    chan struct{}
}

// readyWithin bounds how long a new link may take.
const readyWithin = 10 * time.Second

func (n *NS) watchAddresses(t testing.TB) addressWatch {
	t.Helper()
	w := addressWatch{t, n, make(chan netlink.AddrUpdate, 64), make(chan struct{})}
	if err := netlink.AddrSubscribeAt(n.handle, w.updates, w.done); err != nil {
		t.Fatalf("watch addresses in %s: %v", n.name, err)
	}
	return w
}

// wait returns when an interface has a link-local address. The kernel gives it one once it really sends; before, it drops everything.
func (w addressWatch) wait(iface string) {
	w.t.Helper()
	defer func() { // the watching goroutine ends when it has been read empty
		close(w.done)
		for range w.updates {
		}
	}()
	timer := time.NewTimer(readyWithin)
	defer timer.Stop()
	for {
		addrs, err := w.ns.links.AddrList(w.ns.link(w.t, iface), netlink.FAMILY_V6)
		if err != nil {
			w.t.Fatalf("addresses of %s in %s: %v", iface, w.ns.name, err)
		}
		if slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() }) {
			return
		}
		select {
		case <-w.updates:
		case <-timer.C:
			w.t.Fatalf("%s in %s was not ready within %v", iface, w.ns.name, readyWithin)
		}
	}
}

// freeName returns an interface name that says where the link leads and is not in use.
func (n *NS) freeName(t testing.TB, to string) string {
	t.Helper()
	const room = unix.IFNAMSIZ - 1 - 2
	to = to[:min(len(to), room)]
	for i := range 100 {
		name := to
		if i > 0 {
			name = fmt.Sprintf("%s%d", to, i)
		}
		if _, err := n.links.LinkByName(name); err != nil {
			return name
		}
	}
	t.Fatalf("no free interface name like %s in %s", to, n.name)
	return ""
}

// Address gives an interface addresses, as Link takes them.
func (n *NS) Address(t testing.TB, iface, cidrs string) {
	t.Helper()
	for _, cidr := range strings.Fields(cidrs) {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			t.Fatalf("address %s: %v", cidr, err)
		}
		if a.IP.To4() == nil {
			a.Flags |= unix.IFA_F_NODAD
		}
		if err := n.links.AddrAdd(n.link(t, iface), a); err != nil {
			t.Fatalf("add %s to %s in %s: %v", cidr, iface, n.name, err)
		}
	}
}

// Route leads what goes to the network dst over a neighbour's address; dst may be "default".
func (n *NS) Route(t testing.TB, dst, via string) {
	t.Helper()
	gw := net.ParseIP(via)
	if gw == nil {
		t.Fatalf("route to %s: %q is not an address", dst, via)
	}
	route := &netlink.Route{Gw: gw}
	if dst == "default" {
		dst = "0.0.0.0/0"
		if gw.To4() == nil {
			dst = "::/0"
		}
	}
	_, network, err := net.ParseCIDR(dst)
	if err != nil {
		t.Fatalf("route: %v", err)
	}
	route.Dst = network
	if err := n.links.RouteAdd(route); err != nil {
		t.Fatalf("route to %s over %s in %s: %v", dst, via, n.name, err)
	}
}

// Forward makes the namespace a router of both families.
func (n *NS) Forward(t testing.TB) {
	t.Helper()
	n.Sysctl(t, "net/ipv4/ip_forward", "1")
	n.Sysctl(t, "net/ipv6/conf/all/forwarding", "1")
}

// Sysctl sets a network setting of the namespace; the key is written with slashes.
func (n *NS) Sysctl(t testing.TB, key, value string) {
	t.Helper()
	n.Do(t, func() {
		if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0); err != nil {
			t.Fatalf("sysctl in %s: %v", n.name, err)
		}
	})
}

// Bridge makes a bridge with addresses of its own in the namespace.
func (n *NS) Bridge(t testing.TB, name, cidrs string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := n.links.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatalf("make bridge %s in %s: %v", name, n.name, err)
	}
	n.Address(t, name, cidrs)
	n.up(t, name)
}

// Attach joins a namespace to a bridge of another one and returns the name of its interface.
func Attach(t testing.TB, hub *NS, bridge string, n *NS, cidrs string) (iface string) {
	t.Helper()
	port, iface := Link(t, hub, n, "", cidrs)
	if err := hub.links.LinkSetMaster(hub.link(t, port), hub.link(t, bridge)); err != nil {
		t.Fatalf("attach %s to %s: %v", n.name, bridge, err)
	}
	return iface
}

// SetUp sets an interface up or down, as a cable is plugged in or pulled out.
func (n *NS) SetUp(t testing.TB, iface string, up bool) {
	t.Helper()
	if up {
		n.up(t, iface)
		return
	}
	if err := n.links.LinkSetDown(n.link(t, iface)); err != nil {
		t.Fatalf("set %s in %s down: %v", iface, n.name, err)
	}
}

// SetMTU sets the largest packet of an interface.
func (n *NS) SetMTU(t testing.TB, iface string, mtu int) {
	t.Helper()
	if err := n.links.LinkSetMTU(n.link(t, iface), mtu); err != nil {
		t.Fatalf("set MTU of %s in %s: %v", iface, n.name, err)
	}
}

// Limit makes an interface send no faster than a rate; queue is how many bytes wait at most.
func (n *NS) Limit(t testing.TB, iface string, bitsPerSecond uint64, queue uint32) {
	t.Helper()
	bytes := bitsPerSecond / 8
	const burst = 16 << 10 // bytes sent at once
	err := n.links.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: n.link(t, iface).Attrs().Index,
			Handle:    netlink.MakeHandle(1, 0),
			Parent:    netlink.HANDLE_ROOT,
		},
		Rate:   bytes,
		Limit:  queue,
		Buffer: netlink.Xmittime(bytes, burst),
	})
	if err != nil {
		t.Fatalf("limit %s in %s: %v", iface, n.name, err)
	}
}

// SetOffload switches checksum offload of an interface on or off, and with it everything that depends on it: TSO and UDP segmentation.
func (n *NS) SetOffload(t testing.TB, iface string, on bool) {
	t.Helper()
	n.Do(t, func() {
		if err := setTxChecksum(iface, on); err != nil {
			t.Fatalf("set offload of %s in %s: %v", iface, n.name, err)
		}
	})
}

// setTxChecksum is ETHTOOL_STXCSUM of the kernel's SIOCETHTOOL.
func setTxChecksum(iface string, on bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_STXCSUM}
	if on {
		value.data = 1
	}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], iface)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// Sink makes an interface that takes whatever it is told to send and drops it, for measuring what sending costs. It segments nothing
// itself unless SetOffload says so.
func (n *NS) Sink(t testing.TB, name, cidrs string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := n.links.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err != nil {
		t.Fatalf("make sink %s in %s: %v", name, n.name, err)
	}
	n.SetOffload(t, name, false)
	n.Address(t, name, cidrs)
	n.up(t, name)
}

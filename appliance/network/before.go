package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What an interface was before the box took it: going back to a document that does not name it must bring back what its administrators had, or
// nobody reaches the box any more. It is on the disk before anything is changed, and goes when the interface is given back.

// before is one interface as it was.
type before struct {
	Name      string          `json:"name"`
	Index     int             `json:"index"` // of this boot, as the alias is
	Permanent string          `json:"permanent_mac,omitempty"`
	Master    int             `json:"master,omitempty"`
	MTU       int             `json:"mtu"`
	MTUSet    bool            `json:"mtu_set,omitempty"` // by the box; otherwise another one is somebody else's
	RA        *raState        `json:"ra,omitempty"`      // as it was before the box set it; nil: it has not
	Up        bool            `json:"up"`
	Addresses []beforeAddress `json:"addresses,omitempty"`
	Routes    []beforeRoute   `json:"routes,omitempty"`
}

type beforeAddress struct {
	Prefix    netip.Prefix `json:"prefix"`
	Peer      netip.Prefix `json:"peer,omitzero"`
	Label     string       `json:"label,omitempty"`
	Broadcast net.IP       `json:"broadcast,omitempty"`
	Scope     int          `json:"scope,omitempty"`
	Flags     int          `json:"flags,omitempty"`
}

type beforeRoute struct {
	To       netip.Prefix `json:"to"`
	Via      netip.Addr   `json:"via,omitzero"`
	Src      net.IP       `json:"src,omitempty"`
	Metric   int          `json:"metric,omitempty"`
	Protocol int          `json:"protocol,omitempty"`
	Scope    int          `json:"scope,omitempty"`
	Onlink   bool         `json:"onlink,omitempty"`
	MTU      int          `json:"mtu,omitempty"`
}

// lastingFlags are those of an address that its administrator has chosen.
const lastingFlags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_MCAUTOJOIN

// memory keeps what interfaces were. Owner.mu guards it.
type memory struct {
	file   string // empty: it ends with the process
	write  func(path string, content []byte) error
	log    *slog.Logger
	strict bool // what cannot be written is not done: somebody waits for the answer, and can be told
	links  []*before
}

// load reads what an earlier process has kept. What belongs to no interface that is still taken is dropped.
func (m *memory) load() {
	if m.file == "" {
		return
	}
	content, err := os.ReadFile(m.file)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(content, &m.links)
	}
	if err != nil {
		m.log.Warn("what the interfaces were before cannot be read; an interface that is given back keeps the addresses it has", "file", m.file, "err", err)
		m.links = nil
		return
	}
	k, err := look()
	if err != nil {
		m.log.Warn("the interfaces cannot be read", "err", err)
		return
	}
	m.links = slices.DeleteFunc(m.links, func(b *before) bool {
		for _, l := range k.links {
			if b != nil && l.alias == taken && b.is(l) {
				return false
			}
		}
		return true
	})
}

func (m *memory) save() error {
	if m.file == "" {
		return nil
	}
	content, err := json.MarshalIndent(m.links, "", "  ")
	if err == nil {
		err = m.write(m.file, content)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("keeping what the interface was: %w", err)
	if m.strict {
		return err
	}
	m.log.Warn("a crash would lose how the interfaces were before", "err", err)
	return nil
}

func (b *before) is(l *link) bool {
	return b.Index == l.index && b.Permanent == l.nl.Attrs().PermHWAddr.String()
}

// of returns what a link was, whatever its name is now; nil: nobody knows.
func (m *memory) of(l *link) *before {
	for _, b := range m.links {
		if b.is(l) {
			return b
		}
	}
	return nil
}

// keep remembers a link as it is, unless it is remembered already: then its alias alone was lost.
func (m *memory) keep(name string, l *link, k kernel) error {
	if m.of(l) != nil {
		return nil
	}
	b := &before{Name: name, Index: l.index, Permanent: l.nl.Attrs().PermHWAddr.String(), Master: l.master, MTU: l.mtu, Up: l.up}
	for _, a := range l.addresses {
		b.Addresses = append(b.Addresses, beforeAddress{Prefix: a.prefix, Peer: prefixOf(a.nl.Peer), Label: a.nl.Label,
			Broadcast: a.nl.Broadcast, Scope: a.nl.Scope, Flags: a.nl.Flags & lastingFlags})
	}
	for _, r := range k.foreign {
		if r.index != l.index {
			continue
		}
		b.Routes = append(b.Routes, beforeRoute{To: r.to, Via: r.via, Src: r.nl.Src, Metric: r.nl.Priority, Protocol: int(r.nl.Protocol),
			Scope: int(r.nl.Scope), Onlink: r.nl.Flags&int(netlink.FLAG_ONLINK) != 0, MTU: r.nl.MTU})
	}
	m.links = append(m.links, b)
	if err := m.save(); err != nil {
		m.links = m.links[:len(m.links)-1]
		return err
	}
	return nil
}

// setsMTU notes that the box sets the MTU of a link.
func (m *memory) setsMTU(l *link) error {
	b := m.of(l)
	if b == nil || b.MTUSet {
		return nil
	}
	b.MTUSet = true
	if err := m.save(); err != nil {
		b.MTUSet = false
		return err
	}
	return nil
}

// setsRA notes that the box says what is taken from routers on a link.
func (m *memory) setsRA(l *link) error {
	b := m.of(l)
	if b == nil || b.RA != nil {
		return nil
	}
	was := l.ra
	b.RA = &was
	if err := m.save(); err != nil {
		b.RA = nil
		return err
	}
	return nil
}

func (m *memory) forget(b *before) error {
	m.links = slices.DeleteFunc(m.links, func(one *before) bool { return one == b })
	if len(m.links) > 0 || m.file == "" {
		return m.save()
	}
	if err := os.Remove(m.file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// mtu is what a link's MTU has to be again where the document says none; 0: as it is.
func (b *before) mtu() int {
	if b == nil || !b.MTUSet {
		return 0
	}
	return b.MTU
}

// planRelease gives back an interface that is named no longer, as it was before. The alias goes last: as long as it is there, this is not done yet.
// Where nobody knows what the interface was, it keeps what it has.
func (m *memory) planRelease(name string, l *link) (steps []step) {
	add := func(what string, take func() error) {
		steps = append(steps, step{what: name + ": " + what, take: take})
	}
	if l.alias == made {
		add("it is not wanted", func() error { return netlink.LinkDel(l.nl) })
		return steps
	}
	b := m.of(l)
	if b == nil {
		add("it has the appliance's alias", func() error { return netlink.LinkSetAlias(l.nl, "") })
		return steps
	}
	if l.master != 0 && l.master != b.Master {
		add("it is a port still", func() error { return netlink.LinkSetNoMaster(l.nl) })
		return steps
	}
	if mtu := b.mtu(); mtu != 0 && mtu != l.mtu {
		add(fmt.Sprintf("the MTU is %d, and was %d", l.mtu, mtu), func() error { return netlink.LinkSetMTU(l.nl, mtu) })
	}
	if b.RA != nil && l.ra.known() && *b.RA != l.ra {
		add("what routers announce is taken otherwise than before", func() error { return b.RA.write(name) })
	}
	if b.Up && !l.up {
		add("it is down, and was up", func() error { return netlink.LinkSetUp(l.nl) })
	}
	for _, a := range b.Addresses {
		if !slices.ContainsFunc(l.addresses, a.is) {
			add(fmt.Sprintf("%s was there before", a.Prefix), func() error { return netlink.AddrReplace(l.nl, a.addr(name)) })
		}
	}
	for _, a := range l.addresses {
		if !slices.ContainsFunc(b.Addresses, func(one beforeAddress) bool { return one.is(a) }) {
			steps = append(steps, removeAddress("", name, l, a))
		}
	}
	if len(steps) > 0 {
		return steps // the routes by these addresses in the next round
	}
	add("it is being given back", func() error { return m.release(b, name, l) })
	return steps
}

// release ends what planRelease has begun: the routes, down if it was down, and the marks of the box.
func (m *memory) release(b *before, name string, l *link) error {
	for _, a := range b.Addresses {
		if slices.ContainsFunc(l.addresses, func(there address) bool { return a.is(there) && there.nl.Flags&lastingFlags != a.Flags }) {
			if err := netlink.AddrReplace(l.nl, a.addr(name)); err != nil {
				m.log.Warn("an address of an interface that is given back cannot have its flags again", "interface", name, "address", a.Prefix, "err", err)
			}
		}
	}
	for _, r := range b.Routes {
		if err := r.add(l.index); err != nil { // such as one of the same destination that somebody has added since
			m.log.Warn("a route of an interface that is given back cannot be there again", "interface", name, "to", r.To, "via", r.Via, "err", err)
		}
	}
	if !b.Up && l.up {
		if err := netlink.LinkSetDown(l.nl); err != nil {
			return err
		}
	}
	if err := m.forget(b); err != nil {
		return err
	}
	return netlink.LinkSetAlias(l.nl, "")
}

func (a beforeAddress) is(there address) bool {
	return a.Prefix == there.prefix && a.Peer == prefixOf(there.nl.Peer)
}

func (a beforeAddress) addr(name string) *netlink.Addr {
	addr := &netlink.Addr{IPNet: ipNet(a.Prefix), Scope: a.Scope, Flags: a.Flags, Broadcast: a.Broadcast.To4()}
	if a.Prefix.Addr().Is4() && addr.Broadcast == nil {
		addr.Broadcast = net.IPv4zero // none, where netlink would choose one
	}
	if a.Peer.IsValid() {
		addr.Peer = ipNet(a.Peer)
	}
	if strings.HasPrefix(a.Label, name) {
		addr.Label = a.Label
	}
	return addr
}

// add tries without the source address too: one of IPv6 cannot be chosen while the kernel still looks whether another host has it.
func (r beforeRoute) add(index int) error {
	again := &netlink.Route{LinkIndex: index, Dst: ipNet(r.To), Src: r.Src, Priority: r.Metric, Protocol: netlink.RouteProtocol(r.Protocol),
		Scope: netlink.Scope(r.Scope), Table: unix.RT_TABLE_MAIN, MTU: r.MTU, Family: family(r.To.Addr())}
	if r.Via.IsValid() {
		again.Gw = r.Via.AsSlice()
	}
	if r.Onlink {
		again.Flags = int(netlink.FLAG_ONLINK)
	}
	err := netlink.RouteAdd(again)
	if err != nil && !errors.Is(err, unix.EEXIST) && again.Src != nil {
		again.Src = nil
		err = netlink.RouteAdd(again)
	}
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	// There already, unless it is another interface's.
	have, lookErr := look()
	if lookErr != nil || slices.ContainsFunc(have.foreign, func(f route) bool { return f.index == index && f.to == r.To && f.via == r.Via }) {
		return lookErr
	}
	return err
}

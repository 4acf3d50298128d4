package enforce

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bringing one link to what is wanted: look, compare object by object, change what differs. The order is root, classes, leaves, so that an
// interruption leaves something that serves packets.

// linkState is what the kernel has on a link.
type linkState struct {
	link    netlink.Link
	root    *found // nil: the kernel's default
	leaves  []found
	classes []*netlink.HtbClass
}

func (t traffic) look(name string) (s linkState, err error) {
	if s.link, err = t.handle.LinkByName(name); err != nil {
		return s, err
	}
	index := s.link.Attrs().Index
	list, err := t.qdiscs(index)
	if err != nil {
		return s, err
	}
	for _, f := range list {
		switch {
		case f.parent == netlink.HANDLE_ROOT && f.handle != 0:
			s.root = &f
		case f.parent>>16 == Major:
			s.leaves = append(s.leaves, f)
		}
	}
	if !s.ours() {
		return s, nil
	}
	classes, err := t.handle.ClassList(s.link, 0)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return s, fmt.Errorf("listing the classes of %s: %w", name, err)
	}
	for _, c := range classes {
		if htb, ok := c.(*netlink.HtbClass); ok {
			s.classes = append(s.classes, htb)
		}
	}
	return s, nil
}

// ours tells whether the root is one that we have put there.
func (s linkState) ours() bool { return s.root != nil && s.root.handle == handle(0) }

// foreign tells whether somebody else has put something at the root.
func (s linkState) foreign() bool { return s.root != nil && !s.ours() }

// describe writes what the link has as queues.describe writes what is wanted.
func (s linkState) describe(super bool) []string {
	at := " of " + s.link.Attrs().Name
	var lines []string
	if s.root != nil {
		lines = append(lines, "root qdisc"+at+"\x00"+s.root.describe())
	}
	for _, c := range s.classes {
		lines = append(lines, "class "+netlink.HandleStr(c.Handle)+at+"\x00"+describeClass(c))
	}
	for _, f := range s.leaves {
		lines = append(lines, "qdisc of class "+netlink.HandleStr(f.parent)+at+"\x00"+f.describe())
	}
	if super {
		lines = append(lines, fmt.Sprintf("largest super-packet%s\x00%d", at, s.link.Attrs().GSOMaxSize))
	}
	if vlan, ok := s.link.(*netlink.Vlan); ok {
		for i := range numSlots {
			from := Slot(i + 1).priority()
			lines = append(lines, fmt.Sprintf("802.1p of %s%s\x00%d", netlink.HandleStr(from), at, vlan.EgressQosMap[from]))
		}
	}
	slices.Sort(lines)
	return lines
}

func describeClass(c *netlink.HtbClass) string {
	return fmt.Sprintf("parent %s rate %d ceil %d burst %d quantum %d prio %d", netlink.HandleStr(parentOf(c)), c.Rate, c.Ceil, c.Buffer, c.Quantum, c.Prio)
}

// parentOf is the parent of a class: the kernel names the root for a class directly below the discipline.
func parentOf(c *netlink.HtbClass) uint32 {
	if c.Parent == netlink.HANDLE_ROOT {
		return handle(0)
	}
	return c.Parent
}

// kind returns the first kind of a leaf that the kernel is not known to lack.
func (t traffic) kind(l leaf) qdisc {
	for _, d := range l.kinds {
		if !t.lost[d.kind] {
			return d
		}
	}
	return l.kinds[len(l.kinds)-1]
}

// differs compares a link with what is wanted of it.
func (t traffic) differs(q queues) ([]string, linkState, error) {
	s, err := t.look(q.link.Interface)
	if err != nil {
		return nil, s, err
	}
	_, vlan := s.link.(*netlink.Vlan)
	return difference(q.fit(s.link.Attrs()).describe(t.kind, vlan), s.describe(q.super > 0)), s, nil
}

// errForeign says that a link's queues belong to somebody else.
var errForeign = errors.New("its queues belong to somebody else")

// agree brings a link to what is wanted and names what had to be changed.
func (t traffic) agree(q queues) (changed []string, err error) {
	name := q.link.Interface
	changed, s, err := t.differs(q)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if s.foreign() && !t.taken[name] {
		return nil, fmt.Errorf("%s: %w: %s %s; remove it with `tc qdisc del dev %s root`, or take the link out of box.links",
			name, errForeign, s.root.kind, netlink.HandleStr(s.root.handle), name)
	}
	if len(changed) == 0 {
		t.taken[name] = true
		return nil, nil
	}
	return changed, t.build(q, s)
}

// super is how large super-packets may be on a link.
type super struct{ any, ipv4 uint32 }

func superOf(a *netlink.LinkAttrs) super { return super{any: a.GSOMaxSize, ipv4: a.GSOIPv4MaxSize} }

// before returns what a link had before it was ours. Where an earlier process has made it ours nobody knows, and it is what the kernel gives every new link.
func (t traffic) before(a *netlink.LinkAttrs) super {
	if s, ok := t.original[a.Index]; ok {
		return s
	}
	usual := largestOf(a, mostSuper)
	return super{any: usual, ipv4: usual}
}

// restore gives a link its own super-packets back. The bound of IPv4 follows the other one down but not up, so it is set last.
func (t traffic) restore(link netlink.Link) error {
	a := link.Attrs()
	was, is := t.before(a), superOf(a)
	delete(t.original, a.Index)
	if is.any == 0 || is == was { // 0: a kernel that does not tell
		return nil
	}
	if err := t.handle.LinkSetGSOMaxSize(link, int(was.any)); err != nil {
		return fmt.Errorf("restoring the super-packets of %s: %w", a.Name, err)
	}
	if was.ipv4 == 0 || was.ipv4 == was.any {
		return nil
	}
	if err := t.handle.LinkSetGSOIPv4MaxSize(link, int(was.ipv4)); err != nil {
		return fmt.Errorf("restoring the super-packets of IPv4 of %s: %w", a.Name, err)
	}
	return nil
}

// build changes what differs. A kind that the kernel turns out not to have is noted, and the next one tried.
func (t traffic) build(q queues, s linkState) error {
	index := s.link.Attrs().Index
	if _, known := t.original[index]; !known && !s.ours() {
		t.original[index] = superOf(s.link.Attrs())
	}
	if err := t.buildRoot(q, &s); err != nil {
		return err
	}
	if q.root.kind == "htb" {
		if err := t.buildClasses(q, s); err != nil {
			return err
		}
	}
	for _, l := range q.leaves {
		if err := t.buildLeaf(index, l, s.leaves); err != nil {
			return fmt.Errorf("queue of %s on %s: %w", l.class, q.link.Interface, err)
		}
	}
	if q = q.fit(s.link.Attrs()); q.super > 0 && s.link.Attrs().GSOMaxSize != q.super {
		if err := t.handle.LinkSetGSOMaxSize(s.link, int(q.super)); err != nil {
			return fmt.Errorf("limiting super-packets on %s: %w", q.link.Interface, err)
		}
	}
	return t.buildPriorities(q, s)
}

func (t traffic) buildRoot(q queues, s *linkState) error {
	index := s.link.Attrs().Index
	if s.root != nil && s.root.handle == q.root.handle && s.root.describe() == q.root.describe() {
		return nil
	}
	if s.root != nil { // ours with other options, or somebody's in the place of ours
		if err := t.drop(index, s.root.handle, netlink.HANDLE_ROOT); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("removing the queues of %s: %w", q.link.Interface, err)
		}
	}
	if err := t.put(index, q.root); err != nil {
		return fmt.Errorf("making %s on %s: %w", q.root.kind, q.link.Interface, err)
	}
	t.taken[q.link.Interface] = true
	s.root, s.leaves, s.classes = &found{handle: q.root.handle, kind: q.root.kind}, nil, nil
	return nil
}

func (t traffic) buildClasses(q queues, s linkState) error {
	index := s.link.Attrs().Index
	for _, c := range q.classes {
		if slices.ContainsFunc(s.classes, func(k *netlink.HtbClass) bool { return k.Handle == c.handle && describeClass(k) == c.describe() }) {
			continue
		}
		if err := t.handle.ClassReplace(c.kernel(index)); err != nil {
			return fmt.Errorf("class %s of %s: %w", netlink.HandleStr(c.handle), q.link.Interface, err)
		}
	}
	for _, k := range s.classes {
		if !slices.ContainsFunc(q.classes, func(c tcClass) bool { return c.handle == k.Handle }) {
			if err := t.handle.ClassDel(k); err != nil {
				return fmt.Errorf("removing class %s of %s: %w", netlink.HandleStr(k.Handle), q.link.Interface, err)
			}
		}
	}
	return nil
}

func (c tcClass) kernel(index int) netlink.Class {
	return &netlink.HtbClass{
		ClassAttrs: netlink.ClassAttrs{LinkIndex: index, Handle: c.handle, Parent: c.parent},
		Rate:       c.rate / 8, Ceil: c.ceil / 8, Buffer: ticks(c.rate, c.burst), Cbuffer: ticks(c.ceil, c.burst), Quantum: c.quantum, Prio: c.prio,
	}
}

func (t traffic) buildLeaf(index int, l leaf, have []found) error {
	for {
		d := t.kind(l)
		i := slices.IndexFunc(have, func(f found) bool { return f.parent == d.parent })
		if i >= 0 && have[i].handle == d.handle && have[i].describe() == d.describe() {
			return nil
		}
		if i >= 0 && (have[i].kind != d.kind || have[i].handle != d.handle) {
			if err := t.drop(index, have[i].handle, d.parent); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		err := t.put(index, d)
		if err == nil || t.lost[d.kind] || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
		t.lost[d.kind] = true
	}
}

func (t traffic) buildPriorities(q queues, s linkState) error {
	vlan, ok := s.link.(*netlink.Vlan)
	if !ok {
		return nil
	}
	wanted := map[uint32]uint32{}
	for i, p := range q.priority {
		if from := Slot(i + 1).priority(); vlan.EgressQosMap[from] != p {
			wanted[from] = p
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	if err := t.setPriorities(s.link.Attrs().Index, wanted); err != nil {
		return fmt.Errorf("802.1p of %s: %w", q.link.Interface, err)
	}
	return nil
}

// release takes away what we made on a link. Super-packets may be as large again as they were.
func (t traffic) release(name string) error {
	s, err := t.look(name)
	if err != nil {
		return nil // a link that is gone has no queues of ours
	}
	var errs []error
	index := s.link.Attrs().Index
	if s.ours() {
		errs = append(errs, t.drop(index, handle(0), netlink.HANDLE_ROOT), t.restore(s.link))
	}
	if vlan, ok := s.link.(*netlink.Vlan); ok {
		none := map[uint32]uint32{}
		for from := range vlan.EgressQosMap {
			if from>>16 == Major {
				none[from] = 0
			}
		}
		if len(none) > 0 {
			errs = append(errs, t.setPriorities(index, none))
		}
	}
	delete(t.taken, name)
	return errors.Join(errs...)
}

// all returns the names of the links on which something is ours, whoever left it there.
func (t traffic) all() ([]string, error) {
	links, err := t.handle.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	var names []string
	for _, l := range links {
		name := l.Attrs().Name
		s, err := t.look(name)
		if err != nil {
			continue
		}
		vlan, isVLAN := s.link.(*netlink.Vlan)
		marked := false
		if isVLAN {
			for from := range vlan.EgressQosMap {
				marked = marked || from>>16 == Major
			}
		}
		if s.ours() || marked {
			names = append(names, name)
		}
	}
	return names, nil
}

// lostKinds names the disciplines that the kernel turned out not to have.
func (t traffic) lostKinds() string {
	var kinds []string
	for k, lost := range t.lost {
		if lost {
			kinds = append(kinds, k)
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, ", ")
}

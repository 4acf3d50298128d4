package enforce

import (
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"meetzone/dscp"
)

// Queues of a link with a rate:
//
//	htb 4d5a:            what has the priority of a slot goes to its class, everything else to the slot of others
//	└─ 4d5a:100          the rate of the link
//	   ├─ 4d5a:1 audio   served first, up to its ceiling
//	   ├─ 4d5a:2 …       in the order of the bands; within its share a class is always served, what is over goes to the first band that wants it
//	   └─ 4d5a:8 bulk
//	      └─ fq_codel, fq or bfifo: whatever the kernel has first
//
// and of one without, where the kernel has ets: a band for each slot, those of the bands 0 and 1 strictly first, the rest by their shares.

// rootClass is the minor number of the class that has the link's rate.
const rootClass = 0x100

// share is what part of a link's rate a class has in any case, in percent. The sum is 100.
var share = [numSlots]uint64{
	dscp.Audio: 30, dscp.Video: 30, dscp.Content: 15, dscp.Signalling: 6, dscp.Cluster: 6, dscp.Management: 4, others: 7, dscp.Bulk: 2,
}

// audioCeiling is the most that audio takes of a link, in percent: a flood in the first band must not starve the rest.
const audioCeiling = 50

// Bounds of what waits on a link.
const (
	oneMillisecond = 8000 // divides a rate in bits a second into bytes a millisecond
	superPacketMS  = 2    // what one super-packet may take on the wire
	leastSuper     = 3100 // two full packets
	mostSuper      = 65536
	waitMS         = 100 // of a class with a plain queue, at the link's rate
	waitAudioMS    = 40
	fullPacket     = 1600
)

// qdisc is a wanted queueing discipline.
type qdisc struct {
	handle, parent uint32
	kind           string
	limit          uint32 // bytes for bfifo, packets for fq_codel and fq
	defaultSlot    Slot   // of htb
	strict         int    // bands of ets
	quanta         []uint32
}

// tcClass is a wanted class of htb.
type tcClass struct {
	handle, parent uint32
	rate, ceil     uint64 // bits a second
	burst          uint32 // bytes
	quantum        uint32
	prio           uint32
}

// queues is what is wanted of a link.
type queues struct {
	link     Link
	root     qdisc
	classes  []tcClass
	leaves   []leaf
	super    uint32           // largest super-packet in bytes; 0: as it is
	priority [numSlots]uint32 // 802.1p by slot - 1
}

// leaf is a queue below a class. The first of its kinds that the kernel has is the one.
type leaf struct {
	kinds []qdisc
	class dscp.Class
}

func handle(minor uint32) uint32 { return Major<<16 | minor }

// newQueues makes the queues of a link. ets tells whether the kernel has that discipline.
func newQueues(l Link, p dscp.Profile, ets bool) (q queues, ok bool) {
	q.link = l
	for i, c := range order(p) {
		if c != others {
			q.priority[i] = uint32(p.Marks[c].Priority)
		}
	}
	if l.Rate > 0 {
		q.addHTB(p)
		q.super = SuperPacket(l.Rate)
		return q, true
	}
	if !ets {
		return q, false
	}
	q.addETS(p)
	return q, true
}

// SuperPacket is the most bytes that one super-packet may have on a link of that many bits a second, so that nothing waits longer than
// 2 ms behind it.
func SuperPacket(rate uint64) uint32 {
	return uint32(min(max(rate/oneMillisecond*superPacketMS, leastSuper), mostSuper))
}

// fit bounds what is wanted by what the card of the link can do: the kernel would cut it, and the two would never agree.
func (q queues) fit(a *netlink.LinkAttrs) queues {
	q.super = largestOf(a, q.super)
	return q
}

// largestOf bounds the size of super-packets by what the card can segment; 0 of a kernel that does not tell.
func largestOf(a *netlink.LinkAttrs, size uint32) uint32 {
	if a.TSOMaxSize == 0 {
		return size
	}
	return min(size, a.TSOMaxSize)
}

func (q *queues) addHTB(p dscp.Profile) {
	slot := slots(p)
	rate := q.link.Rate
	burst := uint32(max(rate/oneMillisecond, 2*fullPacket))
	q.root = qdisc{handle: handle(0), parent: netlink.HANDLE_ROOT, kind: "htb", defaultSlot: slot[others]}
	q.classes = append(q.classes, tcClass{handle: handle(rootClass), parent: handle(0), rate: rate, ceil: rate, burst: burst, quantum: fullPacket})
	for _, c := range order(p) {
		ceil := rate
		if c == dscp.Audio {
			ceil = rate * audioCeiling / 100
		}
		q.classes = append(q.classes, tcClass{
			handle: handle(uint32(slot[c])), parent: handle(rootClass), prio: uint32(band(p, c)),
			rate: max(rate*share[c]/100, 8000), ceil: ceil, burst: burst, quantum: uint32(fullPacket * max(1, share[c]/5)),
		})
		q.addLeaf(c, slot[c], rate)
	}
}

// addLeaf chooses what a class waits in. Audio is small and has one flow a person: a plain queue, short. Elsewhere one flow must not
// make the others wait, and a queue that stands must tell its senders.
func (q *queues) addLeaf(c dscp.Class, s Slot, rate uint64) {
	at := qdisc{handle: uint32(Major+s) << 16, parent: handle(uint32(s))}
	plain := func(ms uint64) qdisc {
		one := at
		one.kind, one.limit = "bfifo", uint32(max(rate/oneMillisecond*ms, 10*fullPacket))
		return one
	}
	if c == dscp.Audio {
		q.leaves = append(q.leaves, leaf{[]qdisc{plain(waitAudioMS)}, c})
		return
	}
	codel, fq := at, at
	codel.kind, codel.limit = "fq_codel", 4096
	fq.kind, fq.limit = "fq", 4096
	q.leaves = append(q.leaves, leaf{[]qdisc{codel, fq, plain(waitMS)}, c})
}

func (q *queues) addETS(p dscp.Profile) {
	slot := slots(p)
	q.root = qdisc{handle: handle(0), parent: netlink.HANDLE_ROOT, kind: "ets", defaultSlot: slot[others]}
	for _, c := range order(p) {
		if band(p, c) <= 1 && q.root.quanta == nil {
			q.root.strict++
		} else {
			q.root.quanta = append(q.root.quanta, uint32(fullPacket*max(1, share[c]/2)))
		}
		q.addLeaf(c, slot[c], etsLeafRate)
	}
}

// etsLeafRate stands for the unknown rate of a link when its plain queues are bounded.
const etsLeafRate = 1_000_000_000

// describe writes a discipline as the kernel's copy of it is written.
func (d qdisc) describe() string {
	switch d.kind {
	case "htb":
		return fmt.Sprintf("htb default %x", d.defaultSlot)
	case "ets":
		return fmt.Sprintf("ets strict %d quanta %v default %x", d.strict, d.quanta, d.defaultSlot)
	}
	return fmt.Sprintf("%s limit %d", d.kind, d.limit)
}

func (c tcClass) describe() string {
	return fmt.Sprintf("parent %s rate %d ceil %d burst %d quantum %d prio %d", netlink.HandleStr(c.parent), c.rate/8, c.ceil/8, ticks(c.rate, c.burst), c.quantum, c.prio)
}

// ticks is a burst as the kernel keeps it.
func ticks(rate uint64, burst uint32) uint32 { return netlink.Xmittime(rate/8, burst) }

// describe writes the queues as they are compared. kind chooses among the kinds of a leaf.
func (q queues) describe(kind func(leaf) qdisc, vlan bool) []string {
	at := " of " + q.link.Interface
	lines := []string{"root qdisc" + at + "\x00" + q.root.describe()}
	for _, c := range q.classes {
		lines = append(lines, "class "+netlink.HandleStr(c.handle)+at+"\x00"+c.describe())
	}
	for _, l := range q.leaves {
		d := kind(l)
		lines = append(lines, "qdisc of class "+netlink.HandleStr(d.parent)+at+"\x00"+d.describe())
	}
	if q.super > 0 {
		lines = append(lines, fmt.Sprintf("largest super-packet%s\x00%d", at, q.super))
	}
	if vlan {
		for i, p := range q.priority {
			lines = append(lines, fmt.Sprintf("802.1p of %s%s\x00%d", netlink.HandleStr(Slot(i+1).priority()), at, p))
		}
	}
	slices.Sort(lines)
	return lines
}

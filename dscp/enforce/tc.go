package enforce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// traffic is the kernel's traffic control and links, by rtnetlink.
type traffic struct {
	handle *netlink.Handle
	socket *nl.NetlinkSocket // for what the library has no words for
	lost   map[string]bool   // kinds of disciplines that the kernel does not have
	taken  map[string]bool   // links whose root was ours in this life: what stands there now has replaced it

	original map[int]super // by index of a link, from before it was ours
}

func openTraffic() (t traffic, err error) {
	t.lost, t.taken = map[string]bool{}, map[string]bool{}
	t.original = map[int]super{}
	if t.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return t, err
	}
	t.socket, err = nl.Subscribe(unix.NETLINK_ROUTE)
	return t, err
}

func (t traffic) close() {
	if t.handle != nil {
		t.handle.Close()
	}
	if t.socket != nil {
		t.socket.Close()
	}
}

// request is one of our own making.
func (t traffic) request(kind, flags int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: t.socket}}
	return r
}

// found is a queueing discipline in the kernel.
type found struct {
	handle, parent uint32
	kind           string
	options        []byte
}

// qdiscs lists those of a link.
func (t traffic) qdiscs(index int) ([]found, error) {
	r := t.request(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	r.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index)})
	messages, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing queueing disciplines: %w", err)
	}
	var list []found
	for _, m := range messages {
		if len(m) < unix.SizeofRtAttr+16 {
			continue
		}
		msg := nl.DeserializeTcMsg(m)
		if int(msg.Ifindex) != index {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[msg.Len():])
		if err != nil {
			return nil, fmt.Errorf("reading queueing disciplines: %w", err)
		}
		one := found{handle: msg.Handle, parent: msg.Parent}
		for _, a := range attrs {
			switch a.Attr.Type {
			case nl.TCA_KIND:
				one.kind = strings.TrimRight(string(a.Value), "\x00")
			case nl.TCA_OPTIONS:
				one.options = slices.Clone(a.Value)
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// describe reads the options that we set.
func (f found) describe() string {
	d := qdisc{kind: f.kind}
	switch f.kind {
	case "bfifo", "pfifo":
		if len(f.options) >= 4 {
			d.limit = binary.NativeEndian.Uint32(f.options)
		}
		return d.describe()
	case "htb":
		if init := attribute(f.options, nl.TCA_HTB_INIT); len(init) >= 12 {
			d.defaultSlot = Slot(binary.NativeEndian.Uint32(init[8:]))
		}
		return d.describe()
	case "fq_codel":
		d.limit = number(attribute(f.options, nl.TCA_FQ_CODEL_LIMIT))
		return d.describe()
	case "fq":
		d.limit = number(attribute(f.options, nl.TCA_FQ_PLIMIT))
		return d.describe()
	case "ets":
		return f.describeETS()
	}
	return f.kind
}

func (f found) describeETS() string {
	d := qdisc{kind: "ets", strict: int(number(attribute(f.options, etsStrict)))}
	bands, _ := nl.ParseRouteAttr(attribute(f.options, etsQuanta))
	weighted := int(number(attribute(f.options, etsBands))) - d.strict
	for _, b := range bands[min(len(bands), max(0, len(bands)-weighted)):] { // strict bands have none
		d.quanta = append(d.quanta, number(b.Value))
	}
	priorities, _ := nl.ParseRouteAttr(attribute(f.options, etsPriorities))
	for i, p := range priorities {
		if s := Slot(number(p.Value) + 1); i == 0 {
			d.defaultSlot = s
		} else if s != d.defaultSlot {
			d.defaultSlot = 0
		}
	}
	return d.describe()
}

// The attributes of ets, which the library does not know (linux/pkt_sched.h).
const (
	etsBands        = 1
	etsStrict       = 2
	etsQuanta       = 3
	etsQuantaBand   = 4
	etsPriorities   = 5
	etsPriorityBand = 6
)

// attribute returns the value of one attribute; nil where there is none.
func attribute(options []byte, kind uint16) []byte {
	attrs, err := nl.ParseRouteAttr(options)
	if err != nil {
		return nil
	}
	for _, a := range attrs {
		if a.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == kind {
			return a.Value
		}
	}
	return nil
}

// number reads an attribute of one or four bytes.
func number(b []byte) uint32 {
	switch {
	case len(b) >= 4:
		return binary.NativeEndian.Uint32(b)
	case len(b) >= 1:
		return uint32(b[0])
	}
	return 0
}

// options writes a discipline's options.
func (d qdisc) options() *nl.RtAttr {
	switch d.kind {
	case "bfifo", "pfifo":
		return nl.NewRtAttr(nl.TCA_OPTIONS, nl.Uint32Attr(d.limit))
	}
	o := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	if d.kind == "ets" {
		o.Type |= unix.NLA_F_NESTED // the newer disciplines insist
	}
	switch d.kind {
	case "htb":
		glob := nl.TcHtbGlob{Version: 3, Rate2Quantum: 10, Defcls: uint32(d.defaultSlot)}
		o.AddRtAttr(nl.TCA_HTB_INIT, glob.Serialize())
	case "fq_codel":
		o.AddRtAttr(nl.TCA_FQ_CODEL_LIMIT, nl.Uint32Attr(d.limit))
		o.AddRtAttr(nl.TCA_FQ_CODEL_ECN, nl.Uint32Attr(1))
	case "fq":
		o.AddRtAttr(nl.TCA_FQ_PLIMIT, nl.Uint32Attr(d.limit))
	case "ets":
		o.AddRtAttr(etsBands, nl.Uint8Attr(uint8(d.strict+len(d.quanta))))
		o.AddRtAttr(etsStrict, nl.Uint8Attr(uint8(d.strict)))
		quanta := o.AddRtAttr(etsQuanta|unix.NLA_F_NESTED, nil)
		for _, q := range d.quanta {
			quanta.AddRtAttr(etsQuantaBand, nl.Uint32Attr(q))
		}
		priorities := o.AddRtAttr(etsPriorities|unix.NLA_F_NESTED, nil)
		for range 16 {
			priorities.AddRtAttr(etsPriorityBand, nl.Uint8Attr(uint8(d.defaultSlot-1)))
		}
	}
	return o
}

// put makes or changes a discipline.
func (t traffic) put(index int, d qdisc) error {
	r := t.request(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	r.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: d.handle, Parent: d.parent})
	r.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(d.kind)))
	r.AddData(d.options())
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// drop deletes a discipline.
func (t traffic) drop(index int, handle, parent uint32) error {
	r := t.request(unix.RTM_DELQDISC, unix.NLM_F_ACK)
	r.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: handle, Parent: parent})
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// setPriorities changes the egress map of a VLAN; the entries that are not named stay.
func (t traffic) setPriorities(index int, to map[uint32]uint32) error {
	r := t.request(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	r.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("vlan"))
	m := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_VLAN_EGRESS_QOS, nil)
	for from, priority := range to {
		m.AddRtAttr(nl.IFLA_VLAN_QOS_MAPPING, append(nl.Uint32Attr(from), nl.Uint32Attr(priority)...))
	}
	r.AddData(info)
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

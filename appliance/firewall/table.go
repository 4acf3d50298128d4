package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Table is the name of the box's table, of the family inet.
const Table = "meetzone_input"

// Names of rules, which their comments in the kernel are; those of openings are the openings'.
const (
	nameOther       = "other interfaces"
	nameLoopback    = "loopback"
	nameEstablished = "answers"
	nameICMP        = "icmp"
	namePing        = "ping"
	nameDHCP        = "dhcp"
	nameDropped     = "dropped"
)

// chain is one chain and its rules, as wanted or as the kernel has them.
type chain struct {
	name     string
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	drop     bool // the policy
	rules    []rule
}

type rule struct {
	name  string
	exprs []expr.Any
}

// guarded is the chain in which the interfaces of the document end.
const guarded = "guarded"

// chains is the table as it is wanted.
func (w Wanted) chains() []chain {
	input := chain{name: "input", hook: nftables.ChainHookInput, drop: true, rules: []rule{{nameLoopback, accepted(matchIface("lo"))}}}
	for _, name := range w.Interfaces {
		input.rules = append(input.rules, rule{"", append(matchIface(name), &expr.Verdict{Kind: expr.VerdictGoto, Chain: guarded})})
	}
	input.rules = append(input.rules, rule{nameOther, accepted(nil)})
	in := chain{name: "untracked_in", hook: nftables.ChainHookPrerouting, priority: -300, rules: w.untracked(2)}
	out := chain{name: "untracked_out", hook: nftables.ChainHookOutput, priority: -300, rules: w.untracked(0)}
	return []chain{in, out, {name: guarded, rules: w.guarded()}, input}
}

// untracked keeps what comes to open ports, or leaves them, out of the table of connections; the offset is that of the port in the transport header.
func (w Wanted) untracked(offset uint32) (rules []rule) {
	var seen []string
	for _, o := range w.Open {
		if key := fmt.Sprint(o.UDP, o.Port); !slices.Contains(seen, key) {
			seen = append(seen, key)
			rules = append(rules, rule{"", append(matchPort(o.UDP, offset, o.Port), &expr.Notrack{})})
		}
	}
	return rules
}

func (w Wanted) guarded() (rules []rule) {
	for _, o := range w.Open {
		for _, name := range o.Interfaces {
			match := append(matchIface(name), matchPort(o.UDP, 2, o.Port)...)
			if len(o.From) == 0 {
				rules = append(rules, rule{o.Name, accepted(match)})
			}
			for _, from := range o.From {
				rules = append(rules, rule{o.Name, accepted(append(slices.Clone(match), matchSource(from)...))})
			}
		}
	}
	rules = append(rules, rule{nameEstablished, accepted(matchEstablished())})
	for _, t := range []uint8{3, 11, 12} { // unreachable, time exceeded, parameter problem (RFC 4890 asks for their like of IPv6)
		rules = append(rules, rule{nameICMP, accepted(matchICMP(unix.IPPROTO_ICMP, t))})
	}
	for _, t := range []uint8{1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 143} { // errors, listeners, neighbours and routers
		rules = append(rules, rule{nameICMP, accepted(matchICMP(unix.IPPROTO_ICMPV6, t))})
	}
	rate := &expr.Limit{Type: expr.LimitTypePkts, Rate: pingRate, Unit: expr.LimitTimeSecond, Burst: pingRate}
	rules = append(rules, rule{namePing, accepted(append(matchICMP(unix.IPPROTO_ICMP, 8), rate))}, rule{namePing, accepted(append(matchICMP(unix.IPPROTO_ICMPV6, 128), rate))})
	for _, name := range w.DHCP {
		rules = append(rules, rule{nameDHCP, accepted(slices.Concat(matchIface(name), matchPort(true, 0, 67), []expr.Any{port(2), is(ports(68))}))})
	}
	return append(rules, rule{nameDropped, []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}})
}

// pingRate bounds pings a second, of each family.
const pingRate = 50

// ---- expressions, all in register 1

func is(value []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: value}
}

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: unix.NFT_REG_1} }

func accepted(match []expr.Any) []expr.Any {
	return append(slices.Clone(match), &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
}

func matchIface(name string) []expr.Any {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return []expr.Any{meta(expr.MetaKeyIIFNAME), is(b)}
}

// port loads a port of the transport header.
func port(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}
}

func ports(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func matchPort(udp bool, offset uint32, n uint16) []expr.Any {
	proto := byte(unix.IPPROTO_TCP)
	if udp {
		proto = unix.IPPROTO_UDP
	}
	return []expr.Any{meta(expr.MetaKeyL4PROTO), is([]byte{proto}), port(offset), is(ports(n))}
}

func matchICMP(proto, kind uint8) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyL4PROTO), is([]byte{proto}), &expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}, is([]byte{kind})}
}

func matchEstablished() []expr.Any {
	bits := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: unix.NFT_REG_1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: bits, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: make([]byte, 4)},
	}
}

func matchSource(from netip.Prefix) []expr.Any {
	addr, proto, offset := from.Masked().Addr().AsSlice(), byte(unix.NFPROTO_IPV4), uint32(12)
	if from.Addr().Is6() {
		proto, offset = unix.NFPROTO_IPV6, 8
	}
	bits := make([]byte, len(addr))
	for i := range from.Bits() {
		bits[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{meta(expr.MetaKeyNFPROTO), is([]byte{proto}),
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(addr))},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: uint32(len(addr)), Mask: bits, Xor: make([]byte, len(addr))}, is(addr)}
}

// describe is a form of chains in which ours and the kernel's copy of them are equal: a line for each chain and rule, in order.
func describe(chains []chain) (lines []string) {
	chains = slices.Clone(chains)
	slices.SortFunc(chains, func(a, b chain) int { return strings.Compare(a.name, b.name) })
	for _, c := range chains {
		line := "chain " + c.name
		if c.hook != nil {
			line += fmt.Sprintf(" at hook %d, priority %d, drop %v", *c.hook, c.priority, c.drop)
		}
		lines = append(lines, line)
		for i, r := range c.rules {
			lines = append(lines, fmt.Sprintf("rule %d of %s (%s): %s", i+1, c.name, r.name, normal(r.exprs)))
		}
	}
	return lines
}

// normal is a rule without what the kernel counts.
func normal(exprs []expr.Any) string {
	var b strings.Builder
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Counter:
			b.WriteString("counter;")
		case *expr.Limit:
			fmt.Fprintf(&b, "limit %d %d %d %v;", e.Rate, e.Unit, e.Burst, e.Over)
		case *expr.Verdict:
			fmt.Fprintf(&b, "verdict %d %s;", e.Kind, e.Chain)
		default:
			fmt.Fprintf(&b, "%T%+v;", e, e)
		}
	}
	return b.String()
}

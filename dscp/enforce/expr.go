package enforce

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// The expressions of our rules. Registers: 1 and, behind the 16 bytes of an interface name, 2.

const (
	reg1 = unix.NFT_REG_1
	reg2 = unix.NFT_REG_2
)

// is compares register 1 with a value.
func is(value []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: value} }

func isNot(value []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: value} }

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: reg1} }

// family matches one address family.
func family(proto byte) []expr.Any { return []expr.Any{meta(expr.MetaKeyNFPROTO), is([]byte{proto})} }

// ifname is a name as the kernel keeps it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// nameOf reads a name that the kernel keeps.
func nameOf(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// overLoopback matches what goes to, or comes from, the host itself.
func overLoopback(key expr.MetaKey) []expr.Any {
	return []expr.Any{meta(key), is(binaryutil.NativeEndian.PutUint16(unix.ARPHRD_LOOPBACK))}
}

func load(register, offset, size uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}
}

func mask(register uint32, and, xor []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: uint32(len(and)), Mask: and, Xor: xor}
}

// field is where an address family keeps its six bits.
type field struct {
	proto        byte
	offset, size uint32 // of what is read to compare
	and          []byte // that leaves the code point
	shift        uint   // of the code point in it
	keep         []byte // mask of the first two bytes that leaves everything but the code point
	csum         expr.PayloadCsumType
	csumOffset   uint32
	destination  uint32 // offset of the destination address
}

var (
	ipv4 = field{proto: unix.NFPROTO_IPV4, offset: 1, size: 1, and: []byte{0xfc}, shift: 2, keep: []byte{0xff, 0x03},
		csum: expr.CsumTypeInet, csumOffset: 10, destination: 16}
	ipv6 = field{proto: unix.NFPROTO_IPV6, offset: 0, size: 2, and: []byte{0x0f, 0xc0}, shift: 6, keep: []byte{0xf0, 0x3f}, destination: 24}
)

// value is a code point as load and mask leave it.
func (f field) value(p dscp.CodePoint) []byte {
	if f.size == 1 {
		return []byte{byte(p) << f.shift}
	}
	return binary.BigEndian.AppendUint16(nil, uint16(p)<<f.shift)
}

// point reads value's form.
func (f field) point(b []byte) dscp.CodePoint {
	if f.size == 1 {
		return dscp.CodePoint(b[0] >> f.shift)
	}
	return dscp.CodePoint(binary.BigEndian.Uint16(b) >> f.shift)
}

// read puts the code point of a packet of this family into a register.
func (f field) read(register uint32) []expr.Any {
	return []expr.Any{load(register, f.offset, f.size), mask(register, f.and, make([]byte, f.size))}
}

// write sets the code point and leaves the ECN bits alone.
func (f field) write(p dscp.CodePoint) []expr.Any {
	xor := f.value(p)
	if f.size == 1 {
		xor = []byte{0, xor[0]}
	}
	return []expr.Any{load(reg1, 0, 2), mask(reg1, f.keep, xor), &expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: reg1,
		Base: expr.PayloadBaseNetworkHeader, Offset: 0, Len: 2, CsumType: f.csum, CsumOffset: f.csumOffset}}
}

// to matches a destination.
func (f field) to(prefix netip.Prefix) []expr.Any {
	addr := prefix.Masked().Addr().AsSlice()
	bits := make([]byte, len(addr))
	for i := range prefix.Bits() {
		bits[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{load(reg1, f.destination, uint32(len(addr))), mask(reg1, bits, make([]byte, len(addr))), is(addr)}
}

// count books the packet in a set whose keys are in the registers from 1 on.
func count(set string) expr.Any {
	return &expr.Dynset{SrcRegKey: reg1, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{&expr.Counter{}}}
}

func verdict(kind expr.VerdictKind, chain string) expr.Any {
	return &expr.Verdict{Kind: kind, Chain: chain}
}

// byMark sends a packet to the chain of its class by a verdict map.
func byMark(vmap string) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyMARK), &expr.Lookup{SourceRegister: reg1, SetName: vmap, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true}}
}

// setPriority chooses the queue, and through a VLAN's map the 802.1p priority.
func setPriority(priority uint32) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: reg1, Data: binaryutil.NativeEndian.PutUint32(priority)},
		&expr.Meta{Key: expr.MetaKeyPRIORITY, SourceRegister: true, Register: reg1},
	}
}

// normal is a form of a rule in which ours and the kernel's copy of it are equal: without counters' values and numbers that the kernel gives.
func normal(exprs []expr.Any) string {
	var b strings.Builder
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Counter:
			b.WriteString("counter;")
		case *expr.Dynset:
			fmt.Fprintf(&b, "dynset %d %s %d %v [%s];", e.SrcRegKey, e.SetName, e.Operation, e.Invert, normal(e.Exprs))
		case *expr.Lookup:
			fmt.Fprintf(&b, "lookup %d %s %v %d %v;", e.SourceRegister, e.SetName, e.Invert, e.DestRegister, e.IsDestRegSet)
		default:
			fmt.Fprintf(&b, "%T%+v;", e, e)
		}
	}
	return b.String()
}

// interfaceKey is the type of keys of an interface name and something else, padded to whole registers.
func interfaceKey(rest nftables.SetDatatype) nftables.SetDatatype {
	return nftables.MustConcatSetType(nftables.TypeIFName, rest)
}

package capture

import (
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// classFilter is a program for the kernel that keeps one class: what leaves with its fwmark, what arrives with its code point. Without one it keeps all.
func classFilter(class *dscp.Class, marks dscp.Marks) ([]bpf.RawInstruction, error) {
	if class == nil {
		return bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: wholePacket}})
	}
	tos := uint32(marks[*class].TOS())
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 2},
		bpf.LoadExtension{Num: bpf.ExtMark},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: class.Fwmark(), SkipTrue: 10, SkipFalse: 9},
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 3},
		bpf.LoadAbsolute{Off: 15, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfc},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: tos, SkipTrue: 5, SkipFalse: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IPV6, SkipTrue: 3},
		bpf.LoadAbsolute{Off: 14, Size: 2},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x0fc0},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: tos << 4, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: wholePacket},
	})
}

// flows is the media that are to be kept.
type flows map[Flow]bool

func newFlows(list []Flow) flows {
	f := make(flows, len(list))
	for i, one := range list {
		if i == MaxFlows {
			break
		}
		f[Flow{plain(one.Local), plain(one.Remote)}] = true
	}
	return f
}

func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// has tells whether a packet belongs to one of them. A transport that does not know its local address is known by the remote one.
func (f flows) has(h headers) bool {
	nowhere := func(a netip.AddrPort) Flow { return Flow{Remote: a} }
	return f[Flow{h.src, h.dst}] || f[Flow{h.dst, h.src}] || f[nowhere(h.src)] || f[nowhere(h.dst)]
}

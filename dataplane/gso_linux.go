package dataplane

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The kernel's rules for one UDP_SEGMENT message, besides maxBurst (udp(7), RFC 768).
const maxSuperPacket = 65507

// egresses are the local addresses from which the kernel refused to send super-packets (a transform or, on older kernels, a device
// without checksum offload is in the way). An egress is known by the local address, which all datagrams of one flow share.
type egresses struct {
	without atomic.Pointer[[][16]byte] // never changed, only replaced

	mu sync.Mutex // held while replacing
}

// maxEgresses bounds the list; beyond it the first ones are forgotten and learnt again.
const maxEgresses = 256

// latched tells whether nothing is to be coalesced from this address.
func (e *egresses) latched(local *[16]byte) bool {
	list := e.without.Load()
	return list != nil && slices.Contains(*list, *local)
}

// latch switches coalescing off for an address; false when it was off before.
func (e *egresses) latch(local [16]byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.latched(&local) {
		return false
	}
	var list [][16]byte
	if old := e.without.Load(); old != nil {
		list = append(list, *old...)
	}
	if len(list) >= maxEgresses {
		list = list[1:]
	}
	list = append(list, local)
	e.without.Store(&list)
	return true
}

func (e *egresses) list() (addrs []netip.Addr) {
	if list := e.without.Load(); list != nil {
		for _, a := range *list {
			addrs = append(addrs, netip.AddrFrom16(a).Unmap())
		}
	}
	return addrs
}

// resendSingly sends the datagrams of a super-packet that the kernel refused one by one. When the first one passes, it was the
// segmentation that was refused, and the egress goes without from now on.
func (w *Worker) resendSingly(x *exit, q *queue, i int, refusal unix.Errno) {
	m := &q.msgs[i]
	w.stats.GSORefused++
	q.hdrs[i].hdr.SetControllen(m.controlLen)
	for sent := 0; sent < m.size; {
		n := min(m.segment, m.size-sent)
		q.iovs[i].Base = &q.arena[m.at+sent]
		q.iovs[i].SetLen(n)
		k, errno := sendmmsg(x.fd, q.hdrs[i:i+1])
		w.stats.SendCalls++
		switch {
		case k == 1:
			w.countOut(m.class, 1, n)
			if sent == 0 && w.plane.egresses.latch(m.path.local) {
				w.log.Warn("egress refuses UDP_SEGMENT, sending singly from now on", "local", m.path.Local(), "error", refusal)
			}
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			w.stats.SendDrops[m.class]++
		default:
			w.countRefused(m.class, 1, errno)
		}
		sent += n
	}
}

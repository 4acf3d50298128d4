package dataplane

import (
	"sync/atomic"
	"unsafe"

	"meetzone/dscp"
)

// Count is a number of datagrams and the bytes of their payloads.
type Count struct{ Datagrams, Bytes uint64 }

func (c *Count) add(datagrams, bytes int) {
	c.Datagrams += uint64(datagrams)
	c.Bytes += uint64(bytes)
}

// WorkerStats are the counters of one worker since the plane was opened. They consist of nothing but uint64.
type WorkerStats struct {
	In, Out Count
	// InByClass goes by the code point as received and our own marks; where several classes share one, the first has it. InUnknown is
	// the rest.
	InByClass  [dscp.NumClasses]Count
	InUnknown  Count
	OutByClass [dscp.NumClasses]Count

	SuperPacketsIn  uint64 // messages that the kernel had joined (GRO)
	SuperPacketsOut uint64 // messages that the kernel had to cut up (GSO)
	MessagesIn      uint64
	MessagesOut     uint64
	ReceiveCalls    uint64
	SendCalls       uint64
	PollCalls       uint64

	KernelDrops   uint64 // datagrams lost for want of room in the receive buffer (SO_RXQ_OVFL)
	ReceiveErrors uint64
	Oversize      uint64 // received, but larger than MaxDatagram
	Misaddressed  uint64 // received on a multicast or broadcast address

	SendDrops  [dscp.NumClasses]uint64 // datagrams not sent since the send buffer was full
	SendErrors [dscp.NumClasses]uint64 // datagrams the kernel refused, or for which there is no socket
	TooBig     uint64                  // of these: larger than the egress or MaxDatagram allows
	GSORefused uint64                  // super-packets that were refused and sent singly

	HandedOver    uint64 // to other workers
	TakenOver     uint64 // from other workers
	HandOverDrops uint64 // not handed over, since the ring was full
	Tasks         uint64
}

const statWords = int(unsafe.Sizeof(WorkerStats{}) / 8)

func (s *WorkerStats) words() *[statWords]uint64 { return (*[statWords]uint64)(unsafe.Pointer(s)) }

// published is a copy of a worker's counters that others may read at any time; single counters are exact, sums may be torn.
type published [statWords]atomic.Uint64

// update brings the copy up to date; it writes only what has changed.
func (p *published) update(s *WorkerStats) {
	for i, v := range s.words() {
		if p[i].Load() != v {
			p[i].Store(v)
		}
	}
}

func (p *published) read() (s WorkerStats) {
	for i := range p {
		s.words()[i] = p[i].Load()
	}
	return s
}

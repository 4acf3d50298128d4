package bwe

import "math"

// historyLen is how many numbered packets are remembered, a power of two: two seconds at 15 Mbit/s.
const historyLen = 4096

// What has become of a packet.
const (
	underway uint8 = iota
	lost
	arrived
)

// sent is a packet that was numbered.
type sent struct {
	at    Time
	size  uint16
	path  uint8
	probe uint8 // the low bits of the probe it was part of, 0 for none
	fate  uint8
}

// history remembers what was sent, by number.
type history struct {
	ring []sent // place number%historyLen; nil before the first packet
	next uint64 // number of the next packet, wide
}

// firstNumber is in the second cycle, so that there are numbers before it.
const firstNumber = 1 << 16

// count is how many packets were numbered.
func (h *history) count() uint64 { return max(h.next, firstNumber) - firstNumber }

// add numbers a packet.
func (h *history) add(p sent) uint16 {
	if h.ring == nil {
		h.ring = make([]sent, historyLen)
		h.next = firstNumber
	}
	n := h.next
	h.ring[n%historyLen] = p
	h.next++
	return uint16(n)
}

// wide returns the wide number of a 16-bit one: the newest that was given to a packet and has its bits.
func (h *history) wide(n uint16) uint64 {
	last := h.next - 1
	return last - uint64(uint16(last)-n)
}

// find returns what was sent with a wide number, nil when that is forgotten.
func (h *history) find(wide uint64) *sent {
	if wide >= h.next || wide < firstNumber || h.next-wide > historyLen {
		return nil
	}
	return &h.ring[wide%historyLen]
}

// clampSize fits a size into its field.
func clampSize(n int) uint16 { return uint16(min(max(n, 0), math.MaxUint16)) }

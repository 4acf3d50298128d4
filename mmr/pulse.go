package mmr

import (
	"time"

	"meetzone/dataplane"
)

// Pulses: a transport on which nothing was sent for a moment gets an empty receiver report. So a path is never quiet for more than two
// intervals while it lives, and a client that hears nothing for a second knows that it is dead, long before ICE would say so (browsers take
// 5.7 s to call a path disconnected).

// pulseEvery is how often transports are looked at.
const pulseEvery = dataplane.Instant(150 * time.Millisecond)

// emptyReport is a receiver report without blocks. RFC 3550, section 6.4.2: its sender has an SSRC, which nothing else here uses.
var emptyReport = [...]byte{0x80, 201, 0, 1, 0, 0, 0, 1}

// pulse sends on every transport that was quiet since the last look.
func (h *handler) pulse() {
	for _, t := range h.transports {
		if t.ready() && !t.spoke {
			t.sendRTCP(t.class, emptyReport[:])
		}
		t.spoke = false
	}
}

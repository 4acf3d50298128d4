package mmr

import (
	"math/bits"
	"time"

	"meetzone/dataplane"
)

// Pulses: a transport on which nothing was sent for a moment gets an empty receiver report. So a path is never quiet for more than two
// intervals while it lives, and a client that hears nothing for a second knows that it is dead, long before ICE would say so (browsers take
// 5.7 s to call a path disconnected).
//
// The other way round, a transport that brought something steadily and then nothing any more is told to the owner as silent: a client whose way to the box alone is
// broken hears everything, and would wait for ICE. Whether it has sent anything meanwhile only the client knows; people fall silent as well.

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
		t.listen()
	}
}

const (
	// silentPulses without anything make a transport silent: 1.35 s, and not less where the worker itself was held up, which counts as one.
	silentPulses = 9
	// steadyPulses before them, of steadyOf, must have brought something.
	steadyPulses, steadyOf = 5, 8
)

// listen notes whether anything came since the last look, and tells when the transport falls silent and when it is heard again.
func (t *transport) listen() {
	t.heardIn <<= 1
	if t.heard != t.heardLast {
		t.heardLast = t.heard
		t.heardIn |= 1
	}
	silent := t.silent && t.heardIn&1 == 0
	if !silent && t.ready() && t.retired == 0 {
		steady := bits.OnesCount32(t.heardIn>>silentPulses&(1<<steadyOf-1)) >= steadyPulses
		silent = steady && t.heardIn&(1<<silentPulses-1) == 0
	}
	if silent != t.silent {
		t.silent = silent
		t.endpoint.transportsChanged("")
	}
}

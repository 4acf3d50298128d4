package speaker

import "time"

// Loudness is 127 - level: 0 is silence, and speech lies between 80 and 115.
const (
	activeLoudness = 67 // -60 dBov: a voice above is heard
	unvoiced       = 15 // dB off what a sender with voice detection does not call voice

	sizeLoudness = 85 // what a voice without levels counts as when its packet has the usual size
	sizeSilence  = 10 // Opus payload bytes up to which there is no speech

	packetGap = 250 * time.Millisecond // without a packet for so long a voice is silent: packets hold up to 120 ms, and some come late
)

// Voice is one audio stream.
type Voice[T any] struct {
	Owner T

	sum, count int           // loudness of the packets since the last Update
	arrived    time.Duration // of the last packet
	flags      bool          // the sender has used the voice bit
	usualSize  float64

	short, long float64       // loudness, smoothed over about 0.3 s and 1.5 s
	heard       time.Duration // when it was last active
	seated      time.Duration // when it got its seat
	wasActive   bool          // has ever been
	place       int           // in the ranking, -1 without
}

// Level takes the level of a packet: -dBov, 0 loudest, 127 silence; and what the sender's voice detection said.
func (v *Voice[T]) Level(level uint8, voice bool, now time.Duration) {
	v.flags = v.flags || voice
	loudness := 127 - int(level&0x7f)
	if v.flags && !voice {
		loudness -= unvoiced
	}
	v.sum += max(0, loudness)
	v.count++
	v.arrived = now
}

// Size takes the payload length of an Opus packet of a sender that gives no levels.
func (v *Voice[T]) Size(payloadLen int, now time.Duration) {
	v.count++
	v.arrived = now
	if payloadLen <= sizeSilence {
		return
	}
	if v.usualSize == 0 {
		v.usualSize = float64(payloadLen)
	}
	v.usualSize += (float64(payloadLen) - v.usualSize) / 250
	v.sum += int(min(105, sizeLoudness*(0.6+0.4*float64(payloadLen)/v.usualSize)))
}

// settle smooths what came since the last Update. Nothing for a while is silence: the sender pauses, or has gone.
func (v *Voice[T]) settle(now time.Duration) {
	loudness := 0.0
	switch {
	case v.count == 0 && now-v.arrived < packetGap:
		loudness = v.short
	case v.count > 0:
		loudness = float64(v.sum) / float64(v.count)
	}
	v.sum, v.count = 0, 0
	if loudness > v.short {
		v.short += (loudness - v.short) * 0.6
	} else {
		v.short += (loudness - v.short) * 0.25
	}
	v.long += (loudness - v.long) * 0.07
	if v.short >= activeLoudness {
		v.heard, v.wasActive = now, true
	}
}

// activeWithin says whether the voice was heard in the last while.
func (v *Voice[T]) activeWithin(while, now time.Duration) bool {
	return v.wasActive && now-v.heard <= while
}

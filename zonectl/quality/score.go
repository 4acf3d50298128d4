package quality

import (
	"math"
	"time"

	"meetzone/zonectl/wire"
)

// Score is the quality of a flow on the scale of a mean opinion score: 1 bad to 5 excellent, and 0 where nothing came of what should have.
type Score float64

// NoScore means that there was nothing to judge.
const NoScore Score = -1

// Known says that there was something to judge.
func (s Score) Known() bool { return s >= 0 }

// The constants of the formulas; docs/quality.md explains each.
const (
	ratingBest     = 93.2                     // R0 - Is with the defaults of G.107
	packetLossBpl  = 25.1                     // G.113, appendix I: robustness against random loss, with concealment
	codecDelay     = 26500 * time.Microsecond // an Opus packet of 20 ms and 6.5 ms of look-ahead
	bufferedJitter = 2                        // how many times the jitter a jitter buffer holds back

	bitsPerPixelHalf = 0.005 // at which a picture loses half of what its coding can give
	bitsPerPixelBend = 1.2
	fullFrameRate    = 30.0
	frameRateBend    = 7.4
	freezeWeight     = 10.0
	lossFreezes      = 5.0 // how much of the time a share of lost packets freezes, where freezes are not measured
)

// Of returns the score of a flow's figures.
func Of(medium wire.Medium, f Figures) Score {
	switch {
	case f.Packets == 0 && f.Expected:
		return 0
	case f.Packets == 0:
		return NoScore
	case medium == wire.Audio:
		return speech(f)
	case medium == wire.Content:
		return Score(1 + 4*stillness(f))
	}
	return Score(1 + 4*coding(f)*motion(f)*stillness(f))
}

// speech is the E-model: a rating from delay and loss, and the mean opinion score of the rating (G.107, annex B).
func speech(f Figures) Score {
	r := ratingBest - delayImpairment(f) - lossImpairment(f)
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return Score(max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6))
}

// delayImpairment is Id after Cole and Rosenbluth, of the one-way delay of this leg.
func delayImpairment(f Figures) float64 {
	d := f.RoundTrip/2 + codecDelay + bufferedJitter*f.Jitter
	ms := float64(d) / float64(time.Millisecond)
	return 0.024*ms + 0.11*max(0, ms-177.3)
}

// lossImpairment is Ie,eff of G.113 with Ie = 0 and random loss. What the decoder had to make up says more than what the network lost.
func lossImpairment(f Figures) float64 {
	percent := 100 * max(0, f.Loss)
	if f.Concealed >= 0 {
		percent = 100 * f.Concealed
	}
	return 95 * percent / (percent + packetLossBpl)
}

// coding is what the bits per pixel leave of a picture, 0 to 1.
func coding(f Figures) float64 {
	if f.Pixels <= 0 || f.Rate <= 0 {
		return 1
	}
	return 1 - 1/(1+math.Pow(f.Rate/f.Pixels/bitsPerPixelHalf, bitsPerPixelBend))
}

// motion is what the frame rate leaves, 0 to 1.
func motion(f Figures) float64 {
	if f.Frames < 0 {
		return 1
	}
	share := min(1, f.Frames/fullFrameRate)
	return (1 - math.Exp(-frameRateBend*share)) / (1 - math.Exp(-frameRateBend))
}

// stillness is what freezes leave, 0 to 1.
func stillness(f Figures) float64 {
	frozen := f.Frozen
	if frozen < 0 {
		frozen = min(1, lossFreezes*max(0, f.Loss))
	}
	return math.Exp(-freezeWeight * frozen)
}

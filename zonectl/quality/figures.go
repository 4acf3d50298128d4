package quality

import (
	"time"

	"meetzone/zonectl/wire"
)

// Direction is one of the two ways of a medium.
type Direction uint8

// The directions, as the client sees them.
const (
	Up   Direction = iota // client to box
	Down                  // box to client
	numDirections
)

// Directions lists both in the order in which they are shown.
var Directions = [...]Direction{Up, Down}

// String returns "up" or "down".
func (d Direction) String() string { return [...]string{"up", "down", "unknown"}[min(d, 2)] }

// Unknown stands for a share or a rate that nobody has measured.
const Unknown = -1

// Counters is what was counted of one medium in one direction since the participant joined, and what was last measured.
type Counters struct {
	Packets, Bytes, Lost uint64
	Frames, Freezes      uint64
	Frozen               time.Duration // how long pictures stood still in all
	Jitter, RoundTrip    time.Duration
}

// Figures is what one medium of one participant was like in one direction over some time.
type Figures struct {
	Packets   uint64        // that came
	Loss      float64       // share of the packets that never came, 0 to 1, or Unknown
	Jitter    time.Duration // RFC 3550
	RoundTrip time.Duration // 0: not measured
	Rate      float64       // bit/s
	Frames    float64       // per second of one picture, or Unknown
	Freezes   uint64
	Frozen    float64 // share of the time in which the picture stood still, 0 to 1, or Unknown
	Concealed float64 // share of the sound that was made up, 0 to 1, or Unknown
	Pixels    float64 // per second of all pictures together, 0: not known
	Expected  bool    // something should have come
}

// Between says what the counters tell about the time from before to after. Counters that went back began anew meanwhile, with another connection.
func Between(before, after Counters, took time.Duration) Figures {
	f := Figures{Loss: Unknown, Frames: Unknown, Frozen: Unknown, Concealed: Unknown, Jitter: after.Jitter, RoundTrip: after.RoundTrip}
	if after.Packets < before.Packets || after.Bytes < before.Bytes {
		before = Counters{}
	}
	f.Packets = after.Packets - before.Packets
	lost := since(before.Lost, after.Lost)
	if all := f.Packets + lost; all > 0 {
		f.Loss = float64(lost) / float64(all)
	}
	if seconds := took.Seconds(); seconds > 0 {
		f.Rate = float64(after.Bytes-before.Bytes) * 8 / seconds
		f.Frames = float64(since(before.Frames, after.Frames)) / seconds
		f.Frozen = min(1, max(0, (after.Frozen-before.Frozen).Seconds()/seconds))
	}
	f.Freezes = since(before.Freezes, after.Freezes)
	return f
}

// since is the difference of a counter that may have become smaller, as lost packets do when they come after all.
func since(before, after uint64) uint64 { return after - min(before, after) }

// Flow is one medium in one direction.
type Flow struct {
	Medium    wire.Medium
	Direction Direction
}

// numFlows is how many flows a participant has.
const numFlows = len(wire.Media) * int(numDirections)

// index numbers the flows from 0.
func (f Flow) index() int {
	for i, medium := range wire.Media {
		if medium == f.Medium {
			return i*int(numDirections) + int(f.Direction)
		}
	}
	return 0 // not reached: a medium is one of the three
}

func flowAt(index int) Flow {
	return Flow{wire.Media[index/int(numDirections)], Direction(index % int(numDirections))}
}

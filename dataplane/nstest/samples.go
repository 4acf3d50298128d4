package nstest

import "time"

// Counts says what has become of the IP packets of one direction so far.
type Counts struct {
	Arrived      int // what was sent into the link
	QueueDropped int // because the queue was full
	Lost         int // on the line
	Reordered    int // held back, so that others overtook
	Duplicated   int // delivered twice
	Delivered    int // duplicates counted once
	Missed       int // delivered, but refused by the interface at the other end
}

// SampleTime is what one Sample covers.
const SampleTime = 100 * time.Millisecond

// Sample is what a bottleneck did in a tenth of a second.
type Sample struct {
	Start   time.Time
	Rate    int // bits per second that it could send, at the end
	Packets int // that left it, and their bytes
	Bytes   int
	UDP     int           // bytes of these in UDP
	TCP     int           // and in TCP
	Dropped int           // packets that found the queue full
	Lost    int           // packets that were lost behind it
	Wait    time.Duration // from arrival to having left: the mean, and the longest
	MaxWait time.Duration
}

// maxSamples is an hour.
const maxSamples = int(time.Hour / SampleTime)

// samples keeps a Sample for each tenth of a second, from the beginning of the emulation on; after an hour the last one takes it all.
type samples struct {
	list  []Sample
	waits []time.Duration // sums
}

// at returns the sample of a time. Those between have seen nothing.
func (s *samples) at(now time.Duration, rate int) *Sample {
	i := index(now)
	for len(s.list) <= i {
		between := Sample{Rate: rate}
		if n := len(s.list); n > 0 {
			between.Rate = s.list[n-1].Rate
		}
		s.list, s.waits = append(s.list, between), append(s.waits, 0)
	}
	s.list[i].Rate = rate
	return &s.list[i]
}

func index(now time.Duration) int { return min(int(now/SampleTime), maxSamples-1) }

// left notes a packet that has left the bottleneck.
func (s *samples) left(now time.Duration, rate int, h *held, wait time.Duration) {
	one := s.at(now, rate)
	one.Packets++
	one.Bytes += h.size
	switch h.proto {
	case protoUDP:
		one.UDP += h.size
	case protoTCP:
		one.TCP += h.size
	}
	one.MaxWait = max(one.MaxWait, wait)
	s.waits[index(now)] += wait
}

// Protocol numbers of IP.
const (
	protoTCP = 6
	protoUDP = 17
)

// copy returns the samples up to a time.
func (s *samples) copy(began time.Time, now time.Duration, rate int) []Sample {
	s.at(now, rate)
	out := make([]Sample, len(s.list))
	for i, one := range s.list {
		one.Start = began.Add(time.Duration(i) * SampleTime)
		if one.Packets > 0 {
			one.Wait = s.waits[i] / time.Duration(one.Packets)
		}
		out[i] = one
	}
	return out
}

package nstest

import (
	"errors"
	"fmt"
	"time"
)

// Path is what one direction of an emulated link does to packets. A packet first waits in the queue of a bottleneck, which sends at the
// rate; behind it is the line, which loses, doubles, delays and reorders. So a packet that is lost has used its share of the rate, as it
// does on radio. The zero Path passes everything at once.
type Path struct {
	Rate  int // bits of IP packets per second, 0: without limit
	Burst int // bytes that may leave at once after a pause, the depth of the token bucket; 0: none, every packet takes its time

	// The queue drops what comes when it is full. Its length is in bytes, or as the time that its content takes at the rate; 0 and 0 is
	// 300 ms. A packet that finds the queue empty is never dropped. Without a rate there is no queue.
	QueueBytes int
	QueueTime  time.Duration

	// Loss is the share of packets that the line loses. With a BurstLength it loses several in a row, that many on average: the model of
	// Gilbert and Elliott, whose bad state loses BadLoss of its packets (0: all).
	Loss        float64
	BurstLength float64
	BadLoss     float64

	// Delay is the mean time on the line, Jitter the standard deviation around it: normal, cut off at three deviations and where the delay
	// would be negative. The delay wanders slowly (over JitterTime, 0: 100 ms) and keeps the order, or with Overtake is drawn anew for each
	// packet, so that packets overtake each other.
	Delay      time.Duration
	Jitter     time.Duration
	JitterTime time.Duration
	Overtake   bool

	Reorder   float64       // the share of packets that are held back by ReorderBy
	ReorderBy time.Duration // 0: 20 ms
	Duplicate float64       // the share of packets that arrive twice
}

// Step is one part of a schedule: from a time on, the path is another.
type Step struct {
	After time.Duration // since the schedule began
	Path  Path
}

const (
	defaultQueueTime  = 300 * time.Millisecond
	defaultJitterTime = 100 * time.Millisecond
	defaultReorderBy  = 20 * time.Millisecond
)

// check names everything that is wrong with a path.
func (p Path) check() error {
	var wrong []error
	share := func(name string, v float64) {
		if v < 0 || v > 1 {
			wrong = append(wrong, fmt.Errorf("%s is %v; it is a share between 0 and 1", name, v))
		}
	}
	share("Loss", p.Loss)
	share("BadLoss", p.BadLoss)
	share("Reorder", p.Reorder)
	share("Duplicate", p.Duplicate)
	if p.BurstLength != 0 && (p.BurstLength < 1 || p.Loss >= p.badLoss()) {
		wrong = append(wrong, fmt.Errorf("BurstLength is %v and Loss %v; bursts have at least one packet, and there must be time between them", p.BurstLength, p.Loss))
	}
	if min(p.Rate, p.Burst, p.QueueBytes) < 0 || min(p.QueueTime, p.Delay, p.Jitter, p.JitterTime, p.ReorderBy) < 0 {
		wrong = append(wrong, errors.New("rates, lengths and times cannot be negative"))
	}
	return errors.Join(wrong...)
}

func (p Path) badLoss() float64 {
	if p.BadLoss == 0 {
		return 1
	}
	return p.BadLoss
}

// queueBytes returns how many bytes may wait.
func (p Path) queueBytes() int {
	if p.QueueBytes > 0 {
		return p.QueueBytes
	}
	t := p.QueueTime
	if t == 0 {
		t = defaultQueueTime
	}
	return int(t.Seconds() * float64(p.Rate) / 8)
}

// sendingTime returns how long the bottleneck sends some bytes.
func (p Path) sendingTime(bytes float64) time.Duration {
	return time.Duration(bytes * 8 / float64(p.Rate) * float64(time.Second))
}

func orDefault(v, otherwise time.Duration) time.Duration {
	if v == 0 {
		return otherwise
	}
	return v
}

package media

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// lateness is how far behind a player may fall before it leaves out what it missed.
const lateness = 500 * time.Millisecond

// Pacer plays any number of players, each frame when it is due, in the one goroutine that calls Run.
type Pacer struct {
	wake chan struct{} // capacity 1: added is not empty

	// mu guards added, which Add fills and Run empties.
	mu    sync.Mutex
	added []*entry
}

// entry is a player on the schedule.
type entry struct {
	player *Player
	start  time.Time // when the player's clock was 0
	due    time.Time
}

// NewPacer makes a pacer without players.
func NewPacer() *Pacer { return &Pacer{wake: make(chan struct{}, 1)} }

// Add plays a player from start on, until its Emit returns an error. It may be called from any goroutine.
func (p *Pacer) Add(player *Player, start time.Time) {
	p.mu.Lock()
	p.added = append(p.added, &entry{player: player, start: start, due: start})
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run plays until the context ends.
func (p *Pacer) Run(ctx context.Context) {
	var queue schedule
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			p.mu.Lock()
			for _, e := range p.added {
				heap.Push(&queue, e)
			}
			p.added = nil
			p.mu.Unlock()
		case <-timer.C:
		}
		if wait, any := queue.play(); any {
			timer.Reset(wait)
		}
	}
}

// schedule is a heap of players, the one that is due first in front.
type schedule []*entry

// play plays everything that is due, and returns the time until something is again.
func (s *schedule) play() (wait time.Duration, any bool) {
	now := time.Now()
	for len(*s) > 0 {
		e := (*s)[0]
		if wait := e.due.Sub(now); wait > 0 {
			if now = time.Now(); e.due.After(now) {
				return e.due.Sub(now), true
			}
		}
		if late := now.Sub(e.due); late > lateness {
			e.player.skip(late)
		}
		next, err := e.player.step()
		if err != nil {
			heap.Pop(s)
			continue
		}
		e.due = e.start.Add(next)
		heap.Fix(s, 0)
	}
	return 0, false
}

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }

// Push and Pop are for container/heap.
func (s *schedule) Push(x any) { *s = append(*s, x.(*entry)) }

func (s *schedule) Pop() any {
	last := (*s)[len(*s)-1]
	(*s)[len(*s)-1] = nil
	*s = (*s)[:len(*s)-1]
	return last
}

package zonectl

import (
	"context"
	"time"

	"meetzone/zonectl/wire"
)

// forewarning is what people are told ahead of the deadline of a drain; the zero value withdraws it. It holds the moment, not what is left, so that a
// client that reads slowly, or resumes later, is told what is left then.
type forewarning struct {
	reason string
	at     time.Time
}

// message is what is told at this moment.
func (f forewarning) message() wire.Message {
	if f.at.IsZero() {
		return wire.Drain{}
	}
	left := (time.Until(f.at) + time.Second - 1) / time.Second
	return wire.Drain{On: true, Reason: f.reason, LeftS: int(min(max(left, 1), wire.MaxLeftS))}
}

// Forewarn tells everybody in a meeting that they will be sent away at that moment, and whoever comes in or resumes before it; calling it again reminds them.
// With the zero time it tells them that they will not be, if they have been told otherwise. Who sends them away is the caller, by SendAway.
func (c *Controller) Forewarn(reason string, at time.Time) {
	var next *forewarning
	if !at.IsZero() {
		next = &forewarning{wire.CleanLine(reason, wire.MaxTitle), at}
	}
	if before := c.forewarned.Swap(next); before == nil && next == nil {
		return
	}
	for _, m := range c.alive() {
		_ = m.send(context.Background(), forewarn{}) // one that has ended meanwhile is no matter
	}
}

// forewarn has the meeting tell everybody what Forewarn said last.
type forewarn struct{}

func (forewarn) do(m *meeting) {
	for _, s := range m.order {
		s.forewarn(m.c.forewarned.Load())
	}
}

// forewarn tells the client; nil withdraws.
func (s *session) forewarn(f *forewarning) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == nil {
		f = new(forewarning)
	}
	s.news[latestDrain] = *f
	if s.out != nil {
		s.out.tell(latestDrain, *f)
	}
}

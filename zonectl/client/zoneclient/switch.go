package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"meetzone/zonectl/client"
	"meetzone/zonectl/wire"
)

// switcher asks for another person's picture in every video slot again and again: what a restless person does, and a test of switching.
type switcher struct {
	slots   int
	heights []int // to choose from; none: as large as there is

	mu     sync.Mutex // guards what follows: messages come from the session's goroutine
	people []string   // who sends a picture
}

// event keeps up with who is there.
func (s *switcher) event(message wire.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m := message.(type) {
	case wire.Participants:
		s.people = nil
		for _, p := range m.Participants {
			s.noteLocked(p)
		}
	case wire.Joined:
		s.noteLocked(m.Participant)
	case wire.Left:
		s.people = slices.DeleteFunc(s.people, func(id string) bool { return id == m.Participant })
	}
}

func (s *switcher) noteLocked(p wire.Participant) {
	s.people = slices.DeleteFunc(s.people, func(id string) bool { return id == p.ID })
	if p.Video {
		s.people = append(s.people, p.ID)
	}
}

// views picks a different random person for each slot, as far as there are enough.
func (s *switcher) views(self string) []wire.View {
	s.mu.Lock()
	others := slices.DeleteFunc(slices.Clone(s.people), func(id string) bool { return id == self })
	s.mu.Unlock()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	var views []wire.View
	for i := range min(s.slots, len(others)) {
		v := wire.View{Slot: i, Participant: others[i]}
		if len(s.heights) > 0 {
			v.Height = s.heights[rand.IntN(len(s.heights))]
		}
		views = append(views, v)
	}
	return views
}

// run switches until the context ends.
func (s *switcher) run(ctx context.Context, session *client.Session, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if views := s.views(session.Welcome().Participant); len(views) > 0 {
			_ = session.Command(ctx, wire.SetViews{Views: views}) // while the channel is away, the next one will do
		}
	}
}

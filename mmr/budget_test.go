package mmr

import (
	"context"
	"testing"

	"meetzone/dataplane"
	"meetzone/mmr/internal/bwe"
)

// estimator returns what an endpoint's estimator has seen.
func (mb *member) estimator() (s bwe.Stats) {
	mb.t.Helper()
	if err := mb.do(context.Background(), func(dataplane.Instant) error {
		s = mb.e.budget.estimator.Stats()
		return nil
	}); err != nil {
		mb.t.Fatal(err)
	}
	return s
}

// TestTransportWideFeedback: a client with a stack for each medium gets numbered packets of all media in one sequence, and its three streams of
// feedback are understood: nothing of what one transport carried is taken for lost by the report of another.
func TestTransportWideFeedback(t *testing.T) {
	noLeaks(t)
	m := startRouter(t, 1).open(t)
	speaker, listener := join(t, m, "speaker", 1), join(t, m, "listener", 1)
	speaker.connect(nil)
	listener.client = newTestClient(t, nil)
	listener.client.feedback = true
	listener.exchange(listener.client, false)
	listener.waitState(TransportConnected)
	waitFor(t, "feedback", func() bool {
		speaker.client.speak(Audio)
		speaker.client.speak(Video)
		return listener.estimator().Arrived > 200
	})
	if s := listener.estimator(); s.Lost != 0 {
		t.Errorf("%d packets are taken for lost on loopback; %d arrived", s.Lost, s.Arrived)
	}
	s, err := listener.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if e := s.Estimate; !e.Numbered || e.Sending == 0 {
		t.Errorf("estimate %+v", e)
	}
	if speaker.client.received("audio0")+listener.client.received("audio0") == 0 || listener.client.received("video0") == 0 {
		t.Error("no media came with numbers on them")
	}
}

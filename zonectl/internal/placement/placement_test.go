package placement

import (
	"errors"
	"testing"
	"time"
)

func TestShare(t *testing.T) {
	for _, c := range []struct {
		load Load
		want float64
	}{
		{Load{}, 0},
		{Load{Busy: 0.4}, 0.4},
		{Load{Busy: 0.4, Packets: 50, MaxPackets: 100}, 0.5},
		{Load{EgressBits: 9e8, MaxEgressBits: 1e9, Packets: 1}, 0.9},
		{Load{Participants: 3, MaxParticipants: 4}, 0.75},
		{Load{Received: 10_000, KernelDrops: 5}, 0.5},
		{Load{KernelDrops: 5}, 0},
	} {
		if got := c.load.Share(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.load, got, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	now := time.Now()
	router := func(id string, busy float64, change ...func(*Router)) Router {
		r := Router{ID: id, Load: Load{Busy: busy}, Reported: now}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	drains := func(r *Router) { r.Draining = true }
	stale := func(r *Router) { r.Reported = now.Add(-StaleAfter - time.Second) }
	for _, c := range []struct {
		present string
		routers []Router
		want    string
		err     error
	}{
		{"", []Router{router("a", 0.5), router("b", 0.2), router("c", 0.9)}, "b", nil},
		{"a", []Router{router("a", 0.99), router("b", 0)}, "a", nil}, // the meeting stays where it is
		{"a", []Router{router("a", 1), router("b", 0.5)}, "b", nil},  // until that is full
		{"a", []Router{router("a", 0, drains), router("b", 0.9)}, "b", nil},
		{"a", []Router{router("a", 0, stale), router("b", 0.9)}, "b", nil},
		{"gone", []Router{router("a", 0.3), router("b", 0.1)}, "b", nil},
		{"a", []Router{router("a", 1), router("b", 1.5)}, "", ErrFull},
		{"", []Router{router("a", 0, drains), router("b", 1)}, "", ErrDraining},
		{"", nil, "", ErrFull},
	} {
		got, err := Choose(c.routers, c.present, now)
		if got.ID != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v on %q: %q, %v; want %q, %v", c.routers, c.present, got.ID, err, c.want, c.err)
		}
	}
	if got := Least([]Router{router("a", 0.5), router("b", 0, drains)}, now); got != 0.5 {
		t.Errorf("least load %v", got)
	}
	if got := Least(nil, now); got != 1 {
		t.Errorf("least load of none %v", got)
	}
}

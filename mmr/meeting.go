package mmr

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
)

// Meeting is one meeting of the router.
type Meeting struct {
	r   *Router
	cfg MeetingConfig
	h   *handler // of the home worker
	sh  *shard   // only on the home worker's thread
	// preference are the codecs of pictures that may be sent, best first; codecs is the same as a set, with Opus.
	preference []codec.Kind
	codecs     codecSet
	endpoints  atomic.Int32
	closed     atomic.Bool
}

// Join makes an endpoint. Its transports come to life with Offer and Answer.
func (m *Meeting) Join(cfg EndpointConfig) (*Endpoint, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	if err := m.takePlace(); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	e := newEndpoint(m, cfg)
	var err error
	if doErr := m.h.w.Do(context.Background(), func(now dataplane.Instant) { err = e.enter(now) }); doErr != nil {
		err = doErr
	}
	if err != nil {
		m.givePlace()
		return nil, fmt.Errorf("join: %w", err)
	}
	return &Endpoint{m: m, e: e}, nil
}

// takePlace counts an endpoint, if it is within the bounds.
func (m *Meeting) takePlace() error {
	if n := m.r.endpoints.Add(1); int(n) > m.r.cfg.MaxEndpoints {
		m.r.endpoints.Add(-1)
		return ErrFull
	}
	if n := m.endpoints.Add(1); m.cfg.MaxEndpoints > 0 && int(n) > m.cfg.MaxEndpoints {
		m.endpoints.Add(-1)
		m.r.endpoints.Add(-1)
		return ErrFull
	}
	m.h.endpoints.Add(1)
	return nil
}

func (m *Meeting) givePlace() {
	m.h.endpoints.Add(-1)
	m.endpoints.Add(-1)
	m.r.endpoints.Add(-1)
}

// Close ends the meeting: all its endpoints are closed, and their peers are told by DTLS.
func (m *Meeting) Close() {
	if m.closed.Swap(true) {
		return
	}
	// The worker may have ended already; then nothing of the meeting runs any more either.
	_ = m.h.w.Do(context.Background(), func(now dataplane.Instant) {
		for _, e := range slices.Clone(m.sh.endpoints) {
			e.leave(now)
		}
		m.sh.closeLinks(now)
		m.h.removeShard(m.sh)
	})
	m.h.meetings.Add(-1)
	m.r.mu.Lock()
	delete(m.r.meetings, m)
	m.r.mu.Unlock()
}

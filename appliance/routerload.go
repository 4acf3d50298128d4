package main

import (
	"context"
	"sync/atomic"
	"time"

	"meetzone/dataplane"
	"meetzone/zonectl"
)

// loadMeter measures what the box's router does, once a second.
type loadMeter struct {
	plane *dataplane.Plane
	load  atomic.Pointer[zonectl.RouterLoad]
}

const loadEvery = time.Second

// runLoad measures until the context ends.
func (m *loadMeter) runLoad(ctx context.Context) error {
	ticker := time.NewTicker(loadEvery)
	defer ticker.Stop()
	before := m.sample()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := m.sample()
		load := now.since(before)
		m.load.Store(&load)
		before = now
	}
}

// latest is the load of the last second.
func (m *loadMeter) latest() zonectl.RouterLoad {
	if load := m.load.Load(); load != nil {
		return *load
	}
	return zonectl.RouterLoad{}
}

// loadSample is the counters at one time.
type loadSample struct {
	at      time.Time
	busy    []time.Duration // processor time by worker
	workers []dataplane.WorkerStats
}

func (m *loadMeter) sample() loadSample {
	s := loadSample{at: time.Now(), workers: m.plane.Stats()}
	for _, w := range m.plane.Workers() {
		s.busy = append(s.busy, w.CPUTime())
	}
	return s
}

// since is the load between two samples.
func (s loadSample) since(before loadSample) (load zonectl.RouterLoad) {
	seconds := s.at.Sub(before.at).Seconds()
	if seconds <= 0 || len(before.workers) != len(s.workers) {
		return load
	}
	for i, w := range s.workers {
		was := before.workers[i]
		load.Busy = max(load.Busy, (s.busy[i]-before.busy[i]).Seconds()/seconds)
		received := float64(w.In.Datagrams-was.In.Datagrams) / seconds
		load.Received += received
		load.Packets += received + float64(w.Out.Datagrams-was.Out.Datagrams)/seconds
		load.EgressBits += 8 * float64(w.Out.Bytes-was.Out.Bytes) / seconds
		load.KernelDrops += float64(w.KernelDrops-was.KernelDrops) / seconds
	}
	return load
}

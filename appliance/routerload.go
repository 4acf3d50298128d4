package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/dataplane"
	"meetzone/zonectl"
)

// loadMeter measures what the box's router does, once a second.
type loadMeter struct {
	plane *dataplane.Plane
	load  atomic.Pointer[zonectl.RouterLoad]

	mu    sync.Mutex // guards what follows: runLoad writes it, alarms reads it
	drops [dropsWindow]float64
	next  int // place in drops
	busy  int // samples in a row in which a worker was overloaded
}

// dropsWindow is how many samples of drops are remembered: a minute.
const dropsWindow = 60

// watch takes one sample of the busiest worker and of the kernel's drops.
func (m *loadMeter) watch(busy, drops float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drops[m.next] = drops
	m.next = (m.next + 1) % dropsWindow
	if busy < overloadBusy {
		m.busy = 0
		return
	}
	m.busy++
}

// dropped is how many datagrams of media the kernel dropped in the last minute.
func (m *loadMeter) dropped() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(m.droppedLocked() + 0.5)
}

func (m *loadMeter) droppedLocked() (sum float64) {
	for _, n := range m.drops {
		sum += n
	}
	return sum
}

// alarms tells of drops in the last minute, and of a worker that has been busy for long.
func (m *loadMeter) alarms() (list []adminapi.Alarm) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if sum := m.droppedLocked(); sum >= 0.5 {
		list = append(list, adminapi.Alarm{Code: "drops", Text: fmt.Sprintf("The kernel has dropped %.0f datagrams of media in the last minute, for want of room in the receive buffer.", sum)})
	}
	if m.busy >= overloadFor {
		list = append(list, adminapi.Alarm{Code: "overloaded", Text: fmt.Sprintf("A worker has used more than %.0f %% of its core for %d s.", overloadBusy*100, m.busy)})
	}
	return list
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
		m.watch(load.Busy, load.KernelDrops*now.at.Sub(before.at).Seconds())
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

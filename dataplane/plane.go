package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// Plane is one port with its workers.
type Plane struct {
	cfg       Config
	opened    time.Time
	features  features
	marks     atomic.Pointer[markTable]
	super     atomic.Int32 // bytes of one UDP_SEGMENT message at most
	egresses  egresses
	noOutlet  error     // why no class has a socket of its own, nil when they have
	steering  *steering // nil with one worker, or where the kernel refuses
	unsteered error     // why it does
	workers   []*Worker
	streams   streams
	doors     []*net.TCPListener
	closing   chan struct{} // closed by Close
	ended     chan struct{} // closed when Run has ended

	mu      sync.Mutex // guards running and closed
	running bool
	closed  bool
}

// Open makes the sockets and the workers and asks newHandler for each worker's handler. Nothing is received before Run.
func Open(cfg Config, newHandler func(*Worker) Handler) (*Plane, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open data plane: %w", err)
	}
	p := &Plane{cfg: cfg.withDefaults(), opened: time.Now(), closing: make(chan struct{}), ended: make(chan struct{})}
	p.SetMarks(cfg.Marks)
	p.SetSuperPacket(0)
	p.streams.init(p.cfg.MaxStreams)
	groups, doors, err := openPort(p.cfg)
	if err != nil {
		return nil, fmt.Errorf("open data plane: %w", err)
	}
	p.doors = doors
	if p.features, err = probeFeatures(groups[0][0].v6); err != nil {
		closeAll(groups)
		p.closeDoors()
		return nil, fmt.Errorf("open data plane: probe features: %w", err)
	}
	if err := p.makeWorkers(groups); err != nil {
		closeAll(groups)
		p.closeDoors()
		for _, w := range p.workers {
			w.mail.release()
			w.closeOutlets()
		}
		return nil, fmt.Errorf("open data plane: %w", err)
	}
	p.prepareSteering(groups)
	for _, w := range p.workers {
		w.handler = newHandler(w)
	}
	p.logLosses()
	return p, nil
}

// makeWorkers makes the workers with one socket of each group, and the rings between them.
func (p *Plane) makeWorkers(groups [][]*socket) error {
	cpus := allowedCPUs()
	for id := range p.cfg.Workers {
		w, err := newWorker(p, id)
		if err != nil {
			return err
		}
		if len(cpus) > 0 {
			w.wantCPU = cpus[id%len(cpus)]
		}
		for _, g := range groups {
			w.addSocket(g[id])
		}
		w.openOutlets()
		p.workers = append(p.workers, w)
	}
	for _, from := range p.workers {
		for _, to := range p.workers {
			if from == to {
				continue
			}
			r := newRing(p.cfg.RingSlots)
			from.outgoing[to.id], to.incoming[from.id] = r, r
		}
	}
	return nil
}

// prepareSteering has the workers count for runSteering.
func (p *Plane) prepareSteering(groups [][]*socket) {
	if len(p.workers) == 1 || p.cfg.NoSteering {
		return
	}
	s := newSteering(groups, len(p.workers))
	if p.unsteered = s.attach(); p.unsteered != nil {
		return
	}
	p.steering = s
	for _, w := range p.workers {
		w.votes = make(votes, len(p.workers))
	}
}

// logLosses says once what the kernel did not grant.
func (p *Plane) logLosses() {
	a := p.Actual()
	for _, f := range a.Features {
		if f.Lost != "" {
			why := slog.Attr{}
			switch f.Name {
			case FeatureOutlets:
				why = slog.Any("error", p.noOutlet)
			case FeatureSteering:
				why = slog.Any("error", p.unsteered)
			}
			p.cfg.Logger.Warn("kernel feature missing", "feature", f.Name, "without it", f.Lost, why)
		}
	}
	if a.ReceiveBuffer < a.ReceiveBufferWanted {
		p.cfg.Logger.Warn("receive buffer smaller than wanted", "bytes", a.ReceiveBuffer, "wanted", a.ReceiveBufferWanted)
	}
	if a.SendBuffer < a.SendBufferWanted {
		p.cfg.Logger.Warn("send buffer smaller than wanted", "bytes", a.SendBuffer, "wanted", a.SendBufferWanted)
	}
}

// Run runs the workers until ctx ends, and then returns nil, or until Close, and then returns net.ErrClosed. When a worker cannot go
// on, it ends them all and returns the reason. A plane runs once.
func (p *Plane) Run(ctx context.Context) error {
	if err := p.begin(); err != nil {
		return err
	}
	defer close(p.ended)
	for _, door := range p.doors {
		p.streams.running.Go(func() { p.runAccept(door) })
	}
	steered, endSteering := context.WithCancel(ctx)
	defer endSteering()
	if p.steering != nil {
		p.streams.running.Go(func() { p.runSteering(steered) })
	}
	results := make(chan error, len(p.workers))
	for _, w := range p.workers {
		go func() { results <- w.runWorker() }()
	}
	var result error
	waiting := len(p.workers)
	select {
	case <-ctx.Done():
	case <-p.closing:
		result = net.ErrClosed
	case result = <-results:
		waiting--
	}
	endSteering()
	p.closeDoors()
	p.streams.close()
	for _, w := range p.workers {
		w.stop()
	}
	for range waiting {
		if err := <-results; err != nil && (result == nil || errors.Is(result, net.ErrClosed)) {
			result = err
		}
	}
	p.streams.running.Wait()
	return result
}

// closeDoors closes the TCP listeners; once more does no harm.
func (p *Plane) closeDoors() {
	for _, door := range p.doors {
		door.Close()
	}
}

func (p *Plane) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return net.ErrClosed
	case p.running:
		return errors.New("run data plane: it has run already")
	}
	p.running = true
	return nil
}

// Close ends the workers, runs the tasks that were accepted, and gives sockets and descriptors back. It must not be called on a
// worker's thread.
func (p *Plane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.ended
		return nil
	}
	p.closed = true
	running := p.running
	p.mu.Unlock()

	close(p.closing)
	if running {
		<-p.ended
	} else {
		p.closeDoors()
		p.streams.close()
		for _, w := range p.workers {
			w.finish()
		}
		p.streams.running.Wait()
		close(p.ended)
	}
	var errs []error
	for _, w := range p.workers {
		w.mail.release()
		w.closeOutlets()
		for _, s := range w.socks {
			errs = append(errs, unix.Close(s.fd))
		}
	}
	return errors.Join(errs...)
}

// Workers returns the workers, by ID.
func (p *Plane) Workers() []*Worker { return p.workers }

// Addrs returns the addresses that are listened on, with the actual port.
func (p *Plane) Addrs() (addrs []netip.AddrPort) {
	for _, s := range p.workers[0].socks {
		addrs = append(addrs, s.bound)
	}
	return addrs
}

// SetSuperPacket bounds the bytes of one UDP_SEGMENT message, so that none occupies a slow link for long; 0 is what the kernel takes. A single
// datagram may be larger.
func (p *Plane) SetSuperPacket(bytes int) {
	if bytes <= 0 || bytes > maxSuperPacket {
		bytes = maxSuperPacket
	}
	p.super.Store(int32(bytes))
}

// SetMarks replaces the code points; the next message of each worker carries the new ones.
func (p *Plane) SetMarks(marks dscp.Marks) {
	table := newMarkTable(marks)
	p.marks.Store(table)
	p.streams.each(func(s *Stream) { s.mark(table) })
}

// Stats returns the counters of the workers, by ID.
func (p *Plane) Stats() (stats []WorkerStats) {
	for _, w := range p.workers {
		stats = append(stats, w.public.read())
	}
	return stats
}

// now is the time of all workers.
func (p *Plane) now() Instant { return Instant(time.Since(p.opened)) }

func closeAll(groups [][]*socket) {
	for _, g := range groups {
		closeSockets(g)
	}
}

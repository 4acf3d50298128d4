package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// Bounds of connections that nobody has authenticated on yet.
const (
	maxUnadopted          = 2048
	maxUnadoptedPerSource = 128 // a whole site may stand behind one address
)

// streams is the table of the plane's streams. Workers look streams up without a lock; everything else takes mu.
type streams struct {
	slots   []atomic.Pointer[Stream] // by the lower half of the id
	running sync.WaitGroup           // all runReader, runWriter and runAccept
	dropped streamDrops
	opened  atomic.Uint64
	refused atomic.Uint64

	mu        sync.Mutex // guards what follows
	free      []uint16   // slots
	turn      uint16     // the upper half of the next id
	unadopted map[netip.Addr]int
	waiting   int // sum of unadopted
	open      int
	closed    bool
}

func (t *streams) init(size int) {
	t.slots = make([]atomic.Pointer[Stream], size)
	t.unadopted = map[netip.Addr]int{}
	for i := size - 1; i >= 0; i-- {
		t.free = append(t.free, uint16(i))
	}
}

// sourceOf is the address, or for IPv6 the network, that connections are counted by.
func sourceOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// add gives a stream its id.
func (t *streams) add(s *Stream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return net.ErrClosed
	}
	if len(t.free) == 0 || t.waiting >= maxUnadopted || t.unadopted[s.source] >= maxUnadoptedPerSource {
		t.refused.Add(1)
		return ErrStreams
	}
	slot := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	if t.turn++; t.turn == 0 {
		t.turn = 1 // an id is never 0
	}
	s.id = uint32(t.turn)<<16 | uint32(slot)
	t.slots[slot].Store(s)
	t.unadopted[s.source]++
	t.waiting++
	s.counted = true
	t.open++
	t.opened.Add(1)
	return nil
}

// find returns a stream by its id, nil when it has ended.
func (t *streams) find(id uint32) *Stream {
	if slot := int(id & 0xffff); id != 0 && slot < len(t.slots) {
		if s := t.slots[slot].Load(); s != nil && s.id == id {
			return s
		}
	}
	return nil
}

// adopted takes a stream out of the count of those that nobody knows.
func (t *streams) adopted(s *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countLocked(s)
}

// countLocked ends the counting of an unadopted stream.
func (t *streams) countLocked(s *Stream) {
	if !s.counted {
		return
	}
	s.counted = false
	if t.unadopted[s.source]--; t.unadopted[s.source] == 0 {
		delete(t.unadopted, s.source)
	}
	t.waiting--
}

// remove takes a stream out of the table; false when it was not there any more.
func (t *streams) remove(s *Stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := &t.slots[s.id&0xffff]
	if slot.Load() != s {
		return false
	}
	slot.Store(nil)
	t.free = append(t.free, uint16(s.id&0xffff))
	t.countLocked(s)
	t.open--
	return true
}

// each calls f for every stream.
func (t *streams) each(f func(*Stream)) {
	for i := range t.slots {
		if s := t.slots[i].Load(); s != nil {
			f(s)
		}
	}
}

// close refuses further streams and ends all that there are.
func (t *streams) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.each(func(s *Stream) { s.end(net.ErrClosed) })
}

// StreamStats counts the plane's streams.
type StreamStats struct {
	Open      int
	Unadopted int
	Opened    uint64
	Refused   uint64                  // too many
	Dropped   [dscp.NumClasses]uint64 // datagrams that had waited too long for the connection
}

// StreamStats returns the counters as of now.
func (p *Plane) StreamStats() StreamStats {
	t := &p.streams
	t.mu.Lock()
	s := StreamStats{Open: t.open, Unadopted: t.waiting, Opened: t.opened.Load(), Refused: t.refused.Load()}
	t.mu.Unlock()
	for class := range s.Dropped {
		s.Dropped[class] = t.dropped[class].Load()
	}
	return s
}

// listenTCP opens the TCP side of the port at the addresses of its UDP sockets.
func listenTCP(groups [][]*socket) (listeners []*net.TCPListener, err error) {
	cfg := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	for _, g := range groups {
		network := "tcp4"
		switch s := g[0]; {
		case s.v6 && s.v6Only:
			network = "tcp6"
		case s.v6:
			network = "tcp"
		}
		l, err := cfg.Listen(context.Background(), network, g[0].bound.String())
		if err != nil {
			for _, other := range listeners {
				other.Close()
			}
			return nil, fmt.Errorf("open TCP side of %s: %w", g[0].bound, err)
		}
		listeners = append(listeners, l.(*net.TCPListener))
	}
	return listeners, nil
}

// openPort opens the sockets of both protocols. Where the kernel chooses the port, its UDP side may be free and its TCP side not.
func openPort(cfg Config) (groups [][]*socket, listeners []*net.TCPListener, err error) {
	for range 16 {
		if groups, err = openAll(cfg); err != nil || cfg.NoTCP {
			return groups, nil, err
		}
		if listeners, err = listenTCP(groups); err == nil {
			return groups, listeners, nil
		}
		closeAll(groups)
		if len(cfg.Listen) == 0 || cfg.Listen[0].Port() != 0 || !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return nil, nil, err
}

// runAccept takes the connections of one TCP listener until it is closed.
func (p *Plane) runAccept(l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or the peer has gone: others may fare better
			time.Sleep(10 * time.Millisecond)
			continue
		}
		// What is refused is counted and closed.
		_, _ = p.OpenStream(StreamConfig{Conn: conn, Rung: TCP, Framing: func(*Stream) Framing { return &lengthPrefixed{} }})
	}
}

package dataplane

import (
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

// A stream carries datagrams over one connection: ICE-TCP (listener.go), or whatever another package hands to OpenStream with a framing
// of its own. A datagram's journey over it:
//
//  1. runReader reads into one of two parcels, cuts it into datagrams with the framing, and posts the parcel to a worker as a task. While
//     the worker has both, nothing is read, and TCP holds the peer back.
//  2. The worker's handler gets the datagrams as a batch. When one of them has authenticated its sender, the handler adopts the path
//     (Worker.Adopt): from then on its worker gets all of the stream's datagrams, and the connection carries the mark of its class.
//  3. Commit notes a datagram for the stream in the send arena, Flush puts it into the stream's queue (streamqueue.go): one short lock for
//     each run of datagrams, never one for each.
//  4. runWriter takes the queue, drops what has become old, frames the rest, and writes.
//
// A stream that nobody adopts is closed after adoptWithin, or after adoptTrusted when its framing vouches for the peer. It costs a goroutine and firstRead bytes until then.

// StreamConfig describes a connection that is to carry datagrams.
type StreamConfig struct {
	Conn net.Conn // written to and read; closed with the stream
	Rung Rung     // TCP or TLS
	// Framing is called once, before the stream has an id.
	Framing func(*Stream) Framing
	// Class marks the connection from the beginning; a path's class does so when it is adopted.
	Class dscp.Class
	// Ended is told once when the stream has ended; may be nil.
	Ended func(reason error)
}

// Bounds of a stream.
const (
	adoptWithin = 10 * time.Second
	// adoptTrusted is how long it may take from the moment on that the framing vouches for the peer.
	adoptTrusted = 60 * time.Second
	// idleFor is how long an adopted stream may bring nothing: consent is checked every 5 s at the latest (RFC 7675).
	idleFor     = 60 * time.Second
	writeWithin = 10 * time.Second // without any progress
	lingerFor   = 500 * time.Millisecond
	firstRead   = 2048
	parcelSize  = 16 << 10
	parcelSlots = 64
	maxPaths    = 8    // of one stream
	maxFrame    = 2048 // of any framing, so that a frame always fits a parcel
)

// Why a stream ended.
var (
	ErrNotAdopted = errors.New("dataplane: nobody authenticated on the connection in time")
	ErrStreams    = errors.New("dataplane: too many connections")
	errReleased   = errors.New("dataplane: the last path was released")
)

// Stream is one connection that carries datagrams.
type Stream struct {
	plane   *Plane
	id      uint32
	rung    Rung
	conn    net.Conn
	socket  *net.TCPConn // below conn; nil: it cannot be marked
	framing Framing
	base    Path
	source  netip.Addr // that unadopted connections are counted by
	counted bool       // among the unadopted; guarded by streams.mu
	tos     uint8      // of the handshake: the kernel tells no other of a connection
	ended   func(error)
	done    chan struct{} // closed when it has ended

	class   atomic.Uint32
	home    atomic.Int32 // the worker that adopted it, -1: none yet
	trusted atomic.Bool  // adopted, or the framing vouches for the peer
	paths   []Path       // adopted ones; the home worker's, as is what follows
	emptied uint         // how often the last path was released

	out streamQueue

	mu     sync.Mutex // guards what follows
	reason error      // why it ended
}

// ID returns a number that no other stream has had for long.
func (s *Stream) ID() uint32 { return s.id }

// Peer returns the far end of the connection.
func (s *Stream) Peer() netip.AddrPort { return s.base.Remote() }

// Trust says that the framing has authenticated the peer: it may take longer to be adopted.
func (s *Stream) Trust() { s.trusted.Store(true) }

// SetClass marks the connection with the code point of a class.
func (s *Stream) SetClass(class dscp.Class) {
	s.class.Store(uint32(class))
	s.mark(s.plane.marks.Load())
}

// mark sets code point and fwmark of the connection. IPv4 on a dual-stack socket takes its mark from IP_TOS, IPv6 from IPV6_TCLASS; the
// fwmark needs a capability, without which the code point alone has to do.
func (s *Stream) mark(marks *markTable) {
	if s.socket == nil {
		return
	}
	raw, err := s.socket.SyscallConn()
	if err != nil {
		return // closed
	}
	class := dscp.Class(s.class.Load())
	_ = raw.Control(func(fd uintptr) {
		tos := int(marks.tos[class])
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, tos)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(class.Fwmark()))
	})
}

// notSentLow is how much the kernel holds that it has not sent: what waits there can neither be dropped nor overtaken.
const notSentLow = 8 << 10

// prepare sets what a stream of datagrams wants of TCP.
func (s *Stream) prepare() {
	if s.socket == nil {
		return
	}
	_ = s.socket.SetNoDelay(true)
	raw, err := s.socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLow)
		// A peer that acknowledges nothing for so long is gone.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(writeWithin/time.Millisecond))
	})
}

// OpenStream makes a stream of a connection and begins to read it. With an error the connection is closed.
func (p *Plane) OpenStream(cfg StreamConfig) (*Stream, error) {
	remote, local := ends(cfg.Conn)
	s := &Stream{plane: p, rung: cfg.Rung, conn: cfg.Conn, socket: tcpBelow(cfg.Conn), source: sourceOf(remote.Addr()), ended: cfg.Ended,
		done: make(chan struct{})}
	s.tos, _ = HandshakeTOS(cfg.Conn)
	s.home.Store(-1)
	s.out.init()
	s.framing = cfg.Framing(s) // before others can find the stream, and end it
	if err := p.streams.add(s); err != nil {
		cfg.Conn.Close()
		return nil, fmt.Errorf("open stream: %w", err)
	}
	s.base = s.StreamPath(remote, local.Addr())
	s.prepare()
	s.SetClass(cfg.Class)
	p.streams.running.Go(s.runReader)
	return s, nil
}

// ends returns the addresses of a connection; one that came through a tunnel may have none.
func ends(conn net.Conn) (remote, local netip.AddrPort) {
	remote, _ = netip.ParseAddrPort(conn.RemoteAddr().String())
	local, _ = netip.ParseAddrPort(conn.LocalAddr().String())
	return remote, local
}

// tcpBelow finds the TCP connection under a connection, nil when there is none.
func tcpBelow(conn net.Conn) *net.TCPConn {
	for range 8 {
		switch c := conn.(type) {
		case *net.TCPConn:
			return c
		case interface{ NetConn() net.Conn }: // TLS
			conn = c.NetConn()
		case interface{ Raw() net.Conn }: // a PROXY protocol header before it
			conn = c.Raw()
		default:
			return nil
		}
	}
	return nil
}

// parcel is one read's worth of datagrams on its way to a worker and back.
type parcel struct {
	s     *Stream
	w     *Worker
	data  []byte
	fill  int // of data
	batch []Datagram
	back  chan *parcel
}

func newParcel(s *Stream, size, slots int, back chan *parcel) *parcel {
	return &parcel{s: s, data: make([]byte, size), batch: make([]Datagram, 0, slots), back: back}
}

// Run gives the datagrams to the worker's handler, and the parcel back.
func (c *parcel) Run(now Instant) {
	w, class := c.w, dscp.Class(c.s.class.Load())
	for i := range c.batch {
		n := len(c.batch[i].Data)
		w.stats.In.add(1, n)
		w.stats.InByClass[class].add(1, n)
	}
	w.handler.HandleBatch(now, c.batch)
	c.back <- c // it has room for both parcels
}

// runReader is the goroutine that reads the connection until it ends.
func (s *Stream) runReader() {
	back := make(chan *parcel, 2)
	current := newParcel(s, firstRead, 4, back)
	deadline := time.Now().Add(adoptWithin)
	full := false // the two large parcels are there
	for {
		known := s.home.Load() >= 0
		if known {
			deadline = time.Now().Add(idleFor)
		}
		if known || s.trusted.Load() {
			if !full {
				full = true
				if !known {
					deadline = time.Now().Add(adoptTrusted)
				}
				larger := newParcel(s, parcelSize, parcelSlots, back)
				larger.fill = copy(larger.data, current.data[:current.fill])
				current = larger
				back <- newParcel(s, parcelSize, parcelSlots, back)
			}
		}
		next, err := s.readOnce(current, deadline)
		if isTimeout(err) && !known && s.home.Load() >= 0 {
			continue // it was adopted while it was waited for
		}
		if err != nil {
			s.end(err)
			return
		}
		current = next
	}
}

// readOnce reads into a parcel, sends off what is complete, and returns the parcel to read into next.
func (s *Stream) readOnce(c *parcel, deadline time.Time) (*parcel, error) {
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	n, err := s.conn.Read(c.data[c.fill:])
	if n == 0 && err != nil {
		if isTimeout(err) && s.home.Load() < 0 {
			return nil, ErrNotAdopted
		}
		return nil, err
	}
	c.fill += n
	for {
		used, err := s.cut(c)
		if err != nil {
			return nil, err
		}
		if used == 0 {
			return c, nil
		}
		if len(c.batch) == 0 {
			c.fill = copy(c.data, c.data[used:c.fill])
			return c, nil
		}
		next, err := s.post(c, used)
		if err != nil {
			return nil, err
		}
		c = next // it may hold further frames, when there were more than a batch takes
	}
}

func isTimeout(err error) bool {
	if err == nil {
		return false
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// cut makes datagrams of the complete frames of a parcel, as many as its batch takes, and returns how many bytes they have.
func (s *Stream) cut(c *parcel) (used int, err error) {
	c.batch = c.batch[:0]
	for len(c.batch) < cap(c.batch) {
		f, err := s.framing.Cut(c.data[used:c.fill])
		if err != nil {
			return 0, err
		}
		if f.Size == 0 {
			if c.fill-used > min(maxFrame, len(c.data)-1) {
				return 0, errTooLarge
			}
			return used, nil
		}
		used += f.Size
		if len(f.Payload) == 0 || len(f.Payload) > MaxDatagram {
			continue
		}
		d := Datagram{Path: s.base, Data: f.Payload, TOS: s.tos}
		if f.Path != nil {
			d.Path = *f.Path
		}
		c.batch = append(c.batch, d)
	}
	return used, nil
}

// post gives a parcel to the worker whose turn it is and returns another one that holds what was left over.
func (s *Stream) post(c *parcel, used int) (*parcel, error) {
	workers := s.plane.workers
	home := int(s.home.Load())
	if home < 0 {
		home = int(s.id) % len(workers)
	}
	c.w = workers[home]
	for i := range c.batch {
		c.batch[i].Via = uint8(home)
	}
	rest := c.data[used:c.fill]
	if len(c.data) == firstRead { // there is only this one
		if err := c.w.Post(c); err != nil {
			return nil, err
		}
		<-c.back
		c.fill = copy(c.data, rest)
		return c, nil
	}
	next := <-c.back // a worker gives back every parcel that was posted: also at its end it runs what it has accepted
	next.fill = copy(next.data, rest)
	if err := c.w.Post(c); err != nil {
		return nil, err
	}
	return next, nil
}

// Adopt makes the worker the home of a stream's path: its handler gets the stream's datagrams from now on, and may send on it. The
// connection is marked with the class. false: the stream has ended, or is another worker's. Worker's thread.
func (w *Worker) Adopt(p *Path, class dscp.Class) bool {
	s := w.plane.streams.find(p.stream)
	if s == nil || !s.home.CompareAndSwap(-1, int32(w.id)) && s.home.Load() != int32(w.id) {
		return false
	}
	for i := range s.paths {
		if s.paths[i] == *p {
			return true
		}
	}
	if len(s.paths) == maxPaths {
		return false
	}
	if len(s.paths) == 0 {
		s.out.open(class)
		s.plane.streams.adopted(s)
		s.SetClass(class)
	}
	s.paths = append(s.paths, *p)
	return true
}

// Release gives a path back; with its last one the stream ends, a little later, so that a farewell still gets out. Worker's thread.
func (w *Worker) Release(p *Path) {
	s := w.plane.streams.find(p.stream)
	if s == nil || s.home.Load() != int32(w.id) {
		return
	}
	for i := range s.paths {
		if s.paths[i] == *p {
			s.paths = append(s.paths[:i], s.paths[i+1:]...)
			if len(s.paths) == 0 {
				s.emptied++
				w.endLater(s, s.emptied)
			}
			return
		}
	}
}

// endLater ends a stream after lingerFor, unless it has been adopted again by then.
func (w *Worker) endLater(s *Stream, emptied uint) {
	time.AfterFunc(lingerFor, func() {
		err := w.Post(TaskFunc(func(Instant) {
			if len(s.paths) == 0 && s.emptied == emptied {
				s.end(errReleased)
			}
		}))
		if err != nil { // the worker has ended, or has no time for anything
			s.end(errReleased)
		}
	})
}

// Peer returns the far end of the connection that carries a path, which is not the path's where it is a relayed one. Worker's thread.
func (w *Worker) Peer(p *Path) netip.AddrPort {
	if s := w.plane.streams.find(p.stream); s != nil {
		return s.Peer()
	}
	return p.Remote()
}

// Close ends the stream.
func (s *Stream) Close() error {
	s.end(net.ErrClosed)
	return nil
}

// end closes the connection, and tells the home worker's handler that its paths are gone.
func (s *Stream) end(reason error) {
	if !s.plane.streams.remove(s) {
		return
	}
	s.mu.Lock()
	s.reason = reason
	s.mu.Unlock()
	close(s.done)
	if s.socket != nil {
		s.socket.Close() // first, or a TLS connection would wait for the peer to take its goodbye
	}
	s.conn.Close()
	if home := s.home.Load(); home >= 0 {
		w := s.plane.workers[home]
		// When the worker has ended there is nobody to be told.
		_ = w.Post(TaskFunc(func(now Instant) {
			if h, ok := w.handler.(StreamHandler); ok {
				for i := range s.paths {
					h.HandleEnd(now, &s.paths[i])
				}
			}
			s.paths = nil
		}))
	}
	if s.ended != nil {
		s.ended(reason)
	}
}

package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// check is a STUN message of the given length, as ICE-TCP begins with.
func check(n int) []byte {
	b := make([]byte, n)
	b[1] = 1
	binary.BigEndian.PutUint16(b[2:], uint16(n-20))
	binary.BigEndian.PutUint32(b[4:], stunCookie)
	return b
}

func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }

// dialTCP connects to the TCP side of the plane's port.
func dialTCP(t testing.TB, p *Plane) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.Addrs()[0].Port()).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func say(t testing.TB, conn net.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

func hearFrame(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// adopting adopts the path of everything that comes, and sends it back.
type adopting struct {
	testHandler
	ended chan Path
}

func (h *adopting) HandleEnd(_ Instant, p *Path) { h.ended <- *p }

func newAdopting(w *Worker, class dscp.Class) *adopting {
	e := echo(w, class)
	return &adopting{ended: make(chan Path, 16), testHandler: testHandler{batch: func(now Instant, batch []Datagram) {
		for i := range batch {
			if batch[i].Path.Rung() != UDP {
				w.Adopt(&batch[i].Path, class)
			}
		}
		e.HandleBatch(now, batch)
	}}}
}

// TestStream: datagrams come and go over ICE-TCP, however TCP cuts them up, the connection carries the mark of its class, new marks too,
// and the handler is told when it ends.
func TestStream(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			cfg := testConfig("[::]:0")
			cfg.Workers, cfg.Marks = workers, marks
			ended := make(chan Path, 16)
			p := startPlane(t, cfg, func(w *Worker) Handler {
				h := newAdopting(w, dscp.Video)
				h.ended = ended
				return h
			})
			conn := dialTCP(t, p)
			say(t, conn, framed(check(100)))
			if got := hearFrame(t, conn); !bytes.Equal(got, check(100)) {
				t.Fatalf("heard %d bytes, want the check back", len(got))
			}
			var all []byte
			for i := range 300 {
				all = append(all, framed(bytes.Repeat([]byte{byte(i)}, 1+i*4))...)
			}
			go func() {
				for at, n := 0, 1; at < len(all); at, n = at+n, n%1400+7 {
					if _, err := conn.Write(all[at:min(at+n, len(all))]); err != nil {
						return
					}
				}
			}()
			for i := range 300 {
				if got, want := hearFrame(t, conn), bytes.Repeat([]byte{byte(i)}, 1+i*4); !bytes.Equal(got, want) {
					t.Fatalf("datagram %d: heard %d bytes, want %d", i, len(got), len(want))
				}
			}
			s := onlyStream(t, p)
			wantTOS(t, s, marks[dscp.Video].TOS())
			p.SetMarks(dscp.Marks{dscp.Video: 10})
			wantTOS(t, s, 10<<2)
			conn.Close()
			select {
			case path := <-ended:
				if path.Rung() != TCP || path.Remote() != conn.LocalAddr().(*net.TCPAddr).AddrPort() {
					t.Errorf("the end of %s %s was told", path.Rung(), path.Remote())
				}
			case <-time.After(patience):
				t.Error("the handler was not told of the end")
			}
			waitFor(t, "the stream to be forgotten", func() bool { return p.StreamStats().Open == 0 })
		})
	}
}

func onlyStream(t *testing.T, p *Plane) (s *Stream) {
	t.Helper()
	n := 0
	p.streams.each(func(one *Stream) { s, n = one, n+1 })
	if n != 1 {
		t.Fatalf("%d streams, want one", n)
	}
	return s
}

func wantTOS(t *testing.T, s *Stream, want uint8) {
	t.Helper()
	raw, err := s.socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS); err != nil || got != int(want) {
			t.Errorf("TOS %#x (%v), want %#x", got, err, want)
		}
	})
}

// TestStreamHostile: whoever does not begin with a check is closed at once, and so is who sends a frame that no datagram can have.
func TestStreamHostile(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), func(w *Worker) Handler { return newAdopting(w, dscp.Audio) })
	for name, data := range map[string][]byte{
		"HTTP":           []byte("GET / HTTP/1.1\r\nHost: meet.example\r\n\r\n"),
		"TLS":            {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00},
		"empty frame":    {0, 0},
		"RTP":            framed(append([]byte{0x80, 111}, make([]byte, 40)...)),
		"huge length":    {0xff, 0xff, 0, 1},
		"after a check":  append(framed(check(100)), 0xff, 0xff),
		"wrong length":   framed(append(check(100), 0, 0, 0, 0)),
		"no cookie":      framed(append([]byte{0, 1, 0, 0}, make([]byte, 16)...)),
		"SSH":            []byte("SSH-2.0-OpenSSH_9.9\r\n"),
		"silence, ended": nil,
	} {
		t.Run(name, func(t *testing.T) {
			conn := dialTCP(t, p)
			say(t, conn, data)
			if data == nil {
				_ = conn.CloseWrite()
			}
			for {
				if _, err := conn.Read(make([]byte, 2048)); err != nil {
					if isTimeout(err) {
						t.Error("the connection stays open")
					}
					return
				}
			}
		})
	}
	waitFor(t, "all to be forgotten", func() bool { return p.StreamStats().Open == 0 && p.StreamStats().Unadopted == 0 })
}

// TestStreamBounds: connections that nobody authenticates on are few for each source, and those of others do not suffer.
func TestStreamBounds(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), func(w *Worker) Handler { return newAdopting(w, dscp.Audio) })
	for range maxUnadoptedPerSource + 10 {
		dialTCP(t, p)
	}
	waitFor(t, "connections to be refused", func() bool { return p.StreamStats().Refused == 10 })
	if s := p.StreamStats(); s.Unadopted != maxUnadoptedPerSource {
		t.Errorf("%+v, want %d unadopted", s, maxUnadoptedPerSource)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	conn, err := d.Dial("tcp", p.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	say(t, conn, framed(check(40)))
	hearFrame(t, conn)
}

// TestStreamWithoutAddress: a stream whose peer has no address that can be read is counted, and no longer when it has ended.
func TestStreamWithoutAddress(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), func(w *Worker) Handler { return newAdopting(w, dscp.Audio) })
	near, far := net.Pipe()
	defer far.Close()
	s, err := p.OpenStream(StreamConfig{Conn: near, Rung: TLS, Framing: func(*Stream) Framing { return &lengthPrefixed{} }})
	if err != nil {
		t.Fatal(err)
	}
	if n := p.StreamStats().Unadopted; n != 1 {
		t.Errorf("%d unadopted, want 1", n)
	}
	s.Close()
	if n := p.StreamStats().Unadopted; n != 0 {
		t.Errorf("%d unadopted after the end", n)
	}
}

// TestStreamAdoptedAgain: a stream whose last path was released and adopted again lives on, and ends when that is released too.
func TestStreamAdoptedAgain(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), func(w *Worker) Handler { return newAdopting(w, dscp.Audio) })
	conn := dialTCP(t, p)
	say(t, conn, framed(check(40)))
	hearFrame(t, conn)
	s, w := onlyStream(t, p), p.Workers()[0]
	on := func(f func()) {
		t.Helper()
		if err := w.Do(t.Context(), func(Instant) { f() }); err != nil {
			t.Fatal(err)
		}
	}
	on(func() {
		w.Release(&s.base)
		w.Adopt(&s.base, dscp.Video)
	})
	time.Sleep(lingerFor + 200*time.Millisecond)
	say(t, conn, framed(check(40)))
	hearFrame(t, conn)
	on(func() { w.Release(&s.base) })
	waitFor(t, "the stream to end", func() bool { return p.StreamStats().Open == 0 })
}

// TestStreamQueueGrows: a queue that is too small doubles up to its bound, and not further.
func TestStreamQueueGrows(t *testing.T) {
	var q streamQueue
	q.init()
	q.open(dscp.Audio)
	batch, datagram := q.spare, make([]byte, 1200)
	for range 40 {
		for q.putLocked(&Path{}, dscp.Video, 0, datagram) {
		}
		batch, _ = q.take(batch)
	}
	if got := cap(batch.data); got != maxQueueBytes {
		t.Errorf("the queue has %d bytes, want %d", got, maxQueueBytes)
	}
}

// TestStreamCongested: a peer that stops reading gets nothing that is older than the limit when it reads again, and of what was dropped
// audio is a smaller part than video.
func TestStreamCongested(t *testing.T) {
	p := startPlane(t, testConfig("127.0.0.1:0"), func(w *Worker) Handler { return newAdopting(w, dscp.Video) })
	conn := dialTCP(t, p)
	say(t, conn, framed(check(40)))
	hearFrame(t, conn)
	s, w := onlyStream(t, p), p.Workers()[0]
	path := s.base
	stop := time.Now().Add(1500 * time.Millisecond)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	sent := map[dscp.Class]int{}
	for time.Now().Before(stop) {
		<-ticker.C
		if err := w.Do(t.Context(), func(now Instant) {
			for i := range 8 {
				class, n := dscp.Video, 1200
				if i == 7 {
					class, n = dscp.Audio, 100
				}
				b := w.Reserve(n)
				b[0] = byte(class)
				binary.BigEndian.PutUint64(b[1:], uint64(now))
				w.Commit(&path, class, n)
				sent[class]++
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	begin := p.now()
	var beforeStop, old int // what was already on its way when the peer began to read; what came after that and was old
	_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	got := map[dscp.Class]int{}
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			break
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, b); err != nil {
			break
		}
		got[dscp.Class(b[0])]++
		switch age := begin - Instant(binary.BigEndian.Uint64(b[1:])); {
		case age > Instant(time.Second):
			beforeStop += len(b)
		case age > audioHeld:
			old++
		}
	}
	stats := p.Stats()[0]
	t.Logf("sent %v, got %v; %d bytes in the kernel's buffers; too old %v, no room %v", sent, got, beforeStop, p.StreamStats().Dropped, stats.SendDrops)
	if old > 0 {
		t.Errorf("%d datagrams came that had been held for more than 200 ms", old)
	}
	if got[dscp.Video] > sent[dscp.Video]/2 || got[dscp.Audio] < 20 {
		t.Errorf("got %v of %v: the last 200 ms of audio should come, and little video", got, sent)
	}
	if stats.SendDrops[dscp.Audio] > 0 {
		t.Errorf("%d datagrams of audio found no room beside video", stats.SendDrops[dscp.Audio])
	}
}

// FuzzLengthPrefixed cuts any stream, in any pieces: the frames are those of the plain reading of RFC 4571.
func FuzzLengthPrefixed(f *testing.F) {
	f.Add(append(framed(check(40)), framed([]byte{1, 2, 3})...), uint8(3))
	f.Add([]byte("GET / HTTP/1.1\r\n"), uint8(1))
	f.Add([]byte{0, 20}, uint8(9))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		var whole, pieces [][]byte
		collect := func(into *[][]byte, framing *lengthPrefixed, b []byte) (rest []byte, err error) {
			for {
				frame, err := framing.Cut(b)
				if err != nil || frame.Size == 0 {
					return b, err
				}
				if frame.Size > len(b) || len(frame.Payload)+2 != frame.Size && frame.Payload != nil {
					t.Fatalf("frame %+v of %d bytes", frame, len(b))
				}
				*into = append(*into, bytes.Clone(frame.Payload))
				b = b[frame.Size:]
			}
		}
		_, errWhole := collect(&whole, &lengthPrefixed{}, data)
		framing, rest := &lengthPrefixed{}, []byte(nil)
		var errPieces error
		for at := 0; at < len(data) && errPieces == nil; at += int(step) + 1 {
			rest, errPieces = collect(&pieces, framing, append(bytes.Clone(rest), data[at:min(at+int(step)+1, len(data))]...))
		}
		if errWhole != errPieces || len(whole) != len(pieces) {
			t.Fatalf("%d frames and %v at once, %d and %v in pieces", len(whole), errWhole, len(pieces), errPieces)
		}
		for i := range whole {
			if !bytes.Equal(whole[i], pieces[i]) {
				t.Fatalf("frame %d differs", i)
			}
		}
	})
}

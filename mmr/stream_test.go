package mmr

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"meetzone/dataplane"
)

// framed is a connection to the router's TCP side.
func framed(t *testing.T, tr *testRouter) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", tr.plane.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// ask sends a check over a connection and waits for the answer.
func ask(t *testing.T, conn *net.TCPConn, check []byte) {
	t.Helper()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(check))), check...)); err != nil {
		t.Fatal(err)
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint16(head[:]))); err != nil {
		t.Fatal(err)
	}
}

// TestRungsOfATransport: checks come over TCP to whichever worker and are answered from home; UDP is kept while the client nominates it too, and
// left when it does so no more; and when the connection ends, the transport waits for another path.
func TestRungsOfATransport(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 3)
	mb := join(t, tr.open(t), "a", 1)
	c := mb.credentials(Video)
	p := probe(t, tr.plane.Addrs()[0])
	nominate := func() []byte { return makeCheck(t, c, priority, controlling, nominating) }
	rung := func() (r dataplane.Rung, selected bool) {
		mb.onWorker(func(dataplane.Instant) {
			tp := mb.e.transports[Video]
			r, selected = tp.path.Rung(), tp.selected
		})
		return r, selected
	}
	wants := func(what string, want dataplane.Rung) {
		t.Helper()
		if r, selected := rung(); !selected || r != want {
			t.Errorf("%s: on %s (selected: %v), want %s", what, r, selected, want)
		}
	}
	conns := []*net.TCPConn{framed(t, tr), framed(t, tr), framed(t, tr)} // their ids lead them to different workers
	for _, conn := range conns {
		ask(t, conn, makeCheck(t, c, priority, controlling))
	}
	if _, selected := rung(); selected {
		t.Error("a path is selected that nobody nominated")
	}
	p.send(nominate())
	p.answered()
	ask(t, conns[0], nominate())
	wants("both nominated", dataplane.UDP)
	mb.onWorker(func(now dataplane.Instant) {
		for i := range mb.e.transports[Video].paths {
			mb.e.transports[Video].paths[i].nominated -= nominationHolds
		}
	})
	ask(t, conns[0], nominate())
	wants("UDP not nominated any more", dataplane.TCP)
	p.send(nominate())
	p.answered()
	wants("UDP again", dataplane.UDP)
	mb.onWorker(func(now dataplane.Instant) {
		for i := range mb.e.transports[Video].paths {
			mb.e.transports[Video].paths[i].nominated -= nominationHolds
		}
	})
	ask(t, conns[1], nominate())
	conns[1].Close()
	waitFor(t, "the transport to be stranded", func() bool { _, selected := rung(); return !selected })
	ask(t, conns[2], nominate())
	wants("the next connection", dataplane.TCP)
	for _, other := range mb.transportStates() {
		if other.Medium == Video && (other.Rung != dataplane.TCP || other.DSCP != -1 || other.Remote.String() != conns[2].LocalAddr().String()) {
			t.Errorf("described as %+v", other)
		}
	}
}

// TestPulses: a connected transport on which nothing is sent is not quiet for longer than two intervals.
func TestPulses(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	mb := join(t, tr.open(t), "a", 1)
	mb.connect(nil)
	out := func() uint64 { return tr.plane.Stats()[0].OutByClass[Content.Class()].Datagrams }
	before := out()
	waitFor(t, "pulses on a transport without media", func() bool { return out() >= before+5 })
}

// TestFormer: the transports before a fresh offer go on until those after it are connected, and no longer than that.
func TestFormer(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	mb := join(t, tr.open(t), "a", 1)
	mb.connect(nil)
	former := func() (working int) {
		mb.onWorker(func(dataplane.Instant) {
			for _, tp := range distinct(&mb.e.former) {
				if tp.ready() {
					working++
				}
			}
		})
		return working
	}
	mb.onWorker(func(now dataplane.Instant) {
		next := mb.e.newTransports(now) // an answer, whose client does not come
		mb.e.retire(now)
		mb.e.transports = next
	})
	if n := former(); n != NumMedia {
		t.Errorf("%d transports go on, want all %d", n, NumMedia)
	}
	mb.onWorker(func(now dataplane.Instant) {
		for _, tp := range mb.e.m.h.transports {
			tp.sweep(now + retireWithin)
		}
	})
	if n := former(); n != 0 {
		t.Errorf("%d of the former transports still work after %v", n, retireWithin)
	}
}

package dataplane

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"meetzone/dscp"
)

// TestSteering: what belongs to another worker is handed over at first, and soon arrives there by itself; also after it has moved.
func TestSteering(t *testing.T) {
	for _, c := range []struct{ listen, to, from string }{
		{"127.0.0.1:0", "127.0.0.1", "127.0.0.1:0"}, {"[::]:0", "127.0.0.1", "127.0.0.1:0"}, {"[::]:0", "::1", "[::1]:0"},
	} {
		t.Run(c.listen+" "+c.to, func(t *testing.T) { steersPeers(t, c.listen, c.to, c.from) })
	}
}

func steersPeers(t *testing.T, listen, to, from string) {
	const workers, peers = 3, 12
	var moved atomic.Int32
	cfg := testConfig(listen)
	cfg.Workers = workers
	p := startPlane(t, cfg, func(w *Worker) Handler {
		return &testHandler{batch: func(_ Instant, batch []Datagram) {
			for i := range batch {
				d := &batch[i]
				home := (int(d.Data[0]) + int(moved.Load())) % workers
				if int(d.Via) == w.ID() {
					w.Belongs(&d.Path, home, 1)
				}
				if home != w.ID() {
					w.HandOver(home, d)
					continue
				}
				w.Commit(&d.Path, dscp.Video, copy(w.Reserve(len(d.Data)), d.Data))
			}
		}}
	})
	if f, ok := p.Actual().Feature(FeatureSteering); !ok || !f.Actual {
		t.Fatalf("not steered: %v", p.unsteered)
	}
	var all []peer
	taken := map[int]bool{}
	for len(all) < peers { // in buckets of their own
		one := dial(t, from, netip.AddrPortFrom(netip.MustParseAddr(to), p.Addrs()[0].Port()))
		path := UDPPath(netip.MustParseAddrPort(one.LocalAddr().String()), netip.MustParseAddr(to), 0)
		if b := bucketOf(&path); !taken[b] {
			taken[b] = true
			all = append(all, one)
		}
	}
	handedOver := func() (n uint64) {
		for _, s := range p.Stats() {
			n += s.HandedOver
		}
		return n
	}
	// round has every peer say something and hear it back, and returns how much was handed over meanwhile.
	round := func() uint64 {
		before := handedOver()
		for i, one := range all {
			data := fmt.Sprint(string(rune(i)), "hello")
			one.say(data)
			if got := one.hear(); got != data {
				t.Fatalf("peer %d heard %q", i, got)
			}
		}
		for _, w := range p.Workers() { // so that the counters are published
			if err := w.Do(t.Context(), func(Instant) {}); err != nil {
				t.Fatal(err)
			}
		}
		return handedOver() - before
	}
	for _, move := range []int32{0, 1} {
		moved.Store(move)
		if round() == 0 {
			t.Fatal("nothing was handed over to begin with: the kernel's hash cannot have known")
		}
		for deadline := time.Now().Add(20 * time.Second); ; {
			if round()+round() == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("moved by %d: still handed over", move)
			}
		}
	}
}

// TestSteeringFull: what belongs to a worker that has no room for it is led there all the same, and what belongs to nobody nowhere.
func TestSteeringFull(t *testing.T) {
	cfg := testConfig("127.0.0.1:0")
	cfg.Workers, cfg.RingSlots = 2, 8
	p := openPlane(t, cfg, quiet)
	w := p.Workers()[0]
	d := Datagram{Path: UDPPath(netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddr("127.0.0.1"), 0)}
	b := bucketOf(&d.Path)
	for i := range 100 {
		if taken := w.HandOver(1, &d); taken != (i < 8) {
			t.Fatalf("hand-over %d: %v", i, taken)
		}
	}
	p.steering.count(w.votes)
	if p.steering.choose() {
		t.Fatalf("steered to %d by hand-overs of which nobody said that they belong there", p.steering.homes[b])
	}
	for range 100 {
		w.Belongs(&d.Path, 1, 1)
		w.HandOver(1, &d)
	}
	p.steering.count(w.votes)
	if !p.steering.choose() || p.steering.homes[b] != 1 || p.steering.weight[b][0] != 0 {
		t.Errorf("steered to %d by %v", p.steering.homes[b], p.steering.weight[b])
	}
	p.steering.count(w.votes)
	if p.steering.weight[b][1] != 100 {
		t.Errorf("%v after counting twice", p.steering.weight[b])
	}
}

// TestSteeringProgram: the kernel takes the largest program that there can be, and programs of any shape lead each bucket to its home.
func TestSteeringProgram(t *testing.T) {
	cfg := testConfig("127.0.0.1:0")
	cfg.Workers = 2
	p := openPlane(t, cfg, quiet)
	r := rand.New(rand.NewPCG(1, 2))
	for kind := range 20 {
		for b := range p.steering.homes {
			switch kind {
			case 0:
				p.steering.homes[b] = b % 2
			case 1:
				p.steering.homes[b] = unsteered
			default:
				if b == 0 || r.IntN(kind) == 0 {
					p.steering.homes[b] = r.IntN(300)
				} else {
					p.steering.homes[b] = p.steering.homes[b-1]
				}
			}
		}
		program := steeringProgram(&p.steering.homes)
		for b, home := range p.steering.homes {
			at := steeringChoice
			for ; program[at].Code != 0x06; at++ { // RET
				switch f := program[at]; {
				case f.Code == 0x05: // JA
					at += int(f.K)
				case uint32(b) >= f.K:
					at += int(f.Jt)
				default:
					at += int(f.Jf)
				}
			}
			if program[at].K != uint32(home) {
				t.Fatalf("bucket %d leads to %d, want %d", b, program[at].K, home)
			}
		}
		if err := p.steering.attach(); err != nil {
			t.Fatalf("%d instructions: %v", len(program), err)
		}
	}
}

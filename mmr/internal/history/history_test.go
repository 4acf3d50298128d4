package history

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// content returns what the packet with a number holds.
func content(seq uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seq) + byte(i)
	}
	binary.BigEndian.PutUint64(b, seq)
	return b
}

// The ring against a map of everything that was inserted: it may forget, but never err, and it must remember what its bounds promise.
func TestRingAgainstMap(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		c := Config{Packets: 1 << (4 + r.IntN(7)), Bytes: pageLen * (2 + r.IntN(4))}
		ring := New(c)
		all := map[uint64][]byte{}
		var order []uint64 // of insertion
		highest := uint64(1<<16 + r.IntN(1<<16))
		for range 3000 {
			seq := highest + 1
			switch r.IntN(10) {
			case 0:
				seq = highest + uint64(r.IntN(20))
			case 1:
				seq = highest - uint64(r.IntN(2*c.Packets))
			}
			if _, known := all[seq]; !known {
				pkt := content(seq, 12+r.IntN(1400))
				ring.Insert(seq, pkt)
				all[seq] = pkt
				if seq+uint64(c.Packets) > max(highest, seq) {
					order = append(order, seq)
				}
			}
			highest = max(highest, seq)
			for range 3 {
				checkOne(t, ring, all, highest-uint64(r.IntN(c.Packets*2)))
			}
		}
		kept := 0
		for _, seq := range order[max(0, len(order)-c.Packets/2):] {
			if seq+uint64(c.Packets/2) > highest {
				kept++
				if _, ok := ring.Get(seq); !ok && c.Packets*1412 < c.Bytes-pageLen-1412*c.Bytes/pageLen {
					t.Fatalf("seed %d: packet %d of the last half is gone", seed, seq)
				}
			}
		}
		if kept == 0 || ring.Bytes() > c.Bytes {
			t.Fatalf("seed %d: %d packets, %d bytes of %d", seed, kept, ring.Bytes(), c.Bytes)
		}
	}
}

func checkOne(t *testing.T, ring *Ring, all map[uint64][]byte, seq uint64) {
	t.Helper()
	got, ok := ring.Get(seq)
	if !ok {
		return
	}
	if want, was := all[seq]; !was || !bytes.Equal(got, want) {
		t.Fatalf("packet %d is %x, want %x", seq, got[:8], want)
	}
}

func TestBytesBound(t *testing.T) {
	ring := New(Config{Packets: 1 << 12, Bytes: 2 * pageLen})
	for seq := range uint64(1000) {
		ring.Insert(seq, content(seq, 1000))
	}
	if ring.Bytes() != 2*pageLen {
		t.Fatalf("%d bytes", ring.Bytes())
	}
	n := 0
	for seq := range uint64(1000) {
		if b, ok := ring.Get(seq); ok {
			n++
			if !bytes.Equal(b, content(seq, 1000)) {
				t.Fatalf("packet %d is damaged", seq)
			}
		}
	}
	if n < 65 || n > 130 {
		t.Fatalf("%d packets in two pages", n)
	}
}

func TestRefusalsAndReset(t *testing.T) {
	ring := New(Config{})
	if _, ok := ring.Get(0); ok || ring.Bytes() != 0 {
		t.Fatal("an empty ring holds something")
	}
	ring.Insert(5, nil)
	ring.Insert(6, make([]byte, pageLen+1))
	ring.Insert(7, content(7, 100))
	ring.Insert(7, content(8, 100))
	for _, seq := range []uint64{5, 6, 7 + defaultPackets} {
		if _, ok := ring.Get(seq); ok {
			t.Fatalf("packet %d is there", seq)
		}
	}
	if b, ok := ring.Get(7); !ok || !bytes.Equal(b, content(7, 100)) {
		t.Fatal("the first content was replaced")
	}
	ring.Insert(7+defaultPackets, content(1, 20))
	ring.Insert(7, content(7, 100))
	if _, ok := ring.Get(7); ok {
		t.Fatal("an old packet took a newer one's place")
	}
	ring.Reset()
	if _, ok := ring.Get(7 + defaultPackets); ok || ring.Bytes() != 0 {
		t.Fatal("Reset forgot to forget")
	}
	ring.Insert(1, content(1, 20))
	if _, ok := ring.Get(1); !ok {
		t.Fatal("of no use after Reset")
	}
}

func TestNoAllocations(t *testing.T) {
	ring := New(Config{Bytes: 2 * pageLen})
	pkt, seq := content(1, 1200), uint64(0)
	next := func() {
		seq++
		ring.Insert(seq, pkt)
		if _, ok := ring.Get(seq); !ok {
			t.Fatal("gone at once")
		}
	}
	for range 200 {
		next()
	}
	if allocs := testing.AllocsPerRun(1000, next); allocs != 0 {
		t.Fatalf("%v allocations per packet", allocs)
	}
}

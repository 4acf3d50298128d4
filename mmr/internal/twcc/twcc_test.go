package twcc

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// feedback is what a sender reads from feedback packets, by number: the arrival in ticks, or -1 for not received.
type feedback map[uint16]int64

// decode lets pion read the packets.
func decode(t testing.TB, b []byte) (feedback, []*rtcp.TransportLayerCC) {
	t.Helper()
	said := feedback{}
	var all []*rtcp.TransportLayerCC
	for len(b) > 0 {
		n := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if n > len(b) || n > 1000 {
			t.Fatalf("packet of %d bytes in %d", n, len(b))
		}
		p := &rtcp.TransportLayerCC{}
		if err := p.Unmarshal(b[:n]); err != nil {
			t.Fatalf("%v: %x", err, b[:n])
		}
		b = b[n:]
		all = append(all, p)
		read(t, said, p)
	}
	return said, all
}

// read walks the chunks and deltas of one packet.
func read(t testing.TB, said feedback, p *rtcp.TransportLayerCC) {
	t.Helper()
	var symbols []uint16
	for _, chunk := range p.PacketChunks {
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				symbols = append(symbols, c.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			symbols = append(symbols, c.SymbolList...)
		}
	}
	at, deltas := int64(p.ReferenceTime)*ticksPerStep, p.RecvDeltas
	for i := range p.PacketStatusCount {
		seq := p.BaseSequenceNumber + i
		if symbols[i] == rtcp.TypeTCCPacketNotReceived {
			said[seq] = -1
			continue
		}
		at += deltas[0].Delta / int64(tick/time.Microsecond)
		deltas = deltas[1:]
		said[seq] = at
	}
	if len(deltas) != 0 {
		t.Fatalf("%d deltas too many", len(deltas))
	}
}

// What pion reads is what was recorded, whatever was lost, late, doubled or paused.
func TestAgainstPion(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := New()
		now := time.Duration(rnd.Int64N(int64(time.Hour)))
		seq := uint64(1<<16 + rnd.IntN(1<<16))
		loss := rnd.Float64() * 0.5
		truth := map[uint64]int64{}
		begin := seq
		var late []uint64
		for round := range 60 {
			for range rnd.IntN(300) {
				now += time.Duration(rnd.IntN(4000)) * time.Microsecond * time.Duration(rnd.IntN(2))
				if rnd.IntN(400) == 0 {
					now += time.Duration(rnd.IntN(20)) * time.Second
				}
				wide := seq
				seq++
				switch {
				case rnd.Float64() < loss && round > 0:
					continue
				case rnd.IntN(10) == 0:
					late = append(late, wide)
					continue
				case rnd.IntN(10) == 0 && len(late) > 0:
					seq, wide, late = seq-1, late[0], late[1:]
				}
				if rnd.IntN(20) == 0 {
					r.Record(uint16(wide), now)
				}
				r.Record(uint16(wide), now)
				if _, known := truth[wide]; !known {
					truth[wide] = int64(now / tick)
				}
			}
			check(t, seed, r, truth, &begin)
		}
	}
}

// check compares one round of feedback with the truth.
func check(t *testing.T, seed uint64, r *Recorder, truth map[uint64]int64, begin *uint64) {
	t.Helper()
	pending, from, highest := r.Pending(), r.begin, r.highest
	said, packets := decode(t, r.Append(nil, 11, 22))
	if (len(packets) > 0) != (pending > 0) || r.Pending() != 0 {
		t.Fatalf("seed %d: %d packets for %d arrivals", seed, len(packets), pending)
	}
	if pending == 0 {
		return
	}
	if from > *begin && highest-*begin < windowLen {
		t.Fatalf("seed %d: feedback begins at %d, before it ended at %d", seed, from, *begin)
	}
	*begin = highest + 1
	for wide := from; wide <= highest; wide++ {
		want, arrived := truth[wide]
		if !arrived {
			want = -1
		}
		got, told := said[uint16(wide)]
		if !told || got != want && (got < 0 || want < 0 || (want-got)%(ticksPerStep<<24) != 0) {
			t.Fatalf("seed %d: packet %d arrived at %d, the feedback says %d (%v)", seed, wide, want, got, told)
		}
	}
	if len(said) != int(highest-from+1) {
		t.Fatalf("seed %d: %d statuses of %d", seed, len(said), highest-from+1)
	}
}

func TestShape(t *testing.T) {
	r := New()
	if b := r.Append(nil, 1, 2); len(b) != 0 {
		t.Fatalf("feedback about nothing: %x", b)
	}
	for seq := range uint16(1000) {
		r.Record(seq, time.Second+time.Duration(seq)*time.Millisecond)
	}
	_, packets := decode(t, r.Append(nil, 1, 2))
	if len(packets) != 3 {
		t.Fatalf("%d packets", len(packets))
	}
	for i, p := range packets {
		if p.SenderSSRC != 1 || p.MediaSSRC != 2 || p.FbPktCount != uint8(i) || len(p.PacketChunks) != 1 {
			t.Errorf("packet %d: %+v", i, p)
		}
	}
	r.Record(1200, 3*time.Second) // 200 lost
	_, packets = decode(t, r.Append(nil, 1, 2))
	if p := packets[0]; len(packets) != 1 || p.BaseSequenceNumber != 1000 || p.PacketStatusCount != 201 || len(p.RecvDeltas) != 1 {
		t.Errorf("after a gap: %+v", p)
	}
	r.Record(9000, 4*time.Second) // far ahead: what lies between is not reported
	_, packets = decode(t, r.Append(nil, 1, 2))
	if p := packets[0]; len(packets) != 1 || p.BaseSequenceNumber != 9000 || p.PacketStatusCount != 1 {
		t.Errorf("after a jump: %+v", p)
	}
	r.Record(9000-windowLen, 4*time.Second)
	if r.Pending() != 0 {
		t.Error("too old a packet was taken")
	}
	r.Record(8990, 4*time.Second) // late: reported with those behind it
	said, _ := decode(t, r.Append(nil, 1, 2))
	if len(said) != 11 || said[8990] < 0 || said[8995] != -1 || said[9000] < 0 {
		t.Errorf("after a late packet: %v", said)
	}
}

// TestTaken: only a number that came already, or lies far behind, is not taken.
func TestTaken(t *testing.T) {
	r := New()
	for i, c := range []struct {
		seq   uint16
		taken bool
	}{
		{100, true}, {101, true}, {101, false},
		{5000, true}, {5001, true}, // after an outage
		{4990, true}, // late
		{102, false}, // another counter
		{35_000, true}, {4000, false},
	} {
		if taken := r.Record(c.seq, time.Duration(i)*time.Millisecond); taken != c.taken {
			t.Errorf("number %d: taken %v", c.seq, taken)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	r, buf := New(), make([]byte, 0, 4096)
	seq, now := uint16(0), time.Duration(0)
	allocs := testing.AllocsPerRun(5000, func() {
		seq++
		now += 3 * time.Millisecond
		r.Record(seq, now)
		if seq%50 == 0 {
			buf = r.Append(buf[:0], 1, 2)
		}
	})
	if allocs != 0 {
		t.Fatalf("%v allocations per packet", allocs)
	}
}

// FuzzRecorder records any numbers at any times; pion must be able to read what comes out.
func FuzzRecorder(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 2, 1, 0, 5, 200, 255, 255, 0, 0, 9, 3})
	f.Add([]byte{255, 254, 0, 0, 1, 255, 128, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := New()
		now := time.Duration(0)
		for ; len(b) >= 3; b = b[3:] {
			now += time.Duration(b[2]) * time.Duration(b[2]) * time.Duration(b[2]) * time.Microsecond
			r.Record(binary.BigEndian.Uint16(b), now)
			if b[2]%16 == 0 {
				decode(t, r.Append(nil, 1, 2))
			}
		}
		decode(t, r.Append(nil, 1, 2))
	})
}

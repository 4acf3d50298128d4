package client

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func rtpPacket(ssrc uint32, sequence uint16, stamp uint32) []byte {
	packet := make([]byte, 20)
	packet[0] = 0x80
	binary.BigEndian.PutUint16(packet[2:], sequence)
	binary.BigEndian.PutUint32(packet[4:], stamp)
	binary.BigEndian.PutUint32(packet[8:], ssrc)
	return packet
}

// TestReceptionAgainstSet feeds streams with loss, duplicates and reordering, over a wrap, and compares with a plain set.
func TestReceptionAgainstSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		var r reception
		start := 65536 - uint64(random.IntN(300))
		var order []uint64
		for s := start; s < start+2000; s++ {
			if s != start && s != start+1999 && random.IntN(20) == 0 {
				continue
			}
			order = append(order, s)
			if random.IntN(20) == 0 {
				order = append(order, s)
			}
		}
		for i := 1; i+8 < len(order); i += 1 + random.IntN(30) {
			j := i + random.IntN(8)
			order[i], order[j] = order[j], order[i]
		}
		seen := make(map[uint64]bool)
		for _, s := range order {
			if fresh := r.insert(rtpPacket(7, uint16(s), uint32(s)), time.Time{}.Add(time.Duration(s)*time.Millisecond)); fresh == seen[s] {
				t.Fatalf("round %d: packet %d is fresh: %v", round, s, fresh)
			}
			seen[s] = true
		}
		if want := 2000 - uint64(len(seen)); r.lost() != want || r.received != uint64(len(seen)) {
			t.Fatalf("round %d: lost %d instead of %d, received %d instead of %d", round, r.lost(), want, r.received, len(seen))
		}
	}
}

func TestReceptionOverStreams(t *testing.T) {
	var r reception
	for _, s := range []uint16{10, 11, 13} {
		r.insert(rtpPacket(1, s, 0), time.Time{})
	}
	for _, s := range []uint16{60000, 60001} {
		r.insert(rtpPacket(2, s, 0), time.Time{})
	}
	if r.lost() != 1 || r.received != 5 {
		t.Errorf("lost %d, received %d", r.lost(), r.received)
	}
	if r.insert([]byte{0x80, 1, 2}, time.Time{}) || r.insert(make([]byte, 20), time.Time{}) {
		t.Error("something else counts as RTP")
	}
}

// TestJitter has every second packet come 5 ms late, for which the formula of RFC 3550 converges to 5 ms.
func TestJitter(t *testing.T) {
	r := reception{clockRate: 48000}
	start := time.Now()
	for i := range 400 {
		at := start.Add(time.Duration(i)*20*time.Millisecond + time.Duration(i%2)*5*time.Millisecond)
		r.insert(rtpPacket(1, uint16(i), uint32(i*960)), at)
	}
	if got := milliseconds(r.jitterTime()); math.Abs(got-5) > 0.1 {
		t.Errorf("%.2f ms", got)
	}
}

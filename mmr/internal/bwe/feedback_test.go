package bwe

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"meetzone/mmr/internal/twcc"
)

// bodies cuts what a recorder wrote into messages as Feedback takes them.
func bodies(b []byte) (list [][]byte) {
	for len(b) > 0 {
		n := 4 * (int(b[2])<<8 + int(b[3]) + 1)
		body := b[4:n]
		if b[0]&0x20 != 0 {
			body = body[:len(body)-int(body[len(body)-1])]
		}
		list, b = append(list, body), b[n:]
	}
	return list
}

// TestStatuses reads what the project's own recorder and pion's encoder write, with random losses and gaps.
func TestStatuses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	for range 300 {
		rec, seq, at := twcc.New(), uint16(r.Uint32()), time.Duration(r.Int64N(int64(time.Hour)))
		arrived := map[uint16]int64{} // in units of a delta
		for range 1 + r.IntN(300) {
			if r.IntN(4) > 0 {
				rec.Record(seq, at)
				arrived[seq] = int64(at / deltaUnit)
			}
			seq++
			at += time.Duration(r.ExpFloat64() * float64(time.Duration(1+r.IntN(40))*time.Millisecond))
		}
		found := 0
		raw := rec.Append(nil, 1, 2)
		for _, body := range bodies(raw) {
			s, err := parseFeedback(body)
			if err != nil {
				t.Fatal(err)
			}
			n, units := s.base, int64(s.reference)*int64(referenceUnit/deltaUnit)
			for {
				run, received, delta, ok := s.next()
				if !ok {
					break
				}
				if received {
					units += int64(delta / deltaUnit)
					if arrived[n] != units {
						t.Fatalf("packet %d arrived at %d, read as %d", n, arrived[n], units)
					}
					found++
				} else if _, came := arrived[n]; came {
					t.Fatalf("packet %d arrived, read as missing", n)
				}
				n += uint16(run)
			}
		}
		if found != len(arrived) {
			t.Fatalf("%d arrivals read, %d written", found, len(arrived))
		}
	}
}

// FuzzFeedback: nothing that a receiver says may make the estimator fall over, or leave its bounds. Where pion reads a message too, both find
// the same number of packets.
func FuzzFeedback(f *testing.F) {
	rec := twcc.New()
	for i := range uint16(200) {
		if i%7 != 3 {
			rec.Record(65_500+i, time.Duration(i)*3*time.Millisecond)
		}
	}
	for _, body := range bodies(rec.Append(nil, 1, 2)) {
		f.Add(body)
	}
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 14, 0xff, 0xff, 0xff, 1, 0xd5, 0x55, 0x3f, 0xff, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, body []byte) {
		e := New(Config{})
		for i := range 3000 {
			e.Send(Time(i)*1e6, uint8(i%3), 1000)
		}
		if err := e.Feedback(3e9, 0, body); err != nil {
			return
		}
		s, err := parseFeedback(body)
		if err != nil {
			t.Fatal(err)
		}
		packet := append([]byte{2<<6 | 15, 205, 0, 0}, body...)
		for len(packet)%4 != 0 {
			packet = append(packet, 0)
		}
		packet[2], packet[3] = byte((len(packet)/4-1)>>8), byte(len(packet)/4-1)
		var theirs rtcp.TransportLayerCC
		received := 0
		for {
			_, came, _, ok := s.next()
			if !ok {
				break
			}
			if came {
				received++
			}
		}
		if theirs.Unmarshal(packet) == nil && len(theirs.RecvDeltas) < received {
			t.Fatalf("%d packets arrived, pion reads %d", received, len(theirs.RecvDeltas))
		}
		_ = e.Feedback(4e9, 1, body)
		if got := e.Target(); got < DefaultLeast || got > DefaultMost {
			t.Fatalf("estimate %v", got)
		}
	})
}

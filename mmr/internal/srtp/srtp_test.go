package srtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"meetzone/mmr/internal/packet"
)

// header returns a plain RTP header.
func header(ssrc uint32, seq uint16) []byte {
	b := make([]byte, packet.FixedLen)
	packet.PutHeader(b, &packet.Header{PayloadType: 96, SequenceNumber: seq, Timestamp: 1, SSRC: ssrc})
	return b
}

// seal protects a packet and returns it.
func seal(t testing.TB, s *Sealer, ssrc uint32, seq uint16, payload string) []byte {
	t.Helper()
	dst := make([]byte, 1500)
	n, err := s.SealRTP(dst, header(ssrc, seq), []byte(payload))
	if err != nil {
		t.Fatalf("seal %d: %v", seq, err)
	}
	return dst[:n]
}

// report returns a receiver report without blocks.
func report(ssrc uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, 2<<30|201<<16|1)
	return binary.BigEndian.AppendUint32(b, ssrc)
}

func TestSealerNeverUsesAnIndexTwice(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		s, _ := pair(t, p)
		dst := make([]byte, 1500)
		r := rand.New(rand.NewPCG(1, 1))
		used := map[uint64]bool{}
		next, reused := uint64(60000), 0
		for range 20000 {
			index := next + uint64(r.IntN(3))
			if r.IntN(3) == 0 {
				index = next - uint64(r.IntN(2*windowLen))
			}
			_, err := s.SealRTP(dst, header(7, uint16(index)), []byte("x"))
			switch {
			case err == nil && used[index]:
				t.Fatalf("index %d sealed twice", index)
			case err == nil:
				used[index] = true
			case !errors.Is(err, ErrReuse):
				t.Fatal(err)
			case !used[index] && next >= windowLen && index+windowLen > next+3:
				t.Fatalf("index %d refused without need, newest %d", index, next)
			default:
				reused++
			}
			next = max(next, index)
		}
		if reused == 0 || next < 1<<16 {
			t.Fatal("nothing was tried")
		}
	})
}

func TestReplayIsRefused(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		s, o := pair(t, p)
		var all [][]byte
		for seq := range uint16(2 * windowLen) {
			all = append(all, seal(t, s, 1, seq, "hello"))
		}
		open := func(i int) error {
			_, err := o.OpenRTP(bytes.Clone(all[i]))
			return err
		}
		last := len(all) - 1
		for _, step := range []struct {
			i    int
			want error
		}{
			{0, nil}, {0, ErrReplay}, {last, nil}, {last, ErrReplay}, {last - 1, nil}, {last - windowLen + 1, nil}, {last - windowLen, ErrReplay},
			{last - windowLen + 1, ErrReplay}, {1, ErrReplay},
		} {
			if err := open(step.i); !errors.Is(err, step.want) {
				t.Fatalf("packet %d: %v, want %v", step.i, err, step.want)
			}
		}
		sealed := make([]byte, 100)
		n, err := s.SealRTCP(sealed, report(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.OpenRTCP(bytes.Clone(sealed[:n])); err != nil {
			t.Fatal(err)
		}
		if _, err := o.OpenRTCP(bytes.Clone(sealed[:n])); !errors.Is(err, ErrReplay) {
			t.Fatalf("RTCP again: %v", err)
		}
	})
}

// Every bit of a packet is protected, and a forged packet leaves no trace.
func TestForgeryLeavesNoState(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		s, o := pair(t, p)
		sealed := seal(t, s, 1, 10, "payload")
		for bit := range 8 * len(sealed) {
			forged := bytes.Clone(sealed)
			forged[bit/8] ^= 1 << (bit % 8)
			if _, err := o.OpenRTP(forged); err == nil {
				t.Fatalf("bit %d is not protected", bit)
			}
		}
		control := make([]byte, 100)
		n, err := s.SealRTCP(control, report(1))
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * n {
			forged := bytes.Clone(control[:n])
			forged[bit/8] ^= 1 << (bit % 8)
			if _, err := o.OpenRTCP(forged); err == nil {
				t.Fatalf("RTCP bit %d is not protected", bit)
			}
		}
		if len(o.streams.bySSRC) != 0 {
			t.Fatal("forged packets left streams behind")
		}
		if _, err := o.OpenRTP(sealed); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		s, o := pair(t, p)
		other, _ := pair(t, p)
		dst := make([]byte, 100)
		for ssrc := range uint32(MaxSSRCs) {
			if _, err := o.OpenRTP(seal(t, s, ssrc, 1, "x")); err != nil {
				t.Fatal(err)
			}
			if _, err := other.SealRTP(dst, header(ssrc+1000, 1), nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.SealRTP(dst, header(9999, 1), nil); !errors.Is(err, ErrTooMany) {
			t.Fatal(err)
		}
		if _, err := s.SealRTCP(dst, report(9999)); !errors.Is(err, ErrTooMany) {
			t.Fatal(err)
		}
		fresh, _ := pair(t, p)
		if _, err := o.OpenRTP(seal(t, fresh, 9999, 1, "x")); !errors.Is(err, ErrTooMany) {
			t.Fatal(err)
		}
		if _, err := o.OpenRTP(seal(t, s, 0, 2, "x")); err != nil {
			t.Fatalf("a known stream suffers: %v", err)
		}
	})
}

// RFC 3711, section 3.3.1, written once more in the words of its appendix A.
func TestIndexGuess(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 100000 {
		last := r.Uint64N(1 << 48)
		if r.IntN(4) == 0 {
			last = r.Uint64N(1 << 17)
		}
		seq := uint16(r.Uint32())
		roc, low := int64(last>>16), int64(last&0xffff)
		v := roc
		if low < 32768 {
			if int64(seq)-low > 32768 {
				v = roc - 1
			}
		} else if low-32768 > int64(seq) {
			v = roc + 1
		}
		w := window{highest: last, started: true}
		got, ok := w.guess(seq)
		if ok != (v >= 0) || ok && got != uint64(v)<<16|uint64(seq) {
			t.Fatalf("last %#x, seq %#x: %#x %v, want counter %d", last, seq, got, ok, v)
		}
	}
}

// The window against a set of everything that was marked.
func TestWindowAgainstSet(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 4))
		var w window
		marked := map[uint64]bool{}
		highest := uint64(0)
		at := uint64(r.IntN(5000))
		for range 3000 {
			switch r.IntN(20) {
			case 0:
				at += uint64(r.IntN(3 * windowLen))
			default:
				at += uint64(r.IntN(3))
			}
			index := at - min(at, uint64(r.IntN(2)*r.IntN(windowLen+50)))
			want := len(marked) == 0 || index > highest || highest-index < windowLen && !marked[index]
			if got := w.fresh(index); got != want {
				t.Fatalf("seed %d: index %d, highest %d: fresh %v", seed, index, highest, got)
			}
			if want {
				w.mark(index)
				marked[index] = true
				highest = max(highest, index)
			}
		}
	}
}

func TestLimitsOfAKey(t *testing.T) {
	s, o := pair(t, AEADAES128GCM)
	s.streams.add(1).rtp.mark(1<<48 - 1)
	dst := make([]byte, 100)
	if _, err := s.SealRTP(dst, header(1, 0), nil); !errors.Is(err, ErrExhausted) {
		t.Fatalf("index 2^48: %v", err)
	}
	s.streams.find(1).rtcp.mark(1<<31 - 2)
	n, err := s.SealRTCP(dst, report(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.OpenRTCP(dst[:n]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SealRTCP(dst, report(1)); !errors.Is(err, ErrExhausted) {
		t.Fatalf("RTCP index 2^31: %v", err)
	}
}

func TestSealFromTheDestination(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		a, o := pair(t, p)
		b, _ := pair(t, p)
		h, payload := header(1, 5), []byte("the payload lies where it will be sealed")
		apart, inPlace := make([]byte, 200), make([]byte, 200)
		n, err := a.SealRTP(apart, h, payload)
		if err != nil {
			t.Fatal(err)
		}
		copy(inPlace[len(h):], payload)
		m, err := b.SealRTP(inPlace, h, inPlace[len(h):len(h)+len(payload)])
		if err != nil || !bytes.Equal(apart[:n], inPlace[:m]) {
			t.Fatalf("differs: %v", err)
		}
		if plain, err := o.OpenRTP(inPlace[:m]); err != nil || !bytes.Equal(plain, append(h, payload...)) {
			t.Fatal(err)
		}
	})
}

func TestRefusals(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		s, o := pair(t, p)
		h := header(1, 1)
		if _, err := s.SealRTP(make([]byte, len(h)+4+s.t.rtpOverhead()), h, make([]byte, 5)); !errors.Is(err, ErrNoRoom) {
			t.Error(err)
		}
		if _, err := s.SealRTP(make([]byte, 100), h[:11], nil); !errors.Is(err, ErrShort) {
			t.Error(err)
		}
		if _, err := s.SealRTCP(make([]byte, 100), h[:7]); !errors.Is(err, ErrShort) {
			t.Error(err)
		}
		if _, err := s.SealRTCP(make([]byte, 8+s.t.rtcpOverhead()-1), report(1)); !errors.Is(err, ErrNoRoom) {
			t.Error(err)
		}
		if _, err := o.OpenRTP(make([]byte, 11)); err == nil {
			t.Error("eleven bytes opened")
		}
		if _, err := o.OpenRTP(append(header(1, 1), make([]byte, s.t.rtpOverhead()-1)...)); !errors.Is(err, ErrShort) {
			t.Error(err)
		}
		plain := append(report(1), make([]byte, 40)...)
		if _, err := o.OpenRTCP(plain); !errors.Is(err, ErrUnencrypted) {
			t.Error(err)
		}
		if _, _, err := NewPair(p, make([]byte, 5), true); !errors.Is(err, ErrKeys) {
			t.Error(err)
		}
	})
	if _, _, err := NewPair(2, make([]byte, 60), true); !errors.Is(err, ErrProfile) {
		t.Error(err)
	}
}

func TestNoAllocations(t *testing.T) {
	eachProfile(t, func(t *testing.T, p Profile) {
		s, o := pair(t, p)
		dst, payload, h := make([]byte, 1500), make([]byte, 1200), header(1, 0)
		control, sealed := append(report(1), make([]byte, 60)...), make([]byte, 200)
		seq := uint16(0)
		allocs := testing.AllocsPerRun(500, func() {
			seq++
			binary.BigEndian.PutUint16(h[2:], seq)
			n, err := s.SealRTP(dst, h, payload)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.OpenRTP(dst[:n]); err != nil {
				t.Fatal(err)
			}
			if n, err = s.SealRTCP(sealed, control); err != nil {
				t.Fatal(err)
			}
			if _, err := o.OpenRTCP(sealed[:n]); err != nil {
				t.Fatal(err)
			}
			if _, err := o.OpenRTP(dst[:30]); err == nil { // forged
				t.Fatal("opened")
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations per packet", allocs)
		}
	})
}

// FuzzOpen feeds datagrams to an Opener as they come from the network: none may be accepted that was not sealed, none may panic, and the
// Opener must work afterwards.
func FuzzOpen(f *testing.F) {
	s, _ := pair(f, AEADAES128GCM)
	f.Add(seal(f, s, 1, 1, "payload"), true)
	f.Add(append([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 0, 0, 0}, make([]byte, 20)...), false)
	f.Add(append(report(1), 0x80, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x80, 0, 0, 1), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, gcm bool) {
		p := AES128CMHMACSHA1With80
		if gcm {
			p = AEADAES128GCM
		}
		s, o := pair(t, p)
		_, _ = o.OpenRTP(bytes.Clone(data))
		_, _ = o.OpenRTCP(bytes.Clone(data))
		if h, err := packet.ParseHeader(data); err == nil {
			dst := make([]byte, len(data)+RTPOverhead)
			n, err := s.SealRTP(dst, data[:h.HeaderLen], data[h.HeaderLen:])
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := o.OpenRTP(dst[:n]); err != nil && !errors.Is(err, ErrReplay) || err == nil && !bytes.Equal(plain, data) {
				t.Fatalf("round trip: %v", err)
			}
		}
	})
}

func BenchmarkSealRTP(b *testing.B) {
	for _, p := range Profiles() {
		b.Run(p.String(), func(b *testing.B) {
			s, _ := pair(b, p)
			dst, payload, h := make([]byte, 1500), make([]byte, 1200), header(1, 0)
			b.SetBytes(1200)
			for seq := uint16(0); b.Loop(); seq++ {
				binary.BigEndian.PutUint16(h[2:], seq)
				if _, err := s.SealRTP(dst, h, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

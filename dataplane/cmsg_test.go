package dataplane

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// cmsg makes one control message.
func cmsg(level, kind int32, data ...byte) []byte {
	w := controlWriter{b: make([]byte, controlRoom+len(data))}
	copy(w.add(level, kind, len(data)), data)
	return w.b[:w.n]
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func TestParseControl(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::1").As16()
	all := slices.Concat(
		cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, append(six[:], u32(7)...)...),
		cmsg(unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, u32(64)...), // not ours
		cmsg(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, u32(0xb8)...),
		cmsg(unix.IPPROTO_UDP, unix.UDP_GRO, u32(1200)...),
		cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, u32(1<<31)...))
	want := control{local: six, ifindex: 7, tos: 0xb8, segment: 1200, drops: 1 << 31, dropped: true}
	if got := parseControl(all); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	four := slices.Concat(
		cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, append(u32(3), 10, 0, 0, 1, 10, 0, 0, 2)...),
		cmsg(unix.IPPROTO_IP, unix.IP_TOS, 0x88)) // one byte, and the padding may be missing at the end
	want = control{local: mapped([4]byte{10, 0, 0, 2}), ifindex: 3, tos: 0x88}
	for _, b := range [][]byte{four, four[:len(four)-7]} {
		if got := parseControl(b); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for n := range len(all) { // cut off anywhere: what was whole counts
		if got := parseControl(all[:n]); n < 36 && got != (control{}) || n >= 36 && got.local != six {
			t.Errorf("cut off at %d: %+v", n, got)
		}
	}
}

// FuzzParseControl compares with the parser of x/sys on whatever that one takes for well-formed.
func FuzzParseControl(f *testing.F) {
	f.Add([]byte{})
	f.Add(cmsg(unix.IPPROTO_IP, unix.IP_TOS, 0xb8))
	f.Add(cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, make([]byte, 12)...))
	f.Add(cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, make([]byte, 20)...))
	f.Add(slices.Concat(cmsg(unix.IPPROTO_UDP, unix.UDP_GRO, u32(1<<31)...), cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, u32(1)...)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got := parseControl(b)
		if got.segment < 0 {
			t.Errorf("segment %d", got.segment)
		}
		messages, err := unix.ParseSocketControlMessage(slices.Clone(b)) // a copy, for that parser wants alignment
		if err != nil {
			return
		}
		var want control
		for _, m := range messages {
			want.take(m.Header.Level, m.Header.Type, m.Data)
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestRingAgainstSlice drives the ring and a plain slice with the same random steps.
func TestRingAgainstSlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r := newRing(16)
	var waiting []byte
	for step := range 20000 {
		if rng.IntN(2) == 0 {
			ok := r.put(&Datagram{Data: []byte{byte(step)}}, 3)
			if ok != (len(waiting) < 16) {
				t.Fatalf("step %d: put %v with %d waiting", step, ok, len(waiting))
			}
			if ok {
				waiting = append(waiting, byte(step))
			}
			continue
		}
		batch := r.peek()
		if len(batch) == 0 && len(waiting) > 0 || r.empty() != (len(waiting) == 0) {
			t.Fatalf("step %d: nothing, with %d waiting", step, len(waiting))
		}
		n := rng.IntN(len(batch) + 1)
		for i := range n {
			if batch[i].Via != 3 || len(batch[i].Data) != 1 || batch[i].Data[0] != waiting[i] {
				t.Fatalf("step %d: got %+v, want %d", step, batch[i], waiting[i])
			}
			batch[i].Data = nil // the consumer may do with it as it likes
		}
		r.done(n)
		waiting = waiting[n:]
	}
}

// TestRingAcrossThreads sends a sequence through the ring while both ends run.
func TestRingAcrossThreads(t *testing.T) {
	const count = 10000
	r := newRing(8)
	go func() {
		var b [4]byte
		for i := uint32(0); i < count; {
			binary.BigEndian.PutUint32(b[:], i)
			if r.put(&Datagram{Data: b[:]}, 0) {
				i++
			} else {
				runtime.Gosched()
			}
		}
	}()
	next := uint32(0)
	waitFor(t, "the whole sequence", func() bool {
		batch := r.peek()
		for i := range batch {
			if got := binary.BigEndian.Uint32(batch[i].Data); got != next {
				t.Fatalf("got %d, want %d", got, next)
			}
			next++
		}
		r.done(len(batch))
		return next == count
	})
}

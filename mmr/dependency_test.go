package mmr

import (
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/munge"
	"meetzone/mmr/internal/packet"
)

// describer sends pictures of one packet each, with dependency descriptors, and a viewer that takes these watches it.
type describer struct {
	t      *testing.T
	sh     *shard
	e      *endpoint
	tt     transportTracks
	seq    uint16
	now    dataplane.Instant
	viewer *downTrack
	out    *outlet
}

func newDescriber(t *testing.T) *describer {
	t.Helper()
	sh := newShard()
	viewer, out := bareEndpoint(t, sh, "viewer", 1)
	e, _ := bareEndpoint(t, sh, "sender", 0)
	s := &describer{t: t, sh: sh, e: e, tt: transportTracks{ids: offeredIDs}, seq: 100, now: dataplane.Instant(time.Second), viewer: viewer.slots[Video][0], out: out}
	s.viewer.dependency = extDependency
	e.up[Video].bindTo(0, &s.tt, &answered{SSRC: 77, Formats: formatsFor(Video)})
	viewer.setViews(s.now, []View{{Slot: 0, Source: e.id}})
	s.send(s.packet(described(1, 0))) // so that the slot asks for a keyframe
	return s
}

// packet makes the next packet.
func (s *describer) packet(value []byte) []byte {
	s.seq++
	return s.numbered(s.seq, value)
}

// numbered makes a packet of AV1 with a descriptor.
func (s *describer) numbered(seq uint16, value []byte) []byte {
	b := make([]byte, packet.FixedLen+packet.MaxElements)
	packet.PutHeader(b, &packet.Header{Marker: true, PayloadType: offeredFormats[codec.AV1].pt, SequenceNumber: seq, Timestamp: uint32(seq) * 3000, SSRC: 77})
	n := packet.EndElements(b, packet.AppendElement(b, packet.BeginElements(b, len(value)), extDependency, value))
	return append(b[:n], 0x10, 0x0a, 1, 2, byte(seq>>8), byte(seq))
}

// send has packets arrive, each in a batch of its own.
func (s *describer) send(packets ...[]byte) {
	for _, p := range packets {
		s.now += dataplane.Instant(33 * time.Millisecond)
		s.sh.arrived(s.now, s.e, &s.tt, []Medium{Video}, p)
		s.sh.flush(s.now)
		s.sh.advance(s.now)
	}
}

// described makes a descriptor of a whole frame.
func described(template uint8, number uint16, more ...byte) []byte {
	return append([]byte{0xc0 | template, byte(number >> 8), byte(number)}, more...)
}

// A descriptor that is too short for a frame number harms nobody, and the picture goes on behind it.
func TestShortDependency(t *testing.T) {
	s := newDescriber(t)
	s.send(s.packet(described(0, 1, chromiumL1T3...)), s.packet([]byte{0xc1}), s.packet([]byte{0xc1, 0}), s.packet(described(1, 4)))
	if s.viewer.showing == nil || s.viewer.packets < 2 {
		t.Fatalf("%d packets were sent", s.viewer.packets)
	}
	for seq := range s.seq {
		var a arrival
		a.in.Sequence = s.viewer.showing.highest - uint64(seq)
		if s.viewer.showing.recall(&a) && len(a.value) < dependencyAlone && (a.value != nil || a.in.HasNumber) {
			t.Errorf("the descriptor %x is passed on", a.value)
		}
	}
}

// A descriptor under an id that was not agreed on is something else.
func TestDependencyNotAgreedOn(t *testing.T) {
	for _, agreed := range []bool{true, false} {
		s := newDescriber(t)
		if !agreed {
			s.tt.ids.dependency = 0
		}
		s.send(s.packet(described(0, 1, chromiumL1T3...)))
		src := s.e.up[Video].streams[0].src
		a := arrival{in: munge.In{Sequence: src.highest}}
		if !src.recall(&a) || (a.value != nil) != agreed {
			t.Errorf("agreed on: %v, read: %x", agreed, a.value)
		}
	}
}

// A client that offers has the descriptor read only where it was agreed on.
func TestDependencyAgreement(t *testing.T) {
	var ids extensionIDs
	if ids.agree(slotExtensions(Audio)); ids.dependency != 0 {
		t.Errorf("id %d without an agreement", ids.dependency)
	}
	if ids.agree(slotExtensions(Video)); ids.dependency != extDependency {
		t.Errorf("id %d", ids.dependency)
	}
}

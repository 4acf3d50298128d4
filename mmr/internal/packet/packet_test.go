package packet

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// randomPacket returns a packet that pion made, and its parts.
func randomPacket(t testing.TB, r *rand.Rand) (rtp.Packet, []byte) {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{
		Version: 2, Marker: r.IntN(2) == 0, PayloadType: uint8(r.IntN(128)), SequenceNumber: uint16(r.Uint32()),
		Timestamp: r.Uint32(), SSRC: r.Uint32(),
	}}
	for range r.IntN(16) {
		p.CSRC = append(p.CSRC, r.Uint32())
	}
	limit, ids := 16, 14
	if r.IntN(2) == 0 {
		limit, ids = 255, 255
		p.Extension, p.ExtensionProfile = true, 0x1000
	}
	for range r.IntN(6) {
		value := make([]byte, 1+r.IntN(limit))
		for i := range value {
			value[i] = byte(r.Uint32())
		}
		if err := p.SetExtension(uint8(1+r.IntN(ids)), value); err != nil {
			t.Fatal(err)
		}
	}
	p.Payload = make([]byte, r.IntN(1200))
	for i := range p.Payload {
		p.Payload[i] = byte(r.Uint32())
	}
	if r.IntN(3) == 0 {
		p.PaddingSize = uint8(1 + r.IntN(255))
		p.Padding = true
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return p, b
}

func TestParseAgainstPion(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	for range 5000 {
		p, b := randomPacket(t, r)
		h, err := Parse(b)
		if err != nil {
			t.Fatalf("%v: %x", err, b)
		}
		if h.Marker != p.Marker || h.PayloadType != p.PayloadType || h.SequenceNumber != p.SequenceNumber || h.Timestamp != p.Timestamp ||
			h.SSRC != p.SSRC || h.PaddingLen != int(p.PaddingSize) || !bytes.Equal(h.Payload(b), p.Payload) {
			t.Fatalf("%+v of %x, want %+v", h, b, p.Header)
		}
		ids := p.GetExtensionIDs()
		for _, id := range ids {
			if got := Extension(b, &h, id); !bytes.Equal(got, p.GetExtension(id)) {
				t.Fatalf("extension %d is %x, want %x", id, got, p.GetExtension(id))
			}
		}
		n := 0
		for e := h.Elements(b); ; n++ {
			id, _, ok := e.Next()
			if !ok {
				break
			}
			if id != ids[n] {
				t.Fatalf("element %d has id %d, want %d", n, id, ids[n])
			}
		}
		if n != len(ids) {
			t.Fatalf("%d elements, want %d", n, len(ids))
		}
	}
}

func TestPutHeaderAgainstPion(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	for range 1000 {
		want := Header{
			Marker: r.IntN(2) == 0, PayloadType: uint8(r.IntN(128)), SequenceNumber: uint16(r.Uint32()), Timestamp: r.Uint32(), SSRC: r.Uint32(),
			HeaderLen: FixedLen,
		}
		b := make([]byte, FixedLen)
		PutHeader(b, &want)
		if got, err := Parse(b); err != nil || got != want {
			t.Fatalf("%+v %v, want %+v", got, err, want)
		}
		var p rtp.Header
		if _, err := p.Unmarshal(b); err != nil || p.SSRC != want.SSRC || p.Marker != want.Marker || p.Extension || p.Padding || len(p.CSRC) > 0 {
			t.Fatalf("%+v %v", p, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, v := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":              {nil, ErrShort},
		"eleven bytes":       {make([]byte, 11), ErrShort},
		"version 1":          {append([]byte{0x40}, make([]byte, 11)...), ErrVersion},
		"CSRC missing":       {append([]byte{0x81}, make([]byte, 11)...), ErrShort},
		"extension missing":  {append([]byte{0x90}, make([]byte, 11)...), ErrShort},
		"extension cut":      {append([]byte{0x90}, append(make([]byte, 11), 0xbe, 0xde, 0, 2, 1, 2, 3, 4)...), ErrShort},
		"padding of nothing": {append([]byte{0xa0}, make([]byte, 11)...), ErrPadding},
		"padding zero":       {append([]byte{0xa0}, append(make([]byte, 11), 1, 0)...), ErrPadding},
		"padding too long":   {append([]byte{0xa0}, append(make([]byte, 11), 1, 3)...), ErrPadding},
	} {
		if _, err := Parse(v.b); !errors.Is(err, v.want) {
			t.Errorf("%s: %v, want %v", name, err, v.want)
		}
	}
	if h, err := Parse(append([]byte{0xa0}, append(make([]byte, 11), 1, 2)...)); err != nil || h.PayloadLen != 0 || h.PaddingLen != 2 {
		t.Errorf("only padding: %+v %v", h, err)
	}
}

// RFC 8285, section 4.2: id 15 stops the walk, and so does id 0 with a length; section 4.3: two-byte elements may be empty.
func TestOddElements(t *testing.T) {
	withBlock := func(profile uint16, block ...byte) ([]byte, Header) {
		b := append([]byte{0x90}, make([]byte, 11)...)
		b = append(b, byte(profile>>8), byte(profile), 0, byte(len(block)/4))
		b = append(b, block...)
		h, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return b, h
	}
	for name, v := range map[string]struct {
		profile uint16
		block   []byte
		ids     []uint8
	}{
		"padding first and between": {oneByteProfile, []byte{0, 0, 0x10, 9, 0, 0x20, 9, 0}, []uint8{1, 2}},
		"reserved id":               {oneByteProfile, []byte{0x10, 9, 0xf0, 9, 0x20, 9, 0, 0}, []uint8{1}},
		"zero id with length":       {oneByteProfile, []byte{0x10, 9, 0x01, 9, 9, 0x20, 9, 0}, []uint8{1}},
		"reaches out":               {oneByteProfile, []byte{0x10, 9, 0x2f, 9}, []uint8{1}},
		"two-byte, empty value":     {0x1005, []byte{7, 0, 8, 1, 9, 0, 0, 0}, []uint8{7, 8}},
		"two-byte, length missing":  {twoByteProfile, []byte{7, 1, 5, 8}, []uint8{7}},
		"two-byte, reaches out":     {twoByteProfile, []byte{7, 9, 5, 8}, nil},
		"another profile":           {0x1234, []byte{0x10, 9, 0, 0}, nil},
		"nothing":                   {oneByteProfile, nil, nil},
	} {
		b, h := withBlock(v.profile, v.block...)
		var got []uint8
		for e := h.Elements(b); ; {
			id, _, ok := e.Next()
			if !ok {
				break
			}
			got = append(got, id)
		}
		if !bytes.Equal(got, v.ids) {
			t.Errorf("%s: ids %v, want %v", name, got, v.ids)
		}
	}
}

// RFC 6464, section 3, and what pion writes.
func TestElementValues(t *testing.T) {
	for _, want := range []rtp.AudioLevelExtension{{Level: 0, Voice: true}, {Level: 127}, {Level: 42, Voice: true}} {
		b, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if level, voice, ok := AudioLevel(b); !ok || level != want.Level || voice != want.Voice {
			t.Errorf("%d %v, want %+v", level, voice, want)
		}
	}
	tcc := rtp.TransportCCExtension{TransportSequence: 0xfedc}
	b, err := tcc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if seq, ok := TransportSequence(b); !ok || seq != 0xfedc {
		t.Errorf("transport sequence %#x", seq)
	}
	sendTime := rtp.AbsSendTimeExtension{Timestamp: 0x123456}
	if b, err = sendTime.Marshal(); err != nil {
		t.Fatal(err)
	}
	if v, ok := AbsSendTime(b); !ok || v != 0x123456 {
		t.Errorf("send time %#x", v)
	}
	_, _, level := AudioLevel(nil)
	_, seq := TransportSequence([]byte{1})
	if _, at := AbsSendTime([]byte{1, 2}); level || seq || at {
		t.Error("a short value was read")
	}
}

// RFC 4588: what is lost comes back as it was, whatever shape the retransmission's header has.
func TestRestore(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	for range 2000 {
		p, _ := randomPacket(t, r)
		original, media := p.SequenceNumber, p.Payload
		rtx := p
		rtx.SequenceNumber, rtx.SSRC, rtx.PayloadType = uint16(r.Uint32()), r.Uint32(), 97
		rtx.Payload = make([]byte, len(media)+OSNLen)
		if n := PutRTX(rtx.Payload, original, media); n != len(rtx.Payload) {
			t.Fatal(n)
		}
		b, err := rtx.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		h, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		got, back, err := Restore(b, &h, 0xabcd, 96)
		if err != nil {
			t.Fatal(err)
		}
		p.SSRC, p.PayloadType, p.Padding, p.PaddingSize = 0xabcd, 96, false, 0
		want, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) || back.SequenceNumber != original || !bytes.Equal(back.Payload(got), media) {
			t.Fatalf("restored\n%x, want\n%x", got, want)
		}
	}
	b := make([]byte, FixedLen+1)
	PutHeader(b, &Header{})
	h, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Restore(b, &h, 1, 1); !errors.Is(err, ErrShort) {
		t.Fatalf("one byte of payload: %v", err)
	}
}

// RFC 5761, section 4; types by pion.
func TestIsRTCP(t *testing.T) {
	for _, p := range []rtcp.Packet{
		&rtcp.SenderReport{}, &rtcp.ReceiverReport{}, &rtcp.Goodbye{}, &rtcp.PictureLossIndication{},
		&rtcp.TransportLayerNack{}, &rtcp.FullIntraRequest{},
	} {
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !IsRTCP(b) {
			t.Errorf("%T is taken for RTP", p)
		}
	}
	b := make([]byte, FixedLen)
	for pt := range uint8(128) {
		if pt >= 64 && pt <= 95 {
			continue
		}
		for _, marker := range []bool{false, true} {
			if PutHeader(b, &Header{PayloadType: pt, Marker: marker}); IsRTCP(b) {
				t.Errorf("payload type %d, marker %v is taken for RTCP", pt, marker)
			}
		}
	}
	if IsRTCP(nil) || IsRTCP([]byte{0x80}) {
		t.Error("nothing is taken for RTCP")
	}
}

func TestUnwrap(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	var u Unwrapper
	truth := uint64(1<<16 + 65000)
	if got := u.Unwrap(uint16(truth)); got != truth || u.Highest() != truth {
		t.Fatal(got)
	}
	highest := truth
	for range 100000 {
		truth = highest + uint64(r.IntN(32767))*uint64(r.IntN(2)) - uint64(r.IntN(1000))
		if got := u.Unwrap(uint16(truth)); got != truth {
			t.Fatalf("%d, want %d", got, truth)
		}
		if highest = max(highest, truth); u.Highest() != highest {
			t.Fatalf("highest %d, want %d", u.Highest(), highest)
		}
	}
	if got := Near(5, 65000); got != 65000 {
		t.Fatalf("below zero: %d", got)
	}
}

func TestNoAllocations(t *testing.T) {
	_, b := randomPacket(t, rand.New(rand.NewPCG(9, 0)))
	var u Unwrapper
	out := make([]byte, 2000)
	allocs := testing.AllocsPerRun(100, func() {
		h, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		Extension(b, &h, 3)
		PutHeader(out, &h)
		u.Unwrap(h.SequenceNumber)
		n := copy(out, b)
		PutRTX(out[n-h.PayloadLen-h.PaddingLen:], 1, h.Payload(b))
		if _, _, err := Restore(out[:n], &h, 1, 1); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Fatalf("%v allocations per packet", allocs)
	}
}

// FuzzParse holds Parse against pion: it must accept nothing that pion calls damaged, save for damaged extension elements, and agree on
// the payload.
func FuzzParse(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 0))
	for range 8 {
		_, b := randomPacket(f, r)
		f.Add(b)
	}
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0})
	f.Add([]byte{0xa0, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		if err != nil {
			return
		}
		if h.HeaderLen+h.PayloadLen+h.PaddingLen != len(b) {
			t.Fatalf("parts do not add up: %+v of %d bytes", h, len(b))
		}
		elements := 0
		for e := h.Elements(b); ; elements++ {
			_, value, ok := e.Next()
			if !ok {
				break
			}
			if len(value) > 255 || elements > len(b) {
				t.Fatal("elements without end")
			}
		}
		var p rtp.Packet
		if p.Unmarshal(bytes.Clone(b)) == nil && !bytes.Equal(p.Payload, h.Payload(b)) {
			t.Fatalf("payload %x, pion %x", h.Payload(b), p.Payload)
		}
		moved := bytes.Clone(b)
		if got, back, err := Restore(moved, &h, 1, 96); err == nil && back.PayloadLen != h.PayloadLen-OSNLen {
			t.Fatalf("restored %x", got)
		}
	})
}

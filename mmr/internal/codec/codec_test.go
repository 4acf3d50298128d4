package codec

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"
)

// RFC 7741, section 4.2 and the examples of section 4.6 in bytes: what each shape of the descriptor says.
func TestRFC7741Descriptors(t *testing.T) {
	key := []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0xe0, 0x81} // key frame tag, start code, 640 and 480 with scaling bits
	inter := []byte{0x11, 0x02, 0x00}
	for name, v := range map[string]struct {
		descriptor []byte
		payload    []byte
		want       Descriptor
	}{
		"no extension, key frame": {[]byte{0x10}, key, Descriptor{StartPartition: true, Keyframe: true, Len: 1}},
		"no extension, inter":     {[]byte{0x10}, inter, Descriptor{StartPartition: true, Len: 1}},
		"continued":               {[]byte{0x00}, key, Descriptor{Len: 1}},
		"second partition":        {[]byte{0x12}, key, Descriptor{StartPartition: true, Partition: 2, Len: 1}},
		"non-reference":           {[]byte{0x30}, inter, Descriptor{NonReference: true, StartPartition: true, Len: 1}},
		"nothing extended":        {[]byte{0x90, 0x00}, inter, Descriptor{StartPartition: true, Len: 2}},
		"picture id of 7 bits": {[]byte{0x90, 0x80, 0x11}, key, Descriptor{
			StartPartition: true, Keyframe: true, HasPictureID: true, PictureID: 17, Len: 3, pictureAt: 2,
		}},
		"picture id of 15 bits": {[]byte{0x90, 0x80, 0x92, 0x11}, inter, Descriptor{
			StartPartition: true, HasPictureID: true, LongPictureID: true, PictureID: 4625, Len: 4, pictureAt: 2,
		}},
		"TL0PICIDX alone": {[]byte{0x80, 0x60, 0xfe, 0x40}, inter, Descriptor{
			HasTL0: true, HasTID: true, TL0: 254, TID: 1, Len: 4, tl0At: 2, tidAt: 3,
		}},
		"layer sync":      {[]byte{0x80, 0x20, 0xa0}, inter, Descriptor{HasTID: true, TID: 2, LayerSync: true, Len: 3, tidAt: 2}},
		"key index alone": {[]byte{0x80, 0x10, 0xff}, inter, Descriptor{HasKeyIndex: true, KeyIndex: 31, Len: 3, tidAt: 2}},
		"everything": {[]byte{0x90, 0xf0, 0xff, 0xff, 0x07, 0xea}, key, Descriptor{
			StartPartition: true, Keyframe: true, HasPictureID: true, LongPictureID: true, HasTL0: true, HasTID: true, HasKeyIndex: true,
			LayerSync: true, PictureID: 32767, TL0: 7, TID: 3, KeyIndex: 10, Len: 6, pictureAt: 2, tl0At: 4, tidAt: 5,
		}},
	} {
		b := append(bytes.Clone(v.descriptor), v.payload...)
		got, err := ParseVP8(b)
		if err != nil || got != v.want {
			t.Errorf("%s:\n%+v %v, want\n%+v", name, got, err, v.want)
		}
		if StartsKeyframe(VP8, b) != v.want.Keyframe {
			t.Errorf("%s: StartsKeyframe disagrees", name)
		}
		width, height, ok := got.FrameSize(b)
		if ok != v.want.Keyframe || ok && (width != 640 || height != 480) {
			t.Errorf("%s: %d x %d %v", name, width, height, ok)
		}
		for n := range v.descriptor {
			if _, err := ParseVP8(b[:n]); !errors.Is(err, ErrShort) {
				t.Errorf("%s cut to %d: %v", name, n, err)
			}
		}
		if _, err := ParseVP8(v.descriptor); !errors.Is(err, ErrShort) {
			t.Errorf("%s without payload: %v", name, err)
		}
	}
}

// randomVP8 returns a payload with a well-formed descriptor of any shape.
func randomVP8(r *rand.Rand) []byte {
	b := []byte{byte(r.Uint32()) & 0xbf &^ 0x08}
	if b[0]&0x80 != 0 {
		x := byte(r.Uint32()) & 0xf0
		if x&0x40 != 0 {
			x |= 0x20 // RFC 7741: with L, T must be set; pion insists
		}
		b = append(b, x)
		if x&0x80 != 0 {
			if r.IntN(2) == 0 {
				b = append(b, byte(r.IntN(128)))
			} else {
				b = append(b, 0x80|byte(r.Uint32()), byte(r.Uint32()))
			}
		}
		if x&0x40 != 0 {
			b = append(b, byte(r.Uint32()))
		}
		if x&0x30 != 0 {
			b = append(b, byte(r.Uint32()))
		}
	}
	for range 12 {
		b = append(b, byte(r.Uint32()))
	}
	return b
}

func TestParseAgainstPion(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	for range 20000 {
		b := randomVP8(r)
		d, err := ParseVP8(b)
		if err != nil {
			t.Fatalf("%v: %x", err, b)
		}
		var p codecs.VP8Packet
		payload, err := p.Unmarshal(bytes.Clone(b))
		if err != nil {
			t.Fatalf("pion: %v: %x", err, b)
		}
		if !bytes.Equal(payload, b[d.Len:]) || p.PictureID != d.PictureID || d.HasTL0 && p.TL0PICIDX != d.TL0 || d.HasTID && p.TID != d.TID ||
			d.HasKeyIndex && p.KEYIDX != d.KeyIndex || (p.S == 1) != d.StartPartition || p.PID&7 != d.Partition&7 || (p.N == 1) != d.NonReference ||
			d.HasTID && (p.Y == 1) != d.LayerSync {
			t.Fatalf("%x:\n%+v, pion\n%+v", b, d, p)
		}
	}
}

// Patch changes exactly the three fields, for one receiver after the other.
func TestPatch(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	for range 20000 {
		b := randomVP8(r)
		original := bytes.Clone(b)
		d, err := ParseVP8(b)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			want := d
			if d.HasPictureID {
				want.PictureID = uint16(r.Uint32()) & PictureIDMask
				if !d.LongPictureID {
					want.PictureID &= shortPictureIDMask
				}
			}
			if d.HasTL0 {
				want.TL0 = uint8(r.Uint32())
			}
			if d.HasKeyIndex {
				want.KeyIndex = uint8(r.Uint32()) & KeyIndexMask
			}
			want.Patch(b)
			if got, err := ParseVP8(b); err != nil || got != want {
				t.Fatalf("%x: %+v %v, want %+v", b, got, err, want)
			}
		}
		d.Patch(b)
		if !bytes.Equal(b, original) {
			t.Fatalf("%x, was %x", b, original)
		}
	}
	d := Descriptor{HasPictureID: true, HasTL0: true, Len: 5}
	d.Patch([]byte{1, 2, 3}) // of another shape: must not reach out
	(&Descriptor{HasPictureID: true}).Patch([]byte{1, 2, 3})
}

// RFC 6716, section 3.1, table 2 and the frame count codes.
func TestRFC6716TOC(t *testing.T) {
	const ms = time.Millisecond
	silk, hybrid := []time.Duration{10 * ms, 20 * ms, 40 * ms, 60 * ms}, []time.Duration{10 * ms, 20 * ms}
	celt := []time.Duration{2500 * time.Microsecond, 5 * ms, 10 * ms, 20 * ms}
	var table []time.Duration
	for range 3 {
		table = append(table, silk...)
	}
	for range 2 {
		table = append(table, hybrid...)
	}
	for range 4 {
		table = append(table, celt...)
	}
	for configuration, frame := range table {
		for code := range 4 {
			b := []byte{byte(configuration<<3 | code | 4), 5, 0}
			frames := [...]int{1, 2, 2, 5}[code]
			got, err := ParseOpus(b)
			want := TOC{Configuration: uint8(configuration), Stereo: true, Frames: frames, FrameDuration: frame}
			if err != nil || got != want || got.Duration() != time.Duration(frames)*frame {
				t.Errorf("configuration %d, code %d: %+v %v, want %+v", configuration, code, got, err, want)
			}
		}
	}
	for _, b := range [][]byte{nil, {3}} {
		if _, err := ParseOpus(b); !errors.Is(err, ErrShort) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func TestKinds(t *testing.T) {
	if Opus.String() != "opus" || Opus.ClockRate() != 48000 || Opus.Video() || VP8.String() != "VP8" || VP8.ClockRate() != 90000 || !VP8.Video() {
		t.Error("a codec is described wrongly")
	}
	if k := Kind(200); k.String() != "unknown" || k.ClockRate() != 0 || k.Video() {
		t.Error("an unknown codec is known")
	}
	if !StartsKeyframe(Opus, []byte{1}) || StartsKeyframe(Opus, nil) || StartsKeyframe(VP8, nil) || StartsKeyframe(Unknown, []byte{1}) {
		t.Error("StartsKeyframe")
	}
	if !Silence(Opus, []byte{0x78}) || Silence(Opus, make([]byte, 40)) || Silence(VP8, nil) {
		t.Error("Silence")
	}
}

func TestNoAllocations(t *testing.T) {
	b := randomVP8(rand.New(rand.NewPCG(3, 0)))
	allocs := testing.AllocsPerRun(100, func() {
		d, err := ParseVP8(b)
		if err != nil {
			t.Fatal(err)
		}
		d.Patch(b)
		d.FrameSize(b)
		StartsKeyframe(VP8, b)
		if _, err := ParseOpus(b); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Fatalf("%v allocations per packet", allocs)
	}
}

func FuzzVP8(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 0))
	for range 8 {
		f.Add(randomVP8(r))
	}
	f.Add([]byte{0x90, 0xf0, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseVP8(b)
		if err != nil {
			return
		}
		if int(d.Len) >= len(b) || d.Len > 6 {
			t.Fatalf("descriptor of %d bytes in %d", d.Len, len(b))
		}
		d.FrameSize(b)
		patched := bytes.Clone(b)
		d.Patch(patched)
		again, err := ParseVP8(patched)
		if err != nil || again != d {
			t.Fatalf("%x patched to %x", b, patched)
		}
	})
}

func FuzzOpus(f *testing.F) {
	f.Add([]byte{0x78, 1, 2, 3})
	f.Add([]byte{3, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if toc, err := ParseOpus(b); err == nil && (toc.Duration() < 0 || toc.Duration() > 63*60*time.Millisecond) {
			t.Fatalf("%x lasts %v", b, toc.Duration())
		}
	})
}

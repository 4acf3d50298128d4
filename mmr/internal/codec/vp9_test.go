package codec

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp/codecs"
)

// RFC 9628, section 4.2, figures 1 and 2, and section 4.2.1, in bytes.
func TestRFC9628Descriptors(t *testing.T) {
	rest := []byte{0x82, 0x49, 0x83, 0x42}
	structure := []byte{0x58, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x05, 0x00, 0x02, 0xd0, 0x02, 0x04, 0x01, 0x28, 0x02, 0x01} // 3 layers, 320x180 to 1280x720
	for name, v := range map[string]struct {
		descriptor []byte
		want       Descriptor
	}{
		"whole key picture": {[]byte{0x8c, 0x92, 0x11}, Descriptor{
			StartPartition: true, EndOfFrame: true, Keyframe: true, HasPictureID: true, LongPictureID: true, PictureID: 4625, Len: 3, pictureAt: 1,
		}},
		"continued, short id": {[]byte{0x80, 0x11}, Descriptor{HasPictureID: true, PictureID: 17, Len: 2, pictureAt: 1}},
		"inter, flexible, two references": {[]byte{0xdc, 0x11, 0x03, 0x04}, Descriptor{
			StartPartition: true, EndOfFrame: true, HasPictureID: true, PictureID: 17, Len: 4, pictureAt: 1,
		}},
		"layers, not flexible": {[]byte{0xe8, 0x11, 0x53, 0x07}, Descriptor{
			StartPartition: true, HasPictureID: true, PictureID: 17, HasTID: true, TID: 2, SwitchUp: true, SID: 1, InterLayer: true, HasTL0: true, TL0: 7,
			Len: 4, pictureAt: 1, tidAt: 2, tl0At: 3,
		}},
		"layers, flexible": {[]byte{0xf4, 0x11, 0x24, 0x02}, Descriptor{
			EndOfFrame: true, HasPictureID: true, PictureID: 17, HasTID: true, TID: 1, SID: 2, Len: 4, pictureAt: 1, tidAt: 2,
		}},
		"upper layer of a key picture": {[]byte{0xa8, 0x11, 0x03, 0x07}, Descriptor{
			StartPartition: true, HasPictureID: true, PictureID: 17, HasTID: true, SID: 1, InterLayer: true, HasTL0: true, TL0: 7,
			Len: 4, pictureAt: 1, tidAt: 2, tl0At: 3,
		}},
		"structure": {append([]byte{0x0a}, structure...), Descriptor{StartPartition: true, Keyframe: true, Len: 20, width: 1280, height: 720}},
	} {
		b := append(bytes.Clone(v.descriptor), rest...)
		got, err := ParseVP9(b)
		if err != nil || got != v.want {
			t.Errorf("%s:\n%+v %v, want\n%+v", name, got, err, v.want)
		}
		for n := range v.descriptor {
			if _, err := ParseVP9(b[:n]); !errors.Is(err, ErrShort) {
				t.Errorf("%s cut to %d: %v", name, n, err)
			}
		}
	}
}

// randomVP9 returns a payload with a well-formed descriptor of any shape.
func randomVP9(r *rand.Rand) []byte {
	b := []byte{byte(r.Uint32()) &^ 0x01}
	if b[0]&0x80 != 0 {
		if r.IntN(2) == 0 {
			b = append(b, byte(r.IntN(128)))
		} else {
			b = append(b, 0x80|byte(r.Uint32()), byte(r.Uint32()))
		}
	}
	if b[0]&0x20 != 0 {
		b = append(b, byte(r.IntN(4))<<5|byte(r.IntN(2))<<4|byte(r.IntN(4))<<1|byte(r.IntN(2)))
		if b[0]&0x10 == 0 {
			b = append(b, byte(r.Uint32()))
		}
	}
	if b[0]&0x50 == 0x50 {
		for i := r.IntN(3); i >= 0; i-- {
			more := byte(0)
			if i > 0 {
				more = 1
			}
			b = append(b, byte(r.IntN(127)+1)<<1|more)
		}
	}
	if b[0]&0x02 != 0 {
		layers, pictures := r.IntN(4), r.IntN(4)
		b = append(b, byte(layers)<<5|0x18)
		for range 4 * (layers + 1) {
			b = append(b, byte(r.Uint32()))
		}
		b = append(b, byte(pictures))
		for range pictures {
			references := r.IntN(4)
			b = append(b, byte(references)<<2)
			for range references {
				b = append(b, byte(r.IntN(255)+1))
			}
		}
	}
	for range 12 {
		b = append(b, byte(r.Uint32()))
	}
	return b
}

func TestParseVP9AgainstPion(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	for range 20000 {
		b := randomVP9(r)
		d, err := ParseVP9(b)
		if err != nil {
			t.Fatalf("%v: %x", err, b)
		}
		var p codecs.VP9Packet
		payload, err := p.Unmarshal(bytes.Clone(b))
		if err != nil {
			t.Fatalf("pion: %v: %x", err, b)
		}
		if !bytes.Equal(payload, b[d.Len:]) || p.PictureID != d.PictureID || p.TL0PICIDX != d.TL0 || p.TID != d.TID || p.SID != d.SID ||
			p.U != d.SwitchUp || p.D != d.InterLayer || p.B != d.StartPartition || p.E != d.EndOfFrame {
			t.Fatalf("%x:\n%+v, pion\n%+v", b, d, p)
		}
		original := bytes.Clone(b)
		want := d
		want.PictureID = (d.PictureID + 100) & 0x7f
		want.TL0 += 9
		if want.HasTL0 {
			want.Patch(b)
		} else {
			want.TL0 = 0
			want.Patch(b)
		}
		if !d.HasPictureID {
			want.PictureID = 0
		}
		if got, err := ParseVP9(b); err != nil || got != want {
			t.Fatalf("%x patched to %x: %+v %v", original, b, got, err)
		}
	}
}

func FuzzVP9(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 9))
	for range 8 {
		f.Add(randomVP9(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseVP9(b)
		if err != nil {
			return
		}
		if int(d.Len) >= len(b) {
			t.Fatalf("descriptor of %d bytes in %d", d.Len, len(b))
		}
		d.FrameSize(b)
		patched := bytes.Clone(b)
		d.Patch(patched)
		if again, err := ParseVP9(patched); err != nil || again != d {
			t.Fatalf("%x patched to %x", b, patched)
		}
	})
}

// RFC 6184, sections 5.6 to 5.8.
func TestRFC6184Start(t *testing.T) {
	for name, v := range map[string]struct {
		payload         []byte
		idr, parameters bool
	}{
		"empty":                     {nil, false, false},
		"single IDR":                {[]byte{0x65, 1}, true, false},
		"single SPS":                {[]byte{0x67, 0x42}, false, true},
		"single other slice":        {[]byte{0x41, 1}, false, false},
		"SPS, PPS and IDR together": {[]byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce, 0, 2, 0x65, 1}, true, true},
		"SPS and PPS together":      {[]byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce}, false, true},
		"together, cut short":       {[]byte{0x78, 0, 9, 0x67}, false, false},
		"together, empty unit":      {[]byte{0x78, 0, 0, 0x67, 0x42}, false, false},
		"IDR begins in fragments":   {[]byte{0x7c, 0x85, 1}, true, false},
		"IDR goes on in fragments":  {[]byte{0x7c, 0x05, 1}, false, false},
		"IDR ends in fragments":     {[]byte{0x7c, 0x45, 1}, false, false},
		"fragment without header":   {[]byte{0x7c}, false, false},
	} {
		if idr, parameters := H264Start(v.payload); idr != v.idr || parameters != v.parameters {
			t.Errorf("%s: IDR %v, parameters %v", name, idr, parameters)
		}
	}
}

func FuzzH264(f *testing.F) {
	f.Add([]byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce, 0, 2, 0x65, 1})
	f.Add([]byte{0x7c, 0x85, 1})
	f.Fuzz(func(_ *testing.T, b []byte) { H264Start(b) })
}

// AV1 RTP specification, section 4.4: the N bit marks the first packet of a coded video sequence.
func TestAV1AggregationHeader(t *testing.T) {
	for name, v := range map[string]struct {
		payload []byte
		want    bool
	}{
		"begins a sequence":             {[]byte{0x18, 0x0a}, true},
		"any other":                     {[]byte{0x10, 0x32}, false},
		"goes on, though it says begin": {[]byte{0x98, 0x0a}, false},
		"header alone":                  {[]byte{0x18}, false},
	} {
		if StartsKeyframe(AV1, v.payload) != v.want {
			t.Error(name)
		}
	}
}

package mmr

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"

	"meetzone/dataplane"
	"meetzone/dscp"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/packet"
	"meetzone/zonectl/client/media"
)

// The tests of this file send real pictures of every codec through a shard over bad paths, and have ffmpeg decode what arrives.

// reel is a piece of film in one codec. All have a keyframe every 16 pictures, and those of VP8 and VP9 three layers in time.
type reel struct {
	name    string
	kind    codec.Kind
	layered bool
	depends bool // the packets have dependency descriptors
	frames  []media.Frame
	sums    []string // what ffmpeg makes of each picture
}

// layerOf is the temporal layer of a picture of a layered reel.
func layerOf(i int) uint8 { return [...]uint8{0, 2, 1, 2}[i%4] }

// film has ffmpeg encode a reel, and decode all of it.
func film(t *testing.T, dir string, r reel) reel {
	t.Helper()
	layers := "ts_number_layers=3:ts_target_bitrate=100,150,250:ts_rate_decimator=4,2,1:ts_periodicity=4:ts_layer_id=0,2,1,2:ts_layering_mode=3"
	libvpx := []string{"-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-auto-alt-ref", "0", "-error-resilient", "1", "-b:v", "250k",
		"-ts-parameters", layers}
	encoder := map[codec.Kind][]string{
		codec.VP8:  append([]string{"-c:v", "libvpx"}, libvpx...),
		codec.VP9:  append([]string{"-c:v", "libvpx-vp9"}, libvpx...),
		codec.AV1:  {"-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-b:v", "250k"},
		codec.H264: {"-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-bf", "0", "-b:v", "250k", "-bsf:v", "h264_metadata=aud=insert"},
	}[r.kind]
	file := filepath.Join(dir, r.name+extensionFor(r.kind))
	args := append([]string{"-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=256x144:rate=30:duration=1.6", "-pix_fmt", "yuv420p",
		"-g", "16", "-keyint_min", "16", "-sc_threshold", "0"}, encoder...)
	if out, err := exec.Command("ffmpeg", append(args, file)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", r.name, err, out)
	}
	if r.kind == codec.H264 {
		r.frames = accessUnits(t, file)
	} else {
		clip, err := media.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r.frames = clip.Frames
	}
	r.sums = sumsOf(t, file)
	if len(r.sums) != len(r.frames) || len(r.frames) != 48 || !r.frames[16].Key || r.frames[17].Key {
		t.Fatalf("%s: %d pictures, %d decoded", r.name, len(r.frames), len(r.sums))
	}
	return r
}

func extensionFor(k codec.Kind) string {
	if k == codec.H264 {
		return ".h264"
	}
	return ".ivf"
}

// accessUnits cuts a byte stream of H.264 at its delimiters.
func accessUnits(t *testing.T, file string) (frames []media.Frame) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range bytes.Split(data, []byte{0, 0, 0, 1, 9})[1:] {
		unit = unit[1:] // the rest of the delimiter
		frames = append(frames, media.Frame{Data: unit, Key: bytes.Contains(unit, []byte{0, 0, 1, 0x67}) || bytes.Contains(unit, []byte{0, 0, 0, 1, 0x67})})
	}
	return frames
}

// sumsOf has ffmpeg decode a file, stopping at the first thing it does not like, and returns a checksum of each picture.
func sumsOf(t *testing.T, file string) (sums []string) {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-i", file, "-vsync", "passthrough", "-f", "framemd5", "-")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Errorf("%s: %v: %s", filepath.Base(file), err, said.String())
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) > 1 {
			sums = append(sums, strings.TrimSpace(fields[len(fields)-1]))
		}
	}
	return sums
}

// projector plays a reel as an endpoint, and jumps to a keyframe when it is asked for one.
type projector struct {
	*reel
	e       *endpoint
	tt      transportTracks
	ssrc    uint32
	seq     uint16
	picture uint16 // number of the picture, of the sender's own
	ts      uint32
	at      int
	asked   dataplane.Instant
	av1     codecs.AV1Payloader
	h264    codecs.H264Payloader
}

// payloads returns the RTP payloads of the next picture, and its place in the reel.
func (p *projector) payloads() (list [][]byte, at int) {
	if src := p.e.up[Video].streams[0].src; src.keyAsked != p.asked {
		p.asked = src.keyAsked
		p.at = (p.at + 15) / 16 * 16
	}
	at = p.at % len(p.frames)
	p.at = at + 1
	p.picture++
	frame := p.frames[at].Data
	const size = 300
	switch p.kind {
	case codec.AV1:
		return p.av1.Payload(size, frame), at
	case codec.H264:
		return p.h264.Payload(size, frame), at
	}
	for from := 0; from < len(frame); from += size {
		data := frame[from:min(from+size, len(frame))]
		list = append(list, append(p.descriptor(at, from == 0, from+size >= len(frame)), data...))
	}
	return list, at
}

// descriptor makes the payload descriptor of VP8 or VP9. Where there is a dependency descriptor, it says nothing of layers.
func (p *projector) descriptor(at int, first, last bool) []byte {
	id := []byte{0x80 | byte(p.picture>>8)&0x7f, byte(p.picture)}
	if p.kind == codec.VP8 {
		b := append([]byte{0x80, 0xa0}, id...) // X; I and T
		if first {
			b[0] |= 0x10
		}
		return append(b, layerOf(at)<<6)
	}
	b := append([]byte{0x90}, id...) // I, flexible
	if first {
		b[0] |= 0x08
	}
	if last {
		b[0] |= 0x04
	}
	if !p.depends {
		b[0] |= 0x20
		up := byte(0)
		if layerOf(at) == 0 {
			up = 0x10
		}
		b = append(b, layerOf(at)<<5|up)
	}
	if at%16 != 0 {
		b[0] |= 0x40
		b = append(b, 1<<1)
	}
	return b
}

// chromiumL1T3 is the first dependency descriptor of a stream with three layers in time, template 0 with the structure L1T3 behind it: five
// templates, three decode targets, one chain, 256 by 144 pixels. dependencies are what follow.
var chromiumL1T3 = l1t3Structure()

func l1t3Structure() []byte {
	var bits []byte
	put := func(v, n int) {
		for i := n - 1; i >= 0; i-- {
			bits = append(bits, byte(v>>i&1))
		}
	}
	put(0x10, 5) // the structure alone
	put(0, 6)    // offset of templates
	put(2, 5)    // decode targets less one
	for _, idc := range []int{0, 1, 1, 0, 3} {
		put(idc, 2)
	}
	for _, dtis := range []string{"SSS", "SSS", "-DS", "--D", "--D"} {
		for _, s := range dtis {
			put(strings.IndexRune("-DSR", s), 2)
		}
	}
	for _, diff := range []int{0, 4, 2, 1, 1} {
		if diff > 0 {
			put(1, 1)
			put(diff-1, 4)
		}
		put(0, 1)
	}
	put(1, 2) // chains, ns(4)
	for _, diff := range []int{0, 4, 2, 1, 3} {
		put(diff, 4)
	}
	put(1, 1)
	put(255, 16)
	put(143, 16)
	b := make([]byte, (len(bits)+7)/8)
	for i, bit := range bits {
		b[i/8] |= bit << (7 - i%8)
	}
	return b
}

// dependency makes the dependency descriptor of a packet.
func (p *projector) dependency(at int, first, last bool) []byte {
	template := [...]byte{1, 3, 2, 4}[at%4]
	if at%16 == 0 {
		template = 0
	}
	b := []byte{template, byte(p.picture >> 8), byte(p.picture)}
	if first {
		b[0] |= 0x80
	}
	if last {
		b[0] |= 0x40
	}
	if first && template == 0 {
		b = append(b, chromiumL1T3...)
	}
	return b
}

// shoot returns the packets of the next picture.
func (p *projector) shoot() (list [][]byte) {
	payloads, at := p.payloads()
	p.ts += 3000
	for i, payload := range payloads {
		b := make([]byte, packet.FixedLen+packet.MaxElements)
		packet.PutHeader(b, &packet.Header{
			Marker: i == len(payloads)-1, PayloadType: offeredFormats[p.kind].pt, SequenceNumber: p.seq, Timestamp: p.ts, SSRC: p.ssrc,
		})
		n := packet.FixedLen
		if p.depends {
			value := p.dependency(at, i == 0, i == len(payloads)-1)
			n = packet.EndElements(b, packet.AppendElement(b, packet.BeginElements(b, len(value)), extDependency, value))
		}
		list = append(list, append(b[:n], payload...))
		p.seq++
	}
	return list
}

// screen is a receiver on a bad path that asks for what is missing, and keeps the pictures of each codec in a file.
type screen struct {
	t       *testing.T
	e       *endpoint
	r       *rand.Rand
	now     dataplane.Instant
	ssrc    uint32
	reorder *media.Reorder
	frames  map[media.Codec]*media.Frames
	showing media.Codec
	files   map[media.Codec]*os.File
	ivf     map[media.Codec]*media.IVFWriter
	count   map[media.Codec]int
	gaps    int

	next    uint16 // number that is expected
	begun   bool
	missing map[uint16]dataplane.Instant // when it was last asked for
	shown   bool                         // a picture since the last switch

	structure codec.Structure // of the dependency descriptors that came
	described int             // packets that had one
	newest    uint16          // of the frame numbers
}

var mediaOf = map[codec.Kind]media.Codec{codec.VP8: media.VP8, codec.VP9: media.VP9, codec.AV1: media.AV1, codec.H264: media.H264}

func (s *screen) ready() bool                                { return true }
func (s *screen) sendRTCP(class dscp.Class, compound []byte) {}

func (s *screen) sendRTP(class dscp.Class, header, payload []byte) {
	b := append(bytes.Clone(header), payload...)
	h, err := packet.Parse(b)
	if err != nil {
		s.t.Fatalf("packet sent: %v", err)
	}
	if value := packet.Extension(b, &h, extDependency); value != nil {
		s.describe(value)
	}
	if s.r.IntN(50) == 0 {
		return // 2 % are lost on the way down
	}
	kind, rtx := offeredFormats.find(h.PayloadType)
	if rtx {
		if b, h, err = packet.Restore(b, &h, s.ssrc, offeredFormats[kind].pt); err != nil {
			return
		}
	}
	s.note(h.SequenceNumber)
	s.reorder.Push(mediaOf[kind], h.SequenceNumber, h.Timestamp, h.Marker, h.Payload(b), time.Unix(0, int64(s.now)))
}

// describe checks a dependency descriptor: it can be understood, and its frame number goes on from those before, whoever the sender is.
func (s *screen) describe(value []byte) {
	d, err := codec.ParseDependency(value, &s.structure)
	if err != nil {
		s.t.Errorf("dependency descriptor %x: %v", value, err)
		return
	}
	if ahead := int16(d.Number - s.newest); s.described > 0 && (ahead < -60 || ahead > 60) {
		s.t.Errorf("frame number %d after %d", d.Number, s.newest)
	} else if s.described == 0 || ahead > 0 {
		s.newest = d.Number
	}
	s.described++
	if _, temporal := s.e.slots[Video][0].munge.Selected(); temporal == 0 && codec.Teaches(value) && len(value) == 5 && d.Active != codec.LayerBit(0, 0) {
		s.t.Errorf("layers %b are active where one is sent", d.Active)
	}
}

// note finds what is missing.
func (s *screen) note(seq uint16) {
	if !s.begun {
		s.begun, s.next = true, seq
	}
	delete(s.missing, seq)
	for ; int16(seq-s.next) >= 0; s.next++ {
		if s.next != seq {
			s.missing[s.next] = 0
		}
	}
}

// ask sends a NACK for everything that is missing for a while.
func (s *screen) ask(sh *shard) {
	for seq, at := range s.missing {
		if s.now-at < 30e6 {
			continue
		}
		if s.next-seq > 400 {
			delete(s.missing, seq)
			continue
		}
		s.missing[seq] = s.now
		sh.controlled(s.now, s.e, &transportTracks{}, []Medium{Video}, appendNACK(nil, 1, s.ssrc, []uint16{seq}))
	}
}

// deliver takes packets in order.
func (s *screen) deliver(p media.Arrived, gap bool) {
	if gap {
		s.gaps++
		for _, f := range s.frames {
			f.Gap()
		}
	}
	if len(p.Payload) == 0 {
		return
	}
	if p.Codec != s.showing {
		s.showing = p.Codec
		s.frames[p.Codec].Gap()
	}
	frame, _, complete := s.frames[p.Codec].Push(p.Payload, p.Stamp, p.Marker)
	if !complete {
		return
	}
	s.shown = true
	s.count[p.Codec]++
	var err error
	if w := s.ivf[p.Codec]; w != nil {
		err = w.WriteFrame(frame, uint64(s.count[p.Codec])*3000)
	} else {
		_, err = s.files[p.Codec].Write(frame)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func newScreen(t *testing.T, dir string, e *endpoint, r *rand.Rand) *screen {
	s := &screen{t: t, e: e, r: r, ssrc: e.slots[Video][0].ssrc, frames: map[media.Codec]*media.Frames{}, files: map[media.Codec]*os.File{},
		ivf: map[media.Codec]*media.IVFWriter{}, count: map[media.Codec]int{}, missing: map[uint16]dataplane.Instant{}}
	s.reorder = &media.Reorder{Wait: 400 * time.Millisecond, Deliver: s.deliver}
	for kind, c := range mediaOf {
		f, err := os.Create(filepath.Join(dir, "screen-"+c.String()+extensionFor(kind)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		s.files[c], s.frames[c] = f, media.NewFrames(c)
		if c != media.H264 {
			if s.ivf[c], err = media.NewIVFWriter(f, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// TestEveryCodecDecodes switches a slot 500 times among pictures of all codecs and of layers in time, while 2 % of the packets are lost on either
// way; those on the way up come again late. ffmpeg decodes what arrives without an error, and each picture is exactly one of its sender's.
func TestEveryCodecDecodes(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not installed")
	}
	const step, switches = dataplane.Instant(time.Millisecond), 500
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	dir := t.TempDir()
	reels := []reel{
		{name: "vp8", kind: codec.VP8, layered: true}, {name: "vp9", kind: codec.VP9, layered: true},
		{name: "vp9-dependency", kind: codec.VP9, layered: true, depends: true}, {name: "av1", kind: codec.AV1}, {name: "h264", kind: codec.H264},
	}
	sh := newShard()
	viewer, _ := bareEndpoint(t, sh, "viewer", 1)
	viewer.slots[Video][0].dependency = extDependency
	screen := newScreen(t, dir, viewer, r)
	sh.senderReady(0, viewer, []Medium{Video}, screen)
	var projectors []*projector
	known := map[string]bool{}
	for i := range reels {
		reels[i] = film(t, dir, reels[i])
		for _, sum := range reels[i].sums {
			known[sum] = true
		}
		e, _ := bareEndpoint(t, sh, EndpointID(fmt.Sprint(i)), 0)
		p := &projector{reel: &reels[i], e: e, ssrc: uint32(2000 + i), seq: uint16(r.Uint32()), picture: uint16(r.IntN(1 << 14)), ts: r.Uint32()}
		p.tt.ids = offeredIDs
		e.up[Video].bindTo(0, &p.tt, &answered{SSRC: p.ssrc, Formats: formatsFor(Video)})
		projectors = append(projectors, p)
	}
	play(r, sh, viewer, screen, projectors, step, switches)
	screen.reorder.Flush()
	total := 0
	for c, f := range screen.files {
		if w := screen.ivf[c]; w != nil {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		sums := sumsOf(t, f.Name())
		foreign := 0
		for _, sum := range sums {
			if !known[sum] {
				foreign++
			}
		}
		t.Logf("%s: %d pictures came, %d decoded, %d of them are not the sender's", c, screen.count[c], len(sums), foreign)
		if len(sums) != screen.count[c] || foreign > 0 || len(sums) < 200 {
			t.Errorf("%s: %d pictures came, %d decoded, %d of them are not the sender's", c, screen.count[c], len(sums), foreign)
		}
		total += len(sums)
	}
	if screen.described < 1000 {
		t.Errorf("%d packets had a dependency descriptor", screen.described)
	}
	t.Logf("%d pictures, %d gaps, most of them in the last picture before a switch", total, screen.gaps)
}

// play runs the meeting: pictures go out, get lost or late, the viewer switches and changes the layers that it is sent.
func play(r *rand.Rand, sh *shard, viewer *endpoint, screen *screen, projectors []*projector, step dataplane.Instant, switches int) {
	type flight struct {
		at dataplane.Instant
		p  *projector
		b  []byte
	}
	var air []flight
	shown := 0
	var switchAt dataplane.Instant
	for now := dataplane.Instant(time.Second); shown <= switches; now += step {
		screen.now = now
		if now%(33*step) == 0 {
			for _, p := range projectors {
				for _, b := range p.shoot() {
					at := now + dataplane.Instant(r.Int64N(int64(8*step)))
					if r.IntN(50) == 0 {
						at += 60 * step // lost, and sent again
					}
					air = append(air, flight{at, p, b})
				}
			}
		}
		kept := air[:0]
		for _, f := range air {
			if f.at <= now {
				sh.arrived(now, f.p.e, &f.p.tt, []Medium{Video}, f.b)
			} else {
				kept = append(kept, f)
			}
		}
		air = kept
		sh.flush(now)
		sh.advance(now)
		if now%(10*step) == 0 {
			screen.ask(sh)
		}
		if r.IntN(100) == 0 {
			viewer.slots[Video][0].munge.Select(3, uint8(r.IntN(3)))
		}
		if screen.gaps > 0 && now%(100*step) == 0 && !screen.frames[screen.showing].Ready() {
			b := make([]byte, 12)
			b[0], b[1], b[3] = 0x81, rtcpPSFB, 2
			binary.BigEndian.PutUint32(b[8:], screen.ssrc)
			sh.controlled(now, viewer, &transportTracks{}, []Medium{Video}, b)
		}
		if now >= switchAt {
			switchAt = now + dataplane.Instant(100+r.IntN(400))*step
			shown++
			viewer.setViews(now, []View{{Slot: 0, Source: projectors[r.IntN(len(projectors))].e.id}})
		}
	}
}

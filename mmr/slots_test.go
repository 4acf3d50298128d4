package mmr

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/dscp"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/packet"
)

// These tests drive a shard packet by packet on a clock of their own, and look at what it would send.

// outlet keeps what a shard sends to one endpoint, by SSRC.
type outlet struct {
	t       *testing.T
	rtp     map[uint32]map[uint64][]byte // header and payload, by wide number
	numbers map[uint32]*packet.Unwrapper
	last    []byte
}

func newOutlet(t *testing.T) *outlet {
	return &outlet{t: t, rtp: map[uint32]map[uint64][]byte{}, numbers: map[uint32]*packet.Unwrapper{}}
}

func (o *outlet) ready() bool                                { return true }
func (o *outlet) sendRTCP(class dscp.Class, compound []byte) {}

func (o *outlet) sendRTP(class dscp.Class, header, payload []byte) {
	o.last = append(bytes.Clone(header), payload...)
	h, err := packet.Parse(o.last)
	if err != nil {
		o.t.Errorf("packet sent: %v", err)
		return
	}
	if o.rtp[h.SSRC] == nil {
		o.rtp[h.SSRC], o.numbers[h.SSRC] = map[uint64][]byte{}, &packet.Unwrapper{}
	}
	wide := o.numbers[h.SSRC].Unwrap(h.SequenceNumber)
	if _, ok := o.rtp[h.SSRC][wide]; ok {
		o.t.Errorf("SSRC %08x: number %d was sent twice", h.SSRC, wide)
	}
	o.rtp[h.SSRC][wide] = o.last
}

// bareEndpoint joins a shard without transports; what it is sent goes to an outlet.
func bareEndpoint(t *testing.T, sh *shard, id EndpointID, videoSlots int) (*endpoint, *outlet) {
	t.Helper()
	cfg := EndpointConfig{ID: id, Send: everything, VideoSlots: videoSlots, Notify: func(Event) {}}
	e := &endpoint{tracks: newEndpointTracks(cfg), id: id, sh: sh, cfg: cfg}
	sh.addEndpoint(0, e)
	var sections []answered
	for m := range NumMedia {
		a := answered{Medium: Medium(m), Formats: formatsFor(Video)}
		if Medium(m) == Audio {
			a.Formats = formatsFor(Audio)
		}
		for i := range e.slots[m] {
			a.Slot = i
			sections = append(sections, a)
		}
		a.Up, a.Slot = true, 0
		sections = append(sections, a)
	}
	e.applyAnswer(0, sections)
	out := newOutlet(t)
	sh.senderReady(0, e, []Medium{Audio, Video, Content}, out)
	return e, out
}

// camera makes the pictures of one endpoint. Each payload carries the camera's number and the packet's wide number behind the descriptor
// and the frame header.
type camera struct {
	e       *endpoint
	tt      transportTracks
	index   int
	seq     uint64
	picture uint16
	ts      uint32
	keyAt   dataplane.Instant // 0: no keyframe is asked for
	asked   dataplane.Instant
}

const cameraMark = 14 // offset in the payload, behind descriptor and frame header

func newCamera(e *endpoint, index int, r *rand.Rand) *camera {
	c := &camera{e: e, index: index, seq: 1<<16 | uint64(r.IntN(1<<16)), picture: uint16(r.IntN(1 << 15)), ts: r.Uint32()}
	e.up[Video].bindTo(0, &c.tt, &answered{SSRC: uint32(1000 + index), Formats: formatsFor(Video)})
	c.asked = e.up[Video].streams[0].src.keyAsked
	return c
}

// shoot returns the packets of the next picture.
func (c *camera) shoot(now dataplane.Instant, r *rand.Rand) (packets [][]byte) {
	if src := c.e.up[Video].streams[0].src; src.keyAsked != c.asked {
		if now-c.asked < keyframeEvery && c.asked > 0 {
			panic("keyframe requests too close to each other")
		}
		c.asked, c.keyAt = src.keyAsked, now+dataplane.Instant(20*time.Millisecond)
	}
	key := c.seq>>16 == 1 && c.ts == 0 || c.keyAt > 0 && now >= c.keyAt
	if key {
		c.keyAt = 0
	}
	c.picture = (c.picture + 1) & codec.PictureIDMask
	c.ts += 3000
	n := 1 + r.IntN(6)
	for i := range n {
		b := make([]byte, packet.FixedLen, 200)
		packet.PutHeader(b, &packet.Header{
			Marker: i == n-1, PayloadType: ptVP8, SequenceNumber: uint16(c.seq), Timestamp: c.ts, SSRC: uint32(1000 + c.index),
		})
		payload := vp8Payload(c.picture, i == 0, key, 40)
		payload[cameraMark] = byte(c.index)
		binary.BigEndian.PutUint64(payload[cameraMark+1:], c.seq)
		packets = append(packets, append(b, payload...))
		c.seq++
	}
	return packets
}

// flight is a packet on its way from a camera.
type flight struct {
	at     dataplane.Instant
	camera *camera
	pkt    []byte
}

// TestSlotSwitches switches slots a thousand times at random among cameras whose packets are lost, repaired late and reordered. What leaves
// must be one continuous stream for each slot.
func TestSlotSwitches(t *testing.T) {
	const cameras, slots, step = 4, 2, dataplane.Instant(time.Millisecond)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	sh := newShard()
	viewer, out := bareEndpoint(t, sh, "viewer", slots)
	var cams []*camera
	for i := range cameras {
		e, _ := bareEndpoint(t, sh, EndpointID(fmt.Sprint(i)), 0)
		cams = append(cams, newCamera(e, i, r))
	}
	var air []flight
	var views [slots]View
	switches, resent := 0, 0
	for now := step; switches < 1000; now += step {
		if now%(33*step) == 0 {
			for _, c := range cams {
				for _, p := range c.shoot(now, r) {
					at := now + dataplane.Instant(r.Int64N(int64(12*step)))
					switch x := r.IntN(100); {
					case x < 1:
						continue
					case x < 4:
						at += 60 * step
					}
					air = append(air, flight{at: at, camera: c, pkt: p})
				}
			}
		}
		air = slices.DeleteFunc(air, func(f flight) bool {
			if f.at <= now {
				sh.arrived(now, f.camera.e, &f.camera.tt, []Medium{Video}, f.pkt)
			}
			return f.at <= now
		})
		sh.flush(now)
		if r.IntN(150) == 0 {
			switches++
			i := r.IntN(slots)
			views[i] = View{Slot: i, Source: EndpointID(fmt.Sprint(r.IntN(cameras)))}
			viewer.setViews(now, slices.Clone(views[:]))
		}
		sh.advance(now)
		if r.IntN(20) == 0 {
			resent += nackSome(t, now, viewer, out, r)
		}
	}
	if resent < 100 {
		t.Errorf("only %d packets were sent again", resent)
	}
	for _, d := range viewer.slots[Video] {
		checkStream(t, out.rtp[d.ssrc])
	}
}

// nackSome asks a slot for one of its last packets again, and compares what comes.
func nackSome(t *testing.T, now dataplane.Instant, e *endpoint, out *outlet, r *rand.Rand) int {
	d := e.slots[Video][r.IntN(len(e.slots[Video]))]
	sent := out.rtp[d.ssrc]
	if len(sent) == 0 {
		return 0
	}
	wide := out.numbers[d.ssrc].Highest() - uint64(r.IntN(30))
	want, ok := sent[wide]
	if !ok {
		return 0
	}
	before := len(out.rtp[d.rtxSSRC])
	nack := appendNACK(nil, 1, d.ssrc, []uint16{uint16(wide)})
	e.sh.controlled(now, e, &transportTracks{}, []Medium{Video}, nack)
	if len(out.rtp[d.rtxSSRC]) == before {
		return 0 // its source has ended, or it was asked for just now
	}
	h, _ := packet.Parse(out.last)
	payload := h.Payload(out.last)
	if h.SSRC != d.rtxSSRC || h.PayloadType != ptVP8RTX || binary.BigEndian.Uint16(payload) != uint16(wide) ||
		h.Timestamp != binary.BigEndian.Uint32(want[4:]) || !bytes.Equal(payload[packet.OSNLen:], want[packet.FixedLen:]) {
		t.Errorf("number %d was sent again as something else:\n%x\n%x", wide, want, out.last)
	}
	return 1
}

// seen is what a receiver reads from a packet.
type seen struct {
	wide, in uint64
	source   byte
	ts       uint32
	d        codec.Descriptor
}

func read(t *testing.T, wide uint64, b []byte) seen {
	h, _ := packet.Parse(b)
	p := h.Payload(b)
	d, err := codec.ParseVP8(p)
	if err != nil {
		t.Fatalf("number %d: %v", wide, err)
	}
	return seen{wide: wide, ts: h.Timestamp, d: d, source: p[cameraMark], in: binary.BigEndian.Uint64(p[cameraMark+1:])}
}

// checkStream reads a stream in the order of its numbers. Within one source all numbers advance as they did when they came; a source
// begins with a keyframe and the number after the last one.
func checkStream(t *testing.T, stream map[uint64][]byte) {
	t.Helper()
	numbers := slices.Sorted(maps.Keys(stream))
	if len(numbers) < 1000 {
		t.Fatalf("only %d packets were sent", len(numbers))
	}
	last := read(t, numbers[0], stream[numbers[0]])
	if !last.d.Keyframe {
		t.Error("the stream does not begin with a keyframe")
	}
	begins, highestPicture := 0, last.d.PictureID
	for _, n := range numbers[1:] {
		s := read(t, n, stream[n])
		step := (s.d.PictureID - highestPicture) & codec.PictureIDMask
		switch {
		case s.source == last.source && s.in-last.in == s.wide-last.wide:
			if int32(s.ts-last.ts) < 0 || step > 100 {
				t.Errorf("number %d: timestamp moved by %d, picture by %d", n, int32(s.ts-last.ts), step)
			}
		case !s.d.Keyframe || s.wide != last.wide+1 || int32(s.ts-last.ts) <= 0 || step != 1:
			t.Errorf("number %d: source %d after %d, keyframe %v, after number %d, timestamp moved by %d, picture by %d",
				n, s.source, last.source, s.d.Keyframe, last.wide, int32(s.ts-last.ts), step)
		default:
			begins++
		}
		if step < 1<<14 {
			highestPicture = s.d.PictureID
		}
		last = s
	}
	if begins < 100 {
		t.Errorf("sources began %d times only", begins)
	}
}

// formatsFor returns what a client accepts of a medium that takes everything.
func formatsFor(m Medium) (f formats) {
	for kind, offered := range offeredFormats {
		if codec.Kind(kind).Video() == (m != Audio) {
			f[kind] = offered
		}
	}
	return f
}

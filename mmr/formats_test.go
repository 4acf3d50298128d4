package mmr

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/description"
	"meetzone/mmr/internal/packet"
)

func TestFormatsOfAnAnswer(t *testing.T) {
	s := description.Accepted{Mixed: true, Extensions: []description.Extension{{ID: 3, URI: transportSequenceURI}, {ID: 8, URI: dependencyURI}},
		Codecs: []description.Codec{
			{PayloadType: 98, Name: "vp9", ClockRate: 90000, Feedback: []string{"nack", "transport-cc"}},
			{PayloadType: 99, Name: "rtx", ClockRate: 90000, Repairs: 98},
			{PayloadType: 96, Name: "VP8", ClockRate: 90000},
			{PayloadType: 97, Name: "rtx", ClockRate: 90000, Repairs: 98}, // of another
			{PayloadType: 103, Name: "H264", ClockRate: 90000},            // not under the number that was offered
			{PayloadType: 111, Name: "opus", ClockRate: 48000},
		}}
	x := answered{Medium: Video}
	if err := x.takeCodecs(&s); err != nil {
		t.Fatal(err)
	}
	want := formats{codec.VP9: {pt: 98, rtx: 99, nack: true}, codec.VP8: {pt: 96}}
	if x.Formats != want || x.Numbering != 3 || x.Dependency != 8 {
		t.Errorf("%+v, numbers %d, descriptor %d", x.Formats, x.Numbering, x.Dependency)
	}
	if kind, rtx := x.Formats.find(99); kind != codec.VP9 || !rtx {
		t.Errorf("99 is %v %v", kind, rtx)
	}
	if kind, _ := x.Formats.find(0); kind != codec.Unknown {
		t.Errorf("0 is %v", kind)
	}
	if got := x.Formats.set(); !got.has(codec.VP8) || !got.has(codec.VP9) || got.has(codec.H264) || got.has(codec.Opus) {
		t.Errorf("set %b", got)
	}
	s.Mixed, x = false, answered{Medium: Video}
	if err := x.takeCodecs(&s); err != nil || x.Dependency != 0 {
		t.Errorf("a client that cannot take long elements is sent descriptors: %d %v", x.Dependency, err)
	}
}

func TestCodecNames(t *testing.T) {
	if err := CheckCodecs(DefaultCodecs); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]string{{"VP8"}, {"vp9", "vp9"}, {""}} {
		if CheckCodecs(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if got := preference([]string{"av1"}); !slices.Equal(got, []codec.Kind{codec.AV1, codec.VP8}) {
		t.Errorf("VP8 is not always there: %v", got)
	}
	if len(preference(nil)) != len(videoCodecs) {
		t.Error("the default has not all")
	}
}

// TestOfferIsSmall: all codecs take less than half as much again as VP8 alone, and few bytes for each section.
func TestOfferIsSmall(t *testing.T) {
	sections := 0
	size := func(codecs ...string) int {
		m := startRouter(t, 1).openWith(t, MeetingConfig{Codecs: codecs})
		mb := join(t, m, "a", MaxVideoSlots)
		offer, err := mb.Offer(context.Background(), false)
		if err != nil {
			t.Fatal(err)
		}
		sections = strings.Count(offer, "\r\nm=")
		return len(offer)
	}
	least, most := size("vp8"), size()
	t.Logf("%d sections in %d bytes with VP8, %d with all codecs", sections, least, most)
	if sections < MaxVideoSlots || most > 3*least/2 || most > 1300*sections {
		t.Errorf("%d bytes with all codecs, %d with VP8", most, least)
	}
}

// TestCodecChanges: a sender changes its codec in mid-stream; whoever decodes both sees one stream go on, whoever does not is sent nothing of
// the other and goes on when it is over.
func TestCodecChanges(t *testing.T) {
	sh := newShard()
	pub, _ := bareEndpoint(t, sh, "pub", 0)
	both, outBoth := bareEndpoint(t, sh, "both", 1)
	only, outOnly := bareEndpoint(t, sh, "only", 1)
	only.slots[Video][0].formats = formats{codec.VP8: {pt: 120, rtx: 121}} // under numbers of its own
	tt := &transportTracks{ids: offeredIDs}
	now, seq := dataplane.Instant(1e9), uint16(100)
	send := func(pt uint8, ts uint32, payload []byte) {
		seq++
		h := packet.Header{PayloadType: pt, SequenceNumber: seq, Timestamp: ts * 3000, SSRC: 7, Marker: true}
		sh.arrived(now, pub, tt, []Medium{Video}, rtpPacket(h, "", payload))
		sh.flush(now)
		sh.advance(now)
		now += 33e6
	}
	vp8 := func(n uint16, key bool) { send(ptVP8, uint32(n), vp8Payload(n, true, key, 20)) }
	h264 := func(n uint32, payload ...byte) { send(offeredFormats[codec.H264].pt, n, payload) }
	vp8(1, true) // before anybody watches
	vp8(2, true)
	vp8(3, false)
	h264(4, 0x41, 9) // begins without a keyframe
	h264(5, 0x78, 0, 2, 0x67, 0x42, 0, 2, 0x65, 1)
	h264(6, 0x41, 1, 2, 3)
	vp8(7, false) // its keyframe is lost
	vp8(8, true)
	vp8(9, false)
	check := func(name string, e *endpoint, out *outlet, want ...uint8) {
		t.Helper()
		var types []uint8
		numbers := slices.Sorted(maps.Keys(out.rtp[e.slots[Video][0].ssrc]))
		for i, n := range numbers {
			h, err := packet.Parse(out.rtp[e.slots[Video][0].ssrc][n])
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, h.PayloadType)
			if i > 0 && n != numbers[i-1]+1 {
				t.Errorf("%s: number %d follows %d", name, n, numbers[i-1])
			}
		}
		if !slices.Equal(types, want) {
			t.Errorf("%s got %v, want %v", name, types, want)
		}
	}
	check("both", both, outBoth, 96, 96, 102, 102, 96, 96)
	check("only VP8", only, outOnly, 120, 120, 120, 120)
}

// TestCodecRule: senders are told what everybody decodes, at once when somebody comes who decodes less, and after a while when they have gone.
func TestCodecRule(t *testing.T) {
	sh := newShard()
	sh.preference = preference([]string{"av1", "vp9", "vp8"})
	told := map[EndpointID][]string{}
	now := dataplane.Instant(time.Second)
	run := func(d dataplane.Instant) {
		for until := now + d; now < until; now += 20e6 {
			sh.advance(now)
		}
	}
	join := func(id EndpointID, videoSlots int, kinds ...codec.Kind) *endpoint {
		e, _ := bareEndpoint(t, sh, id, videoSlots)
		e.cfg.Notify = func(event Event) {
			if c, ok := event.(CodecsWanted); ok {
				told[id] = append(told[id], c.Codecs[Video]+"/"+c.Codecs[Content])
			}
		}
		var can formats
		for _, k := range append(kinds, codec.VP8) {
			can[k] = offeredFormats[k]
		}
		for _, m := range []Medium{Video, Content} {
			e.up[m].formats = can
			for _, d := range e.slots[m] {
				d.formats = can
			}
		}
		return e
	}
	want := func(id EndpointID, list ...string) {
		t.Helper()
		if !slices.Equal(told[id], list) {
			t.Errorf("%s was told %q, want %q", id, told[id], list)
		}
		delete(told, id)
	}
	join("a", 1, codec.AV1, codec.VP9)
	b := join("b", 1, codec.VP9, codec.AV1)
	run(upgradeAfter / 2)
	want("a")
	run(upgradeAfter)
	want("a", "av1/av1")
	want("b", "av1/av1")
	c := join("c", 1, codec.VP9)
	run(100e6)
	want("a", "vp9/vp9")
	want("b", "vp9/vp9")
	run(upgradeAfter)
	want("c", "vp9/vp9") // what c itself does not decode it cannot encode either
	d := join("d", 0)    // no picture, but content
	run(100e6)
	want("a", "vp9/vp8")
	sh.removeEndpoint(now, d)
	run(upgradeAfter / 2)
	d = join("d", 0) // comes back before anything was changed for good
	run(2 * upgradeAfter)
	want("a")
	sh.removeEndpoint(now, c)
	sh.removeEndpoint(now, d)
	run(2 * upgradeAfter)
	want("a", "av1/av1")
	sh.removeEndpoint(now, b)
	run(2 * upgradeAfter)
	want("a") // alone
}

// TestCodecRuleByDefault: VP8 goes first, so nobody is told anything.
func TestCodecRuleByDefault(t *testing.T) {
	sh := newShard()
	sh.preference = preference(nil)
	for _, id := range []EndpointID{"a", "b"} {
		e, _ := bareEndpoint(t, sh, id, 1)
		e.cfg.Notify = func(event Event) {
			if c, ok := event.(CodecsWanted); ok {
				t.Errorf("%s was told %v", id, c)
			}
		}
	}
	for now := dataplane.Instant(time.Second); now < 20e9; now += 50e6 {
		sh.advance(now)
	}
}

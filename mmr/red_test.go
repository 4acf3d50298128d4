package mmr

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
	"meetzone/mmr/internal/description"
	"meetzone/mmr/internal/packet"
)

// spoken is one packet of redundant speech under a payload type: what was said before, and now.
func spoken(pt uint8, before, now string) []byte {
	b := []byte{0x80 | pt, 960 >> 6, 960 & 0x3f << 2, byte(len(before)), pt}
	return append(append(b, before...), now...)
}

// TestRED: redundant speech is passed on to who takes it, with the payload types that they know; the others are sent the newest block alone. Every packet of
// a slot has a number of its own, in order, whichever of the two it is.
func TestRED(t *testing.T) {
	sh := newShard()
	k := newTalker(t, sh, "speaker", 500)
	k.e.up[Audio].formats[codec.Opus].pt, k.e.up[Audio].formats[codec.RED].pt = 109, 110 // of gear, which chooses
	listener := func(id EndpointID, opus, red uint8) (*endpoint, *outlet) {
		e, out := bareEndpoint(t, sh, id, 0)
		for _, d := range e.slots[Audio] {
			d.formats[codec.Opus].pt, d.formats[codec.RED].pt = opus, red
		}
		return e, out
	}
	_, plain := listener("plain", ptOpus, 0)
	narrow, without := listener("narrow", ptOpus, ptRED)
	_, gear := listener("gear", 96, 97)
	_, both := listener("both", ptOpus, ptRED)
	now := dataplane.Instant(1)
	say := func(pt uint8, payload []byte) {
		k.seq++
		h := packet.Header{PayloadType: pt, SequenceNumber: k.seq, Timestamp: uint32(k.seq) * 960, SSRC: 500}
		sh.arrived(now, k.e, &k.tt, []Medium{Audio}, rtpPacket(h, "", payload))
		sh.flush(now)
		now += dataplane.Instant(20 * time.Millisecond)
		sh.advance(now)
	}
	for range 10 {
		say(109, []byte("opus alone"))
	}
	narrow.budget.limit(300_000)
	narrow.allocate(now)
	hears := func(who string, out *outlet, pt uint8, payload []byte) {
		t.Helper()
		h, err := packet.Parse(out.last)
		if err != nil || h.PayloadType != pt || !bytes.Equal(h.Payload(out.last), payload) || h.Timestamp == 0 {
			t.Errorf("%s is sent %d %q, want %d %q", who, h.PayloadType, h.Payload(out.last), pt, payload)
		}
	}
	for range 3 {
		say(110, spoken(109, "before", "now"))
		hears("who takes it", both, ptRED, spoken(ptOpus, "before", "now"))
		hears("gear", gear, 97, spoken(96, "before", "now"))
		hears("who does not take it", plain, ptOpus, []byte("now"))
		hears("who has no room for it", without, ptOpus, []byte("now"))
		say(109, []byte("alone"))
		hears("who takes it", both, ptOpus, []byte("alone"))
		hears("gear", gear, 96, []byte("alone"))
	}
	narrow.budget.limit(10_000_000)
	narrow.allocate(now)
	say(110, spoken(109, "before", "now"))
	hears("who has room again", without, ptRED, spoken(ptOpus, "before", "now"))
	sent := both.last
	for _, bad := range [][]byte{{}, {0x80 | 109}, {0x80 | 109, 0, 0, 50, 109, 1}, spoken(0, "before", "now"), {0x80 | 109, 0, 0, 0, 8, 1}} {
		say(110, bad)
		if !bytes.Equal(both.last, sent) {
			t.Errorf("%x was passed on", bad)
		}
	}
	for name, out := range map[string]*outlet{"plain": plain, "both": both, "gear": gear, "narrow": without} {
		for ssrc, packets := range out.rtp {
			numbers := slices.Sorted(maps.Keys(packets))
			if n := len(numbers); n < 16 || numbers[n-1]-numbers[0] != uint64(n-1) { // the first came before there was a slot for it
				t.Errorf("%s: %08x has the numbers %d", name, ssrc, numbers)
			}
		}
	}
}

// TestREDDescribed: who has no Opus beside it is not sent it; who publishes is asked for it if they prefer it.
func TestREDDescribed(t *testing.T) {
	red, opus := description.Codec{PayloadType: ptRED, Name: "red", ClockRate: 48000, Channels: 2, Parameters: "111/111"},
		description.Codec{PayloadType: ptOpus, Name: "opus", ClockRate: 48000, Channels: 2}
	if list := codecsOf(Audio, allCodecs); len(list) != 2 || list[0].Name != "red" || list[1].Name != "opus" {
		t.Errorf("offered are %+v", list)
	}
	x := answered{Medium: Audio}
	if err := x.takeCodecs(&description.Accepted{Codecs: []description.Codec{red}}); err == nil {
		t.Error("RED of nothing is taken")
	}
	for _, c := range []struct {
		theirs    []description.Codec
		publishes bool
		want      int
		first     string
	}{
		{[]description.Codec{opus, red}, false, 2, "red"}, {[]description.Codec{opus, red}, true, 1, "opus"}, {[]description.Codec{red, opus}, true, 2, "red"},
		{[]description.Codec{opus}, false, 1, "opus"}, {[]description.Codec{red}, false, 0, ""},
	} {
		list := commonCodecs(Audio, &description.Accepted{Codecs: c.theirs}, c.publishes)
		if len(list) != c.want || c.want > 0 && list[0].Name != c.first {
			t.Errorf("%+v, publishes %v: %+v", c.theirs, c.publishes, list)
		}
	}
}

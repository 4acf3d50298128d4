package mmr

import (
	"slices"
	"testing"
	"time"

	"meetzone/dataplane"
	"meetzone/mmr/internal/codec"
)

// beside carries to a shard on the same thread.
type beside struct {
	end *link
	now *dataplane.Instant
}

func (c beside) carry(b *linkBatch) error {
	b.to = c.end
	b.Run(*c.now)
	return nil
}

// TestCodecRuleOverLinks: who is behind a link counts like everybody else, from the moment that the far side has said who that is.
func TestCodecRuleOverLinks(t *testing.T) {
	now := dataplane.Instant(time.Second)
	shards := []*shard{newShard(), newShard()}
	told := map[EndpointID][]string{}
	join := func(sh *shard, id EndpointID, kinds ...codec.Kind) *endpoint {
		e, _ := bareEndpoint(t, sh, id, 1)
		e.cfg.Notify = func(event Event) {
			if c, ok := event.(CodecsWanted); ok {
				told[id] = append(told[id], c.Codecs[Video])
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
	run := func(d dataplane.Instant) {
		for until := now + d; now < until; now += 20e6 {
			for _, sh := range shards {
				sh.advance(now)
			}
		}
	}
	want := func(id EndpointID, list ...string) {
		t.Helper()
		if !slices.Equal(told[id], list) {
			t.Errorf("%s was told %q, want %q", id, told[id], list)
		}
		delete(told, id)
	}
	for _, sh := range shards {
		sh.preference = preference([]string{"av1", "vp9", "vp8"})
	}
	join(shards[0], "a", codec.AV1, codec.VP9)
	join(shards[1], "b", codec.AV1, codec.VP9)
	join(shards[1], "c", codec.VP9)
	run(2 * upgradeAfter)
	want("a", "av1") // alone
	want("b", "vp9")
	want("c", "vp9") // what c does not decode it cannot encode either
	here, there := newLink(shards[0]), newLink(shards[1])
	here.far, there.far = beside{there, &now}, beside{here, &now}
	there.open(now)
	here.open(now)
	run(2 * upgradeAfter)
	want("a", "vp9")
	want("b")
	want("c")
	d := join(shards[0], "d")
	run(200e6)
	want("a", "vp8")
	want("b", "vp8")
	want("c", "vp8")
	shards[0].removeEndpoint(now, d)
	run(2 * upgradeAfter)
	want("a", "vp9")
	want("b", "vp9")
	want("c", "vp9")
}

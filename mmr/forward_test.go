package mmr

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"meetzone/dataplane"
)

// The tests of this file let pion clients send and receive through a router on loopback.

// vp8Payload makes one packet of a VP8 picture with a 15-bit picture id.
func vp8Payload(picture uint16, first, key bool, size int) []byte {
	b := make([]byte, 4+max(size, 10))
	b[0], b[1] = 0x80, 0x80
	binary.BigEndian.PutUint16(b[2:], picture|0x8000)
	if first {
		b[0] |= 0x10
		b[4] = 1
		if key {
			copy(b[4:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0})
		}
	}
	return b
}

// publisher sends voice and pictures until it is stopped, a keyframe whenever it is asked for one.
type publisher struct {
	mb        *member
	keyframes [NumMedia]atomic.Int32 // asked for
	quiet     [NumMedia]atomic.Bool
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// publish begins. Sending ends before the client is closed.
func (mb *member) publish() *publisher {
	p := &publisher{mb: mb}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	for m := range NumMedia {
		p.running.Add(1)
		go p.run(ctx, Medium(m))
		go p.listen(Medium(m))
	}
	mb.t.Cleanup(p.end)
	return p
}

func (p *publisher) end() {
	p.stop()
	p.running.Wait()
}

// listen counts the keyframe requests of a medium; it ends with the PeerConnection.
func (p *publisher) listen(m Medium) {
	for _, sender := range p.mb.client.pcs[m].GetSenders() {
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				break
			}
			for _, packet := range packets {
				if _, ok := packet.(*rtcp.PictureLossIndication); ok {
					p.keyframes[m].Add(1)
				}
			}
		}
	}
}

func (p *publisher) run(ctx context.Context, m Medium) {
	defer p.running.Done()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var seq, picture uint16
	var served int32
	for ts := uint32(0); ; ts += 960 {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if p.quiet[m].Load() {
			continue
		}
		packets := 1
		if m != Audio {
			packets = 3
		}
		asked := p.keyframes[m].Load()
		key := picture == 0 || asked > served
		served = asked
		for i := range packets {
			payload := make([]byte, 80)
			if m != Audio {
				payload = vp8Payload(picture, i == 0, key, 300)
			}
			seq++
			h := rtp.Header{Version: 2, Marker: i == packets-1, SequenceNumber: seq, Timestamp: ts}
			if err := p.mb.client.ups[m].WriteRTP(&rtp.Packet{Header: h, Payload: payload}); err != nil {
				return
			}
		}
		picture = (picture + 1) & 0x7fff
	}
}

// slots returns who the router says is in the slots of a medium.
func (mb *member) slots(m Medium) (list []EndpointID) {
	s, err := mb.Stats(context.Background())
	if err != nil {
		mb.t.Fatal(err)
	}
	for _, slot := range s.Slots {
		if slot.Medium == m {
			list = append(list, slot.Source)
		}
	}
	return list
}

// lastSlots returns the slots of the last event.
func (mb *member) lastSlots() (slots []Slot) {
	mb.mu.Lock()
	defer mb.mu.Unlock()
	for _, e := range mb.events {
		if s, ok := e.(SlotsChanged); ok {
			slots = s.Slots
		}
	}
	return slots
}

// grows waits until more is received of a stream.
func (mb *member) grows(stream string) {
	mb.t.Helper()
	before := mb.client.received(stream)
	waitFor(mb.t, string(mb.ID())+" gets "+stream, func() bool { return mb.client.received(stream) > before+5 })
}

// gather lets members of the given names join and publish.
func gather(t *testing.T, m *Meeting, names ...EndpointID) (members map[EndpointID]*member, publishers map[EndpointID]*publisher) {
	t.Helper()
	members, publishers = map[EndpointID]*member{}, map[EndpointID]*publisher{}
	for _, name := range names {
		mb := join(t, m, name, 3)
		mb.connect(nil)
		members[name], publishers[name] = mb, mb.publish()
	}
	return members, publishers
}

func TestMeeting(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 2)
	m := tr.open(t)
	members, publishers := gather(t, m, "alice", "bob", "carol")
	for _, mb := range members {
		for _, stream := range []string{"audio0", "audio1", "video0", "video1"} {
			mb.grows(stream)
		}
		for _, medium := range []Medium{Audio, Video} {
			if got := mb.slots(medium); slices.Contains(got, mb.ID()) {
				t.Errorf("%s is in their own %s slots: %q", mb.ID(), medium, got)
			}
		}
		if got := mb.client.received("audio2") + mb.client.received("video2") + mb.client.received("content0"); got != 0 {
			t.Errorf("%s got %d packets in empty slots", mb.ID(), got)
		}
	}
	waitFor(t, "a speaker to be named", func() bool {
		return members["bob"].has(func(e Event) bool { s, ok := e.(SpeakerChanged); return ok && s.Speaker != "" })
	})
	t.Run("content", func(t *testing.T) {
		if err := m.SetContent("alice"); err != nil {
			t.Fatal(err)
		}
		members["bob"].grows("content0")
		if got := members["alice"].client.received("content0"); got != 0 {
			t.Errorf("alice got %d packets of her own content", got)
		}
		waitFor(t, "the event", func() bool {
			return slices.Contains(members["bob"].lastSlots(), Slot{Medium: Content, Source: "alice"})
		})
	})
	t.Run("views", func(t *testing.T) {
		bob := members["bob"]
		for range 6 {
			for _, want := range []EndpointID{"carol", "alice"} {
				if err := bob.SetViews([]View{{Slot: 2, Source: want}}); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "the view", func() bool { return slices.Equal(bob.slots(Video), []EndpointID{"", "", want}) })
				bob.grows("video2")
			}
		}
		if n := publishers["carol"].keyframes[Video].Load(); n < 2 {
			t.Errorf("carol was asked for %d keyframes", n)
		}
	})
	t.Run("muted", func(t *testing.T) {
		if err := members["alice"].SetMuted(Video, true); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the pause", func() bool {
			return slices.Contains(members["bob"].lastSlots(), Slot{Medium: Video, Index: 2, Source: "alice", Paused: true})
		})
		before := members["bob"].client.received("video2")
		members["bob"].grows("audio0")
		if after := members["bob"].client.received("video2"); after > before+3 {
			t.Errorf("%d packets came of a muted picture", after-before)
		}
		if err := members["alice"].SetMuted(Video, false); err != nil {
			t.Fatal(err)
		}
		members["bob"].grows("video2")
	})
	t.Run("quiet", func(t *testing.T) {
		publishers["carol"].quiet[Audio].Store(true)
		waitFor(t, "carol's voice to leave its slot", func() bool { return !slices.Contains(members["bob"].slots(Audio), "carol") })
	})
	t.Run("leave", func(t *testing.T) {
		publishers["alice"].end()
		if err := members["alice"].Close(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "alice to leave the slots", func() bool {
			all := append(members["bob"].slots(Audio), members["bob"].slots(Content)...)
			return !slices.Contains(append(all, members["bob"].slots(Video)...), "alice")
		})
	})
	if s := tr.Stats(); s.SlotSwitches == 0 || s.KeyframeRequests == 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestConnected lets people meet who are at two routers, each with a plane of its own, or at two workers of one.
func TestConnected(t *testing.T) {
	t.Run("routers", func(t *testing.T) {
		noLeaks(t)
		testConnected(t, startRouter(t, 1).open(t), startRouter(t, 1).open(t))
	})
	t.Run("workers", func(t *testing.T) {
		noLeaks(t)
		tr := startRouter(t, 2)
		m, other := tr.open(t), tr.open(t)
		if m.h == other.h {
			t.Fatal("both meetings have the same home")
		}
		testConnected(t, m, other)
	})
}

func testConnected(t *testing.T, m, other *Meeting) {
	members, publishers := gather(t, m, "alice", "bob")
	if err := m.Connect(other); err != nil {
		t.Fatal(err)
	}
	far, farPublishers := gather(t, other, "carol")
	carol, bob := far["carol"], members["bob"]
	for _, stream := range []string{"audio0", "audio1", "video0", "video1"} {
		carol.grows(stream)
		bob.grows(stream)
	}
	if got := bob.slots(Video); !slices.Contains(got, "carol") || !slices.Contains(got, "alice") {
		t.Errorf("bob sees %q", got)
	}
	if got := carol.slots(Audio); !slices.Contains(got, "bob") || !slices.Contains(got, "alice") {
		t.Errorf("carol hears %q", got)
	}
	if err := m.SetContent("bob"); err != nil {
		t.Fatal(err)
	}
	carol.grows("content0")

	// Only what somebody wants to see travels: with carol looking away, the far shard gets no pictures any more.
	if err := carol.SetViews([]View{{Slot: 0, Source: ""}}); err != nil {
		t.Fatal(err)
	}
	tapped := func() (n int) {
		if err := m.h.w.Do(context.Background(), func(now dataplane.Instant) {
			for _, s := range m.sh.sources {
				if s.medium == Video {
					n += s.tapped
				}
			}
		}); err != nil {
			t.Error(err)
		}
		return n
	}
	waitFor(t, "the pictures to stop", func() bool { return tapped() == 0 })

	publishers["alice"].end()
	if err := members["alice"].Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "alice to leave carol's slots", func() bool { return !slices.Contains(carol.slots(Audio), "alice") })
	farPublishers["carol"].end()
	other.Close()
	waitFor(t, "carol to leave bob's slots", func() bool {
		return !slices.Contains(append(bob.slots(Audio), bob.slots(Video)...), "carol")
	})
}

package client

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// marks are the default profile's, by which the echo zone marks its side too.
func (z *echoZone) marks(medium wire.Medium) dscp.CodePoint {
	return Config{}.marks()[mediumClass(medium)]
}

// loopback makes the sockets of the echo zone: it cannot know where the client is, which is always the loopback here.
type loopback struct{ *sockets }

func (l *loopback) GetListenAddresses() []net.Addr {
	l.aim([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}, nil)
	return l.sockets.GetListenAddresses()
}

// playing is a session that sends everything.
type playing struct {
	*Session
	video atomic.Pointer[media.Player]
}

func joinEcho(t *testing.T, z *echoZone, change func(*Config)) *playing {
	t.Helper()
	var p playing
	cfg := Config{URL: z.server.URL, Meeting: "42", Name: "test", Send: wire.Media[:], VideoSlots: 2, Roots: z.roots(),
		KeyframeWanted: func(wire.Medium, int) {
			if player := p.video.Load(); player != nil {
				player.RequestKeyframe()
			}
		}}
	if change != nil {
		change(&cfg)
	}
	session, err := Join(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Session = session
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		session.Close()
	})
	pacer := media.NewPacer()
	go pacer.Run(ctx)
	for _, medium := range wire.Media {
		clip, err := media.Pattern()
		if medium == wire.Audio {
			clip, err = media.Tone()
		}
		if err != nil {
			t.Fatal(err)
		}
		player, err := media.NewPlayer(clip, func(f media.Frame, at time.Duration) error { return session.Sender(medium).Send(f.Data, at) })
		if err != nil {
			t.Fatal(err)
		}
		if medium == wire.Video {
			p.video.Store(player)
		}
		pacer.Add(player, time.Now())
	}
	return &p
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// more waits until every medium received some packets more than it has.
func more(t *testing.T, p *playing) {
	t.Helper()
	before := p.Stats()
	eventually(t, "media", func() bool {
		now := p.Stats()
		for i := range now.Media {
			if now.Media[i].Received < before.Media[i].Received+20 {
				return false
			}
		}
		return true
	})
}

func TestSession(t *testing.T) {
	z := newEchoZone(t)
	p := joinEcho(t, z, nil)
	more(t, p)
	stats := p.Stats()
	locals := make(map[string]bool)
	want := map[wire.Medium]int{wire.Audio: 46, wire.Video: 34, wire.Content: 36}
	for _, m := range stats.Media {
		if m.Rung != "udp" || m.Sent == 0 || m.Lost > 0 || m.DSCP != want[m.Medium] {
			t.Errorf("%+v", m)
		}
		locals[m.Local] = true
	}
	if len(locals) != 3 {
		t.Errorf("%d sockets for three media", len(locals))
	}
	for _, stage := range Stages {
		if stats.Stages[stage] <= 0 {
			t.Errorf("stage %s took no time", stage)
		}
	}
	if len(stats.Slots) != 6 || stats.Slots[0].Mid != "audio0" || stats.Slots[0].Received == 0 {
		t.Errorf("slots %+v", stats.Slots)
	}
	z.last().offer(false)
	if generation := <-z.last().answered; generation == 1 {
		<-z.last().answered
	}
	more(t, p)
	if err := p.Close(); err != nil || p.Err() != nil {
		t.Error(err, p.Err())
	}
	if err := p.Sender(wire.Audio).Send([]byte{1}, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("sending after the end: %v", err)
	}
}

func TestFreshTransports(t *testing.T) {
	z := newEchoZone(t)
	p := joinEcho(t, z, nil)
	more(t, p)
	before := p.Stats()
	z.last().offer(true)
	eventually(t, "other sockets", func() bool {
		now := p.Stats()
		return now.Media[0].Local != before.Media[0].Local && now.Media[0].Local != ""
	})
	more(t, p)
	for _, m := range p.Stats().Media {
		if m.Lost > 0 {
			t.Errorf("%s lost %d packets over fresh transports", m.Medium, m.Lost)
		}
	}
}

func TestDeadPathIsReplaced(t *testing.T) {
	z := newEchoZone(t)
	p := joinEcho(t, z, nil)
	more(t, p)
	e := z.last()
	e.close()
	eventually(t, "a request for fresh transports", func() bool {
		for {
			select {
			case m := <-e.messages:
				if n, is := m.(wire.Negotiate); is {
					return n.Fresh
				}
			default:
				return false
			}
		}
	})
	more(t, p)
}

func TestResume(t *testing.T) {
	z := newEchoZone(t)
	p := joinEcho(t, z, nil)
	more(t, p)
	z.mu.Lock()
	z.refuse = 2
	socket := z.sessions[0].socket
	z.mu.Unlock()
	socket.CloseNow()
	eventually(t, "the resumption", func() bool { return p.Welcome().Resumed })
	more(t, p)
	z.mu.Lock()
	defer z.mu.Unlock()
	resume := z.hellos[len(z.hellos)-1].Resume
	if len(z.hellos) != 2 || resume == nil || resume.Session != "s" || resume.Secret != "1" {
		t.Errorf("%d hellos, the last with %+v", len(z.hellos), resume)
	}
}

func TestBye(t *testing.T) {
	z := newEchoZone(t)
	p := joinEcho(t, z, nil)
	z.last().send(wire.Bye{Error: wire.Error{Code: wire.CodeEnded, Text: "The meeting has ended."}})
	<-p.Done()
	var told *Error
	if err := p.Err(); !errors.As(err, &told) || told.Text != "The meeting has ended." {
		t.Errorf("%v", p.Err())
	}
}

func TestRefusals(t *testing.T) {
	z := newEchoZone(t)
	cases := []struct {
		name string
		cfg  Config
		want []string
	}{
		{"wrong number", Config{URL: z.server.URL, Meeting: "43", Roots: z.roots()}, []string{"Number or passcode is wrong. Check both."}},
		{"link", Config{URL: z.server.URL + "/j/44", Roots: z.roots()}, []string{"Number or passcode is wrong"}},
		{"untrusted", Config{URL: z.server.URL, Meeting: "42"}, []string{"not trusted", Fingerprint(z.server.Certificate())}},
		{"nobody", Config{URL: "https://127.0.0.1:9", Meeting: "42"}, []string{"Nothing listens at 127.0.0.1:9."}},
		{"plain", Config{URL: "http://127.0.0.1:9", Meeting: "42"}, []string{"use https://HOST"}},
		{"everything", Config{URL: z.server.URL, VideoSlots: 50, Send: []wire.Medium{"smell"}}, []string{"no meeting number", "50 video slots", "smell"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Join(context.Background(), c.cfg)
			if err == nil {
				t.Fatal("joined")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
	var untrusted *UntrustedError
	if _, err := Join(context.Background(), cases[2].cfg); !errors.As(err, &untrusted) {
		t.Errorf("%v", err)
	}
}

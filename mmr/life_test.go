package mmr

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"meetzone/dataplane"
)

// onWorker runs f on the worker of an endpoint.
func (mb *member) onWorker(f func(now dataplane.Instant)) {
	mb.t.Helper()
	err := mb.do(context.Background(), func(now dataplane.Instant) error {
		f(now)
		return nil
	})
	if err != nil {
		mb.t.Fatal(err)
	}
}

func (mb *member) gone(reason string) bool {
	return mb.has(func(e Event) bool {
		g, ok := e.(Gone)
		return ok && strings.Contains(g.Reason, reason)
	})
}

// TestForwarded lets two clients hear and see each other.
func TestForwarded(t *testing.T) {
	noLeaks(t)
	m := startRouter(t, 2).open(t)
	a, b := join(t, m, "a", 1), join(t, m, "b", 1)
	a.connect(nil)
	b.connect(nil)
	if err := b.SetViews([]View{{Slot: 0, Source: "a"}}); err != nil {
		t.Fatal(err)
	}
	if err := m.SetContent("a"); err != nil {
		t.Fatal(err)
	}
	for medium, stream := range map[Medium]string{Audio: "audio0", Video: "video0", Content: "content0"} {
		waitFor(t, stream, func() bool {
			a.client.speak(medium)
			return b.client.received(stream) > 0
		})
	}
}

// TestRestart restarts ICE in mid-call: keys stay, the old credentials end once the new ones have nominated.
func TestRestart(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 2)
	mb := join(t, tr.open(t), "a", 1)
	mb.connect(nil)
	mb.flows("before")
	mb.exchange(mb.client, false)
	waitFor(t, "new credentials in use", func() bool {
		old := 0
		mb.onWorker(func(dataplane.Instant) {
			for _, tp := range mb.e.live() {
				if tp.old.ufrag != "" {
					old++
				}
			}
		})
		return old == 0
	})
	mb.flows("after")
	mb.waitState(TransportConnected)
	if s := tr.Stats(); s.Handshakes != uint64(NumMedia) {
		t.Errorf("%d handshakes, want those of the first exchange only", s.Handshakes)
	}
}

// TestFresh replaces the PeerConnections of a client.
func TestFresh(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 2)
	mb := join(t, tr.open(t), "a", 1)
	mb.connect(nil)
	mb.flows("before")
	before := mb.transportStates()
	second := newTestClient(t, nil)
	mb.exchange(second, true)
	mb.client = second
	mb.waitState(TransportConnected)
	mb.flows("after")
	for i, tp := range mb.transportStates() {
		if tp.Remote == before[i].Remote {
			t.Errorf("%s is still at %s", tp.Medium, tp.Remote)
		}
	}
	if s := tr.Stats(); s.Transports != NumMedia || s.Handshakes != 2*uint64(NumMedia) {
		t.Errorf("stats %+v", s)
	}
	if mb.gone("") {
		t.Error("gone, though the new transports were there")
	}
}

// TestSilence takes the time forward for a client that has vanished without a word, and brings it back by an ICE restart.
func TestSilence(t *testing.T) {
	noLeaks(t)
	mb := join(t, startRouter(t, 1).open(t), "a", 1)
	mb.connect(nil)
	mb.onWorker(func(now dataplane.Instant) {
		for _, tp := range mb.e.live() {
			tp.sweep(now + silenceExpiry - 3*sweepInterval)
			if !tp.ready() {
				t.Errorf("%s was given up too early", tp.media[0])
			}
			tp.sweep(now + silenceExpiry)
		}
	})
	mb.waitState(TransportLost)
	if !mb.gone("nothing came") {
		t.Errorf("events %v", mb.events)
	}
	mb.exchange(mb.client, false)
	mb.waitState(TransportConnected)
	mb.flows("after the restart")
}

// TestConsent takes the time forward for a client that sends media but has stopped checking.
func TestConsent(t *testing.T) {
	noLeaks(t)
	mb := join(t, startRouter(t, 1).open(t), "a", 1)
	mb.connect(nil)
	mb.onWorker(func(now dataplane.Instant) {
		for _, tp := range mb.e.live() {
			tp.heard = now + consentExpiry
			tp.sweep(now + consentExpiry)
		}
	})
	mb.waitState(TransportLost)
	if !mb.gone("consent") {
		t.Errorf("events %v", mb.events)
	}
}

// TestDTLSClosed: after close_notify only a fresh offer helps, and Offer says so.
func TestDTLSClosed(t *testing.T) {
	noLeaks(t)
	mb := join(t, startRouter(t, 1).open(t), "a", 1)
	mb.connect(nil)
	waitFor(t, "the client to be connected too: before it has the router's last flight it says no goodbye", func() bool {
		return !slices.ContainsFunc(mb.client.pcs, func(pc *webrtc.PeerConnection) bool {
			return pc.ConnectionState() != webrtc.PeerConnectionStateConnected
		})
	})
	mb.client.close()
	mb.waitState(TransportLost)
	if _, err := mb.Offer(context.Background(), false); !errors.Is(err, ErrNeedsFresh) {
		t.Errorf("offer of a restart: %v, want ErrNeedsFresh", err)
	}
	mb.client = newTestClient(t, nil)
	mb.exchange(mb.client, true)
	mb.waitState(TransportConnected)
}

// TestRouterCloses: the clients hear of it by DTLS.
func TestRouterCloses(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 2)
	mb := join(t, tr.open(t), "a", 1)
	mb.connect(nil)
	tr.end()
	waitFor(t, "the client to notice", func() bool {
		return !slices.ContainsFunc(mb.client.pcs, func(pc *webrtc.PeerConnection) bool {
			return pc.ConnectionState() != webrtc.PeerConnectionStateClosed
		})
	})
	if _, err := mb.Offer(context.Background(), true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("offer after the end: %v", err)
	}
	if _, err := tr.Open(MeetingConfig{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("open after the end: %v", err)
	}
}

// TestLateAnswer holds the answer back until the client's ClientHello is there: no retransmission is waited for.
func TestLateAnswer(t *testing.T) {
	noLeaks(t)
	mb := join(t, startRouter(t, 1).open(t), "a", 1)
	mb.client = newTestClient(t, nil)
	offer, err := mb.Offer(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := mb.client.answer(offer)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "DTLS before the answer", func() bool {
		early := 0
		mb.onWorker(func(dataplane.Instant) {
			for _, tp := range mb.e.live() {
				early += min(1, len(tp.early))
			}
		})
		return early == NumMedia
	})
	mb.waitState(TransportChecking)
	if err := mb.Answer(context.Background(), answer); err != nil {
		t.Fatal(err)
	}
	mb.waitState(TransportConnected)
}

// TestWrongCertificate: a client whose certificate is not that of the answer gets no keys.
func TestWrongCertificate(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	mb := join(t, tr.open(t), "a", 1)
	mb.client = newTestClient(t, nil)
	offer, err := mb.Offer(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := mb.client.answer(offer)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(answer, "\r\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "a=fingerprint:sha-256 ") {
			lines[i] = "a=fingerprint:sha-256 " + strings.Repeat("AB:", 31) + "AB"
		}
	}
	if err := mb.Answer(context.Background(), strings.Join(lines, "\r\n")); err != nil {
		t.Fatal(err)
	}
	mb.waitState(TransportLost)
	if s := tr.Stats(); s.Handshakes != 0 || s.HandshakesFailed != uint64(NumMedia) {
		t.Errorf("stats %+v", s)
	}
}

// TestAnswerRefused: answers that cannot be used change nothing.
func TestAnswerRefused(t *testing.T) {
	noLeaks(t)
	mb := join(t, startRouter(t, 1).open(t), "a", 1)
	ctx := context.Background()
	if err := mb.Answer(ctx, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"); !errors.Is(err, ErrNotOffered) {
		t.Errorf("answer without an offer: %v", err)
	}
	mb.client = newTestClient(t, nil)
	offer, err := mb.Offer(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	good, err := mb.client.answer(offer)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"nonsense":       "nonsense",
		"nothing":        good[:strings.Index(good, "m=")],
		"passive client": strings.ReplaceAll(good, "a=setup:active", "a=setup:passive"),
		"no fingerprint": strings.ReplaceAll(good, "a=fingerprint:", "a=x-fingerprint:"),
		"SHA-1":          strings.ReplaceAll(good, "a=fingerprint:sha-256", "a=fingerprint:sha-1"),
		"unknown mid":    strings.ReplaceAll(good, "a=mid:video0", "a=mid:video7"),
		"other codec":    strings.NewReplacer("VP8/90000", "H263/90000", "VP9/90000", "H263/90000", "H264/90000", "H263/90000", "AV1/90000", "H263/90000").Replace(good),
	} {
		if err := mb.Answer(ctx, bad); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v, want ErrAnswer", name, err)
		}
	}
	if err := mb.Answer(ctx, good); err != nil {
		t.Error(err)
	}
	mb.waitState(TransportConnected)
}

// TestBounds: what is configured is what can be had.
func TestBounds(t *testing.T) {
	noLeaks(t)
	tr := startRouter(t, 1)
	tr.cfg.MaxMeetings = 1
	m, err := tr.Open(MeetingConfig{MaxEndpoints: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Open(MeetingConfig{}); !errors.Is(err, ErrFull) {
		t.Errorf("second meeting: %v", err)
	}
	mb := join(t, m, "a", 1)
	if _, err := m.Join(EndpointConfig{ID: "b"}); !errors.Is(err, ErrFull) {
		t.Errorf("second endpoint: %v", err)
	}
	if err := mb.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.Join(EndpointConfig{VideoSlots: 50}); err == nil || !strings.Contains(err.Error(), "id") || !strings.Contains(err.Error(), "50") {
		t.Errorf("bad configuration: %v, want everything that is wrong", err)
	}
	mb = join(t, m, "b", 1)
	m.cfg.MaxEndpoints = 2
	if _, err := m.Join(EndpointConfig{ID: "b"}); !errors.Is(err, ErrExists) {
		t.Errorf("same id: %v", err)
	}
	m.Close()
	if _, err := m.Join(EndpointConfig{ID: "c"}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("join after close: %v", err)
	}
	if err := mb.Close(); err != nil {
		t.Error(err)
	}
}

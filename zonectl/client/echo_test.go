package client

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// echoZone is the server's half of the protocol made from pion, so that both ends of a session can be looked at: it sends back in slot 0 what comes in
// the up section of each medium. Real tests against the real zone stand elsewhere.
type echoZone struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	sessions []*echoSession
	hellos   []wire.Hello
	refuse   int // how many more control channels are turned away
}

// echoSession is one participant.
type echoSession struct {
	zone       *echoZone
	hello      wire.Hello
	socket     *websocket.Conn
	generation int
	peers      []*echoPeer
	answered   chan int
	messages   chan wire.Message
	working    sync.Mutex // held while an offer is made or an answer taken
}

// echoPeer is one medium's transport. Pion numbers mids; names replaces them.
type echoPeer struct {
	pc    *webrtc.PeerConnection
	names map[string]string
}

func newEchoZone(t *testing.T) *echoZone {
	z := &echoZone{t: t}
	mux := http.NewServeMux()
	z.server = httptest.NewTLSServer(mux)
	t.Cleanup(z.server.Close)
	mux.HandleFunc("POST "+wire.PathLookup, func(w http.ResponseWriter, r *http.Request) {
		var request wire.LookupRequest
		if json.NewDecoder(r.Body).Decode(&request) != nil || request.Meeting != "42" {
			w.WriteHeader(http.StatusForbidden)
			reply(w, wire.Error{Code: wire.CodeRefused, Text: "Number or passcode is wrong.", Advice: "Check both."})
			return
		}
		reply(w, wire.Lookup{Zone: "test", Meeting: wire.Meeting{Number: "42", Title: "Echo"}, Token: "token", Fingerprint: Fingerprint(z.server.Certificate()),
			Zones: []wire.Zone{{ID: "test", Name: "Test", Controllers: []string{z.server.URL}}}})
	})
	mux.HandleFunc("GET "+wire.PathProbe, func(w http.ResponseWriter, _ *http.Request) { reply(w, wire.Probe{Zone: "test"}) })
	mux.HandleFunc("POST "+wire.PathRoute, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, wire.Route{Router: "echo", Control: "wss" + strings.TrimPrefix(z.server.URL, "https") + wire.PathControl})
	})
	mux.HandleFunc("GET "+wire.PathControl, z.control)
	return z
}

func reply(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func (z *echoZone) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(z.server.Certificate())
	return pool
}

// control serves one control channel.
func (z *echoZone) control(w http.ResponseWriter, r *http.Request) {
	z.mu.Lock()
	refused := z.refuse > 0
	if refused {
		z.refuse--
	}
	z.mu.Unlock()
	if refused {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer socket.CloseNow()
	socket.SetReadLimit(wire.MaxMessage)
	ctx := context.Background()
	from := &channel{socket: socket}
	first, err := from.receive(ctx)
	hello, is := first.(wire.Hello)
	if err != nil || !is {
		z.t.Errorf("first message %v: %v", first, err)
		return
	}
	e := z.session(hello, socket)
	_ = from.send(ctx, wire.Welcome{Version: 1, Session: "s", Secret: strconv.Itoa(len(z.hellos)), Participant: "p", Role: wire.RoleParticipant,
		Resumed: hello.Resume != nil, Router: "echo", Meeting: wire.Meeting{Number: "42"}})
	if hello.Resume == nil {
		e.offer(false)
	}
	for {
		message, err := from.receive(ctx)
		if err != nil {
			return
		}
		e.take(message)
	}
}

// session returns the session to resume, or a new one.
func (z *echoZone) session(hello wire.Hello, socket *websocket.Conn) *echoSession {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.hellos = append(z.hellos, hello)
	if hello.Resume != nil {
		e := z.sessions[len(z.sessions)-1]
		e.socket = socket
		return e
	}
	e := &echoSession{zone: z, hello: hello, socket: socket, answered: make(chan int, 8), messages: make(chan wire.Message, 64)}
	z.sessions = append(z.sessions, e)
	z.t.Cleanup(e.close)
	return e
}

func (z *echoZone) last() *echoSession {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.sessions[len(z.sessions)-1]
}

func (e *echoSession) send(message wire.Message) {
	if err := (&channel{socket: e.socket}).send(context.Background(), message); err != nil {
		e.zone.t.Logf("send %s: %v", message.Type(), err)
	}
}

// offer makes the next offer: of the present transports with ICE restarted, or of fresh ones.
func (e *echoSession) offer(fresh bool) {
	e.working.Lock()
	defer e.working.Unlock()
	if fresh {
		e.closePeers()
	}
	restart := e.peers != nil
	if !restart {
		for _, medium := range wire.Media {
			e.peers = append(e.peers, e.peer(medium))
		}
	}
	var merged description
	var groups [][]string
	for _, p := range e.peers {
		d := p.offer(e.zone.t, restart)
		if merged.session == nil {
			merged.session = d.session
		}
		groups = append(groups, d.bundles()...)
		merged.sections = append(merged.sections, d.sections...)
	}
	merged.session = withGroups(merged.session, groups)
	e.generation++
	e.send(wire.Offer{Generation: e.generation, Fresh: fresh, SDP: strings.ReplaceAll(merged.String(), "a=setup:actpass", "a=setup:passive")})
}

// peer makes the transport of a medium: an up section where the client sends, and the slots.
func (e *echoSession) peer(medium wire.Medium) *echoPeer {
	t := e.zone.t
	engine := &webrtc.MediaEngine{}
	registry := &interceptor.Registry{}
	if err := registerCodecs(engine, medium, media.Pictures[:]); err != nil {
		t.Error(err)
	}
	if err := webrtc.RegisterDefaultInterceptors(engine, registry); err != nil {
		t.Error(err)
	}
	var setting webrtc.SettingEngine
	setting.SetLite(true)
	setting.SetICEUDPMux(&loopback{newSockets(medium, e.zone.marks(medium))})
	setting.SetSDPMediaLevelFingerprints(true)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(setting)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	p := &echoPeer{pc: pc, names: make(map[string]string)}
	for _, sent := range e.hello.Send {
		if sent == medium {
			_, err := pc.AddTransceiverFromKind(mediumKind(medium), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
			if err != nil {
				t.Error(err)
			}
			p.names["0"] = string(medium) + "-up"
		}
	}
	slots := map[wire.Medium]int{wire.Audio: 3, wire.Video: e.hello.VideoSlots, wire.Content: 1}[medium]
	var back *webrtc.TrackLocalStaticRTP
	for i := range slots {
		mid := fmt.Sprintf("%s%d", medium, i)
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mimeType(medium)}, mid, mid)
		if err != nil {
			t.Error(err)
		}
		_, err = pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			t.Error(err)
		}
		p.names[strconv.Itoa(len(p.names))] = mid
		if i == 0 {
			back = track
		}
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		if medium != wire.Audio {
			_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
		}
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			packet.Extension, packet.Extensions = false, nil
			_ = back.WriteRTP(packet)
		}
	})
	return p
}

// offer returns the peer's part of an offer, with mids as the protocol names them.
func (p *echoPeer) offer(t *testing.T, restart bool) description {
	offer, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err != nil {
		t.Error(err)
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(offer); err != nil {
		t.Error(err)
	}
	<-gathered
	d, err := parseDescription(p.rename(p.pc.LocalDescription().SDP, false))
	if err != nil {
		t.Error(err)
	}
	return d
}

// rename replaces pion's mids by the protocol's, or back.
func (p *echoPeer) rename(sdp string, back bool) string {
	var out []string
	for line := range strings.Lines(sdp) {
		line = strings.TrimRight(line, "\r\n")
		for number, name := range p.names {
			from, to := number, name
			if back {
				from, to = name, number
			}
			if line == "a=mid:"+from {
				line = "a=mid:" + to
				break
			}
		}
		if group, is := strings.CutPrefix(line, bundlePrefix); is {
			mids := strings.Fields(group)
			for i, mid := range mids {
				for number, name := range p.names {
					if !back && mid == number {
						mids[i] = name
					} else if back && mid == name {
						mids[i] = number
					}
				}
			}
			line = bundlePrefix + " " + strings.Join(mids, " ")
		}
		out = append(out, line)
	}
	return strings.Join(out, "\r\n") + "\r\n"
}

// take handles a message of the client.
func (e *echoSession) take(message wire.Message) {
	switch m := message.(type) {
	case wire.Answer:
		e.working.Lock()
		defer e.working.Unlock()
		if m.Generation != e.generation {
			return // overtaken
		}
		parts, err := splitOffer(m.SDP) // an answer has the same shape
		if err != nil || len(parts) != len(e.peers) {
			e.zone.t.Errorf("answer in %d parts: %v", len(parts), err)
			return
		}
		for i, part := range parts {
			answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: e.peers[i].rename(part.sdp, true)}
			if err := e.peers[i].pc.SetRemoteDescription(answer); err != nil {
				e.zone.t.Errorf("take answer: %v", err)
			}
		}
		e.answered <- m.Generation
	case wire.Negotiate:
		e.offer(m.Fresh)
	case wire.Ping:
		e.send(wire.Pong(m))
	}
	select {
	case e.messages <- message:
	default:
	}
}

func (e *echoSession) close() {
	e.working.Lock()
	defer e.working.Unlock()
	e.closePeers()
}

func (e *echoSession) closePeers() {
	for _, p := range e.peers {
		_ = p.pc.Close()
	}
	e.peers = nil
}

package client

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// peer is the transport of one medium: a PeerConnection with sockets of its own. Session.run owns it.
type peer struct {
	medium  wire.Medium
	pc      *webrtc.PeerConnection
	sockets *sockets
	sender  *webrtc.RTPSender
	work    sync.WaitGroup // the goroutines that read from pc
	live    atomic.Bool    // it has been connected: pion's transports may be asked, which races with their start before

	// mu guards closed, so that no reader starts once close waits for them.
	mu     sync.Mutex
	closed bool
}

// peerChange tells Session.run that a PeerConnection changed its state.
type peerChange struct {
	peer  *peer
	state webrtc.PeerConnectionState
}

// newPeer makes a PeerConnection for the medium. It has no transport before it has answered an offer.
func (s *Session) newPeer(medium wire.Medium) (*peer, error) {
	p := &peer{medium: medium, sockets: newSockets(medium, s.marks[mediumClass(medium)])}
	p.sockets.web, p.sockets.log, p.sockets.rush = s.web, s.log, s.rush
	both := append(slices.Clone(s.cfg.Decode), slices.DeleteFunc(slices.Clone(s.cfg.Encode), func(c media.Codec) bool { return slices.Contains(s.cfg.Decode, c) })...)
	api, err := newAPI(medium, both, p.sockets, s.cfg.Light, s.log)
	if err != nil {
		return nil, err
	}
	if p.pc, err = api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{s.certificate}}); err != nil {
		return nil, fmt.Errorf("new peer connection: %w", err)
	}
	p.pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) { s.takeTrack(p, track, receiver) })
	p.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		select {
		case s.changes <- peerChange{p, state}:
		case <-s.done:
		}
	})
	if sender := s.senders[mediumIndex(medium)]; sender != nil {
		transceiver, err := p.pc.AddTransceiverFromTrack(sender, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			p.close()
			return nil, fmt.Errorf("add %s: %w", medium, err)
		}
		if err := s.limitCodecs(transceiver, medium); err != nil {
			p.close()
			return nil, fmt.Errorf("add %s: %w", medium, err)
		}
		p.sender = transceiver.Sender()
		for _, other := range sender.larger {
			if err := p.sender.AddEncoding(other); err != nil {
				p.close()
				return nil, fmt.Errorf("add encoding %s of %s: %w", other.rid, medium, err)
			}
		}
		for i := range sender.all() {
			p.work.Go(func() { s.runFeedback(p.sender, sender, i) })
		}
	}
	return p, nil
}

// limitCodecs has the answer name what can be sent. Retransmissions are of VP8 alone: pion knows one payload type for those of a track.
func (s *Session) limitCodecs(transceiver *webrtc.RTPTransceiver, medium wire.Medium) error {
	if medium == wire.Audio {
		return nil
	}
	var list []webrtc.RTPCodecParameters
	for _, codec := range s.cfg.Encode {
		list = append(list, pictureCodec(codec, codec == media.VP8)...)
	}
	return transceiver.SetCodecPreferences(list)
}

// answer answers an offer: the first, or one that restarts ICE. All candidates are in the answer.
func (p *peer) answer(ctx context.Context, offer string) (string, error) {
	remotes := candidates(offer, rungUDP)
	if len(remotes) == 0 {
		return "", errNoCandidate
	}
	p.sockets.aim(remotes, candidates(offer, rungTCP))
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("take offer of %s: %w", p.medium, err)
	}
	answer, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("answer offer of %s: %w", p.medium, err)
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("set answer of %s: %w", p.medium, err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", fmt.Errorf("gather addresses of %s: %w", p.medium, ctx.Err())
	}
	return withoutNames(p.pc.LocalDescription().SDP), nil
}

// close ends the transport and waits for its readers.
func (p *peer) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.pc.Close() // what it says would be that it is closed already
	_ = p.sockets.Close()
	p.work.Wait()
}

// takeTrack gives a track its slot. Pion calls it in a goroutine that may run until the track ends.
func (s *Session) takeTrack(p *peer, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	for _, transceiver := range p.pc.GetTransceivers() {
		if transceiver.Receiver() != receiver {
			continue
		}
		if into := s.slot(transceiver.Mid()); into != nil && p.begin() {
			go runReceiverReports(receiver)
			s.runSlot(into, track, receiver)
			p.work.Done()
		}
		return
	}
}

// begin counts one more reader, unless the peer is closing.
func (p *peer) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.work.Add(1)
	}
	return !p.closed
}

// runFeedback reads the RTCP that comes back for what is sent, until the PeerConnection is closed. Interceptors answer NACKs on the way.
func (s *Session) runFeedback(from *webrtc.RTPSender, sender *Sender, encoding int) {
	read := from.Read
	if rid := sender.Encoding(encoding).rid; rid != "" {
		read = func(b []byte) (int, interceptor.Attributes, error) { return from.ReadSimulcast(b, rid) }
	}
	buffer := make([]byte, slotBuffer)
	for {
		n, _, err := read(buffer)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buffer[:n])
		if err != nil {
			continue // not ours to judge: the router is authenticated, and a packet is only a packet
		}
		for _, packet := range packets {
			s.feedback(packet, sender, encoding)
		}
	}
}

// feedback handles one RTCP packet.
func (s *Session) feedback(packet rtcp.Packet, sender *Sender, encoding int) {
	switch packet := packet.(type) {
	case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		s.cfg.KeyframeWanted(sender.medium, encoding)
	case *rtcp.ReceiverReport:
		for _, block := range packet.Reports {
			sender.farLost.Store(int64(int32(block.TotalLost<<8) >> 8)) // 24 bits with a sign
		}
	}
}

// travel is how a medium travels, as far as the client can tell.
type travel struct {
	rung, local, remote string
	roundTrip           time.Duration
}

// travel asks ICE for the path in use.
func (p *peer) travel() travel {
	var t travel
	if !p.live.Load() {
		return t
	}
	// All sections of a PeerConnection share one transport, and pion's way to it that always exists is the one of data channels.
	transport := p.pc.SCTP().Transport().ICETransport()
	pair, err := transport.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return t
	}
	t.local, t.remote = joinAddress(pair.Local), joinAddress(pair.Remote)
	if local, err := netip.ParseAddrPort(t.local); err == nil {
		t.rung, t.local = p.sockets.standing(local)
	}
	if stats, ok := transport.GetSelectedCandidatePairStats(); ok {
		t.roundTrip = time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
	}
	return t
}

func joinAddress(candidate *webrtc.ICECandidate) string {
	return net.JoinHostPort(candidate.Address, strconv.Itoa(int(candidate.Port)))
}

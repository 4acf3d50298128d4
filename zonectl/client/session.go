package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// Session is one participation in a meeting, from Join to Close or until the server ends it.
type Session struct {
	cfg         Config
	log         *slog.Logger
	marks       dscp.Marks
	certificate webrtc.Certificate
	web         *web
	senders     [numMedia]*Sender // nil for media that are not sent

	base    string // that lookups are asked of first
	further doors  // of the link
	known   remembered
	began   time.Time // of the first attempt
	others  []Measured
	asked   map[string]bool // for a router
	// measuredBefore says that the controller was picked by an earlier measurement.
	measuredBefore bool
	lookup         wire.Lookup // what the stages before the control channel found; constant afterwards
	interception   string      // a sentence that says that a proxy on the way opens TLS connections, from the lookup
	zone           Measured
	route          wire.Route

	stop     context.CancelFunc
	changes  chan peerChange
	commands chan wire.Message
	ready    chan struct{} // closed when all transports have connected for the first time
	done     chan struct{} // closed when run has ended

	// What follows is run's alone.
	state    uint64 // last state number seen
	renewed  bool   // the server knows nothing of this session's transports: the next offer is a fresh one
	repair   repair // of transports that died
	watch    watch
	closing  sync.WaitGroup // of PeerConnections that are being closed
	former   []*peer        // those that stay until their successors are connected
	rush     bool           // a path has died: peers to come try all rungs soon
	heard    time.Time      // when the server last said something
	reporter reporter       // of the downlink

	// mu guards what follows: run writes it, anybody reads it.
	mu         sync.Mutex
	welcome    wire.Welcome
	generation int // of the offer answered last
	peers      [numMedia]*peer
	remotes    []netip.AddrPort // of the router, as offered last
	connected  [numMedia]bool
	slots      map[string]*slot
	filled     []wire.Slot           // as the server told last
	transports []wire.TransportState // as the server told last
	pingTrip   time.Duration
	stages     map[Stage]time.Duration
	attempts   []Attempt
	err        error
}

// errLeft ends run when the session is closed by its owner.
var errLeft = errors.New("left")

// run owns the session: it serves one control channel after the other, until the session is closed or ended.
func (s *Session) run(ctx context.Context, first *channel) {
	defer close(s.done)
	defer s.release()
	for current := first; ; {
		err := s.serve(ctx, current)
		var ended *Error
		if errors.Is(err, errLeft) {
			return
		}
		if errors.As(err, &ended) {
			s.fail(err)
			return
		}
		s.log.Info("control channel lost", "error", err)
		if current, err = s.resume(ctx); err != nil {
			s.fail(err)
			return
		}
		s.log.Info("control channel resumed", "session", s.Welcome().Session)
	}
}

// serve works with one control channel until it is lost (any error), the server ends the session (*Error) or the owner does (errLeft).
func (s *Session) serve(ctx context.Context, current *channel) error {
	reading, stopReading := context.WithCancel(context.Background())
	inbox, lost := make(chan wire.Message, 16), make(chan error, 1)
	go runReader(reading, current, inbox, lost)
	defer stopReading()
	defer current.drop()
	ping, look := time.NewTicker(pingEvery), time.NewTicker(lookEvery)
	defer ping.Stop()
	defer look.Stop()
	s.heard = time.Now()
	for {
		var err error
		select {
		case message := <-inbox:
			s.heard = time.Now()
			err = s.handle(ctx, current, message)
		case err = <-lost:
		case change := <-s.changes:
			s.peerChanged(change)
		case <-s.repair.due():
			err = s.repairNow(ctx, current)
		case command := <-s.commands:
			err = current.send(ctx, command)
		case <-ping.C:
			err = s.pulse(ctx, current)
		case <-look.C:
			err = s.look(ctx, current)
		case passes := <-s.watch.climbed:
			err = s.climbResult(ctx, current, passes)
		case <-ctx.Done():
			s.leave(current, lost)
			return errLeft
		}
		switch {
		case err != nil && ctx.Err() != nil:
			s.leave(current, lost)
			return errLeft
		case err != nil:
			return err
		}
	}
}

// runReader reads one control channel.
func runReader(ctx context.Context, from *channel, inbox chan<- wire.Message, lost chan<- error) {
	for {
		message, err := from.receive(ctx)
		if err != nil {
			lost <- err
			return
		}
		select {
		case inbox <- message:
		case <-ctx.Done():
			lost <- ctx.Err()
			return
		}
	}
}

// handle obeys one message of the server and passes it on.
func (s *Session) handle(ctx context.Context, current *channel, message wire.Message) error {
	switch m := message.(type) {
	case wire.Offer:
		if err := s.negotiate(ctx, current, m); err != nil {
			return err
		}
	case wire.Participants:
		s.state = m.State
	case wire.Joined:
		s.state = m.State
	case wire.Left:
		s.state = m.State
	case wire.MeetingChanged:
		s.state = m.State
	case wire.Chat:
		s.state = m.State
	case wire.Slots:
		s.mu.Lock()
		s.filled = m.Slots
		s.mu.Unlock()
	case wire.Transports:
		s.mu.Lock()
		s.transports = m.Transports
		s.mu.Unlock()
	case wire.SendCodecs:
		s.sendCodecs(m)
	case wire.SendLayers:
		s.sendLayers(m)
	case wire.Muted:
		if i := mediumIndex(m.Medium); i >= 0 && s.senders[i] != nil {
			s.senders[i].mute(m.Muted, true)
		}
	case wire.Pong:
		s.mu.Lock()
		s.pingTrip = time.Duration(time.Now().UnixNano() - m.Sent)
		s.mu.Unlock()
	case wire.Failure:
		s.log.Warn("the server refuses", "about", m.About, "error", m.Error.Error())
	case wire.Bye:
		s.cfg.Event(message)
		return &Error{Text: m.Error.Text, Advice: m.Error.Advice, Err: &m.Error}
	}
	s.cfg.Event(message)
	return nil
}

// sendLayers stops encodings that nobody needs, and has those begin with a keyframe that are needed again.
func (s *Session) sendLayers(m wire.SendLayers) {
	for _, needed := range m.Media {
		i := mediumIndex(needed.Medium)
		if i < 0 || s.senders[i] == nil {
			continue
		}
		for _, encoding := range s.senders[i].setNeeded(needed.RIDs) {
			s.cfg.KeyframeWanted(needed.Medium, encoding)
		}
	}
}

// sendCodecs changes what senders take, and asks for keyframes with which the change begins.
func (s *Session) sendCodecs(m wire.SendCodecs) {
	for _, wanted := range m.Media {
		i := mediumIndex(wanted.Medium)
		if i < 0 || s.senders[i] == nil {
			continue
		}
		if s.senders[i].setCodec(codecOf(wanted.Medium, "video/"+wanted.Codec)) {
			s.cfg.KeyframeWanted(wanted.Medium, 0)
		}
	}
}

// negotiate answers an offer: each medium's part by its PeerConnection, new ones where the offer is fresh, and all answers merged.
func (s *Session) negotiate(ctx context.Context, current *channel, offer wire.Offer) error {
	s.mu.Lock()
	outdated := offer.Generation <= s.generation && !s.renewed
	s.mu.Unlock()
	if outdated {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	parts, err := splitOffer(offer.SDP)
	if err != nil {
		return mediaError(err)
	}
	if offer.Fresh || s.renewed {
		s.replacePeers()
		s.repair.helped()
		s.renewed = false
	}
	s.mu.Lock()
	s.remotes = candidates(offer.SDP, rungUDP)
	s.mu.Unlock()
	var answers []string
	for _, part := range parts {
		p, err := s.peerFor(part.medium)
		if err != nil {
			return mediaError(err)
		}
		p.sockets.through(relayFor(offer.Relays, part.medium))
		answer, err := p.answer(ctx, part.sdp)
		if err != nil {
			return mediaError(err)
		}
		answers = append(answers, answer)
	}
	merged, err := mergeAnswers(offer.SDP, answers)
	if err != nil {
		return mediaError(err)
	}
	s.mu.Lock()
	s.generation = offer.Generation
	s.mu.Unlock()
	return current.send(ctx, wire.Answer{Generation: offer.Generation, SDP: merged})
}

func mediaError(err error) error {
	return &Error{Stage: StageMedia, Text: "What the router offers cannot be used: " + err.Error() + ".", Advice: "Check that client and zone have matching versions.", Err: err}
}

// relayFor picks the relay of a medium.
func relayFor(relays []wire.Relay, medium wire.Medium) wire.Relay {
	for _, r := range relays {
		if r.Medium == medium {
			return r
		}
	}
	return wire.Relay{}
}

// peerFor returns the medium's PeerConnection, a new one if there is none.
func (s *Session) peerFor(medium wire.Medium) (*peer, error) {
	i := mediumIndex(medium)
	if s.peers[i] != nil {
		return s.peers[i], nil
	}
	p, err := s.newPeer(medium)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[i], s.connected[i] = p, false
	return p, nil
}

// replacePeers makes room for new PeerConnections. Those that work stay until the new ones are connected.
func (s *Session) replacePeers() {
	s.mu.Lock()
	old, connected := s.peers, s.connected
	s.peers, s.connected = [numMedia]*peer{}, [numMedia]bool{}
	s.mu.Unlock()
	s.dropFormer()
	for i, p := range old {
		if p != nil && connected[i] {
			s.former = append(s.former, p)
		} else if p != nil {
			s.closing.Go(p.close)
		}
	}
}

// dropFormer closes the PeerConnections that have successors. It does not wait for them: closing waits for callbacks that wait for run.
func (s *Session) dropFormer() {
	for _, p := range s.former {
		s.closing.Go(p.close)
	}
	s.former = nil
}

// dropPeers closes all PeerConnections. What they still say of their state is about a peer that is not ours any more.
func (s *Session) dropPeers() {
	s.mu.Lock()
	old := s.peers
	s.peers, s.connected = [numMedia]*peer{}, [numMedia]bool{}
	s.mu.Unlock()
	s.dropFormer()
	for _, p := range old {
		if p != nil {
			s.closing.Go(p.close)
		}
	}
	// Closing waits for callbacks that wait for run, so that run takes changes meanwhile.
	closed := make(chan struct{})
	go func() {
		s.closing.Wait()
		close(closed)
	}()
	for {
		select {
		case <-s.changes:
		case <-closed:
			return
		}
	}
}

// peerChanged notes the state of a transport, and plans its repair when it died.
func (s *Session) peerChanged(change peerChange) {
	i := mediumIndex(change.peer.medium)
	if s.peers[i] != change.peer {
		return
	}
	s.log.Debug("transport", "medium", change.peer.medium, "state", change.state.String())
	if change.state == webrtc.PeerConnectionStateConnected {
		change.peer.live.Store(true)
	}
	s.mu.Lock()
	s.connected[i] = change.state == webrtc.PeerConnectionStateConnected
	all := true
	for i, p := range s.peers {
		all = all && (p == nil || s.connected[i])
	}
	s.mu.Unlock()
	switch change.state {
	case webrtc.PeerConnectionStateDisconnected, webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		s.repair.plan()
	}
	if !all {
		return
	}
	s.repair.done()
	s.dropFormer()
	if !s.below() {
		s.watch.climbWait = 0
	}
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
}

// repairNow asks for a fresh offer: waiting for a dead path to come back takes longer than a new PeerConnection.
func (s *Session) repairNow(ctx context.Context, current *channel) error {
	s.repair.asked()
	s.log.Info("a path is dead: asking for fresh transports")
	return current.send(ctx, wire.Negotiate{Fresh: true})
}

// pulse keeps the channel alive, notices when it is dead, and reports what arrives.
func (s *Session) pulse(ctx context.Context, current *channel) error {
	if silent := time.Since(s.heard); silent > silentAfter {
		return fmt.Errorf("nothing heard for %s: %w", silent.Round(time.Second), context.DeadlineExceeded)
	}
	if err := current.send(ctx, wire.Ping{Sent: time.Now().UnixNano()}); err != nil {
		return err
	}
	return current.send(ctx, s.reporter.report(time.Now(), s.Stats()))
}

// leave says goodbye and gives the server a moment to hear it.
func (s *Session) leave(current *channel, lost <-chan error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if current.send(ctx, wire.Leave{}) != nil {
		return
	}
	select {
	case <-lost:
	case <-ctx.Done():
	}
}

// fail keeps why the session ended.
func (s *Session) fail(err error) {
	if errors.Is(err, errLeft) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// release ends what the session holds, when run ends.
func (s *Session) release() {
	for _, sender := range s.senders {
		if sender != nil {
			sender.close()
		}
	}
	s.dropPeers()
	s.web.close()
}

// Close leaves the meeting and waits until everything has ended.
func (s *Session) Close() error {
	s.stop()
	<-s.done
	return nil
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is why the session ended: nil while it lives, or when it was closed.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Welcome is what the router said at the start, or at the last resumption.
func (s *Session) Welcome() wire.Welcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.welcome
}

// Meeting is what the lookup told of the meeting.
func (s *Session) Meeting() wire.Meeting { return s.lookup.Meeting }

// Sender takes the frames of a medium; nil for one that Config.Send does not name.
func (s *Session) Sender(medium wire.Medium) *Sender {
	if i := mediumIndex(medium); i >= 0 {
		return s.senders[i]
	}
	return nil
}

// Command sends any message of the client to the server: views, host actions, chat. A refusal comes as wire.Failure through Config.Event.
func (s *Session) Command(ctx context.Context, message wire.Message) error {
	select {
	case s.commands <- message:
		return nil
	case <-s.done:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SetMuted stops or resumes sending a medium and tells the others.
func (s *Session) SetMuted(ctx context.Context, medium wire.Medium, muted bool) error {
	sender := s.Sender(medium)
	if sender == nil {
		return fmt.Errorf("mute %s: not sent", medium)
	}
	sender.mute(muted, false)
	return s.Command(ctx, wire.SetMute{Medium: medium, Muted: muted})
}

// RequestKeyframe asks the router for a keyframe in a slot of video or content.
func (s *Session) RequestKeyframe(mid string) {
	s.mu.Lock()
	into := s.slots[mid]
	var p *peer
	if i := mediumIndex(midMedium(mid)); i >= 0 {
		p = s.peers[i]
	}
	s.mu.Unlock()
	if into == nil || p == nil {
		return
	}
	into.mu.Lock()
	ssrc := into.reception.ssrc
	into.mu.Unlock()
	// An error means that the path is gone, and with it the wish.
	_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
}

// slot returns the slot of that mid, a new one if need be; nil for a mid that is none.
func (s *Session) slot(mid string) *slot {
	if midMedium(mid) == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots[mid] == nil && len(s.slots) < maxSections {
		s.slots[mid] = newSlot(mid)
	}
	return s.slots[mid]
}

// Slots says who is in which slot, as the server told last.
func (s *Session) Slots() []wire.Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.filled)
}

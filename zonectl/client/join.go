package client

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"meetzone/zonectl/wire"
)

// Join takes a client into a meeting. The stages, in the order of the functions below:
//
//  1. lookup: the meeting's number becomes a package of zones and a join token.
//  2. zone: every controller is tested at once, the best one picked.
//  3. router: the controller names a router; the control channel to it is opened, hello is answered by welcome.
//  4. media: the router's offer is answered, and every medium's transport connects.
//
// The context bounds joining, not the session. A session that is returned must be closed.
func Join(ctx context.Context, cfg Config) (*Session, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &Error{Text: "Something is wrong with what was asked for: " + strings.ReplaceAll(err.Error(), "\n", "; ") + ".", Err: err}
	}
	s, err := newSession(cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.JoinTimeout)
	defer cancel()
	first, err := s.connect(ctx)
	if err != nil {
		s.web.close()
		return nil, err
	}
	life, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.run(life, first)
	if err := s.stage(StageMedia, s.route.Router, func() (string, error) { return s.awaitMedia(ctx) }); err != nil {
		_ = s.Close()
		return nil, withLink(withInterception(err, s.interception), s.base, s.lookup.Meeting.Number, nil)
	}
	return s, nil
}

func newSession(cfg Config) (*Session, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	certificate, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	s := &Session{began: time.Now(), cfg: cfg, log: cfg.Logger, marks: cfg.marks(), certificate: *certificate, changes: make(chan peerChange, 16),
		commands: make(chan wire.Message, 16), watch: watch{climbed: make(chan bool, 1)}, ready: make(chan struct{}), done: make(chan struct{}),
		slots: make(map[string]*slot), stages: make(map[Stage]time.Duration)}
	s.web = newWeb(cfg, s.marks, directWay(s.marks))
	for _, medium := range cfg.Send {
		encodings := 1
		if medium == wire.Video {
			encodings = cfg.Encodings
		}
		s.senders[mediumIndex(medium)] = newSimulcast(medium, encodings)
	}
	return s, nil
}

// stage tells of a stage, does it, and keeps how long it took.
func (s *Session) stage(stage Stage, host string, do func() (detail string, err error)) error {
	s.cfg.Progress(Progress{Stage: stage, Detail: host})
	start := time.Now()
	detail, err := do()
	took := time.Since(start)
	if err != nil {
		return explain(stage, host, err)
	}
	s.mu.Lock()
	s.stages[stage] = took
	s.mu.Unlock()
	s.cfg.Progress(Progress{Stage: stage, Done: true, Took: took, Detail: detail})
	return nil
}

// connect does the stages up to the control channel.
func (s *Session) connect(ctx context.Context) (*channel, error) {
	base, number, err := s.cfg.target()
	if err != nil {
		return nil, err
	}
	s.base, s.further = base, s.cfg.furtherDoors()
	first, err := firstWay(ctx, s.cfg, s.marks, base)
	if err != nil {
		return nil, &Error{Stage: StageLookup, Text: capital(err.Error()) + ".", Advice: "Check --proxy, --pac and the variables HTTPS_PROXY and NO_PROXY.", Err: err}
	}
	s.web = newWeb(s.cfg, s.marks, first)
	opened, err := s.connectTo(ctx, base, number)
	if err != nil {
		return nil, withLink(withInterception(err, s.interception), base, number, s.attempts)
	}
	return opened, nil
}

func (s *Session) connectTo(ctx context.Context, base, number string) (*channel, error) {
	if err := s.stage(StageLookup, hostOf(base), func() (string, error) { return s.lookUp(ctx, base, number) }); err != nil {
		return nil, err
	}
	if err := s.stage(StageZone, hostOf(base), func() (string, error) { return s.chooseZone(ctx) }); err != nil {
		return nil, err
	}
	if err := s.stage(StageRouter, hostOf(s.zone.Controller), func() (string, error) { return s.chooseRouter(ctx) }); err != nil {
		return nil, err
	}
	var first *channel
	err := s.stage(StageControl, hostOf(s.route.Control), func() (detail string, err error) {
		first, err = s.greet(ctx, nil)
		return "session as " + string(s.Welcome().Role), err
	})
	return first, err
}

// chooseZone is stage 2. What was measured on this network of late holds; otherwise, and when that controller turns out not to do, all are measured.
func (s *Session) chooseZone(ctx context.Context) (string, error) {
	here := network()
	if s.known.Network == here && s.known.Controller != "" && s.web.direct {
		for rank, zone := range s.lookup.Zones {
			if slices.Contains(zone.Controllers, s.known.Controller) {
				s.zone = Measured{Zone: zone, Controller: s.known.Controller, rank: rank}
				s.measuredBefore = true
				return fmt.Sprintf("zone %s, controller %s, as measured %s ago", zone.ID, hostOf(s.known.Controller),
					time.Since(s.known.Measured).Round(time.Minute)), nil
			}
		}
	}
	return s.measureZones(ctx, here)
}

// measureZones tests all controllers and picks.
func (s *Session) measureZones(ctx context.Context, here string) (string, error) {
	s.measuredBefore = false
	type outcome struct {
		picked Measured
		all    []Measured
	}
	start := time.Now()
	out, err := byAnyWay(ctx, s, StageZone, s.base, start, func(ctx context.Context, w *web) (out outcome, err error) {
		start := time.Now()
		out.picked, out.all, err = w.selectZone(ctx, s.lookup.Zones)
		for _, m := range out.all {
			s.note(StageZone, w.way, m.Controller, start, m.Err)
		}
		return out, err
	})
	if err != nil {
		return "", err
	}
	s.zone, s.others = out.picked, s.others[:0]
	for _, m := range out.all {
		if m.Err == nil && m.Controller != out.picked.Controller {
			s.others = append(s.others, m)
		}
	}
	slices.SortFunc(s.others, func(a, b Measured) int { return cmp.Compare(a.Score(), b.Score()) })
	if s.web.direct {
		s.known.Network, s.known.Controller, s.known.Measured = here, s.zone.Controller, time.Now()
		s.remember(s.base)
	}
	return fmt.Sprintf("zone %s, controller %s, round trip %.1f ms", s.zone.Zone.ID, hostOf(s.zone.Controller), milliseconds(s.zone.RoundTrip)), nil
}

// chooseRouter is the first half of stage 3. A controller that fails, or takes nobody new, is followed by the next best.
func (s *Session) chooseRouter(ctx context.Context) (string, error) {
	err := s.askRoute(ctx)
	if zone := holder(err); zone != nil {
		err = s.routeIn(ctx, *zone, err)
	}
	if err != nil && passes(err) && s.measuredBefore {
		if _, measureErr := s.measureZones(ctx, network()); measureErr != nil {
			return "", err
		}
		err = s.askRoute(ctx)
	}
	for err != nil && passes(err) && len(s.others) > 0 {
		s.zone, s.others = s.others[0], s.others[1:]
		err = s.askRoute(ctx)
	}
	for rest := s.untried(); err != nil && passes(err) && len(rest) > 0; rest = s.untried() {
		picked, _, measureErr := s.web.selectZone(ctx, rest)
		if measureErr != nil {
			break // what the best one said is told
		}
		s.zone = picked
		if again := s.askRoute(ctx); again == nil || !passes(again) {
			err = again
		}
	}
	return "router " + s.route.Router, err
}

// routeIn asks the zone that holds the meeting, which the one that was asked names: its best controller, measured before or now.
func (s *Session) routeIn(ctx context.Context, zone wire.Zone, failed error) error {
	for _, named := range s.lookup.Zones {
		if named.ID == zone.ID {
			zone = named
		}
	}
	if i := slices.IndexFunc(s.others, func(m Measured) bool { return m.Zone.ID == zone.ID }); i >= 0 {
		s.zone = s.others[i]
		s.others = slices.Delete(s.others, i, i+1)
		return s.askRoute(ctx)
	}
	picked, _, err := s.web.selectZone(ctx, []wire.Zone{zone})
	if err != nil {
		return failed
	}
	s.zone = picked
	return s.askRoute(ctx)
}

// untried are the zones with the controllers that have not been asked for a router: the network test does not wait for those that are further away.
func (s *Session) untried() (rest []wire.Zone) {
	for _, zone := range s.lookup.Zones {
		zone.Controllers = slices.DeleteFunc(slices.Clone(zone.Controllers), func(c string) bool { return s.asked[c] })
		if len(zone.Controllers) > 0 {
			rest = append(rest, zone)
		}
	}
	return rest
}

func (s *Session) askRoute(ctx context.Context) error {
	start := time.Now()
	if s.asked == nil {
		s.asked = map[string]bool{}
	}
	s.asked[s.zone.Controller] = true
	err := s.web.post(ctx, s.zone.Controller, wire.PathRoute, wire.RouteRequest{Token: s.lookup.Token}, &s.route)
	if err == nil && !strings.HasPrefix(s.route.Control, "wss://") {
		err = fmt.Errorf("control channel at %q: %w", s.route.Control, errNotZone)
	}
	s.note(StageRouter, s.web.way, s.zone.Controller, start, err)
	return err
}

// passes says that another controller may do what one has refused.
func passes(err error) bool {
	var said *wire.Error
	if !errors.As(err, &said) {
		return !errors.Is(err, context.Canceled)
	}
	return said.Code == wire.CodeDrain || said.Code == wire.CodeFull || said.Code == wire.CodeEnded || said.Code == wire.CodeToken || said.Code == wire.CodeServer || said.Code == wire.CodeElsewhere
}

// greet is the second half of stage 3: it opens the control channel and says hello, for a new session or to resume one.
func (s *Session) greet(ctx context.Context, resume *wire.Resume) (*channel, error) {
	opened, err := s.web.openChannel(ctx, s.route.Control)
	if err != nil {
		return nil, err
	}
	hello := wire.Hello{MinVersion: wire.MinVersion, MaxVersion: wire.MaxVersion, Client: s.cfg.Software, Token: s.lookup.Token, Name: s.cfg.Name,
		Send: s.cfg.Send, VideoSlots: s.cfg.VideoSlots, Resume: resume}
	if err := opened.send(ctx, hello); err != nil {
		opened.drop()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	message, err := opened.receive(ctx)
	if err == nil {
		err = s.welcomed(message)
	}
	if err != nil {
		opened.drop()
		return nil, err
	}
	return opened, nil
}

// welcomed takes the answer to hello.
func (s *Session) welcomed(message wire.Message) error {
	switch message := message.(type) {
	case wire.Welcome:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.welcome = message
		return nil
	case wire.Bye:
		return &message.Error
	case wire.Failure:
		return &message.Error
	}
	return fmt.Errorf("%w: %s instead of a welcome", errNotZone, message.Type())
}

// awaitMedia is stage 4, which run does.
func (s *Session) awaitMedia(ctx context.Context) (string, error) {
	select {
	case <-s.ready:
		return s.describeMedia(), nil
	case <-s.done:
		return "", s.Err()
	case <-ctx.Done():
		if missing := s.missingMedia(); len(missing) > 0 && !errors.Is(ctx.Err(), context.Canceled) {
			return "", &Error{Stage: StageMedia, Text: fmt.Sprintf("No way to the router was found for %s.", strings.Join(missing, ", ")),
				Advice: lateAdvice(StageMedia), Err: ctx.Err(), Attempts: s.rungAttempts()}
		}
		return "", ctx.Err()
	}
}

// rungAttempts is what came of each rung so far.
func (s *Session) rungAttempts() []RungAttempt {
	stats := s.Stats()
	return stats.Attempts()
}

// describeMedia says how each medium travels.
func (s *Session) describeMedia() string {
	var parts []string
	for _, m := range s.Stats().Media {
		if m.Remote != "" {
			parts = append(parts, fmt.Sprintf("%s %s %s → %s", m.Medium, m.Rung, m.Local, m.Remote))
		}
	}
	return strings.Join(parts, ", ")
}

// missingMedia are the media that have no transport.
func (s *Session) missingMedia() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []string
	for i, medium := range wire.Media {
		if !s.connected[i] && (s.peers[i] != nil || s.generation == 0) {
			missing = append(missing, string(medium))
		}
	}
	return missing
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

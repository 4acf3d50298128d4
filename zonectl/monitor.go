package zonectl

import (
	"context"
	"slices"
	"time"

	"meetzone/mmr"
	"meetzone/zonectl/quality"
	"meetzone/zonectl/wire"
)

// How good everybody's media are. Every few seconds runQuality asks each meeting who is in it, and the router what it has counted of them;
// what clients report of their side is with their sessions. Of both it makes figures and scores, tells each client its own, and keeps
// them. It never touches a packet.

const (
	sampleEvery = 5 * time.Second
	statsWithin = time.Second
	// reportFresh is the age up to which a client's report speaks of the present.
	reportFresh = 15 * time.Second
)

// monitor is the state of runQuality. History and spread have locks of their own and are read by others.
type monitor struct {
	c       *Controller
	history *quality.History
	spread  *quality.Spread

	// ---- owned by runQuality
	legs  map[*session]*leg
	round int
}

// leg is what the monitor remembers of a session from one round to the next.
type leg struct {
	round int // of the latest look
	at    time.Time
	stats mmr.EndpointStats
	ready [mmr.NumMedia]bool // connected then
	sends [mmr.NumMedia]bool
	// carried says which media had packets before this look, by direction.
	carried [mmr.NumMedia][len(quality.Directions)]bool
}

// steady says whether a flow went on through the whole time since the look before. What began or ended meanwhile is not judged: its rates
// would be those of half the time.
func (l *leg) steady(medium mmr.Medium, direction quality.Direction, s subject) bool {
	return l.carried[medium][direction] && (direction == quality.Down || l.sends[medium] && s.sends[medium])
}

func newMonitor(c *Controller) *monitor {
	return &monitor{c: c, history: quality.NewHistory(quality.Limits{}), spread: new(quality.Spread), legs: map[*session]*leg{}}
}

// runQuality looks at everybody every few seconds until the context ends or the controller is closed.
func (m *monitor) runQuality(ctx context.Context) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.c.life.Done():
			return
		case <-ticker.C:
			m.look(ctx)
		}
	}
}

// look takes one sample of everybody.
func (m *monitor) look(ctx context.Context) {
	m.round++
	for _, meeting := range m.c.alive() {
		reply := make(chan []subject, 1)
		subjects, err := ask(ctx, meeting, reply, callRoll{reply})
		if err != nil {
			continue // it has ended
		}
		for _, s := range subjects {
			m.judge(ctx, quality.Run{Number: meeting.number, Created: meeting.created}, s)
		}
	}
	for s, l := range m.legs {
		if l.round != m.round {
			delete(m.legs, s)
		}
	}
	m.history.Prune(time.Now())
}

// subject is what a meeting says of one of its sessions.
type subject struct {
	session *session
	sends   [mmr.NumMedia]bool
	reports reports
}

// callRoll asks a meeting who is in it.
type callRoll struct{ reply chan []subject }

func (r callRoll) do(m *meeting) {
	list := make([]subject, 0, len(m.order))
	for _, s := range m.order {
		one := subject{session: s, reports: s.reports}
		for medium := range mmr.Medium(mmr.NumMedia) {
			one.sends[medium] = s.sends(medium)
		}
		list = append(list, one)
	}
	r.reply <- list
}

// judge takes one sample of a session. The first look only remembers.
func (m *monitor) judge(ctx context.Context, run quality.Run, s subject) {
	ctx, cancel := context.WithTimeout(ctx, statsWithin)
	defer cancel()
	stats, err := s.session.endpoint.Stats(ctx)
	if err != nil {
		return // it has left, or its worker has no time
	}
	now := time.Now()
	l := &leg{round: m.round, at: now, stats: stats, sends: s.sends}
	for medium, counted := range stats.Media {
		l.carried[medium] = [...]bool{quality.Up: counted.Up.Packets > 0, quality.Down: counted.Down.Packets > 0}
	}
	for _, t := range stats.Transports {
		l.ready[t.Medium] = t.State == mmr.TransportConnected
	}
	m.c.noteMarks(now, stats.Transports, &s.reports)
	before := m.legs[s.session]
	m.legs[s.session] = l
	if before == nil {
		return
	}
	all := wire.Quality{Media: make([]wire.MediumQuality, mmr.NumMedia)}
	person := quality.Person{ID: s.session.participant, Name: s.session.name}
	for medium := range mmr.Medium(mmr.NumMedia) {
		all.Media[medium].Medium = nameOf(medium)
		for _, direction := range quality.Directions {
			figures := figuresOf(medium, direction, before, l, s, now)
			score := quality.Of(nameOf(medium), figures)
			l.carried[medium][direction] = figures.Packets > 0
			if !score.Known() || score > 0 && !before.steady(medium, direction, s) {
				continue
			}
			flow := quality.Flow{Medium: nameOf(medium), Direction: direction}
			m.spread.Add(flow, figures, score)
			m.history.Record(now, run, person, flow, figures, score)
			told := flowQuality(figures, score)
			if direction == quality.Up {
				all.Media[medium].Up = told
			} else {
				all.Media[medium].Down = told
			}
		}
	}
	s.session.judged(all)
}

// figuresOf makes the figures of one flow: upwards of what the router counted, downwards of what the client reports where it does.
func figuresOf(medium mmr.Medium, direction quality.Direction, before, after *leg, s subject, now time.Time) quality.Figures {
	ready := before.ready[medium] && after.ready[medium]
	report := s.reports.latest(nameOf(medium), now)
	was, is := before.stats.Media[medium], after.stats.Media[medium]
	took := after.at.Sub(before.at)
	if direction == quality.Up {
		f := quality.Between(countersOf(was.Up), countersOf(is.Up), took)
		switch medium {
		case mmr.Audio:
			f.Frames, f.Frozen = quality.Unknown, quality.Unknown
		case mmr.Content: // a screen on which nothing moves is not frozen
			f.Frozen, f.Freezes = quality.Unknown, 0
		}
		if report != nil && report.Sent != nil {
			f.Pixels = report.Sent.Pixels
		}
		// Pictures that nobody wants are not sent; a voice that was there once always is.
		f.Expected = medium == mmr.Audio && s.sends[medium] && ready && is.Up.Packets > 0
		return f
	}
	f := quality.Between(countersOf(was.Down), countersOf(is.Down), took)
	f.Frames, f.Frozen = quality.Unknown, quality.Unknown
	if report != nil && f.Packets > 0 {
		s.reports.refine(&f, report)
		f.Expected = ready
	}
	return f
}

func countersOf(d mmr.DirectionStats) quality.Counters {
	return quality.Counters{Packets: d.Packets, Bytes: d.Bytes, Lost: d.Lost, Frames: d.Frames, Freezes: d.Freezes, Frozen: d.Frozen,
		Jitter: d.Jitter, RoundTrip: d.RoundTrip}
}

// reports are the last two that a client sent.
type reports struct {
	media, before  []wire.MediumReport
	at, previously time.Time
}

// take takes the next one.
func (r *reports) take(media []wire.MediumReport, now time.Time) {
	r.before, r.previously = r.media, r.at
	r.media, r.at = media, now
}

func find(list []wire.MediumReport, medium wire.Medium) *wire.MediumReport {
	if i := slices.IndexFunc(list, func(r wire.MediumReport) bool { return r.Medium == medium }); i >= 0 {
		return &list[i]
	}
	return nil
}

// latest returns what was reported of a medium lately, nil without two reports that tell.
func (r *reports) latest(medium wire.Medium, now time.Time) *wire.MediumReport {
	if r.previously.IsZero() || now.Sub(r.at) > reportFresh {
		return nil
	}
	return find(r.media, medium)
}

// refine takes what a client says of its downlink over what the router guesses.
func (r *reports) refine(f *quality.Figures, report *wire.MediumReport) {
	before := quality.Counters{}
	if earlier := find(r.before, report.Medium); earlier != nil {
		before = countersOfReport(earlier)
	}
	seen := quality.Between(before, countersOfReport(report), r.at.Sub(r.previously))
	f.Packets, f.Loss, f.Freezes = seen.Packets, seen.Loss, seen.Freezes
	f.Jitter = seen.Jitter
	if seen.RoundTrip > 0 {
		f.RoundTrip = seen.RoundTrip
	}
	if report.Bitrate > 0 {
		f.Rate = report.Bitrate
	}
	if report.Concealed != nil {
		f.Concealed = *report.Concealed
	}
	if p := report.Picture; p != nil {
		f.Frames, f.Pixels = p.FPS, p.Pixels
		if report.Medium == wire.Content {
			f.Freezes = 0
		} else {
			f.Frozen = p.Frozen
		}
	}
}

func countersOfReport(r *wire.MediumReport) quality.Counters {
	c := quality.Counters{Packets: r.Received, Lost: r.Lost, Jitter: fromMS(r.JitterMS), RoundTrip: fromMS(r.RTTMS)}
	if r.Picture != nil {
		c.Freezes = r.Picture.Freezes
	}
	return c
}

// fromMS is a time that a client wrote, within reason.
func fromMS(ms float64) time.Duration {
	return time.Duration(max(0, min(ms, 60_000)) * float64(time.Millisecond))
}

func toMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// flowQuality makes the wire's form of figures and score.
func flowQuality(f quality.Figures, score quality.Score) *wire.FlowQuality {
	known := func(v float64) *float64 {
		if v < 0 {
			return nil
		}
		return &v
	}
	return &wire.FlowQuality{Score: float64(score), Loss: known(f.Loss), JitterMS: toMS(f.Jitter), RTTMS: toMS(f.RoundTrip), Bitrate: f.Rate,
		FPS: known(f.Frames), Freezes: f.Freezes, Frozen: known(f.Frozen), Concealed: known(f.Concealed)}
}

// judged keeps what was judged for whoever asks, and tells the client.
func (s *session) judged(q wire.Quality) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news[latestQuality] = q
	if s.out != nil {
		s.out.tell(latestQuality, q)
	}
}

// quality returns what was last judged, nil before the second look.
func (s *session) quality() []wire.MediumQuality {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, _ := s.news[latestQuality].(wire.Quality)
	return q.Media
}

// History returns what is kept of a meeting's number, oldest first: nil when there is nothing. It outlives the meeting.
func (c *Controller) History(number string, perFlow, inAll int) []quality.Record {
	return c.monitor.history.Meeting(number, perFlow, inAll)
}

// Spread returns how scores, loss, jitter and round trips spread, by medium and direction, since New.
func (c *Controller) Spread() []quality.Buckets { return c.monitor.spread.All() }

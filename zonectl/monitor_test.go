package zonectl

import (
	"context"
	"testing"
	"time"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// TestQuality has two people in a meeting, one of whom hears badly: each is told of their own media only, administration sees both, and the
// history outlives the meeting.
func TestQuality(t *testing.T) {
	z := openZone(t, Config{})
	info := z.create(MeetingSpec{Title: "Quality"})
	ada := z.join("Ada", wire.LookupRequest{Meeting: info.Number})
	ben := z.join("Ben", wire.LookupRequest{Meeting: info.Number})
	connected := []mmr.Transport{{Medium: mmr.Audio, State: mmr.TransportConnected}, {Medium: mmr.Video, State: mmr.TransportConnected}}
	carry := func(c *testClient, packets uint64) {
		z.router.endpoint(c.welcome.Participant).count(func(s *mmr.EndpointStats) {
			s.Transports = connected
			up, down := &s.Media[mmr.Audio].Up, &s.Media[mmr.Audio].Down
			up.Packets, up.Bytes, up.RoundTrip = up.Packets+packets, up.Bytes+packets*80, 4*time.Millisecond
			down.Packets, down.Bytes = down.Packets+packets, down.Bytes+packets*80
		})
	}
	look := func() { z.Controller.monitor.look(context.Background()) }
	report := func(c *testClient, received, lost uint64) {
		c.send(wire.Report{Media: []wire.MediumReport{{Medium: wire.Audio, Received: received, Lost: lost, JitterMS: 8, RTTMS: 30, DSCP: 46}}})
		c.send(wire.Ping{Sent: 1})
		expect[wire.Pong](c) // what was sent before has reached the meeting
	}
	carry(ada, 1)
	carry(ben, 1)
	report(ben, 100, 0)
	look() // only remembers
	carry(ada, 250)
	carry(ben, 250)
	report(ben, 325, 25)
	look()
	if q := expect[wire.Quality](ada); q.Media[0].Up == nil || q.Media[0].Up.Score < 4.3 || q.Media[1].Up != nil || q.Media[0].Down == nil {
		t.Errorf("Ada is told %+v", q)
	}
	down := expect[wire.Quality](ben).Media[0].Down
	if down == nil || down.Loss == nil || *down.Loss != 0.1 || down.Score > 3.6 || down.Score < 3 || down.RTTMS != 30 || down.JitterMS != 8 {
		t.Errorf("Ben, who loses every tenth packet, is told %+v", down)
	}
	seen, err := z.Meeting(t.Context(), info.Number)
	if err != nil || len(seen.Participants) != 2 || len(seen.Participants[1].Quality) != 3 || *seen.Participants[1].Quality[0].Down.Loss != 0.1 {
		t.Errorf("administration sees %+v, %v", seen, err)
	}
	// Ben's microphone is on, and nothing comes.
	carry(ada, 250)
	look()
	if q := expect[wire.Quality](ben); q.Media[0].Up == nil || q.Media[0].Up.Score != 0 {
		t.Errorf("Ben, of whom nothing comes, is told %+v", q.Media[0].Up)
	}
	// What has only just begun, or is muted meanwhile, is not judged by half of the time.
	carry(ben, 250)
	look()
	if q := expect[wire.Quality](ben); q.Media[0].Up != nil {
		t.Errorf("Ben, who has begun to speak meanwhile, is told %+v", q.Media[0].Up)
	}
	carry(ben, 250)
	look()
	if q := expect[wire.Quality](ben); q.Media[0].Up == nil || q.Media[0].Up.Score < 4 {
		t.Errorf("Ben, who speaks, is told %+v", q.Media[0].Up)
	}
	carry(ben, 100)
	ben.send(wire.SetMute{Medium: wire.Audio, Muted: true})
	expect(ben, func(j wire.Joined) bool { return !j.Participant.Audio })
	look()
	if q := expect[wire.Quality](ben); q.Media[0].Up != nil {
		t.Errorf("Ben, who has muted himself meanwhile, is told %+v", q.Media[0].Up)
	}
	if err := z.EndMeeting(t.Context(), info.Number); err != nil {
		t.Fatal(err)
	}
	look()
	if n := len(z.Controller.monitor.legs); n != 0 {
		t.Errorf("%d sessions are remembered after the end", n)
	}
	kept := z.History(info.Number, 100, 1000)
	if len(kept) != 1 || len(kept[0].People) != 2 || kept[0].People[1].Name != "Ben" || len(kept[0].People[1].Flows) != 2 {
		t.Errorf("after the end, the history has %+v", kept)
	}
}

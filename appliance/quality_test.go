package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
)

// qualityOf returns what `meeting show` says of a flow, nil when nothing.
func qualityOf(t *testing.T, d *appliancetest.Daemon, number, name, medium, direction string) *adminapi.FlowQuality {
	t.Helper()
	var m adminapi.Meeting
	if err := json.Unmarshal(d.Admin(t, "meeting", "show", number, "--json"), &m); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Participants {
		for i, q := range p.Quality {
			if p.Name == name && q.Medium == medium && q.Direction == direction {
				return &p.Quality[i]
			}
		}
	}
	return nil
}

// TestNetnsQuality has two people in a meeting of whom one loses every fifth packet on the way down, and has a longer way: the figures are those of
// his link, the other's are good all the time, and when the link is good again so are his. The history tells it after the end.
func TestNetnsQuality(t *testing.T) {
	lab := appliancetest.New(t, 2, 1)
	daemon := lab.Start(t)
	meeting := daemon.CreateMeeting(t)
	link := lab.Clients[1].Link
	const way = 40 * time.Millisecond
	link.Set(t, nstest.BToA, nstest.Path{Loss: 0.2, Delay: way})
	link.Set(t, nstest.AToB, nstest.Path{Delay: way})
	for i, name := range []string{"Ada", "Ben"} {
		attends(t, lab, lab.Clients[i], "https://"+lab.Clients[i].Box.String(), meeting.Number, name, "--cache", "", "--receive-video", "1")
	}
	until := func(what string, condition func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(500 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: waited in vain; meeting show says\n%s", what, daemon.Admin(t, "meeting", "show", meeting.Number))
			}
		}
	}
	until("Ben hears badly", func() bool {
		q := qualityOf(t, daemon, meeting.Number, "Ben", "audio", "down")
		return q != nil && q.Loss != nil && *q.Loss > 0.12 && *q.Loss < 0.28 && q.Score > 1.8 && q.Score < 3.3 && q.RTTMS > 75 && q.RTTMS < 300
	})
	until("the history has the bad time", func() bool { s := worstAndLast(t, daemon, meeting.Number, "Ben")[0]; return s > 0 && s < 3.3 })
	for _, good := range [][3]string{{"Ada", "audio", "down"}, {"Ada", "audio", "up"}, {"Ben", "audio", "up"}, {"Ben", "video", "up"}} {
		until(strings.Join(good[:], " "), func() bool {
			q := qualityOf(t, daemon, meeting.Number, good[0], good[1], good[2])
			return q != nil && q.Score > 4 && (good[1] != "video" || q.FPS != nil && *q.FPS > 10)
		})
	}
	link.Set(t, nstest.BToA, nstest.Path{Delay: way})
	until("Ben hears well", func() bool {
		q := qualityOf(t, daemon, meeting.Number, "Ben", "audio", "down")
		return q != nil && *q.Loss < 0.01 && q.Score > 4.1
	})
	until("the history has the good end as well", func() bool { return worstAndLast(t, daemon, meeting.Number, "Ben")[1] > 4.1 })
	daemon.Admin(t, "meeting", "end", meeting.Number)
	if got := worstAndLast(t, daemon, meeting.Number, "Ben"); got[0] > 3.3 || got[1] < 4.1 {
		t.Errorf("Ben's history: worst and last %v", got)
	}
	if got := worstAndLast(t, daemon, meeting.Number, "Ada"); got[0] < 3.5 {
		t.Errorf("Ada's history: worst and last %v", got)
	}
	t.Logf("%s", daemon.Admin(t, "meeting", "history", meeting.Number))
	if page := daemon.Metrics(t); !strings.Contains(page, `meetzone_quality_score_count{direction="down",medium="audio"}`) ||
		strings.Contains(page, `meetzone_quality_score_count{direction="down",medium="audio"} 0`) {
		t.Error("the metrics do not count scores")
	}
}

// worstAndLast reads the scores of what somebody heard out of the history.
func worstAndLast(t *testing.T, d *appliancetest.Daemon, number, name string) (scores [2]float64) {
	t.Helper()
	out, err := d.TryAdmin("meeting", "history", number, "--json")
	var h adminapi.MeetingHistory
	if err != nil || json.Unmarshal(out, &h) != nil {
		return scores // nothing yet
	}
	for _, run := range h.Runs {
		for _, p := range run.People {
			for _, f := range p.Flows {
				if p.Name != name || f.Medium != "audio" || f.Direction != "down" {
					continue
				}
				var list []float64
				for _, s := range f.Samples {
					if s.Score != nil {
						list = append(list, *s.Score)
					}
				}
				scores = [2]float64{slices.Min(list), list[len(list)-1]}
			}
		}
	}
	return scores
}

package main

import (
	"context"
	"slices"
	"testing"

	"meetzone/appliance/appliancetest"
)

// joinsPerRung is how many joins the medians of BenchmarkJoinRung are of.
const joinsPerRung = 9

// BenchmarkJoinRung is the time to first media of the native client where a firewall leaves one rung after the other, in turns, and as a ratio to UDP.
// What a rung takes beyond its own round trips is how long the client waits for the better ones.
func BenchmarkJoinRung(b *testing.B) {
	lab, firewall := appliancetest.NewBehind(b, 2)
	daemon := lab.Start(b)
	meeting := daemon.CreateMeeting(b)
	url := "https://" + lab.Clients[0].Box.String()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	attends(b, lab, lab.Clients[1], url, meeting.Number, "Bob")
	rows := []way{ways[0], ways[1], ways[4]}
	took := make([][]float64, len(rows))
	for b.Loop() {
		for range joinsPerRung {
			for i, w := range rows {
				firewall.Set(b, w.rules, lab.Clients[0])
				report, err := runZoneClient(ctx, lab, lab.Clients[0], url, meeting.Number, "Ada", "--for", "300ms")
				if err != nil {
					b.Fatal(err)
				}
				for name, m := range report.Media {
					if m.Rung != w.rung.String() {
						b.Fatalf("%s: %s travels over %s, want %s", w.name, name, m.Rung, w.rung)
					}
				}
				took[i] = append(took[i], report.First)
			}
		}
	}
	middle := func(list []float64) float64 {
		slices.Sort(list)
		return list[len(list)/2]
	}
	udp := middle(took[0])
	for i, w := range rows {
		b.ReportMetric(middle(took[i]), w.rung.String()+"_p50_ms")
		b.ReportMetric(middle(took[i])/udp, w.rung.String()+"_x_udp")
	}
	b.ReportMetric(0, "ns/op")
}

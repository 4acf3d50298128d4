package main

import (
	"fmt"
	"io"
	"strconv"

	"meetzone/appliance/adminapi"
)

// How the quality of media is shown to an administrator.

// printQuality shows how good everybody's media were in the last seconds.
func printQuality(w io.Writer, people []adminapi.Participant) {
	rows := [][]string{{"NAME", "MEDIUM", "WAY", "SCORE", "LOSS", "JITTER", "ROUND TRIP", "RATE", "FRAMES/S", "FREEZES", "CONCEALED"}}
	for _, p := range people {
		for _, q := range p.Quality {
			rows = append(rows, []string{oneLine(p.Name), q.Medium, q.Direction, fmt.Sprintf("%.1f", q.Score), percent(q.Loss), milliseconds(q.JitterMS),
				roundTrip(q.RTTMS), bitrate(q.Bitrate), number(q.FPS), freezes(q), percent(q.Concealed)})
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, rows)
	}
}

// printPaths shows what the path to everybody carries.
func printPaths(w io.Writer, people []adminapi.Participant) {
	rows := [][]string{{"NAME", "PATH CARRIES", "IS SENT", "LOST", "KNOWN BY", "WAITING", "LEFT OUT"}}
	for _, p := range people {
		if p.Path == nil {
			continue
		}
		carries, by := "unknown", "reports"
		if p.Path.Available > 0 {
			carries = bitrate(float64(p.Path.Available))
		}
		if p.Path.Feedback {
			by = "feedback"
		}
		rows = append(rows, []string{oneLine(p.Name), carries, bitrate(float64(p.Path.Sending)), percent(&p.Path.Loss), by, strconv.Itoa(p.Path.Waiting),
			strconv.FormatUint(p.Path.Abandoned, 10)})
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, rows)
	}
}

func percent(share *float64) string {
	if share == nil {
		return "-"
	}
	return strconv.FormatFloat(100**share, 'f', 1, 64) + " %"
}

func milliseconds(ms float64) string {
	decimals := 0
	if ms < 10 {
		decimals = 1
	}
	return strconv.FormatFloat(ms, 'f', decimals, 64) + " ms"
}

// roundTrip leaves out what was not measured.
func roundTrip(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return milliseconds(ms)
}

func bitrate(bits float64) string {
	if bits >= 1e6 {
		return strconv.FormatFloat(bits/1e6, 'f', 2, 64) + " Mbit/s"
	}
	return strconv.FormatFloat(bits/1e3, 'f', 0, 64) + " kbit/s"
}

func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 0, 64)
}

// freezes shows how many there were and how much of the time they took.
func freezes(q adminapi.FlowQuality) string {
	if q.Frozen == nil {
		return "-"
	}
	return fmt.Sprintf("%d (%s)", q.Freezes, percent(q.Frozen))
}

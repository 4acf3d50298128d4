package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/zonectl/quality"
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

// historyOf makes the admin API's form of a history.
func historyOf(number string, records []quality.Record) adminapi.MeetingHistory {
	out := adminapi.MeetingHistory{Number: number, Runs: []adminapi.MeetingRun{}}
	for _, r := range records {
		run := adminapi.MeetingRun{Created: r.Created}
		for _, p := range r.People {
			person := adminapi.PersonHistory{ID: p.ID, Name: p.Name}
			for _, f := range p.Flows {
				flow := adminapi.FlowHistory{Medium: string(f.Medium), Direction: f.Direction.String()}
				for _, s := range f.Samples {
					flow.Samples = append(flow.Samples, sampleOf(s))
				}
				person.Flows = append(person.Flows, flow)
			}
			run.People = append(run.People, person)
		}
		out.Runs = append(out.Runs, run)
	}
	return out
}

func sampleOf(s quality.Sample) adminapi.QualitySample {
	known := func(v float64) *float64 {
		if v < 0 {
			return nil
		}
		return &v
	}
	return adminapi.QualitySample{At: s.At, Score: known(float64(s.Score)), Loss: known(s.Loss), JitterMS: float64(s.Jitter.Microseconds()) / 1000,
		RTTMS: float64(s.RoundTrip.Microseconds()) / 1000, Bitrate: s.Rate, FPS: known(s.Frames), Freezes: s.Freezes, Frozen: known(s.Frozen),
		Concealed: known(s.Concealed)}
}

func (r *remote) meetingHistoryCommand() *cobra.Command {
	points := adminapi.DefaultPoints
	cmd := &cobra.Command{
		Use:   "history NUMBER",
		Short: "Show how good a meeting's media were, also after its end",
		Long: "Show how good every participant's media were over the last day, also after the meeting's end.\n\n" +
			"Scores go from 5 (excellent) to 1 (bad); 0 means that nothing came of what should have. The course has one sign for each\n" +
			"stretch of time, from the first sample to the last, and shows the worst of it.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.completeMeeting,
		RunE: func(cmd *cobra.Command, args []string) error {
			history, err := r.client().MeetingHistory(cmd.Context(), args[0], points)
			if err != nil {
				return err
			}
			return r.show(cmd, history, func(w io.Writer) { printMeetingHistory(w, history) })
		},
	}
	cmd.Flags().IntVar(&points, "points", points, "samples of each medium and direction, 1 to 1000; what is more is put together")
	return cmd
}

func printMeetingHistory(w io.Writer, h adminapi.MeetingHistory) {
	for i, run := range h.Runs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "Meeting %s, created %s\n\n", h.Number, when(run.Created))
		rows := [][]string{{"NAME", "MEDIUM", "WAY", "FROM", "TO", "MEAN", "WORST", "LOSS", "JITTER", "ROUND TRIP", "RATE", "COURSE"}}
		for _, p := range run.People {
			for _, f := range p.Flows {
				if len(f.Samples) > 0 {
					rows = append(rows, historyRow(p.Name, f))
				}
			}
		}
		table(w, rows)
	}
}

func historyRow(name string, f adminapi.FlowHistory) []string {
	var score, loss, jitter, trip, rate mean
	worst, course := 5.0, strings.Builder{}
	for _, s := range f.Samples {
		course.WriteRune(courseSign(s.Score))
		if s.Score != nil {
			score.add(*s.Score)
			worst = min(worst, *s.Score)
		}
		if s.Loss != nil {
			loss.add(*s.Loss)
		}
		if s.RTTMS > 0 {
			trip.add(s.RTTMS)
		}
		jitter.add(s.JitterMS)
		rate.add(s.Bitrate)
	}
	first, last := f.Samples[0].At, f.Samples[len(f.Samples)-1].At
	share := loss.value()
	return []string{oneLine(name), f.Medium, f.Direction, first.Local().Format("15:04:05"), last.Local().Format("15:04:05"), fmt.Sprintf("%.1f", score.value()),
		fmt.Sprintf("%.1f", worst), percent(&share), milliseconds(jitter.value()), roundTrip(trip.value()), bitrate(rate.value()), course.String()}
}

// courseSign draws a score: the fuller the better, an x for nothing, a space for what was not judged.
func courseSign(score *float64) rune {
	switch {
	case score == nil:
		return ' '
	case *score < 1:
		return 'x'
	}
	signs := []rune("▁▂▃▄▅▆▇█")
	return signs[min(int((*score-1)/3.5*float64(len(signs))), len(signs)-1)]
}

// mean adds up.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v float64) { m.sum, m.n = m.sum+v, m.n+1 }

func (m *mean) value() float64 { return m.sum / float64(max(m.n, 1)) }

package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"meetzone/zonectl/client"
	"meetzone/zonectl/wire"
)

// report is what join prints with --json.
type report struct {
	Stages map[string]float64           `json:"stages"`                   // milliseconds
	First  float64                      `json:"first_media_ms,omitempty"` // from beginning to join to the first packet; 0: nothing came
	Way    string                       `json:"way"`                      // direct, proxy HOST or tunnel HOST
	Tried  []triedReport                `json:"tried,omitempty"`          // to get as far as the control channel, in the order in which it ended
	Zone   string                       `json:"zone"`
	Router string                       `json:"router"`
	Slots  []slotReport                 `json:"slots"`
	Media  map[wire.Medium]mediumReport `json:"media"`
	// Intercepted is a sentence that says that a proxy on the way opens TLS connections.
	Intercepted string `json:"intercepted,omitempty"`
}

type triedReport struct {
	Stage  string  `json:"stage"`
	Way    string  `json:"way"`
	Host   string  `json:"host"`
	TookMS float64 `json:"took_ms"`
	Result string  `json:"result"`
}

func triedOf(list []client.Attempt) (reports []triedReport) {
	for _, a := range list {
		reports = append(reports, triedReport{Stage: string(a.Stage), Way: a.Way, Host: a.Host, TookMS: hundredths(a.Took), Result: a.Result})
	}
	return reports
}

type slotReport struct {
	Mid         string      `json:"mid"`
	Medium      wire.Medium `json:"medium"`
	Participant string      `json:"participant"`
	Paused      bool        `json:"paused"`
	Received    uint64      `json:"received"`
	Lost        uint64      `json:"lost"`
	JitterMS    float64     `json:"jitter_ms"`
	Frames      uint64      `json:"frames,omitempty"`
	Freezes     uint64      `json:"freezes,omitempty"`
	FrozenMS    float64     `json:"frozen_ms,omitempty"`
}

type mediumReport struct {
	Rung         string  `json:"rung"`
	Local        string  `json:"local"`
	Remote       string  `json:"remote"`
	Cipher       string  `json:"cipher"`
	Sent         uint64  `json:"sent"`
	Received     uint64  `json:"received"`
	Lost         uint64  `json:"lost"`
	JitterMS     float64 `json:"jitter_ms"`
	RTTMS        float64 `json:"rtt_ms"`
	DSCPReceived int     `json:"dscp_received"` // -1 unknown

	Attempts []attemptReport `json:"attempts,omitempty"` // what came of each rung, best first
}

type attemptReport struct {
	Rung   string  `json:"rung"`
	Result string  `json:"result"`
	TookMS float64 `json:"took_ms"`
	Detail string  `json:"detail,omitempty"`
	Taken  bool    `json:"taken,omitempty"`
}

func attemptsOf(list []client.RungAttempt) (reports []attemptReport) {
	for _, a := range list {
		reports = append(reports, attemptReport{Rung: a.Rung, Result: string(a.Result), TookMS: hundredths(a.Took), Detail: a.Detail, Taken: a.Taken})
	}
	return reports
}

// printTried explains to a person how the control channel was reached, or why it was not.
func printTried(out io.Writer, tried []client.Attempt) {
	if len(tried) == 0 {
		return
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nstage\tway\thost\tafter\twhat came back")
	for _, a := range tried {
		fmt.Fprintf(table, "%s\t%s\t%s\t%.0f ms\t%s\n", a.Stage, a.Way, a.Host, milliseconds(a.Took), a.Result)
	}
	table.Flush()
}

// printAttempts explains to a person why each medium travels as it does.
func printAttempts(out io.Writer, attempts []client.RungAttempt) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nmedium\trung\twhat came back")
	for _, a := range attempts {
		fmt.Fprintf(table, "%s\t%s\t%s\n", a.Medium, rungNames[a.Rung], a)
	}
	table.Flush()
}

// rungNames say what a rung is.
var rungNames = map[string]string{"udp": "UDP 8801", "tcp": "TCP 8801", "tls": "TLS 443"}

func newReport(stats client.Stats) report {
	r := report{Stages: make(map[string]float64), Way: stats.Way, Tried: triedOf(stats.Tried), Zone: stats.Zone, Router: stats.Router, Slots: []slotReport{},
		Media: make(map[wire.Medium]mediumReport), Intercepted: stats.Intercepted}
	if first := stats.FirstMedia(); !first.IsZero() {
		r.First = hundredths(first.Sub(stats.Began))
	}
	for stage, took := range stats.Stages {
		r.Stages[string(stage)] = hundredths(took)
	}
	for _, s := range stats.Slots {
		r.Slots = append(r.Slots, slotReport{Mid: s.Mid, Medium: s.Medium, Participant: s.Participant, Paused: s.Paused, Received: s.Received,
			Lost: s.Lost, JitterMS: hundredths(s.Jitter), Frames: s.Frames, Freezes: s.Freezes, FrozenMS: hundredths(s.Frozen)})
	}
	for _, m := range stats.Media {
		r.Media[m.Medium] = mediumReport{Rung: m.Rung, Local: m.Local, Remote: m.Remote, Cipher: m.Cipher, Sent: m.Sent, Received: m.Received,
			Lost: m.Lost, JitterMS: hundredths(m.Jitter), RTTMS: hundredths(m.RoundTrip), DSCPReceived: m.DSCP,
			Attempts: attemptsOf(m.Attempts)}
	}
	return r
}

// hundredths rounds to a hundredth of a millisecond.
func hundredths(d time.Duration) float64 { return math.Round(milliseconds(d)*100) / 100 }

// printStats shows a person what came of each medium.
func printStats(out io.Writer, stats client.Stats) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nmedium\trung\tlocal\tremote\tcipher\tsent\treceived\tlost\tjitter\tround trip\tDSCP received")
	for _, m := range stats.Media {
		if m.Rung == "" {
			continue
		}
		mark := "unknown"
		if m.DSCP >= 0 {
			mark = fmt.Sprint(m.DSCP)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%.2f ms\t%.2f ms\t%s\n", m.Medium, m.Rung, m.Local, m.Remote, m.Cipher, m.Sent, m.Received,
			m.Lost, milliseconds(m.Jitter), milliseconds(m.RoundTrip), mark)
	}
	fmt.Fprintln(table, "\nslot\tparticipant\treceived\tlost\tjitter")
	for _, s := range stats.Slots {
		who := s.Participant
		if who == "" {
			who = "nobody"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%.2f ms\n", s.Mid, who, s.Received, s.Lost, milliseconds(s.Jitter))
	}
	table.Flush()
	if stats.Intercepted != "" {
		fmt.Fprintln(out, "\n"+stats.Intercepted)
	}
}

package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/zonectl/wire"
)

// summary is what load prints.
type summary struct {
	Meetings     int                           `json:"meetings"`
	Participants int                           `json:"participants"` // that were to join
	Joined       int                           `json:"joined"`
	Ended        int                           `json:"ended"` // of those who joined, that did not stay to the end
	Failures     map[string]int                `json:"failures"`
	JoinSeconds  float64                       `json:"join_seconds"` // until all had joined or failed
	HeldSeconds  float64                       `json:"held_seconds"`
	JoinMS       spread                        `json:"join_ms"`
	FirstMediaMS spread                        `json:"first_media_ms"` // from joined to the first packet that came, where one came afterwards
	ToMediaMS    spread                        `json:"to_media_ms"`    // from beginning to join to the first packet that came
	Media        map[wire.Medium]mediumSummary `json:"media"`
	Slots        map[string]slotSummary        `json:"slots"` // by mid, over all participants
	CPUSeconds   float64                       `json:"cpu_seconds"`
}

// spread describes how a quantity is distributed.
type spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

type mediumSummary struct {
	Transports int     `json:"transports"`
	Sent       uint64  `json:"sent"`
	FarLost    int64   `json:"far_lost"` // packets sent that the router never got
	Received   uint64  `json:"received"`
	Lost       uint64  `json:"lost"`
	JitterMS   spread  `json:"jitter_ms"`
	Unmarked   int     `json:"unmarked"` // transports whose last packet came with code point 0, or none at all
	PerSecond  float64 `json:"received_per_second"`
}

type slotSummary struct {
	Filled   int    `json:"filled"` // slots in which something came
	Received uint64 `json:"received"`
	Lost     uint64 `json:"lost"`
	Least    uint64 `json:"least"` // packets of the slot that got least
}

// summary sums all participants up.
func (l *load) summary(meetings int, joining, held, used time.Duration) summary {
	sum := summary{Meetings: meetings, Participants: meetings * l.options.participants, Joined: len(l.sessions), Failures: l.failures,
		JoinSeconds: joining.Seconds(), HeldSeconds: held.Seconds(), CPUSeconds: used.Seconds(),
		Media: make(map[wire.Medium]mediumSummary), Slots: make(map[string]slotSummary)}
	var joins, firsts, whole []float64
	jitters := make(map[wire.Medium][]float64)
	for _, p := range l.sessions {
		joins = append(joins, milliseconds(p.took))
		if p.ended != nil {
			sum.Ended++
			sum.Failures[describe(p.ended).String()]++
		}
		if first, ok := p.first(); ok {
			firsts, whole = append(firsts, milliseconds(first)), append(whole, milliseconds(p.took+first))
		}
		sum.add(p, jitters)
	}
	sum.JoinMS, sum.FirstMediaMS = newSpread(joins), newSpread(firsts)
	sum.ToMediaMS = newSpread(whole)
	for medium, m := range sum.Media {
		m.JitterMS = newSpread(jitters[medium])
		m.PerSecond = math.Round(float64(m.Received) / max(held.Seconds(), 1e-3))
		sum.Media[medium] = m
	}
	return sum
}

// add counts one participant's media and slots.
func (sum *summary) add(p *participant, jitters map[wire.Medium][]float64) {
	for _, stats := range p.last.Media {
		if stats.Remote == "" {
			continue
		}
		m := sum.Media[stats.Medium]
		m.Transports++
		m.Sent += stats.Sent
		m.FarLost += stats.FarLost
		m.Received += stats.Received
		m.Lost += stats.Lost
		if stats.DSCP <= 0 {
			m.Unmarked++
		}
		sum.Media[stats.Medium] = m
		if stats.Received > 0 {
			jitters[stats.Medium] = append(jitters[stats.Medium], milliseconds(stats.Jitter))
		}
	}
	for _, stats := range p.last.Slots {
		if stats.Received == 0 {
			continue
		}
		s := sum.Slots[stats.Mid]
		if s.Filled == 0 || stats.Received < s.Least {
			s.Least = stats.Received
		}
		s.Filled++
		s.Received += stats.Received
		s.Lost += stats.Lost
		sum.Slots[stats.Mid] = s
	}
}

// first is the time from having joined to the first packet. What came before that, while joining, counts as at once.
func (p *participant) first() (time.Duration, bool) {
	var first time.Time
	for _, slot := range p.last.Slots {
		if !slot.First.IsZero() && (first.IsZero() || slot.First.Before(first)) {
			first = slot.First
		}
	}
	return max(0, first.Sub(p.joined)), !first.IsZero()
}

func newSpread(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	slices.Sort(values)
	at := func(share float64) float64 {
		return math.Round(values[min(int(share*float64(len(values))), len(values)-1)]*100) / 100
	}
	return spread{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// worst is the sentence that most failures have in common.
func (sum summary) worst() string {
	worst := "for no reason that is known"
	most := 0
	for text, times := range sum.Failures {
		if times > most {
			worst, most = text, times
		}
	}
	return worst
}

// print shows the summary to a person.
func (sum summary) print(out io.Writer) {
	fmt.Fprintf(out, "%d of %d participants joined %d meetings in %.1f s; a join took %.0f ms (p50), %.0f ms (p99)\n",
		sum.Joined, sum.Participants, sum.Meetings, sum.JoinSeconds, sum.JoinMS.P50, sum.JoinMS.P99)
	fmt.Fprintf(out, "first media %.0f ms (p50), %.0f ms (p99) after joining; held for %.1f s with %.1f s of CPU; %d ended early\n",
		sum.FirstMediaMS.P50, sum.FirstMediaMS.P99, sum.HeldSeconds, sum.CPUSeconds, sum.Ended)
	for _, text := range slices.Sorted(maps.Keys(sum.Failures)) {
		fmt.Fprintf(out, "%d × %s\n", sum.Failures[text], text)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nmedium\ttransports\tsent\treceived\tper second\tlost\tjitter p50\tp99\tunmarked")
	for _, medium := range wire.Media {
		if m, ok := sum.Media[medium]; ok {
			fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.0f\t%d\t%.2f ms\t%.2f ms\t%d\n", medium, m.Transports, m.Sent, m.Received, m.PerSecond, m.Lost,
				m.JitterMS.P50, m.JitterMS.P99, m.Unmarked)
		}
	}
	fmt.Fprintln(table, "\nslot\tfilled\treceived\tlost\tleast")
	for _, mid := range slices.Sorted(maps.Keys(sum.Slots)) {
		s := sum.Slots[mid]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\n", mid, s.Filled, s.Received, s.Lost, s.Least)
	}
	table.Flush()
}

// processTime is the CPU time that this process has used.
func processTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"meetzone/appliance/adminapi"
	"meetzone/dscp"
	"meetzone/zonectl"
)

// MarkPaths implements admin.Marks.
func (p marksPart) MarkPaths() adminapi.MarkPaths {
	out := adminapi.MarkPaths{Paths: []adminapi.MarkPath{}}
	for _, m := range p.d.zone.PathMarks() {
		one := adminapi.MarkPath{Subnet: m.Subnet.String(), Medium: string(m.Medium), Direction: directionOf(m), Policy: pointOf(m.Policy),
			Verdict: verdictOn(m), Latest: pointOf(m.Latest), Last: m.Last}
		for _, point := range slices.Sorted(maps.Keys(m.Counts)) {
			one.Seen = append(one.Seen, adminapi.MarkSamples{Point: pointOf(point), Samples: m.Counts[point]})
		}
		out.Paths = append(out.Paths, one)
	}
	return out
}

func directionOf(m zonectl.PathMarks) string {
	if m.Down {
		return "down"
	}
	return "up"
}

// The verdicts on a path.
var markVerdicts = []string{"kept", "bleached", "remarked", "unmarked"}

// verdictOn judges the latest sample. What arrives here with 0 may have been sent so: a client need not mark.
func verdictOn(m zonectl.PathMarks) string {
	switch {
	case m.Latest == m.Policy:
		return "kept"
	case m.Latest != dscp.CS0:
		return "remarked"
	case m.Down:
		return "bleached"
	}
	return "unmarked"
}

func printMarkPaths(w io.Writer, p adminapi.MarkPaths) {
	if len(p.Paths) == 0 {
		fmt.Fprintln(w, "No media have come over UDP since the daemon was started.")
		return
	}
	rows := [][]string{{"SUBNET", "MEDIUM", "WAY", "POLICY", "VERDICT", "SEEN", "LAST"}}
	for _, one := range p.Paths {
		verdict := one.Verdict
		if verdict == "remarked" {
			verdict += " to " + one.Latest.String()
		}
		var seen []string
		for _, s := range one.Seen {
			seen = append(seen, fmt.Sprintf("%d × %s", s.Samples, s.Point))
		}
		rows = append(rows, []string{one.Subnet, one.Medium, one.Direction, one.Policy.String(), verdict, strings.Join(seen, ", "), when(one.Last)})
	}
	table(w, rows)
	fmt.Fprintln(w, "\nunmarked: came with 0; the client does not mark, or a network has bleached it. `zoneclient path` on a machine there tells the two apart.")
}

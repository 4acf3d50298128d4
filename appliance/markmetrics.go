package main

import "meetzone/dscp"

// collectMarks tells what the kernel makes of the marks, and what networks do.
func (c *collector) collectMarks(emit func(string, float64, ...string)) {
	a := c.d.enforcer.Observe()
	enforced := 0.0
	if a.Enforced && a.Agrees() {
		enforced = 1
	}
	emit("marks_enforced", enforced)
	emit("mark_drift_total", float64(a.Drifted))
	for name, counts := range a.Counters.Sent {
		for class, n := range counts {
			emit("marked_bytes_total", float64(n.Bytes), name, dscp.Class(class).String())
		}
	}
	for name, n := range a.Counters.Cleared {
		emit("cleared_packets_total", float64(n.Packets), name)
	}
	type key struct{ medium, direction, verdict string }
	subnets := map[key]int{}
	for _, m := range c.d.zone.PathMarks() {
		subnets[key{string(m.Medium), directionOf(m), verdictOn(m)}]++
	}
	for _, medium := range []string{"audio", "video", "content"} {
		for _, direction := range []string{"up", "down"} {
			for _, verdict := range markVerdicts {
				emit("path_marks", float64(subnets[key{medium, direction, verdict}]), medium, direction, verdict)
			}
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
)

// long tells whether tests run with their full figures.
func long() bool { return os.Getenv("MEETZONE_LONG") != "" }

// readings are the values of the metrics page by name and labels, as they are written there.
type readings map[string]float64

func read(t *testing.T, d *appliancetest.Daemon) readings {
	t.Helper()
	r := readings{}
	for line := range strings.Lines(d.Metrics(t)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil { // otherwise a comment
			r[name] = value
		}
	}
	return r
}

// sum adds up a metric over those of its label sets that contain a text.
func (r readings) sum(t *testing.T, metric, labels string) float64 {
	t.Helper()
	total, found := 0.0, false
	for name, value := range r {
		of, set, _ := strings.Cut(name, "{")
		if of == metric && strings.Contains(set, labels) {
			total, found = total+value, true
		}
	}
	if !found {
		t.Fatalf("the metrics page has no %s{%s}", metric, labels)
	}
	return total
}

// dropCounters are where the box would show that it lost something of its own or for want of speed.
var dropCounters = []string{"meetzone_worker_kernel_drops_total", "meetzone_worker_hand_over_drops_total", "meetzone_class_send_drops_total",
	"meetzone_udp_receive_buffer_errors_total"}

// checkNoDrops wants that the box dropped nothing between two readings.
func checkNoDrops(t *testing.T, what string, before, after readings) {
	t.Helper()
	for _, counter := range dropCounters {
		if grown := after.sum(t, counter, "") - before.sum(t, counter, ""); grown != 0 {
			t.Errorf("%s: %s grew by %.0f", what, counter, grown)
		}
	}
}

// gathering is one run of `zoneclient load`.
type gathering struct {
	meetings, participants, audio, video int // participants and senders are per meeting
	hold                                 time.Duration
}

func (g gathering) String() string {
	return fmt.Sprintf("%d × %d", g.meetings, g.participants)
}

// gathered is the part of what `zoneclient load --json` prints that the tests look at.
type gathered struct {
	Joined, Ended int
	Failures      map[string]int
	JoinSeconds   float64                                      `json:"join_seconds"`
	HeldSeconds   float64                                      `json:"held_seconds"`
	CPUSeconds    float64                                      `json:"cpu_seconds"`
	JoinMS        struct{ P50, P99, Max float64 }              `json:"join_ms"`
	FirstMediaMS  struct{ P50, P99, Max float64 }              `json:"first_media_ms"`
	Media         map[string]gatheredMedium                    // by medium
	Slots         map[string]struct{ Filled, Lost, Least int } // by mid
}

type gatheredMedium struct {
	Transports, Unmarked int
	Sent, Received, Lost int
	FarLost              int                             `json:"far_lost"`
	PerSecond            int                             `json:"received_per_second"`
	JitterMS             struct{ P50, P99, Max float64 } `json:"jitter_ms"`
}

// gather runs `zoneclient load` in a client's namespace, on meetings made through the admin socket: the web page may not start so many in an hour.
func gather(ctx context.Context, lab *appliancetest.Lab, c appliancetest.Client, numbers []string, g gathering) (gathered, error) {
	cmd := lab.ZoneClient(ctx, c, "load", "--url", "https://"+c.Box.String(), "--insecure", "--json", "--meeting", strings.Join(numbers, ","),
		"--meetings", strconv.Itoa(g.meetings), "--participants", strconv.Itoa(g.participants), "--for", g.hold.String(),
		"--senders-audio", strconv.Itoa(g.audio), "--senders-video", strconv.Itoa(g.video))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return gathered{}, fmt.Errorf("load: %w\n%s", err, said.String())
	}
	var result gathered
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return result, fmt.Errorf("load printed %s: %w", out.String(), err)
	}
	return result, nil
}

// newMeetings makes meetings and returns their numbers.
func newMeetings(t *testing.T, d *appliancetest.Daemon, count int) []string {
	t.Helper()
	var numbers []string
	for range count {
		numbers = append(numbers, d.CreateMeeting(t).Number)
	}
	return numbers
}

func endMeetings(t *testing.T, d *appliancetest.Daemon, numbers []string) {
	t.Helper()
	for _, number := range numbers {
		d.Admin(t, "meeting", "end", number)
	}
}

// TestNetnsLoad: one large meeting, then many small ones at once. Everybody joins and hears and sees somebody, nothing is lost, the box drops
// nothing, and when they have left its goroutines, descriptors and memory are back where a first small meeting had left them.
func TestNetnsLoad(t *testing.T) {
	runs := []gathering{{1, 40, 4, 2, 10 * time.Second}, {10, 4, 4, 2, 10 * time.Second}}
	if long() {
		runs = []gathering{{1, 200, 4, 2, time.Minute}, {50, 6, 4, 2, time.Minute}}
	}
	lab := appliancetest.New(t, 1)
	c := lab.Clients[0]
	c.NS.SetOffload(t, c.Iface, true)
	lab.Box.SetOffload(t, c.BoxIface, true)
	daemon := lab.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	first := newMeetings(t, daemon, 1)
	if _, err := gather(ctx, lab, c, first, gathering{1, 20, 4, 2, 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
	endMeetings(t, daemon, first)
	warm := awaitReadings(t, daemon, 30*time.Second, nobody)
	t.Logf("after a first meeting of 20: %s", standing(warm))
	for _, g := range runs {
		numbers := newMeetings(t, daemon, g.meetings)
		before := read(t, daemon)
		result, err := gather(ctx, lab, c, numbers, g)
		if err != nil {
			t.Fatalf("%s: %v", g, err)
		}
		after := read(t, daemon)
		endMeetings(t, daemon, numbers)
		checkNoDrops(t, g.String(), before, after)
		checkGathered(t, g, result)
		seconds := result.JoinSeconds + result.HeldSeconds
		out := after.sum(t, "meetzone_worker_datagrams_total", `direction="out"`) - before.sum(t, "meetzone_worker_datagrams_total", `direction="out"`)
		cpu := after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
		t.Logf("%s, %d audio and %d video senders each, %v: join %.1f s (p50 %.0f ms, p99 %.0f ms), box sent %.0f datagrams and used %.1f s of CPU, "+
			"clients %.1f s, in %.0f s; %s", g, g.audio, g.video, g.hold, result.JoinSeconds, result.JoinMS.P50, result.JoinMS.P99, out, cpu,
			result.CPUSeconds, seconds, standing(after))
	}
	// What is garbage goes when the collector runs, which an idle process does every two minutes.
	after := awaitReadings(t, daemon, 150*time.Second, func(r readings) error { return back(warm, r) })
	t.Logf("after everybody has left: %s", standing(after))
}

// checkGathered wants everybody in, to the end, with sound and picture and without loss.
func checkGathered(t *testing.T, g gathering, got gathered) {
	t.Helper()
	all := g.meetings * g.participants
	if got.Joined != all || got.Ended != 0 {
		t.Errorf("%s: %d of %d joined, %d of them did not stay: %v", g, got.Joined, all, got.Ended, got.Failures)
	}
	for _, mid := range []string{"audio0", "audio1", "audio2", "video0"} {
		slot := got.Slots[mid]
		t.Logf("%s: slot %s filled for %d, lost %d, least %d packets", g, mid, slot.Filled, slot.Lost, slot.Least)
		if slot.Filled != all {
			t.Errorf("%s: slot %s was filled for %d of %d", g, mid, slot.Filled, all)
		}
	}
	for _, medium := range []string{"audio", "video"} {
		m := got.Media[medium]
		t.Logf("%s: %s sent %d (%d lost), received %d (%d/s, %d lost), jitter p50 %.1f p99 %.1f ms", g, medium, m.Sent, m.FarLost, m.Received,
			m.PerSecond, m.Lost, m.JitterMS.P50, m.JitterMS.P99)
		if m.Received == 0 || m.Lost != 0 || m.FarLost > 0 || m.Unmarked != 0 {
			t.Errorf("%s, %s: %d packets received, %d lost, %d lost on the way up, %d transports unmarked", g, medium, m.Received, m.Lost,
				m.FarLost, m.Unmarked)
		}
	}
}

// nobody wants that nobody is left in any meeting.
func nobody(r readings) error {
	for _, metric := range []string{"meetzone_meetings", "meetzone_participants", "meetzone_endpoints", "meetzone_transports"} {
		if r[metric] != 0 {
			return fmt.Errorf("%s is %.0f", metric, r[metric])
		}
	}
	return nil
}

// back wants the daemon about where it was: some goroutines and descriptors serve the metrics page itself, and garbage comes and goes.
func back(was, is readings) error {
	if err := nobody(is); err != nil {
		return err
	}
	for metric, slack := range map[string]float64{"go_goroutines": 4, "process_open_fds": 3, "go_memstats_heap_alloc_bytes": 4 << 20} {
		if is[metric] > was[metric]+slack {
			return fmt.Errorf("%s is %.0f, was %.0f", metric, is[metric], was[metric])
		}
	}
	return nil
}

func standing(r readings) string {
	return fmt.Sprintf("%.0f goroutines, %.0f descriptors, heap %.1f MiB, resident %.1f MiB", r["go_goroutines"], r["process_open_fds"],
		r["go_memstats_heap_alloc_bytes"]/(1<<20), r["process_resident_memory_bytes"]/(1<<20))
}

// awaitReadings reads the metrics until they satisfy a condition.
func awaitReadings(t *testing.T, d *appliancetest.Daemon, limit time.Duration, satisfied func(readings) error) readings {
	t.Helper()
	every := time.NewTicker(250 * time.Millisecond)
	defer every.Stop()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		r := read(t, d)
		err := satisfied(r)
		if err == nil {
			return r
		}
		select {
		case <-every.C:
		case <-timer.C:
			t.Fatalf("after %v: %v (%s)", limit, err, standing(r))
		}
	}
}

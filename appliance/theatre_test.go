package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
)

// theatre is a meeting with one sender, one receiver behind a bad link, and others on good ones: clients 0, 1 and 2 of a lab.
type theatre struct {
	t       *testing.T
	lab     *appliancetest.Lab
	daemon  *appliancetest.Daemon
	meeting appliancetest.Meeting
	peer    *peerRouter // in place of the box, nil for the box
	full    float64     // bit/s that a receiver gets over a clean link
}

// busyPicture makes a film that takes an encoder's whole bit rate.
func busyPicture(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ffmpeg is missing; make test installs it")
		}
		t.Skip("ffmpeg is missing")
	}
	file := filepath.Join(t.TempDir(), "busy.mjpeg")
	out, err := exec.Command(program, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=20,noise=alls=12:allf=t", "-t", "6", "-c:v", "mjpeg",
		"-q:v", "6", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return file
}

// newTheatre raises the curtain: the sender sends.
func newTheatre(t *testing.T) *theatre {
	th := &theatre{t: t, lab: appliancetest.New(t, 3, 1)}
	th.daemon = th.lab.Start(t)
	th.meeting = th.daemon.CreateMeeting(t)
	join(t, th.camera(), th.link(0), "Ada")
	return th
}

// camera is the sender's browser.
func (th *theatre) camera() appliancetest.Browser {
	return appliancetest.Chromium(th.t, th.lab.Clients[0].NS, chromedp.Flag("use-file-for-fake-video-capture", busyPicture(th.t)))
}

func (th *theatre) link(client int) string {
	return fmt.Sprintf("https://%s/j/%s", th.lab.Clients[client].Box, th.meeting.Number)
}

// impair makes the receiver's link as the row has it.
func (th *theatre) impair(t *testing.T, row impairment) {
	link, steps := th.lab.Clients[1].Link, row.steps
	if steps == nil {
		steps = []nstest.Step{{Path: row.down}}
	}
	link.Set(t, nstest.AToB, row.up)
	link.Play(t, nstest.BToA, steps...)
}

// shown is what the box says of the path to a participant.
func (th *theatre) shown(name string) (path struct {
	Available, Sending, Probes, Abandoned uint64
	Waiting                               int
	Loss                                  float64
}) {
	th.t.Helper()
	if th.peer != nil {
		return path
	}
	var m struct {
		Participants []struct {
			Name string
			Path json.RawMessage
		}
	}
	if err := json.Unmarshal(th.daemon.Admin(th.t, "meeting", "show", th.meeting.Number, "--json"), &m); err != nil {
		th.t.Fatal(err)
	}
	for _, p := range m.Participants {
		if p.Name == name && p.Path != nil {
			if err := json.Unmarshal(p.Path, &path); err != nil {
				th.t.Fatal(err)
			}
		}
	}
	return path
}

// rival sends a TCP stream over the link until the test says so.
func (th *theatre) rival(t *testing.T) (stop func()) {
	c := th.lab.Clients[1]
	var listener net.Listener
	var conn net.Conn
	var err error
	c.NS.Do(t, func() { listener, err = net.Listen("tcp", net.JoinHostPort(c.Addr.String(), "5001")) })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if in, err := listener.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, in) // ends with the connection
			in.Close()
		}
	}()
	th.lab.Box.Do(t, func() { conn, err = net.Dial("tcp", net.JoinHostPort(c.Addr.String(), "5001")) })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		block := make([]byte, 1<<16)
		for {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}()
	return func() {
		conn.Close()
		listener.Close()
		<-done
	}
}

// moment is one second of a row.
type moment struct {
	Estimate    float64 // bit/s
	Sent, Rival float64 // bit/s over the link, UDP and TCP
	Rate        float64 // of the link, bit/s, 0 unlimited
	Wait        time.Duration
	Dropped     int // packets that found the queue full
}

// follow lets time pass and notes what the box makes of it, every second.
func (th *theatre) follow(long time.Duration) (estimates []float64) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(long); time.Now().Before(end); <-tick.C {
		estimates = append(estimates, float64(th.shown("Bob").Available))
	}
	return estimates
}

// course is what the link did from a time on, second by second, with the estimates of these seconds.
func (th *theatre) course(began time.Time, estimates []float64) (list []moment) {
	for _, s := range th.lab.Clients[1].Link.Samples(nstest.BToA) {
		n := int(s.Start.Sub(began) / time.Second)
		if s.Start.Before(began) || n >= len(estimates) {
			continue
		}
		for len(list) <= n {
			list = append(list, moment{Estimate: estimates[len(list)]})
		}
		m := &list[n]
		m.Sent, m.Rival, m.Rate = m.Sent+float64(s.UDP*8), m.Rival+float64(s.TCP*8), float64(s.Rate)
		m.Wait, m.Dropped = max(m.Wait, s.MaxWait), m.Dropped+s.Dropped
	}
	return list
}

// audience is nine others on a clean path.
type audience struct {
	Joined, Ended int
	Media         map[string]struct{ Received, Lost uint64 }
	Slots         map[string]struct {
		Filled                int
		Received, Lost, Least uint64
	}
}

const others = 9

// attended has nine others watch for some time, and hands over what they saw in the end.
func (th *theatre) attended(t *testing.T, long time.Duration) (saw func() audience) {
	t.Helper()
	c := th.lab.Clients[2]
	cmd := th.lab.ZoneClient(t.Context(), c, "load", "--url", "https://"+c.Box.String(), "--insecure", "--json", "--meeting", th.meeting.Number,
		"--participants", fmt.Sprint(others), "--senders-audio", "0", "--senders-video", "0", "--receive-video", "1", "--for", long.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (a audience) {
		t.Helper()
		if err := json.NewDecoder(out).Decode(&a); err != nil {
			t.Fatalf("what the others saw: %v", err)
		}
		_ = cmd.Wait() // it has said what it had to say
		return a
	}
}

// judge says what others noticed of somebody's bad path, which has to be nothing.
func (a *audience) judge(t *testing.T) {
	t.Helper()
	if a.Joined != others || a.Ended > 0 {
		t.Errorf("%d of %d others joined, and %d ended early", a.Joined, others, a.Ended)
	}
	for medium, m := range a.Media {
		if m.Lost*1000 > m.Received { // they have no repair, and on a busy machine a socket of theirs may overflow
			t.Errorf("others lost %d of %d packets of %s", m.Lost, m.Received, medium)
		}
	}
	s := a.Slots["video0"]
	if s.Filled != others || float64(s.Least)*others < 0.9*float64(s.Received) { // they join one after the other
		t.Errorf("the picture reached %d others, the one with the least got %d of %d packets", s.Filled, s.Least, s.Received/others)
	}
}

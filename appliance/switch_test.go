package main

import (
	"bufio"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"meetzone/appliance/appliancetest"
)

// badPath is a relay between one client and the box that loses and reorders datagrams in both directions.
type badPath struct {
	t       *testing.T
	c       appliancetest.Client
	clients *net.UDPConn // towards the client

	mu      sync.Mutex // guards what follows
	towards map[netip.AddrPort]*net.UDPConn
	closed  bool
	running sync.WaitGroup
}

// What the path does to a datagram.
const (
	lossPermille    = 20
	reorderPermille = 50
	lateAtMost      = 15 * time.Millisecond
)

// newBadPath listens at the client's own address: the box has to advertise it.
func newBadPath(t *testing.T, c appliancetest.Client) *badPath {
	p := &badPath{t: t, c: c, towards: map[netip.AddrPort]*net.UDPConn{}}
	var err error
	c.NS.Do(t, func() {
		p.clients, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Addr, 8801)))
	})
	if err != nil {
		t.Fatal(err)
	}
	p.running.Go(p.runUp)
	t.Cleanup(func() {
		p.clients.Close()
		p.mu.Lock()
		p.closed = true
		for _, conn := range p.towards {
			conn.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

func (p *badPath) runUp() {
	buf := make([]byte, 2000)
	for {
		n, from, err := p.clients.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		box := p.boxFor(from)
		if box == nil {
			return
		}
		mistreat(buf[:n], func(b []byte) { _, _ = box.Write(b) })
	}
}

// boxFor returns the socket that stands for a client's socket before the box.
func (p *badPath) boxFor(from netip.AddrPort) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conn := p.towards[from]; conn != nil || p.closed {
		return conn
	}
	var conn *net.UDPConn
	var err error
	p.c.NS.Do(p.t, func() {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.c.Box, 8801)))
	})
	if err != nil {
		p.t.Error(err)
		return nil
	}
	p.towards[from] = conn
	p.running.Go(func() {
		buf := make([]byte, 2000)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			mistreat(buf[:n], func(b []byte) { _, _ = p.clients.WriteToUDPAddrPort(b, from) })
		}
	})
	return conn
}

// mistreat loses a datagram, sends it at once, or lets later ones overtake it. Connectivity checks and DTLS are spared: this is about media.
func mistreat(b []byte, send func([]byte)) {
	dice := rand.IntN(1000)
	switch media := b[0]>>6 == 2; {
	case media && dice < lossPermille:
	case media && dice < lossPermille+reorderPermille:
		late := append([]byte(nil), b...)
		time.AfterFunc(rand.N(lateAtMost), func() { send(late) }) // a socket that is closed meanwhile refuses it
	default:
		send(b)
	}
}

// slotEnd is how zoneclient sums a recorded slot up.
type slotEnd struct {
	Mid                     string
	Frames, Keyframes, Gaps int
	LongestMS               float64 `json:"longest_ms"`
}

// readRecording returns how often somebody else came into video slot 0, and the slot's sum.
func readRecording(t *testing.T, dir string) (switches int, end slotEnd) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "slots.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Slots []struct{ Mid, Participant string }
			End   *slotEnd
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		for _, s := range line.Slots {
			if s.Mid == "video0" && s.Participant != last && s.Participant != "" {
				switches++
				last = s.Participant
			}
		}
		if line.End != nil && line.End.Mid == "video0" {
			end = *line.End
		}
	}
	return switches, end
}

// TestNetnsSwitching: somebody looks from one person to another all the time, over a path that loses 2 % of the media and reorders 5 %. What
// arrives is decoded by ffmpeg without one error, and no picture stands still for more than half a second. MEETZONE_LONG makes it a thousand
// switches.
func TestNetnsSwitching(t *testing.T) {
	lab := appliancetest.New(t, 2)
	daemon := lab.Start(t)
	length, wanted := "25s", 60
	if os.Getenv("MEETZONE_LONG") != "" {
		length, wanted = "330s", 1000
	}
	receiver, senders := lab.Clients[0], lab.Clients[1]
	daemon.Admin(t, "config", "set", "box.advertise", "["+receiver.Addr.String()+", "+senders.Box.String()+"]", "--commit")
	daemon = lab.Restart(t, daemon)
	newBadPath(t, receiver)
	meeting := daemon.CreateMeeting(t)

	ctx, cancel := context.WithTimeout(context.Background(), 7*time.Minute)
	defer cancel()
	starts(t, lab, senders, "load", "--url", "https://"+senders.Box.String(), "--insecure", "--meeting", meeting.Number, "--meetings", "1",
		"--participants", "4", "--senders-video", "4", "--senders-audio", "4", "--receive-video", "0", "--for", "10m")

	dir := t.TempDir()
	report, err := runZoneClient(ctx, lab, receiver, "https://"+receiver.Box.String(), meeting.Number, "Restless", "--for", length,
		"--video", "none", "--receive-video", "1", "--switch-every", "250ms", "--record", dir)
	if err != nil {
		t.Fatal(err)
	}
	switches, end := readRecording(t, dir)
	t.Logf("%d switches, %d frames, %d keyframes, %d unrepaired gaps, longest pause %.0f ms; %d packets of video, %d lost",
		switches, end.Frames, end.Keyframes, end.Gaps, end.LongestMS, report.Media["video"].Received, report.Media["video"].Lost)
	if switches < wanted {
		t.Errorf("%d switches, want %d", switches, wanted)
	}
	if end.LongestMS > 500 {
		t.Errorf("a picture stood still for %.0f ms", end.LongestMS)
	}
	decode(t, filepath.Join(dir, "video0.ivf"), end.Frames)
}

// decode has ffmpeg decode a recording: it may not complain, and must find every frame.
func decode(t *testing.T, file string, frames int) {
	t.Helper()
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("ffmpeg is missing; make test installs it")
		}
		t.Skip("ffmpeg is missing")
	}
	out, err := exec.Command(program, "-v", "error", "-err_detect", "explode", "-i", file, "-fps_mode", "passthrough", "-f", "framemd5", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	decoded := 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			decoded++
		}
	}
	if decoded != frames || frames == 0 {
		t.Errorf("ffmpeg decoded %d frames of %d", decoded, frames)
	}
}

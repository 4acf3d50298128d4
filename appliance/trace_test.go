package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
)

// TestNetnsTrace records what a Chromium sends of a moving 720p picture and of speech, once it has ramped up, into the file that MEETZONE_TRACE
// names: the trace that `make bench-dataplane` plays.
func TestNetnsTrace(t *testing.T) {
	file := os.Getenv("MEETZONE_TRACE")
	if file == "" {
		t.Skip("records a trace for make bench-dataplane; MEETZONE_TRACE names no file")
	}
	const rampUp, kept = 25 * time.Second, 10 * time.Second
	picture := filepath.Join(t.TempDir(), "720p.mjpeg")
	make := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30,noise=alls=8:allf=t", "-t", "10", "-q:v", "4", picture)
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	lab := appliancetest.New(t, 2)
	meeting := lab.Start(t).CreateMeeting(t)
	attends(t, lab, lab.Clients[1], "https://"+lab.Clients[1].Box.String(), meeting.Number, "Bob", "--video", "none", "--receive-video", "1")
	b := appliancetest.Chromium(t, lab.Clients[0].NS, chromedp.Flag("use-file-for-fake-video-capture", picture))
	join(t, b, fmt.Sprintf("https://%s/j/%s", lab.Clients[0].Box, meeting.Number), "Ada")
	begin := time.Now().Add(rampUp)
	packets := mediaPackets(t, lab.Clients[0]).WaitFor(t, time.Minute, func(all []nstest.Packet) bool {
		return len(all) > 0 && all[len(all)-1].Time.Sub(begin) > kept
	})
	if err := os.WriteFile(file, traceOf(packets, begin), 0o644); err != nil {
		t.Fatal(err)
	}
}

// traceOf writes a line for each packet of the client's: microseconds since the first, a or v, 1 for the last packet of a picture, length of the
// payload.
func traceOf(packets []nstest.Packet, since time.Time) []byte {
	var out bytes.Buffer
	for _, p := range packets {
		kind := map[int]string{opus: "a", vp8: "v"}[payloadType(p)]
		if kind == "" || p.Dst.Port() != 8801 || p.Time.Before(since) {
			continue
		}
		const fixed, extension, tag = 12, 4, 16
		header := fixed + extension + 4*int(binary.BigEndian.Uint16(p.Payload[fixed+2:])) // a browser's packets all have extensions
		fmt.Fprintf(&out, "%d %s %d %d\n", p.Time.Sub(since).Microseconds(), kind, p.Payload[1]>>7, len(p.Payload)-header-tag)
	}
	return out.Bytes()
}

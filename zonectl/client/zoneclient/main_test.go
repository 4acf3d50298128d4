package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"meetzone/zonectl/client"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// TestReportKeys holds the JSON object that scripts read.
func TestReportKeys(t *testing.T) {
	stats := client.Stats{Stages: map[client.Stage]time.Duration{client.StageLookup: 1234567}, Zone: "z", Router: "r",
		Slots: []client.SlotStats{{Slot: wire.Slot{Mid: "audio0", Medium: wire.Audio, Participant: "p"}, Received: 3}}}
	for i, medium := range wire.Media {
		stats.Media[i] = client.MediumStats{Medium: medium, Rung: "udp", Local: "a:1", Remote: "b:2", Cipher: "c", Sent: 1, Received: 2, Lost: 3,
			Jitter: time.Millisecond, RoundTrip: 2 * time.Millisecond, DSCP: 46}
	}
	data, err := json.Marshal(newReport(stats))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"stages":{"lookup":1.23}`, `"zone":"z"`, `"router":"r"`,
		`"slots":[{"mid":"audio0","medium":"audio","participant":"p","paused":false,"received":3,"lost":0,"jitter_ms":0}]`,
		`"content":{"rung":"udp","local":"a:1","remote":"b:2","cipher":"c","sent":1,"received":2,"lost":3,"jitter_ms":1,"rtt_ms":2,"dscp_received":46}`} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("%s\nis not in\n%s", want, data)
		}
	}
}

func TestDescribe(t *testing.T) {
	err := error(&client.Error{Stage: client.StageLookup, Text: "No.", Advice: "Look.", Err: &client.UntrustedError{Host: "h", Fingerprint: "AB:CD", Err: errors.New("x")}})
	if f := describe(err); f.Fingerprint != "AB:CD" || !strings.Contains(f.Advice, "--ca FILE") || !strings.Contains(f.Advice, "--insecure") {
		t.Errorf("%+v", f)
	}
	if f := describe(errors.New("plain")); f.String() != "plain" {
		t.Errorf("%+v", f)
	}
}

func TestSpread(t *testing.T) {
	var values []float64
	for i := range 200 {
		values = append(values, float64(200-i))
	}
	if s := newSpread(values); s != (spread{P50: 101, P99: 199, Max: 200}) {
		t.Errorf("%+v", s)
	}
}

// TestRecorder records the pattern out of order, with a packet missing and over two streams, and reads the file again.
func TestRecorder(t *testing.T) {
	dir := t.TempDir()
	r, err := newRecorder(dir)
	if err != nil {
		t.Fatal(err)
	}
	pattern, err := media.Pattern()
	if err != nil {
		t.Fatal(err)
	}
	r.event(wire.Slots{Slots: []wire.Slot{{Mid: "video0", Medium: wire.Video, Participant: "p"}}})
	start := time.Now()
	for stream := range 2 {
		var packetizer media.VP8Packetizer
		var packets []client.Packet
		sequence := uint16(65500)
		for i, frame := range pattern.Frames {
			err := packetizer.Packetize(frame.Data, func(payload []byte, last bool) error {
				sequence++
				if i == 40 {
					return nil // lost
				}
				packet := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: uint32(stream + 1), SequenceNumber: sequence, Marker: last,
					Timestamp: uint32(i * 3000), PayloadType: 96}, Payload: payload}
				data, err := packet.Marshal()
				packets = append(packets, client.Packet{Slot: "video0", Codec: media.VP8, Data: data, At: start.Add(time.Duration(stream)*5*time.Second + frame.At)})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := 1; i+1 < len(packets); i += 7 {
			packets[i], packets[i+1] = packets[i+1], packets[i]
		}
		for _, packet := range packets {
			r.receive(packet)
		}
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	clip, err := media.Open(filepath.Join(dir, "video0.ivf"))
	if err != nil {
		t.Fatal(err)
	}
	// Frames 40 to 44 go with the lost one; frame 45 is a keyframe.
	if len(clip.Frames) != 2*(90-5) || clip.Length < 7900*time.Millisecond || clip.Length > 8100*time.Millisecond {
		t.Errorf("%d frames in %s", len(clip.Frames), clip.Length)
	}
	log, err := os.ReadFile(filepath.Join(dir, "slots.jsonl"))
	if err != nil || !strings.Contains(string(log), `"participant":"p"`) || !strings.Contains(string(log), `"gaps":2`) {
		t.Errorf("%s: %v", log, err)
	}
}

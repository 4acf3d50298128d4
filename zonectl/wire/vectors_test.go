package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// vector is one file of testdata: a message as it is on the wire. The browser client is tested against the same files.
type vector struct {
	Sender string          `json:"sender"` // "client" or "server"
	JSON   json.RawMessage `json:"message"`
}

// vectors has the Go value of each vector, by file.
var vectors = map[string]Message{
	"hello": Hello{MinVersion: 1, MaxVersion: 2, Client: "meetzone-web/1", Token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln", Name: "김민지",
		Send: []Medium{Audio, Video, Content}, VideoSlots: 9, Adapts: true},
	"hello-resume": Hello{MinVersion: 1, MaxVersion: 1, Client: "zoneclient/1", Name: "Ben", VideoSlots: 25,
		Resume: &Resume{Session: "S6QKZ7", Secret: "P3XW2M", State: 42}},
	"answer":    Answer{Generation: 1, SDP: "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"},
	"negotiate": Negotiate{Fresh: true},
	"set-views": SetViews{Views: []View{{Slot: 0, Participant: "ben", Height: 720, Priority: 2}, {Slot: 1}, {Slot: 2, Participant: "-"}}},
	"set-mute":  SetMute{Medium: Audio, Muted: true},
	"set-share": SetShare{On: true},
	"send-chat": SendChat{Text: "first line\nsecond \"line\" 👋"},
	"host-mute": HostMute{Participant: "ben", Medium: Video, Muted: true}, "host-remove": HostRemove{Participant: "ben"},
	"host-lock": HostLock{Locked: true}, "host-end": HostEnd{}, "claim-host": ClaimHost{Key: "K7VQ2"},
	"report": Report{Media: []MediumReport{{Medium: Audio, Received: 1000, Lost: 3, JitterMS: 2.5, RTTMS: 12, DSCP: 46},
		{Medium: Video, Received: 5000, DSCP: -1}}},
	"report-quality": Report{Media: []MediumReport{{Medium: Audio, Received: 1000, RTTMS: 12, DSCP: 46, Bitrate: 32000, Concealed: share(0.01)},
		{Medium: Video, Received: 5000, DSCP: -1, Bitrate: 900000, Picture: &PictureReport{FPS: 24.5, Pixels: 22579200, Freezes: 2, Frozen: 0.05},
			Sent: &PictureReport{FPS: 30, Pixels: 27648000}}}},
	"ping": Ping{Sent: 1700000000123}, "leave": Leave{},
	"welcome": Welcome{Version: 1, Session: "S6QKZ7", Secret: "P3XW2M", Participant: "anna", Role: RoleHost, Router: "box",
		Meeting: Meeting{Number: "123456789", Title: "Stand-up", Started: 1700000000}},
	"offer": Offer{Generation: 1, Fresh: true, SDP: "v=0\r\n", Relays: []Relay{
		{URLs: []string{"turns:meet.example:443?transport=tcp"}, Username: "1767225600:signalling:anna", Credential: "c2VjcmV0"},
		{Medium: Audio, URLs: []string{"turns:meet.example:443?transport=tcp"}, Username: "1767225600:audio:anna", Credential: "c2VjcmV0"}}},
	"participants": Participants{State: 7, Participants: []Participant{{ID: "anna", Name: "Anna", Role: RoleHost, Audio: true, Sharing: true},
		{ID: "ben", Name: "Ben", Role: RoleParticipant, Away: true}}},
	"joined":          Joined{State: 8, Participant: Participant{ID: "carl", Name: "Carl", Role: RoleViewer}},
	"left":            Left{State: 9, Participant: "ben"},
	"meeting-changed": MeetingChanged{State: 10, Meeting: Meeting{Number: "123456789", Title: "Stand-up", Locked: true}},
	"slots": Slots{Slots: []Slot{{Mid: "audio0", Medium: Audio, Participant: "anna"}, {Mid: "video0", Medium: Video, Participant: "anna", Paused: true},
		{Mid: "content0", Medium: Content}}},
	"send-codecs": SendCodecs{Media: []MediumCodec{{Medium: Video, Codec: "vp9"}, {Medium: Content, Codec: "vp8"}}},
	"send-layers": SendLayers{Media: []MediumLayers{{Medium: Video, RIDs: []string{"l", "m"}}}},
	"send-rates":  SendRates{Ceilings: []Ceiling{{Medium: Video, RID: "m", Bitrate: 380000}, {Medium: Content, Bitrate: 400000}}},
	"speaker":     Speaker{Participant: "anna"},
	"transports": Transports{Transports: []TransportState{{Medium: Audio, State: "connected", Rung: "udp", Local: "192.0.2.1:8801",
		Remote: "[2001:db8::7]:50000", Cipher: "SRTP_AEAD_AES_128_GCM", DSCP: 46}, {Medium: Video, State: "new", DSCP: -1}}},
	"quality": Quality{Media: []MediumQuality{
		{Medium: Audio, Up: &FlowQuality{Score: 4.4, Loss: share(0), RTTMS: 12, Bitrate: 32000},
			Down: &FlowQuality{Score: 3.9, Loss: share(0.02), JitterMS: 2.5, RTTMS: 12, Bitrate: 64000, Concealed: share(0.01)}},
		{Medium: Video, Down: &FlowQuality{Score: 0, Bitrate: 0, FPS: share(0), Freezes: 1, Frozen: share(0.5)}}}},
	"chat":         Chat{State: 11, Participant: "anna", Name: "Anna", Text: "<b>not bold</b>", Sent: 1700000000123},
	"muted":        Muted{Medium: Audio, Muted: true, By: "anna"},
	"role-changed": RoleChanged{Role: RoleHost},
	"drain":        Drain{On: true, Reason: "Maintenance until 14:00", LeftS: 600},
	"drain-off":    Drain{},
	"failure":      Failure{About: "set-share", Error: Error{Code: CodePolicy, Text: "Somebody else is sharing.", Advice: "Ask them to stop first."}},
	"bye":          Bye{Error: Error{Code: CodeDrain, Text: "The zone is going out of service.", Advice: "Try again later.", Retry: 60}},
	"pong":         Pong{Sent: 1700000000123},
}

func share(v float64) *float64 { return &v }

func readVectors(t testing.TB) map[string]vector {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]vector{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found[strings.TrimSuffix(filepath.Base(file), ".json")] = v
	}
	return found
}

// TestVectors decodes and encodes every vector.
func TestVectors(t *testing.T) {
	files := readVectors(t)
	for name := range files {
		if vectors[name] == nil {
			t.Errorf("nothing is known of testdata/%s.json", name)
		}
	}
	for name, want := range vectors {
		v, found := files[name]
		if !found {
			encoded, _ := Encode(want)
			t.Errorf("testdata/%s.json is missing; it would hold %s", name, encoded)
			continue
		}
		if got, err := Decode(v.JSON); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s decodes to %+v, %v", name, got, err)
		}
		encoded, err := Encode(want)
		if err != nil || !sameJSON(encoded, v.JSON) {
			t.Errorf("%s encodes to %s, %v", name, encoded, err)
		}
		if sender := map[string]Sender{"client": ByClient, "server": ByServer}[v.Sender]; sender != Types()[want.Type()] {
			t.Errorf("%s is not sent by the %q", name, v.Sender)
		}
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// TestRegistry: every type of message has a vector and a place in the description of the protocol.
func TestRegistry(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range vectors {
		seen[m.Type()] = true
	}
	for name := range Types() {
		if !seen[name] {
			t.Errorf("%s has no vector", name)
		}
		if !bytes.Contains(text, []byte("### `"+name+"`")) {
			t.Errorf("%s is not described in docs/protocol.md", name)
		}
	}
	for _, code := range []Code{CodeRefused, CodeGuess, CodeLocked, CodeFull, CodeEnded, CodeRemoved, CodePolicy, CodeDrain, CodeToken, CodeSession,
		CodeVersion, CodeBad, CodeRole, CodeRate, CodeMedia, CodeServer, CodeUnknown} {
		if !bytes.Contains(text, []byte("| `"+string(code)+"` |")) {
			t.Errorf("code %s is not described in docs/protocol.md", code)
		}
	}
}
